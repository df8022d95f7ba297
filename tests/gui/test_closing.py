"""A window that is closed while it works stops working, and loses no flag."""

from __future__ import annotations

import threading
import time

import pytest
from conftest import docked, scored_label
from qtpy.QtCore import QCoreApplication
from qtpy.QtGui import QCloseEvent, QHideEvent, QShowEvent

from gradcamo.auditing import stack
from gradcamo.docks.panels.steps.segment import SegmentDock
from gradcamo.docks.panels.training.layers_dock import LayersDock
from gradcamo.docks.parts.threads import working
from gradcamo.docks.parts.worker import Job
from gradcamo.docks.window import window_of
from gradcamo.files.kept import read_kept
from gradcamo.networks.bundled import BUNDLED
from gradcamo.networks.checkpoint import Checkpoint
from gradcamo.settings import AuditSettings

pytestmark = pytest.mark.gui
MINUTES = 300_000


def closed(viewer, qtbot, job, steps: int) -> list:
    """Close the window after so many steps; what the thread brought from then on, unheard."""
    seen, told = [], []
    job.stepped.connect(seen.append)
    qtbot.waitUntil(lambda: len(seen) >= steps, timeout=MINUTES)
    assert job.running
    job._voice.told.connect(lambda what, item: told.append((what, item)))
    viewer.window.close()  # as the cross in its corner does
    seen.clear()
    qtbot.waitUntil(lambda: not job.running, timeout=MINUTES)
    qtbot.waitUntil(lambda: not working(), timeout=MINUTES)
    assert seen == []
    return [item for what, item in told if what == "step"]


@pytest.mark.shown
def test_an_audit_ends_with_the_step_it_is_in_and_its_flags_are_kept(
    audited, viewer, qtbot, monkeypatch, window
):
    row_of, waited = stack._table, []

    def slowly(*args, **others):  # these cells are small: all would be done before it is closed
        waited.append(time.sleep(0.4))
        return row_of(*args, **others)

    monkeypatch.setattr(stack, "_table", slowly)
    save, flagged = window.autosave, scored_label(audited)
    qtbot.waitUntil(lambda: save.home is not None and not save.looking.running, timeout=MINUTES)
    home, cells = save.home, len(audited.results)
    audited.mark([flagged], True)
    window.audits.start(AuditSettings(batch_size=1))
    assert len(closed(viewer, qtbot, audited.auditing, 2)) <= 3
    assert len(waited) <= 6
    qtbot.waitUntil(lambda: not save.writing.running, timeout=MINUTES)
    kept = read_kept([home])
    assert 0 < len(kept.table) < cells
    assert kept.marks["flagged_by_hand"] == {flagged: True}


@pytest.mark.shown
def test_a_segmentation_ends_with_its_plane_and_adds_no_layer(session, viewer, qtbot):
    dock = docked(viewer, SegmentDock)
    dock.rows.inputs["model"].value = "bundled"
    layers = len(viewer.layers)
    dock.start()
    later = closed(viewer, qtbot, session.segmenting, 2)
    assert len(later) <= 2
    assert {kind for kind, *_ in later} <= {"plane"}
    assert len(viewer.layers) == layers


@pytest.mark.shown
def test_scoring_the_layers_ends_too(session, small_plate, viewer, qtbot):
    session.set_checkpoint(Checkpoint.load(BUNDLED), "bundled")
    dock = docked(viewer, LayersDock)
    dock.load(small_plate)
    dock.start()
    later = closed(viewer, qtbot, dock.job, 1)
    assert all(step.result is None for step in later)


@pytest.mark.shown
def test_a_window_that_is_hidden_after_closing_was_refused_works_when_it_is_back(
    session, viewer, qtbot
):
    window = viewer.window._qt_window
    QCoreApplication.sendEvent(window, QCloseEvent())  # to filters; napari's answer is no matter
    QCoreApplication.sendEvent(window, QHideEvent())
    assert session.signalsBlocked()
    QCoreApplication.sendEvent(window, QShowEvent())
    with qtbot.waitSignal(session.loading.ended, timeout=30_000):
        session.loading.start(lambda: iter([]))
    assert not session.signalsBlocked()


@pytest.mark.shown
def test_work_goes_on_in_a_window_that_is_restored_after_closing_was_refused(
    session, viewer, qtbot
):
    window, job, go = viewer.window._qt_window, Job(session), threading.Event()
    QCoreApplication.sendEvent(window, QCloseEvent())
    job.start(lambda: iter([go.wait(30)]))
    QCoreApplication.sendEvent(window, QShowEvent())  # as when it was minimised
    with qtbot.waitSignal(job.ended, timeout=30_000) as ended:
        go.set()
    assert ended.args == [True]


def test_a_viewer_whose_window_was_closed_takes_another_theme(make_napari_viewer):
    viewer = make_napari_viewer()
    window_of(viewer)
    viewer.close()
    viewer.theme = "light"
