"""The Layers dock scores every layer of the session's network and hands one over."""

from __future__ import annotations

import shutil

import pandas as pd
import pytest
from conftest import docked
from legible import illegible
from qtpy.QtCore import Qt

from gradcamo.auditing.layer_audit import layer_audit
from gradcamo.auditing.layer_report import rank_text
from gradcamo.docks.panels.steps.explain import ExplainDock
from gradcamo.docks.panels.training.layers_dock import LayersDock
from gradcamo.docks.window import window_of
from gradcamo.networks.bundled import BUNDLED
from gradcamo.networks.checkpoint import Checkpoint

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
    dock.layer.setCurrentIndex(dock.layer.findData("block_2"))
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


def test_layers_that_rank_cells_otherwise_say_so_where_their_cells_were_asked_causally(
    viewer, asked_plate, qtbot, tmp_path
):
    dock = docked(viewer, LayersDock, name="Layers")
    window_of(viewer).session.set_checkpoint(Checkpoint.load(BUNDLED), "bundled")
    dock.load(asked_plate)
    press(qtbot, dock.begin)
    qtbot.waitUntil(lambda: not dock.job.running, timeout=MINUTES)
    rows = [dock.layer.itemText(i) for i in range(dock.layer.count())]
    assert not any("ρ" in row for row in rows)  # no cell of the window was asked
    shutil.copy(asked_plate.parent / "cells.parquet", tmp_path)
    dock.write(tmp_path)
    summary = pd.read_csv(tmp_path / "layer_summary.csv").set_index("layer")
    rows = {dock.layer.itemData(i): dock.layer.itemText(i) for i in range(dock.layer.count())}
    for layer, row in rows.items():
        assert row == f"{layer}, with causal share {rank_text(summary['causal_rho'][layer])}"
    assert "below 0.5: ranks cells otherwise" in rows["block_4"]
    assert "below" not in rows["block_2"]
    assert "block_4" in dock.message.text().rpartition("depends on it: ")[2]
