"""Channels without signal and chunks that are not there are said, not read as if they were."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import zarr
from small import SmallResNet
from test_damaged import STACK, omezarr

import gradcamo as gc
from gradcamo import ZStack
from gradcamo.errors import GradcamoWarning
from gradcamo.files.stacks import read_stack
from gradcamo.files.zarr_chunks import absent_chunks

CASES = Path(__file__).parent / "data" / "cases"


def test_a_channel_that_is_constant_in_a_stack_is_named():
    stack = read_stack(CASES / "images" / "one_channel_all_zero.ome.tif")
    flat = [n for n, c in zip(stack.channels, np.asarray(stack.data), strict=True) if not np.ptp(c)]
    assert list(stack.constant_channels) == flat
    assert len(flat) == 1
    assert stack.select(tuple(flat)).constant_channels == tuple(flat)
    data = np.zeros((2, 3, 4, 4))
    data[1, 2, 3, 3] = 1  # the planes before it are constant
    assert ZStack(data, ("a", "b")).constant_channels == ("a",)


def test_absent_chunks_are_counted_by_channel(tmp_path):
    path = omezarr(tmp_path / "a.zarr", STACK, "czyx")
    assert read_stack(path).absent_chunks == {}
    for key in ("1.0.0.0", "1.2.1.1", "1.2.0.1"):
        (chunk,) = (path / "0").rglob(key)
        chunk.unlink()
    stack = read_stack(path)
    assert stack.absent_chunks == {"channel 1": (3, 12)}
    assert stack.in_memory().absent_chunks == {"channel 1": (3, 12)}
    assert stack.select(("channel 0",)).absent_chunks == {}


def test_an_audit_says_both_of_the_channels_that_the_network_sees(tmp_path, field):
    stack, labels = field
    data = np.concatenate([stack.data, np.zeros_like(stack.data[:1])])
    data[1] = 5
    path = omezarr(tmp_path / "a.zarr", data, "czyx")
    (chunk,) = (path / "0").rglob("0.0.0.0")
    chunk.unlink()
    names = (*stack.channels, "not asked for")
    checkpoint = gc.Checkpoint.around(SmallResNet(3, 2), stack.channels, "layer1", (16, 48, 40))
    with pytest.warns(GradcamoWarning, match="channel actin is constant"):
        table = gc.audit(read_stack(path, channels=names), labels, checkpoint)
    said = table.attrs["recipe"]["cautions"]
    (constant,) = [text for text in said if "is constant" in text]
    (absent,) = [text for text in said if "absent" in text]
    assert "the channel actin is" in constant
    assert "1 of " in absent
    assert "DNA" in absent


def test_segmenting_and_training_say_it_of_the_channels_that_they_use(tmp_path):
    from gradcamo.segmentation.planes import _normalised
    from gradcamo.training.cell_index import index_cells

    path = omezarr(tmp_path / "a.zarr", STACK, "czyx")
    (chunk,) = (path / "0").rglob("1.2.1.1")
    chunk.unlink()
    stack = read_stack(path)
    said = r"a\.zarr: chunks are absent.*1 of 12 in channel 1"
    with pytest.warns(GradcamoWarning, match=said):
        _normalised(stack, gc.SegmentSettings(cytoplasm="channel 1"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _normalised(stack, gc.SegmentSettings(cytoplasm="channel 0"))
    labels = np.zeros(STACK.shape[1:], np.uint8)
    labels[:, 10:20, 10:20] = 1
    np.save(tmp_path / "labels.npy", labels)
    row = {"image": str(path), "labels": str(tmp_path / "labels.npy"), "labels_axes": "ZYX"}
    about = {"plate": "p", "well": "B02", "site": "1", "treatment": "x", "split": "train"}
    with pytest.warns(GradcamoWarning, match=said):
        cells = index_cells(pd.DataFrame([row | about]), gc.TrainSettings())
    assert list(cells["label"]) == [1]


@pytest.mark.parametrize("shards", [None, (2, 40, 40)])
def test_chunks_that_a_shard_lacks_are_absent_too(tmp_path, shards):
    array = zarr.create_array(
        tmp_path / "a", shape=(5, 40, 40), chunks=(1, 20, 20), shards=shards, dtype="u2"
    )
    array[0, :20, :20] = array[3] = 7
    expected = np.ones((5, 2, 2), bool)
    expected[0, 0, 0] = expected[3] = False
    np.testing.assert_array_equal(
        absent_chunks(zarr.open_array(tmp_path / "a", mode="r")), expected
    )
