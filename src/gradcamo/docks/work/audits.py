"""Audits of the open stack: what starts one, what it brings, what ends it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal
from superqt.utils import qthrottled

from gradcamo.docks.canvas.colouring import warm_up
from gradcamo.settings import AuditSettings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gradcamo.docks.canvas.edits import Edits
    from gradcamo.docks.state.session import Session
    from gradcamo.docks.work.found_cells import FoundCells


class Audits(QObject):
    """Scores cells in the background, batch by batch, for the session's results."""

    left = Signal()  # an audit was left; what it brought so far is still there

    def __init__(self, session: Session, found: FoundCells, edits: Edits) -> None:
        super().__init__()
        self.session, self.found, self.edits = session, found, edits
        self._replacing = self._left = False
        self._recipe: dict[str, Any] = {}
        session.auditing.stepped.connect(self._on_batch)
        session.auditing.ended.connect(self._on_ended)
        session.leaving.connect(self._leave)

    def start(self, settings: AuditSettings, only: Iterable[int] | None = None) -> None:
        """Score the cells in the background, all or these only.

        Raises
        ------
        GradcamoError
            If the stack, the labels or the checkpoint are missing, or if some cells only would
            be scored with another network than the rest.
        """
        session = self.session
        (stack, _, checkpoint), told = session.needed(), session.told
        if only is not None:
            session.refuse_to_mix(settings)
        find = self.found.finder(settings)
        only = None if only is None else [int(label) for label in only]

        def batches() -> Iterator[Any]:
            from gradcamo.auditing.recipe import audit_recipe
            from gradcamo.auditing.stack import audit_crops

            crops = find()
            warm_up(crops.labels.dtype)
            there = None if only is None else set(crops.table["label"].tolist()) & set(only)
            if there is None or there or not only:
                for batch in audit_crops(crops, checkpoint, settings, there):
                    self._recipe = told | audit_recipe(stack, checkpoint, settings)
                    yield batch

        session.auditing.start(batches)
        self.edits.begin_audit()
        if only is None or not session.results.recipe:
            session.audit_settings = settings
        self._replacing, self._left = only is None, False

    def _leave(self) -> None:
        if self.session.auditing.running and not self._left:
            self._left = True
            self.left.emit()
            self.session.auditing.abandon()

    def _on_batch(self, batch: Any) -> None:
        if self._left:
            return
        session = self.session
        if self._replacing:  # only now: an audit that fails at its checks takes nothing away
            self._replacing = False
            session.results = session.results.fresh(self._recipe)
        results = session.results
        said = {"network_cautions": self._recipe["network_cautions"]}  # by the first cells
        results.recipe = (results.recipe or self._recipe) | said
        results.audited = True
        results.add(batch)
        results.expire(self.edits.since_audit)
        if len(self.edits.places):
            results.outdate(self.edits.places)
        self._tell()

    @qthrottled(timeout=300, leading=False)  # a table that is redrawn more often cannot be read
    def _tell(self) -> None:
        self.session.results_changed.emit()

    def _on_ended(self, complete: bool) -> None:
        session = self.session
        self._tell.cancel()
        if complete:  # cells that were erased have nothing to score
            gone = self.found.gone(session.results.stale)
            session.results.forget(gone - self.edits.since_audit)
        session.results_changed.emit()
