"""Crops that hold some planes around each cell, against NumPy's padding and slicing."""

from dataclasses import replace
from math import floor

import numpy as np
import pandas as pd
import pytest
import torch
from small import SmallResNet
from small_training import SMALL

import gradcamo as gc
from gradcamo import CellCrops, Checkpoint, CropSettings, GradcamoError, TrainSettings, ZStack
from gradcamo.auditing.cell_images import fine_maps, heatmap_volume
from gradcamo.auditing.stack import audit_batches
from gradcamo.causal.regions import OUTSIDE, raw_cell
from gradcamo.cells.crops import crop_image
from gradcamo.files.labels import write_labels
from gradcamo.files.stacks import write_stack
from gradcamo.training.cell_index import index_cells
from gradcamo.training.dataset import CellDataset

CELLS = [7, 12, 40, 41, 90_000]


def first_voxels(labels, label, window):
    """Where a window around a cell begins: floor(c - (S - 1) / 2 + 1 / 2) along z, y and x."""
    places = np.nonzero(labels == label)
    middles = [(axis.min() + axis.max()) / 2 for axis in places]
    return tuple(floor(c - (n - 1) / 2 + 1 / 2) for c, n in zip(middles, window, strict=True))


def sliced(stack, labels, label, window):
    """Image, labels and raw voxels (NaN outside the stack) of a window, cut from padded arrays."""
    start, rim = first_voxels(labels, label, window), 100
    place = tuple(slice(s + rim, s + rim + n) for s, n in zip(start, window, strict=True))
    raw = np.pad(stack.data.astype(float), [(0, 0), *[(rim, rim)] * 3], constant_values=np.nan)
    raw = raw[(slice(None), *place)]
    low, high = (end(raw, axis=(1, 2, 3), keepdims=True) for end in (np.nanmin, np.nanmax))
    image = np.nan_to_num((raw - low) / (high - low))
    return image, np.pad(labels, rim)[place], raw


@pytest.mark.parametrize("planes", [1, 2, 3, 4, 5, 6, 9, 20])
def test_a_crop_holds_so_many_planes_around_the_middle_of_its_cell(field, planes):
    stack, labels = field
    crops = CellCrops(stack, labels, CropSettings(size_yx=(17, 16), planes=planes))
    window = (planes, 17, 16)
    assert crops.window == window
    for i, (crop, label) in enumerate(zip(crops, CELLS, strict=True)):
        image, cut, raw = sliced(stack, labels, label, window)
        start = first_voxels(labels, label, window)
        assert crop.start_zyx == start
        assert tuple(crops.table.loc[i, ["start_z", "start_y", "start_x"]]) == start
        np.testing.assert_array_equal(crop.labels, cut)
        np.testing.assert_allclose(crop.image, image, atol=1e-6)
        np.testing.assert_array_equal(crop_image(stack, start, crops.settings), crop.image)
        seen = raw_cell(crops, i)
        np.testing.assert_array_equal(seen.image, np.nan_to_num(raw))
        np.testing.assert_array_equal(seen.kinds == OUTSIDE, np.isnan(raw[0]))
        assert (crop.cut_raw is None) == np.isnan(raw).any()  # what is filled up is not raw


def test_by_default_crops_hold_all_planes_wherever_their_cell_lies(field):
    stack, labels = field
    crops = CellCrops(stack, labels, CropSettings(size_yx=(17, 16)))
    assert crops.window == (6, 17, 16)
    assert not crops.table["start_z"].any()
    assert crops.table["cell_in_crop"].eq(1).all()


@pytest.mark.parametrize("planes", [1, 2, 3, 5, 6, 8])
def test_cell_in_crop_counts_the_voxels_that_a_window_in_z_holds(field, planes):
    stack, labels = field
    window = (planes, 12, 12)
    table = CellCrops(stack, labels, CropSettings(size_yx=(12, 12), planes=planes)).table
    for label, share in zip(table["label"], table["cell_in_crop"], strict=True):
        held = (sliced(stack, labels, label, window)[1] == label).sum()
        assert share == pytest.approx(held / (labels == label).sum())
    tall = table.set_index("label").loc[41, "cell_in_crop"]  # 6 planes of 10 x 10 px
    assert tall == pytest.approx(min(planes / 6, 1))


@pytest.mark.parametrize("plane", [0, 5])
def test_cells_at_the_first_and_last_plane_stay_whole_and_their_crops_are_filled_up(field, plane):
    stack, _ = field
    labels = np.zeros(stack.shape[1:], np.uint16)
    labels[plane, 20:25, 30:36] = 3
    crops = CellCrops(stack, labels, CropSettings(size_yx=(16, 16), planes=5))
    assert not crops.table["touches_border"].any()
    assert crops.scorable.all()
    assert crops.start(0)[0] == plane - 2
    outside = crops[0].labels[:2] if plane == 0 else crops[0].labels[3:]
    assert not outside.any()
    assert not crops[0].image[:, :2].any() if plane == 0 else not crops[0].image[:, 3:].any()
    assert (crops[0].labels[2] == 3).sum() == 30


def test_a_cell_in_two_pieces_far_apart_in_z_may_leave_its_window_empty(field):
    stack, _ = field
    labels = np.zeros(stack.shape[1:], np.uint16)
    labels[[0, 5], 20:25, 30:36] = 3
    crops = CellCrops(stack, labels, CropSettings(size_yx=(16, 16), planes=2))
    assert crops.table["cell_in_crop"].tolist() == [0]
    assert not crops.scorable.any()


@pytest.fixture(scope="module")
def checkpoint():
    return Checkpoint(
        network=SmallResNet(3, 2),
        classes=("control", "low", "high"),
        channels=("DNA", "actin"),
        channel_mean=(0.2, 0.5),
        channel_std=(0.3, 0.25),
        crop=CropSettings(size_yx=(24, 28), planes=3),
        input_size=(16, 48, 40),
        layer="layer1",
        spacing_um=(0.6, 0.35, 0.35),
    )


def scored_by_hand(stack, labels, checkpoint, label):
    """Window, resizing, map and share of one cell, by PyTorch alone."""
    image, cut, _ = sliced(stack, labels, label, checkpoint.crop.window(stack.shape[1]))
    mean, std = (torch.tensor(v)[:, None, None, None] for v in ((0.2, 0.5), (0.3, 0.25)))
    x = ((torch.from_numpy(image).float() - mean) / std)[None]
    resized = torch.nn.functional.interpolate
    x = resized(x, checkpoint.input_size, mode="trilinear")
    seen = []
    hook = checkpoint.network.layer1.register_forward_hook(lambda m, a, out: seen.append(out))
    logits = checkpoint.network(x)[0]
    hook.remove()
    (slope,) = torch.autograd.grad(logits.max(), seen[0])
    cam = (slope[0].flatten(1).mean(1)[:, None, None, None] * seen[0][0]).mean(0).relu().detach()
    big = resized(cam[None, None], cut.shape, mode="trilinear")[0, 0].double().numpy()
    shares = [big[mask].sum() / big.sum() for mask in (cut == label, cut == 0)]
    return [*shares, 1 - sum(shares), (cut == label).mean()]


@pytest.mark.parametrize("planes", [2, 3, 4, 8])
def test_every_score_is_that_of_the_window_by_hand(field, checkpoint, planes):
    stack, labels = field
    checkpoint = replace(checkpoint, crop=CropSettings(size_yx=(24, 28), planes=planes))
    table = gc.audit(stack, labels, checkpoint).set_index("label")
    scores = ["grad_camo", "background_share", "neighbour_share", "chance"]
    for label in (7, 40, 41, 90_000):
        expected = scored_by_hand(stack, labels, checkpoint, label)
        np.testing.assert_allclose(table.loc[label, scores].astype(float), expected, atol=2e-5)
    assert table.loc[41, "cell_in_crop"] == pytest.approx(min(planes / 6, 1))
    assert table["grad_camo"].isna().tolist() == [False, True, False, False, False]
    assert table.attrs["recipe"]["crop"] == {
        "size_yx": (24, 28),
        "planes": planes,
        "rescale": "min-max",
    }


def test_maps_lie_where_their_windows_do_also_in_z(field, checkpoint):
    stack, labels = field
    (batch,) = audit_batches(stack, labels, checkpoint, only=[90_000])
    assert tuple(batch.starts[0]) == first_voxels(labels, 90_000, (3, 24, 28)) == (2, 36, 35)
    shape = CropSettings.window_of({"crop": checkpoint.crop.model_dump()}, len(labels))
    assert shape == (3, 24, 28)
    maps = fine_maps(batch.maps, shape, [batch.placement])
    volume = heatmap_volume(labels.shape, maps, batch.starts)
    assert volume[2:5, 36:60, 35:63].max() == pytest.approx(1)
    volume[2:5, 36:60, 35:63] = 0
    assert not volume.any()


def test_recipes_from_before_there_was_a_choice_mean_all_planes():
    assert CropSettings.window_of({"crop": {"size_yx": [64, 48]}}, 21) == (21, 64, 48)


def test_a_2d_network_looks_at_the_middle_plane_of_each_cell(field):
    stack, labels = field
    flat = Checkpoint.around(
        SmallResNet(2, 2),
        stack.channels,
        "layer1",
        (48, 40),
        CropSettings(size_yx=(24, 28), planes=1),
    )
    table = gc.audit(stack, labels, flat).set_index("label")
    for label, middle in ((7, 2), (41, 3), (90_000, 3)):  # planes 1-3, 0-5 and 3
        alone = ZStack(stack.data[:, middle : middle + 1], stack.channels)
        expected = gc.audit(alone, labels[middle : middle + 1], flat).set_index("label")
        assert table.loc[label, "grad_camo"] == pytest.approx(expected.loc[label, "grad_camo"])
    every_plane = replace(flat, crop=CropSettings(size_yx=(24, 28)))
    with pytest.raises(GradcamoError, match=r"6 planes: .*planes=1"):
        gc.audit(stack, labels, every_plane)


def test_networks_refuse_windows_that_they_cannot_look_at(field, checkpoint):
    with pytest.raises(GradcamoError, match=r"16 × 48 × 40 is 3D and takes crops of several.*of 1"):
        replace(checkpoint, crop=CropSettings(planes=1))
    with pytest.raises(GradcamoError, match="48 × 40 is 2D and takes crops of one plane, not of 3"):
        replace(checkpoint, input_size=(48, 40))
    with pytest.raises(GradcamoError, match="3D and takes crops of several planes, not of 1"):
        gc.train("nowhere.csv", TrainSettings(crop=CropSettings(planes=1)))
    with pytest.raises(GradcamoError, match="made for crops of 3 planes, these have 6"):
        checkpoint.prepare(np.zeros((1, 2, 6, 24, 28), np.float32))
    assert checkpoint.prepare(np.zeros((1, 2, 3, 24, 28), np.float32)).shape[2:] == (16, 48, 40)


def test_a_checkpoint_keeps_its_window_and_says_nothing_of_all_planes(tmp_path):
    built = {"name": "efficientnet-b0", "in_channels": 1, "num_classes": 2, "width": 0.1}
    some = Checkpoint(
        gc.efficientnet3d(**built),
        *(("a", "b"), ("DNA",), (0.0,), (1.0,)),
        crop=CropSettings(size_yx=(40, 40), planes=7),
        input_size=(64, 64, 64),
        layer="block_4",
        architecture=built,
    )
    some.save(tmp_path / "some.safetensors")
    again = Checkpoint.load(tmp_path / "some.safetensors")
    assert (again.crop, again.hash) == (some.crop, some.hash)
    whole = replace(some, crop=CropSettings(size_yx=(40, 40)))
    assert whole.hash != some.hash
    assert whole.crop.described() == {"size_yx": (40, 40)}  # hashes of older checkpoints hold


def plate_of(folder, *planes):
    """A plate with a stack for each number of planes, with one whole cell in its last plane."""
    rows = []
    for n, depth in enumerate(planes):
        data = np.random.default_rng(n).integers(0, 999, (1, depth, 50, 60), np.uint16)
        labels = np.zeros(data.shape[1:], np.uint16)
        labels[-2:, 20:30, 15:33] = 4 + n
        image, masks = folder / f"{n}.tif", folder / f"{n}_labels.tif"
        write_stack(image, ZStack(data, ("DNA",), (1.0, 0.5, 0.5)))
        write_labels(masks, labels)
        rows.append({"image": str(image), "labels": str(masks), "plate": "P"})
        rows[-1] |= {"well": f"B0{n + 2}", "site": "1", "treatment": f"t{n}", "split": "train"}
    return pd.DataFrame(rows)


def test_stacks_of_one_training_may_differ_in_planes_where_crops_do_not(tmp_path):
    plate = plate_of(tmp_path, 5, 9)
    with pytest.raises(GradcamoError, match=r"0\.tif has 5 planes.*1\.tif has 9: .*--crop-planes"):
        index_cells(plate, SMALL)
    for planes in (4, 12):
        crop = CropSettings(size_yx=(40, 40), planes=planes)
        settings = SMALL.model_copy(update={"crop": crop})
        cells = index_cells(plate, settings)
        assert cells["start_z"].tolist() == [4 - planes // 2, 8 - planes // 2]
        dataset = CellDataset(cells, ("t0", "t1"), settings, with_masks=True)
        for i, (image, _, mask) in enumerate(dataset):
            stack, labels = gc.read_stack(plate.loc[i]), gc.read_labels(plate.loc[i])
            expected, cut, _ = sliced(stack, np.asarray(labels), 4 + i, (planes, 40, 40))
            np.testing.assert_allclose(image, expected, atol=1e-6)
            np.testing.assert_array_equal(mask, cut == 4 + i)


def test_donors_of_stacks_of_any_depth_stand_in_for_each_other_with_a_window(tmp_path):
    plate = plate_of(tmp_path, 5, 9)
    sources = [
        (gc.read_stack(row), gc.read_labels(row), {4 + n: f"t{n}"}, "P", row["well"])
        for n, row in plate.iterrows()
    ]
    network = Checkpoint.around(
        SmallResNet(3, 1), ("DNA",), None, (8, 32, 32), CropSettings(size_yx=(40, 40), planes=4)
    )
    bank = gc.DonorBank.cut(sources, network)
    assert bank.kinds.shape == (2, 4, 40, 40)
    for i, label in enumerate(bank.labels.tolist()):
        stack, labels, *_ = sources[label - 4]
        _, cut, raw = sliced(stack, np.asarray(labels), label, (4, 40, 40))
        np.testing.assert_array_equal(bank.voxels[i], np.moveaxis(np.nan_to_num(raw), 0, -1))
        np.testing.assert_array_equal(bank.kinds[i] == 1, cut == label)
    classes = ("t0", "t1")
    bank.check_fits(network, classes, (4, 40, 40))
    other = replace(network, crop=CropSettings(size_yx=(40, 40), planes=5))
    with pytest.raises(GradcamoError, match="have 4 planes, the crops of the network 5: make a"):
        bank.check_fits(other, classes, (5, 40, 40))
    whole = replace(network, crop=CropSettings(size_yx=(40, 40)))
    with pytest.raises(GradcamoError, match="9 of uint16: donors of one bank need the same"):
        gc.DonorBank.cut(sources, whole)
