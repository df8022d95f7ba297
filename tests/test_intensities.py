"""How crops are rescaled, and what a few hot voxels do to them."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st

import gradcamo as gc
from gradcamo import AuditSettings, Checkpoint, CropSettings, TrainSettings, ZStack
from gradcamo.cells.rescaling import hot_channels, rescale
from gradcamo.files.labels import write_labels
from gradcamo.files.stacks import write_stack
from gradcamo.files.store import read_table, write_table
from gradcamo.networks.bundled import BUNDLED
from gradcamo.settings import ImportSettings
from gradcamo.training.dataset import CellDataset
from gradcamo.training.explain_cells import crops_of


def by_percentiles(channel: np.ndarray) -> np.ndarray:
    low, high = np.quantile(channel.astype(float), [0.001, 0.999])
    if high > low:
        return ((channel - low) / (high - low)).clip(0, 1)
    return (channel > low).astype(float)  # what the line above tends to


def is_hot(channel: np.ndarray) -> bool:
    channel = channel.astype(float)
    low = channel.min()
    return bool(channel.max() - low > 3 * (np.quantile(channel, 0.999) - low))


@st.composite
def windows(draw):
    """Channels with few bright voxels, of all kinds of intensities."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = draw(st.tuples(st.integers(1, 5), st.integers(1, 40), st.integers(1, 40)))
    window = rng.gamma(draw(st.floats(0.05, 3)), draw(st.floats(1, 20)), (2, *shape))
    bright = rng.choice(window.size, min(draw(st.integers(0, 12)), window.size), replace=False)
    window.ravel()[bright] *= draw(st.floats(2, 8))
    kind = draw(st.sampled_from([np.uint8, np.uint16, np.int32, np.float32]))
    return window.clip(0, 250).astype(kind)


@given(windows())
@settings(deadline=None, max_examples=200)
def test_percentile_rescaling_and_hot_voxels_are_what_their_definitions_say(window):
    found = rescale(window, how="percentile")
    for channel, values in zip(window, found, strict=True):
        np.testing.assert_allclose(values, by_percentiles(channel), atol=2e-6)
    assert hot_channels(window).tolist() == [is_hot(channel) for channel in window]


def test_a_constant_channel_rescales_to_0_either_way():
    window = np.full((1, 3, 8, 8), 7, np.uint16)
    for how in ("min-max", "percentile"):
        assert not rescale(window, how=how).any()
    assert not hot_channels(window).any()


@pytest.fixture
def plain(field) -> ZStack:
    """Both channels evenly filled, no voxel stands out."""
    stack, _ = field
    data = np.random.default_rng(1).integers(100, 1100, stack.shape).astype(np.uint16)
    return ZStack(data, stack.channels, stack.spacing_um, "plain.tif")


@pytest.fixture
def hot(plain, field) -> ZStack:
    """Two voxels of every cell at four times the maximum, in one channel."""
    labels = np.asarray(field[1])
    data = np.array(plain.data)
    for label in np.unique(labels[labels > 0]):
        z, y, x = np.argwhere(labels == label)[:2].T
        data[1, z, y, x] = 4400
    return replace(plain, data=data)


def test_few_hot_voxels_move_a_crop_rescaled_by_extremes_and_hardly_one_by_percentiles(
    plain, hot, field
):
    def change(how: str) -> float:
        crops = [
            gc.CellCrops(s, field[1], CropSettings(size_yx=(32, 32), rescale=how))
            for s in (plain, hot)
        ]
        return max(float(np.abs(a.image - b.image).mean()) for a, b in zip(*crops, strict=True))

    assert change("min-max") > 0.15
    assert change("percentile") < 0.01


@pytest.fixture(scope="module")
def network():
    from small import SmallResNet

    return SmallResNet(3, 2)


def around(network, stack, how: str) -> Checkpoint:
    crop = CropSettings(size_yx=(32, 32), rescale=how)
    return Checkpoint.around(network, stack.channels, "layer1", (16, 48, 40), crop)


def test_an_audit_names_the_channels_that_hot_voxels_stretch(network, plain, hot, field):
    table = gc.audit(hot, field[1], around(network, hot, "min-max"))
    scored = ~table["touches_border"]
    assert set(table.loc[scored, "hot_channels"]) == {hot.channels[1]}
    assert set(table.loc[~scored, "hot_channels"]) == {""}  # their crops were not looked at
    assert not gc.audit(plain, field[1], around(network, plain, "min-max"))["hot_channels"].any()
    # what does not stretch anything is not said
    assert not gc.audit(hot, field[1], around(network, hot, "percentile"))["hot_channels"].any()


def test_a_network_of_percentile_crops_is_shown_such_crops_wherever_it_looks(
    network, plain, hot, field, tmp_path
):
    labels = field[1]
    write_labels(tmp_path / "labels.tif", labels)
    write_stack(tmp_path / "hot.ome.tif", hot)
    expected = {
        crop.label: np.stack([by_percentiles(c) for c in inside(hot, crop)])
        for crop in gc.CellCrops(hot, labels, CropSettings(size_yx=(16, 16)))
        if not crop.touches_border
    }
    checkpoint = around(network, hot, "percentile")
    crop = CropSettings(size_yx=(16, 16), rescale="percentile")
    row = {"image": str(tmp_path / "hot.ome.tif"), "labels": str(tmp_path / "labels.tif")}
    table = gc.CellCrops(hot, labels, crop).table
    cells = table[table["label"].isin(list(expected))].assign(**row, treatment="control")
    shown = {c.label: c.image for c in crops_of(cells, crop)}  # the layer audit
    learnt = CellDataset(cells, ["control"], TrainSettings(crop=crop))  # the training
    for i, label in enumerate(cells["label"]):
        np.testing.assert_allclose(shown[label], expected[label], atol=2e-6)
        np.testing.assert_array_equal(learnt[i][0].numpy(), shown[label])
    # and the audit: hot voxels leave its scores where they were
    before, after = (gc.audit(s, labels, checkpoint)["grad_camo"] for s in (plain, hot))
    np.testing.assert_allclose(before, after, atol=0.02)
    extremes = (gc.audit(s, labels, around(network, s, "min-max")) for s in (plain, hot))
    before, after = (table["confidence"] for table in extremes)
    assert np.abs(before - after).max() > 0.005


def inside(stack: ZStack, crop) -> np.ndarray:
    _, y, x = crop.start_zyx
    assert min(y, x) >= 0
    return np.asarray(stack.data)[:, :, y : y + 16, x : x + 16]


def test_a_checkpoint_keeps_its_rescaling_and_old_ones_their_hash(tmp_path):
    bundled = Checkpoint.load(BUNDLED)
    assert bundled.crop.rescale == "min-max"
    assert bundled.hash == "5c0ad5e4e473daa35c96834f0527d96b0347d8ec362989a6502a8dd9c96d6ce1"
    other = replace(bundled, crop=CropSettings(size_yx=bundled.crop.size_yx, rescale="percentile"))
    assert other.hash != bundled.hash
    other.save(tmp_path / "other.safetensors")
    assert Checkpoint.load(tmp_path / "other.safetensors").crop == other.crop
    assert ImportSettings(crop=other.crop).crop.rescale == "percentile"
    recipe = {"settings": {"crop": {"size_yx": [64, 64]}}}  # of a training before this choice
    assert TrainSettings.recorded(recipe).crop.rescale == "min-max"


def test_hot_channels_come_back_from_every_format(network, hot, field, tmp_path):
    table = gc.audit(hot, field[1], around(network, hot, "min-max"), AuditSettings())
    for suffix in ("csv", "parquet", "h5ad"):
        write_table(table, tmp_path / f"cells.{suffix}", profiles=None)
        back = read_table(tmp_path / f"cells.{suffix}")
        assert back["hot_channels"].tolist() == table["hot_channels"].tolist()
    assert isinstance(table, pd.DataFrame)
