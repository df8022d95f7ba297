"""Long work beside the window: progress, Cancel, and errors that always arrive."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from qtpy.QtCore import QObject, Signal

from gradcamo.docks.parts.threads import begin
from gradcamo.errors import GradcamoError


class _Voice(QObject):
    """What a thread speaks with: it has no parent, so that no window takes it along."""

    told = Signal(object, object)  # what happened in the thread, and with what


class Job(QObject):
    """Runs an iterator step by step in a thread; its signals arrive on the GUI thread.

    ``stepped`` brings every item, ``failed`` the exception, and ``ended`` always comes last, with
    True when the iterator ran to its end. One job runs one iterator at a time. Python waits for
    the thread before it ends, and warnings take the way that they take everywhere. A job that is
    deleted stops after the present step.
    """

    began = Signal()
    stepped = Signal(object)
    failed = Signal(object)
    ended = Signal(bool)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.running = False
        self.seconds_per_step: float | None = None
        self._last_step = 0.0
        self._stop, self._abandoned = threading.Event(), threading.Event()
        self._voice = _Voice()
        self._voice.told.connect(self._on_told)
        self.destroyed.connect(partial(_leave, self._stop, self._abandoned))

    @property
    def cancelling(self) -> bool:
        """Whether Cancel was pressed; an iterator that ends gently asks this between its steps."""
        return self._stop.is_set()

    def start(self, steps: Callable[[], Iterator[Any]], gentle: bool = False) -> None:
        """Begin to run what ``steps()`` iterates; ``steps`` itself is called in the thread.

        With ``gentle`` the iterator is not cut off by Cancel but asks `cancelling` and brings
        home what it has.

        Raises
        ------
        GradcamoError
            If the job is still running.
        """
        if self.running:
            raise GradcamoError("this step is still running: wait for it or cancel it first")
        self.running = True
        self.seconds_per_step, self._last_step = None, time.monotonic()
        self._stop.clear()
        self._abandoned.clear()
        self.began.emit()
        begin(partial(self._run, steps, gentle))

    def tell(self, item: Any) -> None:
        """Bring an item out of the midst of a step, for work that calls back."""
        self._voice.told.emit("step", item)

    def cancel(self) -> None:
        """Stop after the step that is being worked on; what came before is kept."""
        if self.running:
            self._stop.set()

    def abandon(self) -> None:
        """Stop after the present step, gentle or not: nobody waits for what would come home."""
        if self.running:
            self._stop.set()
            self._abandoned.set()

    def _run(self, steps: Callable[[], Iterator[Any]], gentle: bool) -> None:
        ends = self._abandoned if gentle else self._stop
        try:
            for item in steps():
                self._voice.told.emit("step", item)
                if ends.is_set():
                    break
            self._voice.told.emit("end", True)
        except BaseException as error:  # a library may end its process: that ends the job alone
            self._voice.told.emit("error", error)

    def _on_told(self, what: str, item: Any) -> None:
        if what == "step":
            now = time.monotonic()
            self.seconds_per_step, self._last_step = now - self._last_step, now
            self.stepped.emit(item)
            return
        if what == "error":  # and its end in one turn: who acts on it at once need not wait
            self.failed.emit(item)
        self.running = False
        self.ended.emit(what == "end" and not self.cancelling)


def _leave(stop: threading.Event, abandoned: threading.Event, *_: QObject) -> None:
    stop.set()
    abandoned.set()
