"""The cells of the open stack, found once, so that a click explains one cell and no more."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from gradcamo.cells.crops import CellCrops
    from gradcamo.docks.session import Session
    from gradcamo.settings import AuditSettings


class FoundCells:
    """Keeps the crops of the stack and labels that were asked for last."""

    def __init__(self, session: Session) -> None:
        self._session = weakref.ref(session)
        self._of: tuple[Any, ...] = ()
        self._crops: CellCrops | None = None

    def finder(self, settings: AuditSettings) -> Callable[[], CellCrops]:
        """What finds the present cells, in any thread; at once where nothing changed."""
        session = self._session()
        stack, layer, checkpoint = session.stack, session.labels_layer, session.checkpoint
        channels = settings.channels or checkpoint.channels
        # a stack's or a layer's identity, and how often the layer was edited
        of = (id(stack), id(layer), session.edits.count, channels, checkpoint.crop)
        of = (*of, len(checkpoint.input_size))
        data, found, kept = layer.data, self._of, self._crops

        def find() -> CellCrops:
            from gradcamo.auditing.stack import cells_of

            if kept is not None and of == found:
                checkpoint.info(settings.layer or checkpoint.layer)
                return kept
            # painting meanwhile does no harm to a copy
            crops = cells_of(stack, np.array(data), checkpoint, settings)
            self._of, self._crops = of, crops
            return crops

        return find

    def gone(self, labels: Iterable[int]) -> set[int]:
        """Those of these labels that were not among the cells found last."""
        if self._crops is None:
            return set()
        return set(labels) - set(self._crops.table["label"].tolist())

    def forget(self) -> None:
        """Let the memory go, when the stack or the labels change."""
        self._of, self._crops = (), None
