"""What the window shows of cells whose crops hold some planes around them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tifffile
from conftest import docked

from gradcamo import CropSettings, audit
from gradcamo.docks.canvas.heat_layer import heatmap_layer
from gradcamo.docks.canvas.heatmap import crop_map
from gradcamo.docks.panels.steps.model import described
from gradcamo.docks.panels.training.train_dock import TrainDock
from gradcamo.docks.work.export import Request, prepare
from gradcamo.docks.work.thumbnails import drawer

pytestmark = pytest.mark.gui
WINDOW = (7, 64, 64)


@pytest.fixture
def cut(session, checkpoint, viewer, field, qtbot):
    """A cell that was clicked, explained by a network that sees seven planes."""
    checkpoint = replace(checkpoint, crop=CropSettings(size_yx=WINDOW[1:], planes=7))
    session.set_checkpoint(checkpoint, "small")
    table = audit(*field, checkpoint).dropna(subset="grad_camo")
    label = int(table["label"].iloc[0])
    with qtbot.waitSignal(session.explaining.ended, timeout=60_000):
        session.choose(label, "table")
    return label


def first_voxel(labels, label):
    places = np.nonzero(labels == label)
    return [
        (int(axis.min() + axis.max()) - n + 2) // 2 for axis, n in zip(places, WINDOW, strict=True)
    ]


def test_a_heatmap_lies_on_the_planes_of_its_window(cut, session, viewer, field):
    heat, start = heatmap_layer(viewer), first_voxel(field[1], cut)
    assert heat.data.shape == WINDOW
    assert start[0] > 0
    np.testing.assert_allclose(
        heat.data_to_world((0, 0, 0)), session.labels_layer.data_to_world(start)
    )
    assert "Crops of 7 planes of 64 × 64 px" in described(session.checkpoint, "small")


def test_a_picture_shows_the_heat_of_its_plane(cut, session, field):
    draw = drawer(session.stack, field[1], session.results, WINDOW, 64)
    _, image = draw(cut)
    rows = np.frombuffer(image.bits(), np.uint8).reshape(image.height(), image.bytesPerLine())
    rgb = rows[:, : 3 * image.width()].reshape(image.height(), image.width(), 3).astype(int)
    heat, start = crop_map(session, cut)
    plane = round(session.results.table.at[cut, "centroid_z"]) - int(start[0])
    red_over_blue = (rgb[..., 0] - rgb[..., 2]).ravel()
    assert np.corrcoef(red_over_blue, heat[plane].ravel())[0, 1] > 0.5


def test_heatmaps_are_written_where_their_windows_lie(cut, session, field, tmp_path):
    prepare(session, Request(what="volume"), tmp_path / "heat.ome.tif")()
    volume = tifffile.imread(tmp_path / "heat.ome.tif")
    place = tuple(
        slice(max(s, 0), s + n) for s, n in zip(first_voxel(field[1], cut), WINDOW, strict=True)
    )
    heat, start = crop_map(session, cut)
    inside = tuple(slice(p.start - s, p.stop - s) for p, s in zip(place, start, strict=True))
    assert volume.shape == field[1].shape
    np.testing.assert_allclose(volume[place], (heat / heat.max())[inside], atol=1e-6)
    volume[place] = 0
    assert not volume.any()


def test_edits_on_planes_that_a_window_leaves_out_change_no_share(cut, session, field):
    z, y, x = first_voxel(field[1], cut)
    for plane in (z - 1, z + 7):
        session.results.outdate(np.array([[plane, y + 9, x + 9]]))
        assert not session.results.stale
    session.results.outdate(np.array([[z + 6, y + 9, x + 9]]))
    assert session.results.stale == {cut}


def test_a_training_is_told_how_many_planes(viewer):
    dock = docked(viewer, TrainDock, name="Train")
    planes = dock.crop.inputs["planes"]
    assert planes.native.text() == "all"
    assert dock.settings().crop.planes is None
    planes.value = 9
    assert dock.settings().crop.planes == 9
