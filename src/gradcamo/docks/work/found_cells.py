"""The cells of the open stack, found once, so that a click explains one cell and no more."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject

from gradcamo.docks.parts.worker import Job
from gradcamo.errors import GradcamoError

if TYPE_CHECKING:
    from gradcamo.cells.crops import CellCrops
    from gradcamo.docks.state.session import Session
    from gradcamo.settings import AuditSettings


class FoundCells(QObject):
    """Keeps the crops of the stack and labels that were asked for last.

    They are looked for as soon as stack, labels and network are there, so that the first click
    need not wait for it.
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self._lock = threading.Lock()  # a click does not look for what is being looked for
        self._of: tuple[Any, ...] = ()
        self._crops: CellCrops | None = None
        self._tried: tuple[Any, ...] = ()
        self.job = Job(session)
        self.job.ended.connect(self._ahead)
        session.stack_changed.connect(self._ahead)
        session.labels_changed.connect(self._ahead)
        session.spacing_changed.connect(self._ahead)
        session.checkpoint_changed.connect(self._ahead)

    def finder(self, settings: AuditSettings) -> Callable[[], CellCrops]:
        """What finds the present cells, in any thread; at once where nothing changed.

        Raises
        ------
        GradcamoError
            If stack, labels or network are missing.
        """
        stack, layer, checkpoint = self.session.needed()
        data, of = layer.data, self._key(settings)

        def find() -> CellCrops:
            from gradcamo.auditing.stack import cells_of

            with self._lock:
                if self._crops is not None and of == self._of:
                    checkpoint.info(settings.layer or checkpoint.layer)
                    return self._crops
                # painting meanwhile does no harm to a copy
                crops = cells_of(stack, np.array(data), checkpoint, settings)
                self._of, self._crops = of, crops
                return crops

        return find

    def _key(self, settings: AuditSettings) -> tuple[Any, ...]:
        session = self.session
        _, _, checkpoint = session.needed()
        channels = settings.channels or checkpoint.channels
        return (session.version, channels, checkpoint.crop, len(checkpoint.input_size))

    def _ahead(self, *_: Any) -> None:
        session = self.session
        if self._of[:1] != (session.version,):
            self._of, self._crops = (), None  # let the memory go
        if session.lacking() or self.job.running:
            return
        wanted = self._key(session.next_settings)
        if wanted in (self._of, self._tried):
            return
        self._tried, find = wanted, self.finder(session.next_settings)

        def steps() -> Iterator[None]:
            with suppress(GradcamoError):  # whoever asks for a cell is told
                find()
            yield

        self.job.start(steps)

    def gone(self, labels: Iterable[int]) -> set[int]:
        """Those of these labels that were not among the cells found last."""
        if self._crops is None:
            return set()
        return set(labels) - set(self._crops.table["label"].tolist())
