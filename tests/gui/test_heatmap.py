"""How heatmaps are asked for and drawn."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from conftest import docked, scored_label
from mouse import click
from qtpy.QtCore import Qt

from gradcamo.docks.canvas.heat_layer import heatmap_layer, hiding
from gradcamo.docks.canvas.heatmap import crop_map
from gradcamo.docks.canvas.layers import marked_layer
from gradcamo.docks.panels.cells.compare_dock import CompareDock
from gradcamo.docks.panels.steps.heat_options import HeatmapOptions
from gradcamo.docks.panels.steps.review import ReviewDock
from gradcamo.docks.state.look import Look

pytestmark = pytest.mark.gui


@pytest.fixture
def options(audited, viewer, window):
    widget = HeatmapOptions(audited, window.heatmap)
    docked(viewer, widget)
    return widget


@pytest.mark.shown
def test_a_click_explains_a_cell_before_any_audit(session, checkpoint, viewer, field, qtbot):
    from gradcamo import audit

    session.set_checkpoint(checkpoint, "small")
    labels = field[1]
    expected = audit(session.stack, labels, checkpoint).dropna(subset="grad_camo").iloc[0]
    label = int(expected["label"])
    voxel = expected[["centroid_z", "centroid_y", "centroid_x"]].to_numpy(float)
    world = session.labels_layer.data_to_world(voxel)
    viewer.dims.set_point(0, world[0])
    qtbot.wait(50)
    with qtbot.waitSignal(session.explaining.ended, timeout=60_000):
        click(viewer, qtbot, world)
    assert session.results.table.index.tolist() == [label]
    got = session.results.table.at[label, "grad_camo"]
    assert got == pytest.approx(expected["grad_camo"], rel=1e-5)
    assert heatmap_layer(viewer).visible


@pytest.mark.shown
def test_a_cell_in_pieces_outside_its_crop_can_be_clicked_and_says_why_there_is_no_map(
    session, checkpoint, viewer, qtbot
):
    review = docked(viewer, ReviewDock)
    compare = docked(viewer, CompareDock)
    torn = session.labels_layer.data
    torn[4, 2:6, 2:6] = torn[4, -6:-2, -6:-2] = 7
    session.set_checkpoint(checkpoint, "small")
    viewer.dims.set_point(0, session.labels_layer.data_to_world((4, 3, 3))[0])
    for _ in range(2):  # explained now, and known the second time
        qtbot.waitUntil(lambda: not session.explaining.running, timeout=60_000)
        session.choose(0, "table")
        click(viewer, qtbot, session.labels_layer.data_to_world((4, 3.5, 3.5)))
        qtbot.waitUntil(lambda: 7 in session.results.table.index, timeout=60_000)
        assert session.cell == 7
        assert heatmap_layer(viewer) is None
        assert "its crop holds none" in review.card.legend.text()
    qtbot.waitUntil(lambda: "outside its crop" in compare.message.text(), timeout=60_000)
    counts = session.results.counts()
    assert (counts["outside"], counts["silent"]) == (1, 0)


def test_cells_are_found_before_the_first_click(session, checkpoint, qtbot, window):
    with qtbot.waitSignal(window.found.job.ended, timeout=60_000):
        session.set_checkpoint(checkpoint, "small")
    ahead = window.found._crops
    assert ahead.table["label"].tolist() == np.unique(session.labels_layer.data)[1:].tolist()
    assert window.found.finder(session.next_settings)() is ahead
    session.version += 1
    assert window.found.finder(session.next_settings)() is not ahead


def test_the_second_click_does_not_look_for_the_cells_again(audited, viewer, qtbot, window):
    labels = {scored_label(audited, rank) for rank in (0, 1)}
    audited.results.expire(labels)
    found = []
    for label in labels:
        with qtbot.waitSignal(audited.explaining.ended, timeout=60_000):
            audited.choose(label, "canvas")
        found.append(window.found.finder(audited.audit_settings)())
    assert found[0] is found[1]
    audited.labels_layer.data_setitem(tuple(np.zeros((3, 1), int)), 5)  # now they differ
    assert window.found.finder(audited.audit_settings)() is not found[1]


def outlined(viewer, qtbot):
    """The outline of the chosen cell, which follows its heatmap."""
    qtbot.waitUntil(lambda: marked_layer(viewer, "outline") is not None)
    return marked_layer(viewer, "outline")


def test_a_cell_without_a_map_shows_no_map_of_another(audited, viewer, qtbot):
    audited.choose(scored_label(audited), "table")
    assert heatmap_layer(viewer).visible
    outline = outlined(viewer, qtbot)
    assert outline.visible
    table = audited.results.table
    audited.choose(int(table[table["touches_border"]]["label"].iloc[0]), "table")
    assert not heatmap_layer(viewer).visible
    assert not outline.visible
    audited.choose(scored_label(audited), "table")
    assert heatmap_layer(viewer).visible


def test_every_control_has_a_tooltip(options):
    assert all(control.tooltip for control in options.inputs.values())
    assert options.pin.toolTip()


def test_controls_change_the_layer_and_the_key_changes_the_controls(
    options, audited, viewer, qtbot, window
):
    audited.choose(scored_label(audited), "table")
    layer, outline = heatmap_layer(viewer), outlined(viewer, qtbot)
    options.inputs["opacity"].value = 0.4
    options.inputs["colormap"].value = "cividis"
    options.inputs["crop_outline"].value = True
    options.inputs["cell_outline"].value = False
    assert (layer.opacity, layer.colormap.name) == (0.4, "cividis")
    assert layer.bounding_box.visible
    assert not outline.visible
    window.keys.toggle_heatmap()
    assert not options.inputs["shown"].value
    assert not layer.visible
    audited.choose(scored_label(audited, 1), "table")
    assert not layer.visible  # as the user wants it
    window.keys.toggle_heatmap()
    assert layer.visible


@pytest.mark.parametrize("name", get_args(Look.model_fields["colormap"].annotation))
def test_what_is_hidden_is_clear_and_the_rest_keeps_its_colour(name):
    from napari.utils.colormaps import ensure_colormap

    values = np.array([0.0, 0.2, 0.39, 0.41, 0.7, 1.0])
    seen, plain = hiding(name, 0.4).map(values), ensure_colormap(name).map(values)
    assert (seen[:3, 3] == 0).all()
    np.testing.assert_allclose(seen[3:], plain[3:], atol=0.02)


@pytest.mark.shown
def test_hidden_voxels_leave_no_trace_on_the_screen(options, audited, viewer, qtbot):
    label = scored_label(audited)
    audited.choose(label, "table")
    options.inputs["colormap"].value = "viridis"  # its lowest colour is not black
    options.inputs["hide_below"].value = 0.6
    options.inputs["cell_outline"].value = False
    layer = heatmap_layer(viewer)
    cam, _ = crop_map(audited, label)
    z = int(np.unravel_index(cam.argmax(), cam.shape)[0])
    for other in viewer.layers:
        other.visible = other is layer
    viewer.dims.set_point(0, layer.data_to_world((z, 0, 0))[0])
    middle = layer.data_to_world((z, 31.5, 31.5))
    viewer.camera.center, viewer.camera.zoom = middle, 20
    qtbot.wait(200)
    shot = viewer.screenshot(canvas_only=True, flash=False)[..., :3].sum(-1)
    drawn = (shot > 30).sum()
    options.inputs["hide_below"].value = 0
    qtbot.wait(200)
    everything = (viewer.screenshot(canvas_only=True, flash=False)[..., :3].sum(-1) > 30).sum()
    share = (cam[z] >= 0.6 * cam.max()).mean()
    assert 0 < share < 0.9
    assert drawn / everything == pytest.approx(share, abs=0.05)


def test_inside_the_cell_only_hides_what_lies_outside(options, audited, viewer):
    label = scored_label(audited)
    audited.choose(label, "table")
    before = np.array(heatmap_layer(viewer).data)
    options.inputs["only_cell"].value = True
    after = heatmap_layer(viewer).data
    _, start = crop_map(audited, label)
    data = audited.labels_layer.data
    for voxel in np.random.default_rng(0).integers(0, before.shape, (200, 3)):
        where = tuple(np.add(voxel, start))
        outside = any(w < 0 or w >= n for w, n in zip(where, data.shape, strict=True))
        own = not outside and data[where] == label
        assert after[tuple(voxel)] == (before[tuple(voxel)] if own else 0)


def test_a_pinned_heatmap_stays_where_it_is(options, audited, viewer, qtbot):
    label = scored_label(audited)
    audited.choose(label, "table")
    live = heatmap_layer(viewer)
    data, corner = np.array(live.data), live.data_to_world((0, 0, 0))
    qtbot.mouseClick(options.pin, Qt.MouseButton.LeftButton)
    assert not live.visible  # the same map twice would look twice as strong
    row = audited.results.table.loc[label]
    name = f"Grad-CAM cell {label}, block_4, {row['predicted']}"
    audited.choose(scored_label(audited, 1), "table")
    pinned = viewer.layers[name]
    np.testing.assert_array_equal(pinned.data, data)
    np.testing.assert_allclose(pinned.data_to_world((0, 0, 0)), corner)
    assert heatmap_layer(viewer) is live
    assert not np.array_equal(live.data, data)


def test_what_was_chosen_is_there_at_the_next_launch(options, audited, window):
    options.inputs["opacity"].value = 0.55
    options.inputs["crop_outline"].value = True
    options.inputs["shown"].value = False
    audited.set_look(Look())
    again = HeatmapOptions(audited, window.heatmap).look()
    assert (again.opacity, again.crop_outline) == (0.55, True)
    assert again.shown  # nobody looks for a heatmap that was hidden last week
