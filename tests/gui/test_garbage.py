"""What refers to itself is destroyed by the GUI thread, whoever allocates."""

from __future__ import annotations

import gc
import threading
import time
import weakref

import pytest
from qtpy.QtWidgets import QWidget

from gradcamo.docks.parts.garbage import GarbageCollection
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
    qtbot.waitUntil(lambda: bool(where), timeout=5_000)
    assert where == [threading.main_thread()]


def test_python_collects_again_by_itself_when_the_application_ends(window, qapp):
    (collection,) = qapp.findChildren(GarbageCollection)
    assert not gc.isenabled()
    qapp.aboutToQuit.emit()
    assert gc.isenabled()
    collection._collect()
    assert not gc.isenabled()
