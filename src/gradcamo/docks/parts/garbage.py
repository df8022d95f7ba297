"""Cyclic garbage is collected by the GUI thread alone: another would destroy widgets under Qt."""

from __future__ import annotations

import gc

from qtpy.QtCore import QCoreApplication, QObject, QTimer

EVERY_MS = 250
"""With Python's thresholds old objects are looked at twice a minute at most."""


class GarbageCollection(QObject):
    """Python collects in the thread that happens to allocate; here a timer does, by its thresholds.

    A dock that was closed is such garbage, as its signals and slots refer to each other.
    """

    def __init__(self, app: QCoreApplication) -> None:
        super().__init__(app)
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._collect)
        self._timer.start(EVERY_MS)
        app.aboutToQuit.connect(gc.enable)  # a script may go on without windows
        gc.disable()

    def _collect(self) -> None:
        gc.disable()  # a window may have come after the last one was closed
        for generation in (2, 1, 0):
            if gc.get_count()[generation] > gc.get_threshold()[generation]:
                gc.collect(generation)
                return


def collect_in_gui_thread() -> None:
    """From now on, while the application runs, no other thread collects."""
    app = QCoreApplication.instance()
    if app is not None and app.findChild(GarbageCollection) is None:
        GarbageCollection(app)
