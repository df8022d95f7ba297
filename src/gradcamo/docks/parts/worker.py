"""Long work beside the window: progress, Cancel, and errors that always arrive."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from qtpy.QtCore import QObject, Signal
from superqt.utils import GeneratorWorker

from gradcamo.errors import GradcamoError


class WorkFailed(Exception):
    """A RuntimeError of the work itself, renamed so that the worker passes it on."""


def _renaming_runtime_errors(steps: Iterator[Any]) -> Iterator[Any]:
    # superqt takes a RuntimeError for a deleted worker and then neither reports nor finishes
    try:
        yield from steps
    except RuntimeError as error:
        raise WorkFailed(str(error) or type(error).__name__) from error


class Job(QObject):
    """Runs an iterator step by step in a thread; its signals arrive on the GUI thread.

    ``stepped`` brings every item, ``failed`` the exception, and ``ended`` always comes last, with
    True when the iterator ran to its end. One job runs one iterator at a time.
    """

    began = Signal()
    stepped = Signal(object)
    _told = Signal(object)
    failed = Signal(object)
    ended = Signal(bool)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._worker: GeneratorWorker | None = None
        self._complete = False
        self._last_step = 0.0
        self.seconds_per_step: float | None = None
        self._stop = threading.Event()
        self.destroyed.connect(self._stop.set)  # nobody waits any more
        self._told.connect(self._on_step)

    @property
    def running(self) -> bool:
        return self._worker is not None

    @property
    def cancelling(self) -> bool:
        """Whether Cancel was pressed; an iterator that ends gently asks this between its steps."""
        return self._stop.is_set()

    def start(self, steps: Callable[[], Iterator[Any]], gentle: bool = False) -> None:
        """Begin to run what ``steps()`` iterates; ``steps`` itself is called in the thread.

        With ``gentle`` the iterator is not cut off by Cancel but asks `cancelling` and brings
        home what it has.
        """
        if self.running:
            raise GradcamoError("this step is still running: wait for it or cancel it first")

        stop = self._stop

        def body() -> Iterator[Any]:
            for item in _renaming_runtime_errors(steps()):
                yield item
                if stop.is_set() and not gentle:
                    return

        self._complete = False
        self._stop.clear()
        self.seconds_per_step = None
        self._last_step = time.monotonic()
        worker = self._worker = GeneratorWorker(body)
        worker.yielded.connect(self._on_step)
        worker.returned.connect(self._on_return)
        worker.errored.connect(self.failed)
        worker.finished.connect(self._on_finish)
        self.began.emit()
        worker.start()

    def tell(self, item: Any) -> None:
        """Bring an item out of the midst of a step, for work that calls back."""
        self._told.emit(item)

    def cancel(self) -> None:
        """Stop after the step that is being worked on; what came before is kept."""
        if self._worker is not None:
            self._stop.set()

    def abandon(self) -> None:
        """Stop after the present step, gentle or not: nobody waits for what would come home."""
        if self._worker is not None:
            self._stop.set()
            self._worker.quit()

    def _on_step(self, item: Any) -> None:
        now = time.monotonic()
        self.seconds_per_step = now - self._last_step
        self._last_step = now
        self.stepped.emit(item)

    def _on_return(self, _: Any) -> None:
        self._complete = True

    def _on_finish(self) -> None:
        self._worker = None
        self.ended.emit(self._complete and not self.cancelling)
