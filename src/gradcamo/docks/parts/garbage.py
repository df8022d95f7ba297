"""Cyclic garbage is collected by the GUI thread alone: another would destroy widgets under Qt."""

from __future__ import annotations

import gc

from qtpy.QtCore import QCoreApplication, QObject, QTimer

from gradcamo.docks.parts.threads import let_go, working

EVERY_MS = 250
"""With Python's thresholds old objects are looked at twice a minute at most."""
FAR = 10_000_000
"""New objects before a thread collects by itself: a script whose windows nobody serves does so."""


class GarbageCollection(QObject):
    """Python collects in the thread that happens to allocate; here a timer does, by its thresholds.

    A dock that was closed is such garbage, as its signals and slots refer to each other.
    """

    def __init__(self, app: QCoreApplication) -> None:
        super().__init__(app)
        self._usual = gc.get_threshold()
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._collect)
        app.aboutToQuit.connect(self._end)

    def begin(self) -> None:
        """Collect from now on, while the application runs."""
        gc.set_threshold(FAR, *self._usual[1:])
        self._timer.start(EVERY_MS)

    def _end(self) -> None:
        """A script may go on without windows, and what still works may outlive them."""
        self._timer.stop()
        if not working():
            gc.set_threshold(*self._usual)

    def _collect(self) -> None:
        let_go()
        for generation in (2, 1, 0):
            if gc.get_count()[generation] > self._usual[generation]:
                gc.collect(generation)
                return


def collect_in_gui_thread() -> None:
    """From now on, while the application runs, no other thread collects."""
    app = QCoreApplication.instance()
    if app is not None:
        (app.findChild(GarbageCollection) or GarbageCollection(app)).begin()
