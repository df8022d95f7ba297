"""Writes small files one after the other in a thread that outlives the window."""

from __future__ import annotations

import threading
from collections.abc import Callable

from qtpy.QtCore import QObject, Signal

from gradcamo.docks.parts.threads import begin


class Writer(QObject):
    """Runs what it is given in the order of time; of a kind, only the newest that waits.

    Python ends after the thread, so that what was put is written. It has no parent: a window that
    goes may not take it along while its thread speaks.
    """

    failed = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._waiting: dict[str, Callable[[], object]] = {}
        self._thread: threading.Thread | None = None

    @property
    def running(self) -> bool:
        return self._thread is not None

    def put(self, kind: str, write: Callable[[], object]) -> None:
        """Write this soon; what waits of the same kind is dropped for it."""
        with self._lock:
            self._waiting.pop(kind, None)
            self._waiting[kind] = write
            if self._thread is None:
                self._thread = begin(self._run, "gradcamo-autosave")

    def wait(self) -> None:
        """Come back when all is written; not to be called from the window."""
        thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._thread = None
                    return
                write = self._waiting.pop(next(iter(self._waiting)))
            try:
                write()
            except Exception as error:
                self.failed.emit(error)
