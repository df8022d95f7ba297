"""What somebody types who has not read the signature yet is refused with what to type."""

from __future__ import annotations

import numpy as np
import pytest

import gradcamo as gc

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
