"""What refers to itself is destroyed by the GUI thread, whoever allocates."""

from __future__ import annotations

import gc
import threading
import time
import weakref

import pytest
from qtpy.QtWidgets import QWidget

from gradcamo.docks.parts import garbage
from gradcamo.docks.parts.garbage import EVERY_MS, FAR, collect_in_gui_thread
from gradcamo.docks.parts.worker import Job

pytestmark = pytest.mark.gui


class Closed(QWidget):
    """A dock that refers to itself, as docks do by way of what works for them."""

    def __init__(self):
        super().__init__()
        self.works_for = [self]


def allocating():
    """What a worker does to have Python collect: more objects than its thresholds."""
    until = time.monotonic() + 2
    while time.monotonic() < until:
        yield len([[] for _ in range(100_000)])


def test_a_dock_that_was_closed_is_destroyed_by_the_gui_thread_while_a_job_works(window, qtbot):
    where = []
    dock = Closed()
    weakref.finalize(dock, lambda: where.append(threading.current_thread()))
    del dock
    job = Job()
    with qtbot.waitSignal(job.ended, timeout=20_000):
        job.start(allocating)
    qtbot.waitUntil(lambda: bool(where), timeout=30_000)
    assert where == [threading.main_thread()]


def test_python_collects_again_by_itself_when_the_application_ends(window, qapp, qtbot):
    assert gc.get_threshold()[0] == FAR
    qapp.aboutToQuit.emit()
    qtbot.wait(2 * EVERY_MS)  # what Qt still does
    assert gc.isenabled()
    assert gc.get_threshold()[0] < FAR
    collect_in_gui_thread()  # of a further window
    assert gc.get_threshold()[0] == FAR


def test_a_job_that_outlives_its_window_destroys_no_widget(window, qapp, qtbot):
    job, stop = Job(), threading.Event()
    with qtbot.waitSignal(job.ended, timeout=20_000):
        job.start(lambda: iter(stop.wait, True))
        qapp.aboutToQuit.emit()
        assert gc.get_threshold()[0] == FAR
        stop.set()
    collect_in_gui_thread()


def test_a_script_that_serves_no_window_collects_at_last(window, monkeypatch):
    monkeypatch.setattr(garbage, "FAR", 1000)
    collect_in_gui_thread()
    closed = Closed()
    where = weakref.ref(closed)
    del closed
    _ = [[] for _ in range(5_000)]
    assert where() is None
    monkeypatch.undo()
    collect_in_gui_thread()
