"""The map of a cell that is looked at and has none yet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from gradcamo.docks.parts.widgets import notify
from gradcamo.errors import GradcamoError

if TYPE_CHECKING:
    from gradcamo.docks.state.session import Session
    from gradcamo.docks.work.found_cells import FoundCells


class Explaining(QObject):
    """Explains one cell beside the window; of the cells asked for meanwhile, the last."""

    explained = Signal(int)  # label

    def __init__(self, session: Session, found: FoundCells) -> None:
        super().__init__()
        self.session, self.found = session, found
        self._waiting = 0
        session.explaining.stepped.connect(self._on_explained)
        session.explaining.failed.connect(notify)
        session.explaining.ended.connect(self._on_ended)

    def explain(self, label: int) -> None:
        """Explain this cell, as its row says or as Explain does."""
        session = self.session
        if session.explaining.running:
            self._waiting = label
        if session.explaining.running or session.auditing.running or session.lacking():
            return
        settings = session.settings_for(label)
        try:
            (stack, _, checkpoint), told = session.needed(), session.told
            session.refuse_to_mix(settings)
        except GradcamoError as error:
            notify(error)
            return
        find, of = self.found.finder(settings), session.version

        def one_cell() -> Iterator[Any]:
            from gradcamo.auditing.recipe import audit_recipe
            from gradcamo.auditing.stack import audit_crops

            crops = find()
            if label in crops.table["label"].to_numpy():
                for batch in audit_crops(crops, checkpoint, settings, only=[label]):
                    recipe = told | audit_recipe(stack, checkpoint, settings)
                    yield batch, of, settings, recipe

        self._waiting = 0
        session.explaining.start(one_cell)

    def _on_explained(self, item: tuple[Any, int, Any, dict[str, Any]]) -> None:
        session, (batch, of, settings, recipe) = self.session, item
        if of != session.version:  # of labels as they were, or of another stack
            return
        results, labels = session.results, batch.table["label"].tolist()
        known = set(labels) <= set(results.table.index) - results.stale
        if not results.recipe:
            results.recipe, session.audit_settings = recipe, settings
        results.add(batch)
        for label in labels:
            self.explained.emit(label)
        if not known:
            session.results_changed.emit()

    def _on_ended(self) -> None:
        label, self._waiting = self._waiting, 0
        if label and label == self.session.cell and self.session.results.cam(label) is None:
            self.explain(label)
