"""The Train dock shows the split, trains for real, and hands over what it trained."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import numpy as np
import pytest
from conftest import docked
from qtpy.QtCore import Qt
from small_training import same_weights

from gradcamo.display import contrast_limits
from gradcamo.docks.canvas.layers import show_labels, show_stack
from gradcamo.docks.panels.steps.explain import ExplainDock
from gradcamo.docks.panels.steps.model import ModelDock
from gradcamo.docks.panels.training.stack_table import SPLIT, TREATMENT, WELL
from gradcamo.docks.panels.training.train_dock import TrainDock
from gradcamo.docks.parts.threads import working
from gradcamo.networks.checkpoint import Checkpoint
from gradcamo.progress import TrainingProgress

pytestmark = pytest.mark.gui
MINUTES = 600_000


@pytest.fixture
def dock(viewer):
    dock = docked(viewer, TrainDock, name="Train")
    for name, value in (("epochs", 2), ("batch_size", 4), ("width", 0.1)):
        dock.main.inputs[name].value = value
    dock.main.inputs["input_size"].native.setText("64 × 64 × 64")
    dock.main.inputs["learning_rate"].native.setText("0.003")
    dock.more.inputs["layer"].native.setText("block_4")
    dock.crop.inputs["size_yx"].native.setText("40, 40")
    return dock


@pytest.fixture
def ready(dock, small_plate, tmp_path, qtbot):
    dock.plate.load(small_plate)
    qtbot.waitUntil(lambda: dock.plate.ready, timeout=MINUTES)
    dock.out.setText(str(tmp_path / "model.safetensors"))
    return dock


def press(qtbot, button):
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def test_the_split_is_seen_before_the_training(ready):
    wells = ready.plate.wells
    shown = {
        wells.item(row, 0).text(): [wells.item(row, column).text() for column in (1, 2)]
        for row in range(wells.rowCount())
    }
    assert shown == {
        "D02": ["control", "train"],
        "E02": ["40.00x", "train"],
        "D03": ["control", "test"],
        "E03": ["40.00x", "test"],
    }
    assert "2 wells held out" in ready.plate.message.text()
    assert ready.begin.isEnabled()


def test_a_plate_that_cannot_be_split_is_said_and_nothing_can_be_run(ready, qtbot):
    ready.split.inputs["test_columns"].native.setText("02")
    ready.split.inputs["test_columns"].native.editingFinished.emit()
    qtbot.waitUntil(lambda: not ready.plate.job.running, timeout=MINUTES)
    assert "both trained and tested on" in ready.plate.message.text()
    assert not ready.begin.isEnabled()


def test_a_training_draws_its_curves_and_hands_over_the_network(
    ready, trained, viewer, qtbot, tmp_path
):
    explain, model = ExplainDock(viewer), ModelDock(viewer)
    for dock in (explain, model):
        docked(viewer, dock)
    press(qtbot, ready.begin)
    qtbot.waitUntil(lambda: not ready.job.running, timeout=MINUTES)
    checkpoint = ready.session.checkpoint
    assert same_weights(checkpoint, trained[0])
    assert Checkpoint.load(tmp_path / "model.safetensors").hash == checkpoint.hash
    for what, curve in ready.curves.curves.items():
        epochs, drawn = curve.getData()
        assert epochs.tolist() == [1, 2]
        np.testing.assert_allclose(drawn, [e[what] for e in trained[0].recipe["history"]])
    assert len(ready.curves.batches.getData()[0]) >= 6
    assert "in held-out wells" in ready.message.text()
    assert ready.picture.isVisible()
    assert "model</b> tells 2 treatments apart" in model.summary.text()
    assert explain.rows.inputs["layer"].value == "block_4"
    assert ready.begin.isEnabled()


def test_cancel_keeps_the_best_weights_and_the_training_can_go_on(ready, trained, qtbot, tmp_path):
    seen = []
    ready.job.stepped.connect(seen.append)
    press(qtbot, ready.begin)
    qtbot.waitUntil(lambda: bool(seen) and getattr(seen[-1], "epoch", 0) == 2, timeout=MINUTES)
    press(qtbot, ready.progress.cancel)
    qtbot.waitUntil(lambda: not ready.job.running, timeout=MINUTES)
    kept = ready.session.checkpoint
    assert kept.recipe["ended"] == "stopped"
    assert kept.recipe["history"] == trained[0].recipe["history"][:1]
    assert Checkpoint.load(tmp_path / "model.safetensors").hash == kept.hash
    assert ready.message.text().startswith("Stopped: weights of epoch 1 of 1 are kept")
    assert ready.resume.isVisible()
    press(qtbot, ready.begin)
    qtbot.waitUntil(lambda: not ready.job.running, timeout=MINUTES)
    assert same_weights(ready.session.checkpoint, trained[0])
    assert not ready.resume.isVisible()


@pytest.mark.shown
def test_a_window_closed_in_the_middle_keeps_the_best_weights(ready, viewer, qtbot, tmp_path):
    ready.main.inputs["epochs"].value = 1000
    second = []
    ready.job.stepped.connect(lambda s: second.append(s) if getattr(s, "epoch", 0) > 1 else None)
    press(qtbot, ready.begin)
    qtbot.waitUntil(lambda: len(second) > 0, timeout=MINUTES)
    viewer.close()
    qtbot.waitUntil(lambda: not working(), timeout=MINUTES)
    assert Checkpoint.load(tmp_path / "model.safetensors").recipe["ended"] == "stopped"


def test_out_of_memory_and_errors_of_any_kind_reach_the_user(ready, qtbot):
    import torch
    from torch.nn.modules.module import register_module_forward_pre_hook

    def trouble(module, inputs):
        if module.training and isinstance(module, torch.nn.Conv3d):
            if len(inputs[0]) > 2:
                raise torch.OutOfMemoryError("CUDA out of memory")
            raise RuntimeError("CUDA error: an illegal memory access")

    seen = []
    ready.job.stepped.connect(seen.append)
    handle = register_module_forward_pre_hook(trouble)
    try:
        press(qtbot, ready.begin)
        qtbot.waitUntil(lambda: not ready.job.running, timeout=MINUTES)
    finally:
        handle.remove()
    assert any(isinstance(step, TrainingProgress) and step.note for step in seen)
    assert "going on with batches of 2" in ready.note.text()
    assert "illegal memory access" in ready.message.text()
    assert ready.begin.isEnabled()
    assert ready.session.checkpoint is None


def test_open_stacks_become_a_plate_by_typing_their_treatments(dock, viewer, qtbot, tmp_path):
    from gradcamo.samples.design import PlateDesign
    from gradcamo.samples.plate import make_stack

    design = PlateDesign(field_px=150, planes=9, cells_per_field=14)
    wells = ("D02", "E02", "D03", "E03")
    for well in wells:
        stack, labels = make_stack(design, well, 1)
        layers = show_stack(viewer, stack, [contrast_limits(channel) for channel in stack.data])
        show_labels(viewer, labels, next(iter(layers.values())), name=f"cells {well}")
    press(qtbot, dock.plate.take)
    table = dock.plate.stacks
    assert [table.item(row, WELL).text() for row in range(4)] == list(wells)
    dock.plate.make_plate(tmp_path)
    assert "has no treatment: type it" in wait_for_message(dock, qtbot)
    for row, treatment in enumerate(("control", "drug", "control", "drug")):
        table.item(row, TREATMENT).setText(treatment)
    splits = [table.cellWidget(row, SPLIT).currentText() for row in range(4)]
    assert splits == ["train", "train", "test", "test"]
    dock.plate.make_plate(tmp_path)
    qtbot.waitUntil(lambda: dock.plate.ready, timeout=MINUTES)
    used = {
        dock.plate.wells.item(r, 0).text(): dock.plate.wells.item(r, 2).text() for r in range(4)
    }
    assert used == {"D02": "train", "E02": "train", "D03": "test", "E03": "test"}
    press(qtbot, dock.plate.take)
    assert "No further stack" in dock.plate.message.text()


def wait_for_message(dock, qtbot):
    qtbot.waitUntil(lambda: not dock.plate.job.running, timeout=MINUTES)
    return dock.plate.message.text()


@pytest.mark.shown
def test_docks_open_before_what_is_slow_to_import_is_needed():
    code = """
        import sys, napari
        viewer = napari.Viewer()
        for dock in ("Grad-CAMO", "Cells", "Gallery", "Profile map", "Figures", "Train", "Layers"):
            viewer.window.add_plugin_dock_widget("napari-gradcamo", dock)
            print(*sys.modules)
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    *before, figures, _, every = (set(line.split()) for line in lines)
    assert "gradcamo.docks.state.session" in before[0]
    assert not {"pandas", "scipy.ndimage"} & figures
    slow = {"torch", "lightning", "monai", "cellpose", "sklearn", "distributed", "matplotlib"}
    assert not slow & every
