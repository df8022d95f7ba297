"""What somebody types who has not read the signature yet is refused with what to type."""

from __future__ import annotations

import numpy as np
import pytest

import gradcamo as gc
from gradcamo.auditing.layer_audit import layer_audit
from gradcamo.errors import GradcamoWarning
from gradcamo.settings import LayerAuditSettings

VOXELS = np.zeros((2, 4, 8, 8), np.uint16)
STACK = gc.ZStack(VOXELS, ("A", "B"))
LABELS = np.ones((4, 8, 8), np.int32)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (lambda: gc.ZStack(VOXELS.tolist(), ("A", "B")), r"array \(C, Z, Y, X\), got list"),
        (lambda: gc.ZStack("stack.tif", ("A", "B")), r"got str: .*gc\.read_stack\(path\)"),
        (lambda: gc.ZStack(VOXELS, "AB"), "names in a tuple, got the text 'AB'"),
        (lambda: gc.ZStack(VOXELS.T, ("A", "B")), r"\(8, 8, 4, 2\) is taken for \(C, Z, Y, X\)"),
        (lambda: gc.CellCrops(VOXELS, LABELS), r"takes a stack, got ndarray"),
        (lambda: gc.CellCrops(STACK, "labels.tif"), r"got str: .*gc\.read_labels\(path\)"),
        (lambda: gc.CellCrops(STACK, LABELS.tolist()), r"got list: .*numpy\.asarray"),
        (lambda: gc.segment(VOXELS), "a segmentation takes a stack, got ndarray"),
        (lambda: gc.segment(STACK, "bundled"), r"got 'bundled': gc\.SegmentSettings\(model="),
        (lambda: gc.write_stack(STACK, "x.ome.tif"), r"write_stack\(path, stack\)"),
        (lambda: gc.grad_camo(np.ones((4, 8, 8)), 3 * LABELS), "labels == label"),
    ],
)
def test_what_is_no_stack_or_no_labels_is_refused_with_what_to_type(typed, said):
    with pytest.raises(gc.GradcamoError, match=said):
        typed()


def test_a_mask_of_0_and_1_is_a_mask():
    maps = np.ones((1, 4))
    assert gc.grad_camo(maps, np.array([[0, 1, 1, 0]])) == gc.grad_camo(
        maps, np.array([[False, True, True, False]])
    )


def test_a_checkpoint_that_is_not_there_is_not_called_damaged(tmp_path):
    with pytest.raises(gc.GradcamoError, match="does not exist") as caught:
        gc.Checkpoint.load(tmp_path / "model.safetensors")
    assert "damaged" not in str(caught.value)


def test_a_folder_of_stacks_is_told_apart_from_an_image(tmp_path):
    with pytest.raises(gc.GradcamoError, match=r"no OME-Zarr.*gc\.read_plate"):
        gc.read_stack(tmp_path)


def test_a_stack_with_too_few_channels_is_not_told_to_choose_among_them():
    checkpoint = gc.Checkpoint.load("bundled")
    with pytest.raises(gc.GradcamoError, match=r"has 2 .*a network that was trained on these"):
        gc.audit(STACK, LABELS, checkpoint)


def test_a_network_is_named_alike_wherever_one_is_taken(tmp_path):
    network = gc.Checkpoint.load("bundled")
    copy = tmp_path / "copy.safetensors"
    network.save(copy)
    voxels = np.random.default_rng(0).integers(0, 4000, (6, 9, 80, 80), np.uint16)
    stack = gc.ZStack(voxels, network.channels)
    labels = np.zeros(stack.shape[1:], np.int32)
    labels[2:7, 30:50, 30:50] = 1
    taken = [gc.audit(stack, labels, named) for named in (network, "bundled", copy, str(copy))]
    scores = {table["grad_camo"].iloc[0] for table in taken}
    assert len(scores) == 1
    assert {table.attrs["recipe"]["checkpoint"] for table in taken} == {network.hash}
    (batch,) = gc.audit_batches(stack, labels, "bundled")
    assert batch.table["grad_camo"].iloc[0] in scores
    source = (stack, labels, {1: "control"}, "P", "A02")
    with pytest.warns(GradcamoWarning, match="from one image"):
        bank = gc.DonorBank.cut([source], "bundled")
    asked = gc.causal_attention(stack, labels, "bundled", bank)
    assert asked["causal_reason"].iloc[0] == "there is no other training well of control"
    settings = LayerAuditSettings(layers=("head",))
    for entry in (
        lambda named: gc.audit(stack, labels, named),
        lambda named: gc.causal_attention(stack, labels, named, bank),
        lambda named: layer_audit("plate.csv", named, settings),
        lambda named: gc.open_window(checkpoint=named),
    ):
        with pytest.raises(gc.GradcamoError, match=r"missing\.safetensors does not exist"):
            entry(tmp_path / "missing.safetensors")
        with pytest.raises(gc.GradcamoError, match="takes a checkpoint, got int: name its file or"):
            entry(3)
