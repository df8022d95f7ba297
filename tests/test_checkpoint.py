import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from small import SmallResNet
from torch import nn

from gradcamo import Checkpoint, CropSettings, GradcamoError, efficientnet3d
from gradcamo.networks.preprocess import choose_device

ARCHITECTURE = {"name": "efficientnet-b0", "in_channels": 2, "num_classes": 3, "width": 0.25}


@pytest.fixture(scope="module")
def checkpoint():
    torch.manual_seed(0)
    return Checkpoint(
        network=efficientnet3d(**ARCHITECTURE),
        classes=("control", "0.06×", "µM 40"),
        channels=("DNA", "actin"),
        channel_mean=(0.1, 0.25),
        channel_std=(0.2, 0.5),
        crop=CropSettings(size_yx=(32, 40)),
        input_size=(64, 64, 96),
        layer="block_4",
        spacing_um=(0.6, 0.35, 0.35),
        architecture=ARCHITECTURE,
        recipe={"seed": 4, "wells": {"train": ["D02"]}},
    )


@pytest.fixture
def saved(checkpoint, tmp_path):
    checkpoint.save(tmp_path / "net.safetensors")
    return tmp_path / "net.safetensors"


def test_a_checkpoint_comes_back_as_it_was(checkpoint, saved):
    loaded = Checkpoint.load(saved)
    for name in ("classes", "channels", "channel_mean", "channel_std", "crop", "input_size"):
        assert getattr(loaded, name) == getattr(checkpoint, name)
    for name in ("layer", "spacing_um", "architecture", "recipe", "hash"):
        assert getattr(loaded, name) == getattr(checkpoint, name)
    ours, theirs = checkpoint.network.state_dict(), loaded.network.state_dict()
    assert all(torch.equal(ours[k], theirs[k]) for k in ours)
    assert not loaded.network.training
    assert loaded.layers["block_4"].grid == (4, 4, 6)


def test_the_hash_names_weights_and_settings(checkpoint, saved):
    for change in ({"layer": "head"}, {"channel_mean": (0.1, 0.26)}, {"classes": ("a", "b", "c")}):
        assert replace(checkpoint, **change).hash != checkpoint.hash
    loaded = Checkpoint.load(saved)
    loaded.network._fc.bias.data[0] += 1e-3
    assert loaded.hash != checkpoint.hash


def test_input_is_standardised_and_resized_by_trilinear_interpolation(checkpoint, random):
    images = random.random((2, 2, 7, 32, 40), np.float32)
    x = torch.from_numpy(images.copy())
    for c, (mean, std) in enumerate([(0.1, 0.2), (0.25, 0.5)]):
        x[:, c] = (x[:, c] - mean) / std
    expected = F.interpolate(x, (64, 64, 96), mode="trilinear", align_corners=False)
    torch.testing.assert_close(checkpoint.prepare(images.copy()), expected, rtol=1e-5, atol=1e-5)
    flat = replace(checkpoint, input_size=(20, 30)).prepare(images[:, :, :1].copy())
    expected = F.interpolate(x[:, :, 0], (20, 30), mode="bilinear", align_corners=False)
    torch.testing.assert_close(flat, expected)


def test_preparing_leaves_the_crops_as_they_were(checkpoint, random):
    images = random.random((1, 2, 7, 32, 40), np.float32)
    before = images.copy()
    checkpoint.prepare(images)
    np.testing.assert_array_equal(images, before)


def test_crops_that_do_not_fit_are_refused(checkpoint):
    with pytest.raises(GradcamoError, match=r"\(N, 2, Z, Y, X\).*\(1, 3, 7, 32, 40\).*DNA, actin"):
        checkpoint.prepare(np.zeros((1, 3, 7, 32, 40), np.float32))
    with pytest.raises(GradcamoError, match="uint16"):
        checkpoint.prepare(np.zeros((1, 2, 7, 32, 40), np.uint16))


@pytest.mark.parametrize("cut", [0, 4, 300, 20_000, -1])
def test_damaged_files_are_refused(saved, cut):
    saved.write_bytes(saved.read_bytes()[:cut])
    with pytest.raises(GradcamoError, match=r"net\.safetensors"):
        Checkpoint.load(saved)


@pytest.mark.parametrize(
    "change",
    [
        {"architecture": {"name": "efficientnet-b9"}},
        {"architecture": {**ARCHITECTURE, "width": 0.5}},
        {"architecture": None},
        {"channel_std": [0, 1]},
        {"channel_mean": [1]},
        {"crop": {"size_yx": "wide"}},
        {"format": "gradcamo-checkpoint-99"},
        {"classes": 3},
        {"layer": None},
    ],
)
def test_files_with_a_damaged_recipe_are_refused(saved, change):
    state = load_file(saved)
    with safe_open(saved, "pt") as file:
        described = json.loads(file.metadata()["gradcamo"])
    save_file(state, saved, {"gradcamo": json.dumps({**described, **change})})
    with pytest.raises(GradcamoError, match=r"net\.safetensors"):
        Checkpoint.load(saved)


def test_other_files_are_refused_with_what_was_expected(tmp_path):
    with pytest.raises(GradcamoError, match=r"does not exist.*gradcamo train"):
        Checkpoint.load(tmp_path / "none.safetensors")
    torch.save({}, tmp_path / "net.pth")
    with pytest.raises(GradcamoError, match="is not a checkpoint"):
        Checkpoint.load(tmp_path / "net.pth")
    for metadata in (None, {"gradcamo": "[]"}, {"gradcamo": "{}"}, {"gradcamo": "{"}):
        save_file({"a": torch.ones(1)}, tmp_path / "other.safetensors", metadata)
        with pytest.raises(GradcamoError, match=r"other\.safetensors"):
            Checkpoint.load(tmp_path / "other.safetensors")


def test_settings_that_contradict_each_other_are_refused(checkpoint):
    for change in (
        {"channel_mean": (0.1,)},
        {"channel_std": (0.1, 0.0)},
        {"channel_std": (0.1, float("nan"))},
        {"channel_mean": (0.1, float("inf"))},
    ):
        with pytest.raises(GradcamoError, match="mean"):
            replace(checkpoint, **change)


def test_a_network_of_ones_own_is_described_but_not_saved(tmp_path):
    network = SmallResNet(2)
    network.tied = network.fc  # weights that appear twice
    own = Checkpoint.around(network, ("DNA", "actin"), network.layer2, (48, 48))
    assert (own.layer, own.classes) == ("layer2", ("0", "1", "2"))
    assert own.layers["layer2"].grid == (6, 6)
    assert len(own.hash) == 64
    with pytest.raises(GradcamoError, match="only networks built by efficientnet3d"):
        own.save(tmp_path / "own.safetensors")
    assert not list(tmp_path.iterdir())


def test_a_network_that_does_not_fit_its_description_is_refused():
    network = SmallResNet(2)
    with pytest.raises(GradcamoError, match=r"\(3, 48, 48\).*takes 2 channels"):
        Checkpoint.around(network, ("a", "b", "c"), "layer2", (48, 48))
    with pytest.raises(GradcamoError, match=r"no layer 'fc' with a grid: choose from stem"):
        Checkpoint.around(network, ("a", "b"), "fc", (48, 48))


def test_devices_that_are_not_there_are_refused():
    assert choose_device("cpu") == torch.device("cpu")
    for name in ("gpu", "cuda:99"):
        with pytest.raises(GradcamoError, match=name):
            choose_device(name)


@pytest.mark.parametrize("made_ready", [True, False], ids=["fused", "one's own"])
def test_on_another_device_works_a_copy_and_the_network_stays_where_it_is(made_ready):
    """Device meta has shapes and no numbers, and is everywhere."""
    network = efficientnet3d(in_channels=2, num_classes=2, width=0.1)
    if not made_ready:
        network = nn.Sequential(nn.Conv3d(2, 3, 3), nn.AdaptiveAvgPool3d(1), nn.Flatten())
    layer = "head" if made_ready else "0"
    classes = ("x", "y", "z")[: 2 + (not made_ready)]
    checkpoint = Checkpoint.around(network, ("a", "b"), layer, (64, 64, 64), classes=classes)
    there = checkpoint.on(torch.device("meta"))
    assert there is checkpoint.on(torch.device("meta"))
    assert {p.device.type for p in there.parameters()} == {"meta"}
    assert {p.device.type for p in checkpoint.on(torch.device("cpu")).parameters()} == {"cpu"}
    assert {p.device.type for p in checkpoint.network.parameters()} == {"cpu"}
    # a GPU takes longer with any other layout
    assert all(p.stride() == torch.empty(p.shape).stride() for p in there.parameters())
