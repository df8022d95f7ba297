"""Audits of the open stack: what starts one, what it brings, what ends it."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer

from gradcamo.docks.canvas.colouring import warm_up
from gradcamo.errors import GradcamoError
from gradcamo.settings import AuditSettings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gradcamo.docks.state.session import Session


class Audits(QObject):
    """Scores cells in the background, batch by batch, for the session's results."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._session = weakref.ref(session)
        self._replacing = self._left = False
        self._recipe: dict[str, Any] = {}
        self._telling = QTimer(self)
        self._telling.setSingleShot(True)
        self._telling.timeout.connect(session.results_changed)
        session.auditing.stepped.connect(self._on_batch)
        session.auditing.ended.connect(self._on_ended)

    def start(self, settings: AuditSettings, only: Iterable[int] | None = None) -> None:
        """Score the cells in the background, all or these only.

        Raises
        ------
        GradcamoError
            If the stack, the labels or the checkpoint are missing, or if some cells only would
            be scored with another network than the rest.
        """
        session = self._session()
        if lacking := session.lacking():
            raise GradcamoError(f"load {' and '.join(lacking)} first")
        if only is not None:
            self.refuse_to_mix(settings)
        stack, checkpoint = session.stack, session.checkpoint
        find = session.found.finder(settings)
        only = None if only is None else [int(label) for label in only]

        def batches() -> Iterator[Any]:
            from gradcamo.auditing.stack import audit_crops, audit_recipe

            crops = find()
            warm_up(crops.labels.dtype)
            self._recipe = audit_recipe(stack, checkpoint, settings)
            there = None if only is None else set(crops.table["label"].tolist()) & set(only)
            if there is None or there or not only:
                yield from audit_crops(crops, checkpoint, settings, there)

        session.auditing.start(batches)
        session.edits.begin_audit()
        if only is None or not session.results.recipe:
            session.audit_settings = settings
        self._replacing, self._left = only is None, False

    def leave(self) -> None:
        """Stop an audit whose stack or labels go; what it brought so far is kept."""
        session = self._session()
        if session.auditing.running and not self._left:
            session.autosave.save_scores()
            session.auditing.abandon()
            self._left = True

    def refuse_to_mix(self, settings: AuditSettings) -> None:
        """Raise a GradcamoError where cells would be scored otherwise than those that are there."""
        session = self._session()
        if other := session.results.differ_from(session.checkpoint, settings):
            raise GradcamoError(
                f"the cells of this table were scored with {other}, and a table keeps to one: "
                "audit all cells, which replaces them, or go back to what they were scored with"
            )

    def _on_batch(self, batch: Any) -> None:
        if self._left:
            return
        session = self._session()
        if self._replacing:  # only now: an audit that fails at its checks takes nothing away
            self._replacing = False
            session.results = session.results.fresh()
        results = session.results
        results.recipe = results.recipe or self._recipe
        results.audited = True
        results.add(batch)
        results.expire(session.edits.since_audit)
        if len(session.edits.places):
            results.outdate(session.edits.places)
        if not self._telling.isActive():
            self._telling.start(300)  # a table that is redrawn more often cannot be read

    def _on_ended(self, complete: bool) -> None:
        session = self._session()
        self._telling.stop()
        if complete:  # cells that were erased have nothing to score
            gone = session.found.gone(session.results.stale)
            session.results.forget(gone - session.edits.since_audit)
        session.results_changed.emit()
