"""The Layers dock scores every layer of the session's network and hands one over."""

from __future__ import annotations

import pytest
from conftest import docked
from legible import illegible
from qtpy.QtCore import Qt

from gradcamo.auditing.layer_audit import layer_audit
from gradcamo.docks.panels.steps.explain import ExplainDock
from gradcamo.docks.panels.training.layers_dock import LayersDock
from gradcamo.docks.window import window_of
from gradcamo.networks.checkpoint import BUNDLED, Checkpoint

pytestmark = pytest.mark.gui
MINUTES = 600_000


@pytest.fixture
def dock(viewer, small_plate):
    dock = docked(viewer, LayersDock, name="Layers")
    assert not dock.begin.isEnabled()
    checkpoint = Checkpoint.load(BUNDLED)
    window_of(viewer).session.set_checkpoint(checkpoint, "bundled")
    dock.load(small_plate)
    return dock


def press(qtbot, button):
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def test_the_dock_draws_what_the_library_scores_and_hands_a_layer_over(
    dock, viewer, small_plate, qtbot, tmp_path
):
    explain = docked(viewer, ExplainDock)
    press(qtbot, dock.begin)
    qtbot.waitUntil(lambda: not dock.job.running, timeout=MINUTES)
    expected = layer_audit(small_plate, dock.session.checkpoint).summary
    upper, lower = dock.figure.axes
    scores = upper.containers[1].lines[0].get_xydata()[:, 1]
    assert scores.tolist() == pytest.approx(expected["grad_camo"].tolist(), nan_ok=True)
    probe = next(line for line in lower.lines if "probe" in str(line.get_label()))
    assert list(probe.get_ydata()) == pytest.approx(expected["probe_accuracy"].tolist())
    qtbot.wait(100)  # the canvas takes its size
    assert illegible(dock.figure) == []
    dock.layer.setCurrentText("block_2")
    press(qtbot, dock.take)
    assert explain.settings().layer == "block_2"
    late = ExplainDock(viewer)
    assert late.settings().layer == "block_2"
    dock.write(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} >= {"layers.parquet", "layers.png"}
    dock.session.set_checkpoint(Checkpoint.load(BUNDLED), "another")
    assert not dock.take.isVisible()


def test_cancel_ends_it_and_an_unfit_plate_is_said(dock, qtbot, tmp_path):
    seen = []
    dock.job.stepped.connect(seen.append)
    press(qtbot, dock.begin)
    qtbot.waitUntil(lambda: len(seen) > 0, timeout=MINUTES)
    press(qtbot, dock.progress.cancel)
    qtbot.waitUntil(lambda: not dock.job.running, timeout=MINUTES)
    assert dock.result is None
    assert dock.begin.isEnabled()
    assert "stopped" in dock.message.text()
    (tmp_path / "plate.csv").write_text("image,well\na.tif,B02\n")
    dock.load(tmp_path / "plate.csv")
    press(qtbot, dock.begin)
    qtbot.waitUntil(lambda: not dock.job.running, timeout=MINUTES)
    assert "lacks the columns" in dock.message.text()
    assert dock.begin.isEnabled()
