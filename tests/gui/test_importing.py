"""Published weights become a checkpoint through the Model step's dialog."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import docked
from qtpy.QtCore import Qt

from gradcamo import Checkpoint, grad_cam
from gradcamo.docks.panels.steps.model import ModelDock, described
from gradcamo.docks.parts.preferences import recall
from gradcamo.docks.window import window_of

pytestmark = pytest.mark.gui
STAINS = "Hoechst, concanavalin, SYTO14, WGA, phalloidin, MitoTracker"


@pytest.fixture
def weights(golden_state, tmp_path):
    path = tmp_path / "trained.pth"
    torch.save(golden_state, path)
    return path


@pytest.fixture
def dialog(viewer, weights, qtbot):
    dock = docked(viewer, ModelDock)
    dock.load(weights)  # a .pth is asked about
    with qtbot.waitSignal(dock.dialog.job.ended, timeout=60_000):
        pass
    yield dock.dialog
    dock.dialog.close()


def test_imported_weights_give_the_published_logits(
    dialog, viewer, weights, golden, golden_input, qtbot
):
    assert "width 0.25" in dialog.found.text()
    assert "6 channels" in dialog.found.text()
    classes = [f"dose {k}" for k in range(len(golden["state/_fc.bias"]))]
    dialog.names.inputs["classes"].native.setText(", ".join(classes))
    dialog.names.inputs["channels"].native.setText(STAINS)
    dialog.sizes.inputs["input_size"].native.setText("64, 96, 128")
    with qtbot.waitSignal(dialog.job.ended, timeout=60_000):
        qtbot.mouseClick(dialog.begin, Qt.MouseButton.LeftButton)
    checkpoint = window_of(viewer).session.checkpoint
    assert checkpoint.classes == tuple(classes)
    assert ", ".join(checkpoint.channels) == STAINS
    kept = Checkpoint.load(weights.with_suffix(".safetensors"))
    assert kept.hash == checkpoint.hash
    logits = grad_cam(kept.network, golden_input, ("head",)).logits
    np.testing.assert_allclose(logits.numpy(), golden["logits"], atol=1e-4)
    assert not dialog.isVisible()
    assert "Imported from trained.pth" in described(kept, "trained")


def test_what_does_not_fit_is_said_and_nothing_is_written(dialog, viewer, weights, qtbot):
    dialog.names.inputs["channels"].native.setText("DNA, actin")
    dialog.sizes.inputs["input_size"].native.setText("64, 96, 96")
    with qtbot.waitSignal(dialog.job.ended, timeout=60_000):
        dialog.start()
    assert "6 channels, got 2 (DNA, actin)" in dialog.message.text()
    assert dialog.begin.isEnabled()
    assert not weights.with_suffix(".safetensors").exists()
    assert window_of(viewer).session.checkpoint is None
    dialog.sizes.inputs["input_size"].native.setText("64, many")
    dialog.start()
    assert "Input (z, y, x) should be 3 values" in dialog.message.text()


def test_means_and_deviations_are_measured_on_the_whole_cells(session, dialog, field, qtbot):
    from gradcamo import CellCrops, CropSettings

    stack, labels = field
    dialog._enable()
    dialog.crop.inputs["size_yx"].native.setText("64, 64")
    with qtbot.waitSignal(dialog.job.ended, timeout=60_000):
        qtbot.mouseClick(dialog.measure, Qt.MouseButton.LeftButton)
    crops = CellCrops(stack, labels, CropSettings(size_yx=(64, 64)))
    images = np.stack([crop.image for crop in crops if not crop.touches_border])
    shown = dialog.settings()
    np.testing.assert_allclose(shown.channel_mean, images.mean((0, 2, 3, 4)), atol=1e-4)
    np.testing.assert_allclose(shown.channel_std, images.std((0, 2, 3, 4)), atol=1e-4)


def test_folders_and_settings_come_back_at_the_next_launch(viewer, tmp_path):
    from gradcamo.docks.panels.steps.segment import SegmentDock
    from gradcamo.docks.parts.preferences import ask_path

    dock = SegmentDock(viewer)
    dock.rows.inputs["model"].value = "bundled"
    dock.rows.inputs["diameter"].value = 42
    dock.more.inputs["flow_threshold"].value = 0.4
    again = SegmentDock(viewer)
    assert again.rows.settings(**again.more.values()).model_dump(
        include={"model", "diameter", "flow_threshold"}
    ) == {"model": "bundled", "diameter": 42, "flow_threshold": 0.4}

    asked = []

    def dialog(parent, title, start, filters=""):
        asked.append(start)
        return str(tmp_path / "data" / "a.tif"), ""

    for _ in range(2):
        ask_path(dock, "Open", dialog)
    assert asked[1] == str(tmp_path / "data")
    assert recall("nothing of that name", 7) == 7


def test_a_voxel_size_unlike_the_training_s_is_warned_about(session, checkpoint, viewer):
    from dataclasses import replace

    dock = docked(viewer, ModelDock)
    session.set_checkpoint(checkpoint, "small")
    assert dock.note.isHidden()
    coarser = tuple(2 * step for step in checkpoint.spacing_um)
    session.set_checkpoint(replace(checkpoint, spacing_um=coarser), "coarser")
    assert "was trained on" in dock.note.text()
    assert not dock.note.isHidden()
