"""Hostile and absurd input is refused from its head, with its name, before memory is taken.

``benchmarks/fuzz.py`` tries some two thousand such inputs; each of these stands for a kind.
"""

import json
import os
import socket
import struct

import numpy as np
import pytest
import tifffile
import torch
from click.testing import CliRunner

import gradcamo as gc
from gradcamo import GradcamoError
from gradcamo.cli.commands import main
from gradcamo.files.stacks import read_stack
from gradcamo.networks.checkpoint import Checkpoint

STACK = gc.ZStack(np.arange(2 * 3 * 8 * 8, dtype=np.uint16).reshape(2, 3, 8, 8), ("a", "b"))


@pytest.fixture
def zarr_image(tmp_path):
    gc.write_stack(tmp_path / "a.ome.zarr", STACK, np.ones((3, 8, 8), np.uint8))
    return tmp_path / "a.ome.zarr"


@pytest.mark.parametrize(
    ("place", "value", "says"),
    [
        ("attributes.ome.multiscales", "x", "multiscales = 'x'"),
        ("attributes.ome.multiscales.0.datasets", [], "datasets = "),
        ("attributes.ome.multiscales.0.axes.1.name", None, "axes.1.name = 'None'"),
        (
            "attributes.ome.multiscales.0.datasets.0.coordinateTransformations.0.scale.2",
            -1,
            "scale.2 = '-1'",
        ),
        ("attributes.ome.omero.channels.0", 5, "channels.0 = '5'"),
        ("attributes.ome.plate", {"wells": [{"path": "../.."}]}, "wells.0.path = '../..'"),
    ],
)
def test_metadata_of_ome_zarr_that_say_something_else_are_named(zarr_image, place, value, says):
    file = zarr_image / "zarr.json"
    said = at = json.loads(file.read_text())
    *way, last = (int(name) if name.isdigit() else name for name in place.split("."))
    for name in way:
        at = at[name]
    at[last] = value
    file.write_text(json.dumps(said))
    with pytest.raises(GradcamoError, match=r"a\.ome\.zarr.* metadata") as caught:
        read_stack(zarr_image)
    assert says in str(caught.value)


def test_labels_of_an_ome_zarr_that_name_themselves_end_at_once(zarr_image):
    file = zarr_image / "labels" / "zarr.json"
    said = json.loads(file.read_text())
    said["attributes"]["ome"]["labels"] = ["../labels"]
    file.write_text(json.dumps(said))
    with pytest.raises(GradcamoError, match="outside of it"):
        gc.read_labels(zarr_image / "labels")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="POSIX pipes and sockets")
@pytest.mark.parametrize("ending", [".tif", ".npy", ".ome.zarr"])
def test_pipes_and_sockets_are_no_images_and_nobody_waits_for_them(tmp_path, ending, monkeypatch):
    monkeypatch.chdir(tmp_path)  # names of sockets are short
    os.mkfifo(f"pipe{ending}")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(f"socket{ending}")
    for name in ("pipe", "socket"):
        with pytest.raises(GradcamoError, match="a pipe, a socket or a device"):
            read_stack(f"{name}{ending}")


def test_more_planes_than_memory_has_names_for_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.ome.tif", STACK.data, metadata={"axes": "CZYX"})
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as tif:
        said = tif.ome_metadata.replace('SizeZ="3"', 'SizeZ="99999999"')
    tifffile.imwrite(tmp_path / "b.ome.tif", STACK.data, description=said.encode(), metadata=None)
    with pytest.raises(GradcamoError, match=r"b\.ome\.tif says that it has 199,999,998 planes"):
        read_stack(tmp_path / "b.ome.tif")


def test_strips_that_were_never_written_are_no_black_pixels(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK.data[0, 0], compression="zlib")
    with tifffile.TiffFile(path) as tif:
        tag = tif.pages.first.tags["StripOffsets"]
        place = tag.valueoffset
    content = bytearray(path.read_bytes())
    content[place : place + 4] = bytes(4)
    path.write_bytes(content)
    with pytest.raises(GradcamoError, match="lacks pixels of its plane 0"):
        read_stack(path)


def with_description(checkpoint, path, **changes):
    """A checkpoint's file that says something else of its network."""
    from safetensors import safe_open
    from safetensors.torch import save_file

    checkpoint.save(path)
    with safe_open(path, "pt") as file:
        said = json.loads(file.metadata()["gradcamo"]) | changes
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    said.pop("seal")
    save_file(weights, path, {"gradcamo": json.dumps(said)})
    return path


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"architecture": {"name": "efficientnet-b0", "in_channels": 6, "num_classes": 2,
                           "width": 60.0}}, "architecture.width: .* 10"),
        ({"architecture": {"name": "efficientnet-b0", "in_channels": 6, "num_classes": 2,
                           "width": 9.0}}, "weights .* have the size"),
        ({"architecture": {"name": "efficientnet-b0", "in_channels": 6, "num_classes": 0}},
         "architecture.num_classes"),
        ({"input_size": [64, 64]}, "input_size"),
        ({"input_size": [64, 10**12, 64]}, "input_size.1"),
        ({"channel_std": [0.0] * 6}, "channel_std.0"),
        ({"classes": [True, None]}, "classes.0"),
    ],
)  # fmt: skip
def test_what_a_checkpoint_says_is_checked_before_memory_is_taken(
    tiny_model, tmp_path, changes, says, monkeypatch
):
    path = with_description(Checkpoint.load(tiny_model), tmp_path / "m.safetensors", **changes)
    built = []
    monkeypatch.setattr(torch.nn.Module, "load_state_dict", lambda *_: built.append(1))
    with pytest.raises(GradcamoError, match=rf"m\.safetensors is a damaged .* {says}"):
        Checkpoint.load(path)
    assert not built


def test_a_header_larger_than_its_file_is_no_checkpoint(tmp_path):
    (tmp_path / "m.safetensors").write_bytes(struct.pack("<Q", 1 << 60) + b"{}")
    with pytest.raises(GradcamoError, match="is not a checkpoint"):
        Checkpoint.load(tmp_path / "m.safetensors")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("confounding.csv", "a\n1\n", "lacks measure"),
        ("cutoffs.csv", "<html>", "lacks treatment"),
        ("summary.json", "[1]", "is not what 'gradcamo plate' wrote"),
    ],
)
def test_foreign_files_in_a_folder_of_results_are_named(finished, tmp_path, name, content, says):
    for kept in ("cells.parquet", "summary.json"):
        (tmp_path / kept).write_bytes((finished / kept).read_bytes())
    (tmp_path / name).write_text(content)
    ended = CliRunner().invoke(main, ["report", str(tmp_path), "-o", str(tmp_path / "page.html")])
    assert ended.exit_code == 1
    assert f"{name}" in ended.output
    assert says in ended.output
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize("state", [None, [1, 2], {"gradcamo": 5}, {"gradcamo": {"settings": 1}}])
def test_a_foreign_state_of_a_training_is_named(tmp_path, state):
    from gradcamo.training.state import _read

    torch.save(state, tmp_path / "model.state")
    with pytest.raises(GradcamoError, match="is not the state of a training"):
        _read(tmp_path / "model.state")
