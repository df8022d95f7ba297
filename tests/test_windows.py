"""Windows of stacks that are not held in memory are those of NumPy, and files are read once."""

import tracemalloc

import dask
import dask.array as da
import numpy as np
import psutil
import pytest
import tifffile
import zarr
from test_auditing import checkpoint  # noqa: F401

import gradcamo as gc
from gradcamo import CellCrops, CropSettings, ZStack
from gradcamo.causal.lot import content_hash
from gradcamo.causal.regions import raw_cell, raw_cells
from gradcamo.cells import windows as module
from gradcamo.cells.crops import inside
from gradcamo.cells.windows import bytes_held, held, lies_in_memory, windows
from gradcamo.files.stacks import write_stack
from gradcamo.mapped import SomeChannels, let_go, slabs


class Chunked:
    """An array that has chunks, and notes which of its voxels were read how often, at a time."""

    def __init__(self, array, chunks):
        self.array, self.shape, self.dtype = array, array.shape, array.dtype
        self.chunks = da.core.normalize_chunks(chunks, array.shape)
        self.times, self.largest = np.zeros(array.shape, int), 0

    def __getitem__(self, index):
        part = self.array[index]
        self.times[index] += 1
        self.largest = max(self.largest, part.nbytes)
        return part


def mapped(folder, array):
    """An array (C, Z, Y, X) as a mapped file in which planes come before channels."""
    file = np.memmap(folder / "a.bin", array.dtype, "w+", shape=array.swapaxes(0, 1).shape)
    file[:] = array.swapaxes(0, 1)
    file.flush()
    return np.memmap(folder / "a.bin", array.dtype, "r", shape=file.shape).swapaxes(0, 1)


KINDS = {
    "planes": lambda a, folder: da.from_array(a, chunks=(1, 1, *a.shape[2:])),
    "bricks": lambda a, folder: da.from_array(a, chunks=(1, 4, 16, 13)),
    "uneven": lambda a, folder: da.from_array(a, chunks=((2, 1), (5, 1, 3), (40,), (7, 30, 8))),
    "whole": lambda a, folder: da.from_array(a, chunks=a.shape),
    "mapped": lambda a, folder: mapped(folder, a),
    "some channels": lambda a, folder: SomeChannels(mapped(folder, a[[1, 2, 0]]), [2, 0, 1]),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("room", [1, 20_000, 10**9])
def test_windows_read_together_are_those_that_are_cut_alone(kind, room, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "READ", room)
    rng = np.random.default_rng(0)
    array = rng.integers(0, 60_000, (3, 9, 40, 45), np.uint16)
    starts = rng.integers(-6, (9, 38, 43), (25, 3))
    starts[0] = -4, -9, 44  # leaves the array on three sides
    size = (7, 12, 10)
    for cut, start in zip(windows(KINDS[kind](array, tmp_path), starts, size), starts, strict=True):
        np.testing.assert_array_equal(cut, inside(array, start, size))


def test_each_part_of_a_file_is_read_once_and_little_of_it_at_a_time(monkeypatch):
    monkeypatch.setattr(module, "READ", 3_000)
    array = np.random.default_rng(0).integers(0, 999, (2, 12, 60, 70), np.uint16)
    starts = np.random.default_rng(1).integers((0, 0, 0), (6, 40, 50), (40, 3))
    file = Chunked(array, (1, 3, 20, 20))
    windows(file, starts, (6, 20, 20))
    assert file.times.max() == 1
    assert 2_000 < file.largest <= 3 * 20 * 20 * 2 * 2
    far = Chunked(array, (1, 3, 20, 20))
    windows(far, np.array([[0, 0, 0]]), (3, 5, 6))
    assert far.times.sum() == 2 * 3 * 5 * 6  # and no more than the windows hold


@pytest.mark.parametrize("rescale", ["min-max", "percentile"])
def test_crops_one_after_the_other_are_the_same_from_any_array(field, rescale, monkeypatch):
    stack, labels = field
    monkeypatch.setattr(module, "TOGETHER", 2 * 5 * 22 * 20 * 2 * 2)  # two crops
    for planes in (None, 5):
        settings = CropSettings(size_yx=(22, 20), planes=planes, rescale=rescale)
        crops = CellCrops(stack, labels, settings)
        lazy = da.from_array(stack.data, chunks=(1, 2, 17, 13))
        others = CellCrops(ZStack(lazy, stack.channels), labels, settings)
        rows = [4, 0, 3, 2, 1, 1]
        for i, crop in zip(rows, others.each(rows), strict=True):
            expected = crops[i]
            assert (crop.label, crop.start_zyx) == (expected.label, expected.start_zyx)
            np.testing.assert_array_equal(crop.image, expected.image)
            np.testing.assert_array_equal(crop.labels, expected.labels)
            assert (crop.cut_raw is None) == (expected.cut_raw is None)
            if crop.cut_raw:
                np.testing.assert_array_equal(crop.cut_raw(), expected.cut_raw())
        for i, cell in zip(rows, raw_cells(others, rows), strict=True):
            np.testing.assert_array_equal(cell.image, raw_cell(crops, i).image)
            np.testing.assert_array_equal(cell.kinds, raw_cell(crops, i).kinds)
        np.testing.assert_array_equal(crops.hot, others.hot)


@pytest.mark.parametrize("order", [("DNA", "actin"), ("actin", "DNA"), ("actin",)])
@pytest.mark.parametrize("name", ["a.tif", "a.ome.zarr", "turned.tif", "packed.tif"])
def test_a_large_file_scores_as_it_does_in_memory(
    field,
    checkpoint,  # noqa: F811
    name,
    order,
    tmp_path,
    monkeypatch,
):
    stack, labels = field
    path = tmp_path / name
    if name in ("a.tif", "a.ome.zarr"):
        write_stack(path, stack)
    else:
        how = {"byteorder": ">"} if name == "turned.tif" else {"compression": "zlib"}
        about = {"axes": "CZYX", "Channel": {"Name": list(stack.channels)}}
        tifffile.imwrite(path, stack.data, ome=True, metadata=about, **how)
    monkeypatch.setattr(module, "HELD", 0)
    opened = gc.read_stack(path)
    assert not lies_in_memory(held(opened).data)
    if len(order) == 1:
        chosen = opened.select(order)
        np.testing.assert_array_equal(np.asarray(chosen.data), stack.data[1:])
        assert chosen.constant_channels == ()
        return
    settings = gc.AuditSettings(channels=order)
    table = gc.audit(opened, labels, checkpoint, settings)
    expected = gc.audit(stack, labels, checkpoint, settings)
    scores = ["label", "grad_camo", "neighbour_share", "confidence", "cell_in_crop"]
    np.testing.assert_array_equal(table[scores].to_numpy(float), expected[scores].to_numpy(float))
    assert content_hash(opened) == content_hash(stack)


def test_small_stacks_are_held_and_large_ones_are_not(field):
    stack, _ = field
    lazy = ZStack(da.from_array(stack.data, chunks=(1, 1, 60, 70)), stack.channels)
    assert isinstance(held(lazy).data, np.ndarray)
    large = ZStack(da.zeros((4, 105, 1527, 1528), dtype=np.uint16), tuple("abcd"))
    assert held(large) is large
    assert bytes_held(lazy) == stack.data.nbytes
    assert bytes_held(large) == 500_000_000 + 4 * 105 * 1527 * 1528


def test_a_zarr_array_that_is_handed_over_comes_into_memory(tmp_path):
    data = np.random.default_rng(0).integers(0, 999, (2, 3, 8, 9), np.uint16)
    held = zarr.open_array(str(tmp_path / "a.zarr"), mode="w", shape=data.shape, dtype=data.dtype)
    held[:] = data
    np.testing.assert_array_equal(ZStack(held, ("a", "b")).in_memory().data, data)


@pytest.mark.parametrize("name", ["a.ome.zarr", "packed.tif"])
def test_a_stack_that_comes_into_memory_is_there_once(name, tmp_path):
    data = np.random.default_rng(0).integers(0, 999, (4, 48, 300, 310), np.uint16)
    if name == "packed.tif":
        about = {"ome": True, "metadata": {"axes": "CZYX"}}
        tifffile.imwrite(tmp_path / name, data, compression="zlib", **about)
    else:
        write_stack(tmp_path / name, ZStack(data, tuple("abcd")))
    stack = gc.read_stack(tmp_path / name)
    np.asarray(stack.data[:, :1])  # what reads it is imported
    tracemalloc.start()
    with dask.config.set(scheduler="synchronous"):  # else as many chunks as threads are on the way
        read = stack.in_memory().data
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(read, data)
    assert type(read) is np.ndarray
    assert data.nbytes <= peak < 1.5 * data.nbytes  # a chunk is on its way in


def test_constant_channels_are_found_chunk_by_chunk():
    data = np.full((2, 9, 20, 20), 7, np.uint16)
    data[1, 8, 3, 3] = 8
    file = Chunked(data[0], (4, 20, 20))
    assert [len(slab) for slab in slabs(file)] == [4, 4, 1]
    assert file.times.max() == 1
    lazy = ZStack(da.from_array(data, chunks=(1, 4, 20, 20)), ("a", "b"))
    assert lazy.constant_channels == ("a",)


@pytest.mark.skipif(not psutil.LINUX, reason="elsewhere memory is given back when it is short")
def test_a_mapped_file_that_was_read_takes_no_memory(tmp_path):
    path = tmp_path / "large.npy"
    np.save(path, np.ones(40_000_000, np.uint8))
    file = np.load(path, mmap_mode="r")
    process = psutil.Process()
    assert file.sum() == 40_000_000
    before = process.memory_info().rss
    let_go(file[100:])
    assert before - process.memory_info().rss > 30_000_000
    assert file.sum() == 40_000_000


@pytest.mark.parametrize("mode", ["c", "r+"])
def test_what_was_written_into_a_mapped_file_stays(mode, tmp_path):
    np.save(tmp_path / "a.npy", np.zeros(5000, np.uint8))
    file = np.load(tmp_path / "a.npy", mmap_mode=mode)
    file[7] = 3
    let_go(file)
    assert file[7] == 3
    let_go(np.zeros(3))  # and what is not mapped is left alone


@pytest.mark.parametrize(
    ("kind", "top", "expected"),
    [
        (np.uint16, 7, np.uint16),
        (np.int32, 65_535, np.uint16),
        (np.int32, 65_536, np.int32),
        (np.uint32, 2**32 - 1, np.uint32),
        (np.int64, 300, np.uint16),
        (np.int64, 2**31 - 1, np.int32),
        (np.int64, 2**31, np.int64),
        (np.uint64, 2**40, np.int64),
        (np.float32, 70_000, np.int32),
        (np.float64, 2**50, np.int64),
        (bool, 1, np.uint8),
        (np.int8, 127, np.uint8),
    ],
)
def test_labels_are_held_in_16_bits_where_these_do_or_in_32(kind, top, expected, tmp_path):
    labels = np.zeros((3, 6, 7), kind)
    labels[0, 2, 2:4], labels[2, 1:3, 5] = 1, top
    np.save(tmp_path / "a.npy", labels)
    read = gc.read_labels(tmp_path / "a.npy", axes="ZYX")
    assert read.dtype == expected
    np.testing.assert_array_equal(read, labels.astype(np.int64))
    assert type(read) is np.ndarray


def test_large_crops_are_prepared_one_by_one_and_to_the_same_numbers(
    field,
    checkpoint,  # noqa: F811
    monkeypatch,
):
    import torch

    from gradcamo.networks import infer

    stack, labels = field
    images = [torch.from_numpy(crop.image) for crop in CellCrops(stack, labels, checkpoint.crop)]
    cpu = torch.device("cpu")
    together = infer.prepare(images, checkpoint, cpu)
    monkeypatch.setattr(infer, "BETWEEN", 2 * images[0].nbytes)
    sizes, prepared = [], infer._prepared
    monkeypatch.setattr(
        infer, "_prepared", lambda some, *a: sizes.append(len(some)) or prepared(some, *a)
    )
    assert torch.equal(infer.prepare(images, checkpoint, cpu), together)
    assert sizes == [1] * 5
