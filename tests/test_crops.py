from concurrent.futures import ThreadPoolExecutor
from math import floor

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from gradcamo import CellCrops, CropSettings, GradcamoError, ZStack
from gradcamo.causal.regions import raw_cell
from gradcamo.cells.crops import crop_image, window_start
from gradcamo.cells.extents import cell_extents
from gradcamo.cells.rescaling import rescale
from gradcamo.views import plane_view


def brute_force_crop(stack, labels, label, size):
    """The specification, voxel by voxel: centre, start, inside, min-max, 0 outside."""
    _, y, x = np.nonzero(labels == label)
    starts = [
        floor((axis.min() + axis.max()) / 2 - (n - 1) / 2 + 1 / 2)
        for axis, n in zip((y, x), size, strict=True)
    ]
    data = np.asarray(stack.data, np.float64)
    channels, planes, height, width = data.shape
    image = np.zeros((channels, planes, *size))
    cut = np.zeros((planes, *size), np.int64)
    inside = np.zeros(size, bool)
    for i in range(size[0]):
        for j in range(size[1]):
            row, column = starts[0] + i, starts[1] + j
            if 0 <= row < height and 0 <= column < width:
                inside[i, j] = True
                image[:, :, i, j] = data[:, :, row, column]
                cut[:, i, j] = labels[:, row, column]
    for channel in image:
        values = channel[:, inside]
        low, high = values.min(), values.max()
        channel[:, inside] = (values - low) / (high - low) if high > low else 0
    return image, cut, (0, *starts)


@pytest.mark.parametrize("size", [(16, 16), (17, 20), (33, 9), (96, 90), (1, 1)])
def test_a_crop_is_what_the_definition_says_also_where_its_window_leaves_the_image(field, size):
    stack, labels = field
    crops = CellCrops(stack, labels, CropSettings(size_yx=size))
    for crop, label in zip(crops, [7, 12, 40, 41, 90_000], strict=True):
        image, cut, start = brute_force_crop(stack, labels, label, size)
        assert crop.label == label
        assert crop.start_zyx == start
        np.testing.assert_array_equal(crop.labels, cut)
        np.testing.assert_allclose(crop.image, image, atol=1e-6)


@pytest.mark.parametrize(
    ("first", "last", "size", "start"),
    [
        (10, 10, 1, 10),
        (10, 10, 2, 10),
        (10, 11, 2, 10),
        (10, 12, 2, 11),
        (0, 0, 5, -2),
        (3, 8, 6, 3),
    ],
)
def test_a_window_starts_where_its_formula_says(first, last, size, start):
    assert window_start(first, last, size) == start == floor((first + last) / 2 - size / 2 + 1)


@given(st.integers(0, 500), st.integers(0, 100), st.integers(1, 300))
def test_a_window_starts_within_half_a_voxel_of_its_centre(first, extent, size):
    last = first + extent
    start = int(window_start(np.int64(first), np.int64(last), size))
    middle = start + (size - 1) / 2
    assert -0.5 < middle - (first + last) / 2 <= 0.5


def test_no_voxel_of_a_cell_that_fits_is_lost(field):
    stack, labels = field
    crops = CellCrops(stack, labels, CropSettings(size_yx=(16, 16)))
    assert (crops.table["cell_in_crop"] == 1).all()
    for crop in crops:
        assert (crop.labels == crop.label).sum() == (labels == crop.label).sum()


def test_the_table_agrees_with_regionprops(field):
    from skimage.measure import regionprops

    stack, labels = field
    table = CellCrops(stack, labels).table.set_index("label")
    for cell in regionprops(labels):
        row = table.loc[cell.label]
        assert row["volume_um3"] == pytest.approx(cell.num_pixels * 0.6 * 0.35 * 0.35)
        centroid = row[["centroid_z", "centroid_y", "centroid_x"]].to_numpy(float)
        np.testing.assert_allclose(centroid, cell.centroid)
    assert list(table.index[table["touches_border"]]) == [12]


@pytest.mark.parametrize("edge", ["first row", "last row", "first column", "last column"])
def test_cells_at_the_y_and_x_border_are_partial_and_those_at_the_first_plane_are_not(edge):
    labels = np.zeros((3, 20, 20), np.uint16)
    labels[0, 8:12, 8:12] = labels[2, 8:12, 8:12] = 1
    at = {
        "first row": np.s_[1, 0, 5],
        "last row": np.s_[1, 19, 5],
        "first column": np.s_[1, 5, 0],
        "last column": np.s_[1, 5, 19],
    }[edge]
    labels[at] = 2
    stack = ZStack(np.zeros((1, 3, 20, 20)), ("DNA",))
    assert list(CellCrops(stack, labels).table["touches_border"]) == [False, True]


def test_volumes_in_cubic_micrometres_need_all_three_sides_of_a_voxel():
    labels = np.ones((2, 9, 9), int)
    for spacing, volume in (((2, 0.5, 0.5), 81), ((None, 0.5, 0.5), np.nan), (None, np.nan)):
        stack = ZStack(np.zeros((1, 2, 9, 9)), ("DNA",), spacing)
        assert CellCrops(stack, labels).table["volume_um3"][0] == pytest.approx(volume, nan_ok=True)


@pytest.mark.parametrize("dtype", [np.uint32, np.int64, np.uint64])
def test_ids_may_be_as_large_as_2_to_the_31_and_cells_a_single_voxel(dtype):
    labels = np.zeros((2, 30, 30), dtype)
    labels[0, 15, 15], labels[1, 10, 12] = 2**31, 3
    stack = ZStack(np.arange(1800).reshape(1, 2, 30, 30), ("DNA",))
    crops = CellCrops(stack, labels, CropSettings(size_yx=(5, 5)))
    assert list(crops.table["label"]) == [3, 2**31]
    assert crops[1].labels[0, 2, 2] == crops[1].label == 2**31
    assert np.isnan(crops.table["volume_um3"]).all()  # no voxel size is known
    image, _, start = brute_force_crop(stack, labels, 2**31, (5, 5))
    np.testing.assert_allclose(crops[1].image, image, atol=1e-6)
    assert crops[1].start_zyx == start


def test_cell_in_crop_is_the_share_of_a_large_cell_that_its_window_holds(random):
    labels = np.zeros((4, 60, 60), np.int32)
    labels[1:3, 10:50, 20:35] = 5
    labels[2:4, 12:20, 22:50] = 5
    stack = ZStack(random.random((1, 4, 60, 60)), ("DNA",))
    crops = CellCrops(stack, labels, CropSettings(size_yx=(16, 16)))
    (crop,) = crops
    share = (crop.labels == 5).sum() / (labels == 5).sum()
    assert 0 < share < 1
    assert crops.table["cell_in_crop"].tolist() == [share]


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([np.uint8, np.int16, np.int64]),
    st.tuples(st.integers(1, 4), st.integers(1, 12), st.integers(1, 12)),
)
@settings(max_examples=60, deadline=None)
def test_extents_of_any_labels_are_those_of_their_voxels(seed, dtype, shape):
    labels = np.random.default_rng(seed).integers(0, 6, shape).astype(dtype)
    cells = cell_extents(labels)
    assert list(cells.index) == sorted(set(np.unique(labels)) - {0})
    for label, row in cells.iterrows():
        places = np.nonzero(labels == label)
        for axis, (name, at) in enumerate(zip("zyx", places, strict=True)):
            assert (row[f"{name}0"], row[f"{name}1"]) == (at.min(), at.max())
            assert row[f"centroid_{name}"] == pytest.approx(places[axis].mean())
        assert row["voxels"] == len(places[0])


def test_crops_are_the_same_in_any_order_from_threads_and_from_lazy_arrays(field):
    stack, labels = field
    lazy = ZStack(da.from_array(stack.data, chunks=(1, 2, 17, 13)), stack.channels)
    crops, others = CellCrops(stack, labels), CellCrops(lazy, labels)
    once = [crops[i] for i in range(len(crops))]
    order = [4, 0, 3, 3, 1, -1, 2] * 4
    with ThreadPoolExecutor(4) as pool:
        again = list(pool.map(others.__getitem__, order))
    for i, crop in zip(order, again, strict=True):
        np.testing.assert_array_equal(crop.image, once[i].image)
        np.testing.assert_array_equal(crop.labels, once[i].labels)
    assert [crop.label for crop in crops[1:3]] == [12, 40]
    with pytest.raises(IndexError):
        crops[5]


class Counting:
    """An array that counts the voxels that are read from it."""

    def __init__(self, array):
        self.array, self.shape, self.dtype, self.read = array, array.shape, array.dtype, 0

    def __getitem__(self, index):
        part = self.array[index]
        self.read += part.size
        return part


def test_nothing_of_the_stack_is_read_before_a_crop_and_then_only_its_window(field):
    stack, labels = field
    data = Counting(stack.data)
    crops = CellCrops(ZStack(data, stack.channels), labels, CropSettings(size_yx=(8, 8)))
    assert data.read == 0
    crop = crops[0]
    assert data.read == 0
    assert crop.image.shape == (2, 6, 8, 8)
    assert crop.image is crop.image
    assert data.read == 2 * 6 * 8 * 8


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [
        (np.uint16, 0, 2**16 - 1),
        (np.uint32, 2**31, 2**31 + 9),
        (np.int64, -(2**40), -(2**40) + 50),
        (np.float64, 1e9, 1e9 + 1e-3),
        (np.float32, 1e-40, 2e-40),
        (np.float16, -3, 5),
        (bool, 0, 1),
    ],
)
def test_rescaling_keeps_the_order_of_intensities_of_any_type(dtype, low, high, random):
    values = np.linspace(low, high, 10).astype(dtype)[None]
    expected = (values.astype(np.longdouble) - values.min()) / (
        values.max().astype(np.longdouble) - values.min()
    )
    scaled = rescale(values)
    assert scaled.dtype == np.float32
    assert (scaled.min(), scaled.max()) == (0, 1)
    np.testing.assert_allclose(scaled, expected.astype(float), atol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_device_rescales_raw_crops_to_the_very_same_numbers(field, dtype):
    import torch

    from gradcamo.networks.preprocess import rescaled

    stack, labels = field
    data = (stack.data // 17).astype(dtype)
    data[1, :, :, :40] = 9  # no contrast
    crops = CellCrops(ZStack(data, stack.channels), labels, CropSettings(size_yx=(14, 16)))
    inside = [crop for crop in crops if crop.cut_raw]
    assert 0 < len(inside) < len(crops)  # windows at the border are filled up
    for crop in inside:
        raw = crop.cut_raw()
        assert raw.dtype == dtype
        image = torch.from_numpy(crop.image)[None]
        assert torch.equal(rescaled(torch.from_numpy(raw.astype(np.float32))[None]), image)
        assert torch.equal(rescaled(image), image)
    for crop in crops:
        image = torch.from_numpy(crop.image)[None]
        assert torch.equal(rescaled(image), image)


@pytest.mark.parametrize("dtype", [np.int32, np.float32, np.float64])
def test_what_float32_may_not_hold_is_not_left_to_a_device(field, dtype):
    stack, labels = field
    crops = CellCrops(ZStack(stack.data.astype(dtype), stack.channels), labels)
    assert not any(crop.cut_raw for crop in crops)


def test_a_constant_channel_rescales_to_zero():
    values = np.stack([np.full((2, 3, 3), 700), np.arange(18).reshape(2, 3, 3)])
    scaled = rescale(values)
    assert not scaled[0].any()
    assert scaled[1].max() == 1


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("how", ["min-max", "percentile"])
def test_bad_intensities_are_refused_with_file_channel_planes_and_count(field, bad, how):
    stack, labels = field
    data = stack.data.astype(np.float32)
    data[1, 2, 24, 30:33], data[1, 4, 24, 30] = bad, bad
    named = ZStack(data, stack.channels, source="D02.tif")
    said = r"D02\.tif, channel actin, Z 2, 4: 4 NaN or infinite"
    for planes in (None, 3, 9):  # windows that begin with plane 0, 1, and outside the stack
        crops = CellCrops(named, labels, CropSettings(planes=planes, rescale=how))
        row = crops.table["label"].tolist().index(7)
        told = said if planes != 3 else r"channel actin, Z 2: 3 NaN"
        assert crops.start(row)[0] == {None: 0, 3: 1, 9: -2}[planes]
        with pytest.raises(GradcamoError, match=told):
            _ = crops[row].image
        with pytest.raises(GradcamoError, match=told):
            crop_image(named, crops.start(row), crops.settings)
        with pytest.raises(GradcamoError, match=told):
            raw_cell(crops, row)
    y, x = crops.start(row)[1:]
    with pytest.raises(GradcamoError, match=r"actin, Z 4: 1 NaN"):
        plane_view(named, labels, 7, 4, (0, y, x), crops.window[1:])


def test_intensities_further_apart_than_floating_point_tells_are_refused(field):
    stack, labels = field
    data = stack.data.astype(np.float32)
    data[1, 2, 24, 30:32] = 3e38, -3e38
    crops = CellCrops(ZStack(data, stack.channels, source="D02.tif"), labels)
    told = r"D02\.tif, channel actin: intensities from -3e\+38 to 3e\+38 .* than float32 tells"
    with pytest.raises(GradcamoError, match=told):
        _ = crops[crops.table["label"].tolist().index(7)].image


def test_labels_that_do_not_fit_are_refused_naming_both_sides(field):
    stack, labels = field
    with pytest.raises(GradcamoError, match=r"\(5, 60, 70\).*field\.tif of \(6, 60, 70\)"):
        CellCrops(stack, labels[:5])
    with pytest.raises(GradcamoError, match="float64"):
        CellCrops(stack, labels.astype(float))
    with pytest.raises(GradcamoError, match="-1"):
        CellCrops(stack, np.where(labels == 7, -1, labels))


def test_labels_without_cells_give_no_crops(field):
    stack, labels = field
    assert len(CellCrops(stack, np.zeros_like(labels))) == 0
