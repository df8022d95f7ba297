"""Layers lie where they belong, whatever the transform of the layer they go with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import scored_label
from mouse import canvas_position

from gradcamo.cells.upsampling import upsample_cam
from gradcamo.datatypes import ZStack
from gradcamo.display import colours_of, contrast_limits
from gradcamo.docks.canvas.heat_layer import heatmap_layer
from gradcamo.docks.canvas.heatmap import crop_map
from gradcamo.docks.canvas.layers import (
    marked_layer,
    place_like,
    show_stack,
    spacing_of,
    stack_from_layers,
)
from gradcamo.errors import GradcamoError
from gradcamo.samples.design import CHANNELS

pytestmark = pytest.mark.gui

TURN = np.array([[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]])


@pytest.mark.parametrize(
    "transform",
    [
        {"translate": (3.0, -20.0, 41.0)},
        {"translate": (1.0, 5.0, 7.0), "rotate": TURN},
        {"translate": (1.0, 5.0, 7.0), "rotate": TURN, "affine": np.diag([1, 2, 0.5, 1])},
        {"shear": (0.1, 0.0, 0.3), "affine": np.eye(4) + np.eye(4, k=3) * 4},
    ],
)
def test_a_derived_layer_s_voxels_lie_on_the_reference_s(transform):
    from napari.layers import Image

    scale = (0.6, 0.35, 0.35)
    reference = Image(np.zeros((9, 40, 50)), scale=scale, units=("um",) * 3, **transform)
    start = np.array([0, -3, 12])
    derived = Image(np.zeros((9, 16, 16)), **place_like(reference, start))
    for voxel in np.random.default_rng(0).uniform(0, 15, (5, 3)):
        expected = reference.data_to_world(start + voxel)
        np.testing.assert_allclose(derived.data_to_world(voxel), expected, atol=1e-9)
    assert derived.units == reference.units


def test_the_heatmap_is_the_upsampled_map_on_the_crop(audited, viewer):
    for layer in (*audited.channel_layers.values(), audited.labels_layer):
        layer.translate = (2.0, 30.0, -11.0)
    for rank in (0, 1):  # the second time the layer is used again
        label = scored_label(audited, rank)
        audited.choose(label, "table")
        layer = heatmap_layer(viewer)
        cam, start = audited.results.cam(label)
        expected = upsample_cam(cam, (9, 64, 64), audited.results.placement_of(label))
        np.testing.assert_array_equal(layer.data, expected)
        for corner in ((0, 0, 0), (8, 63, 63)):
            where = audited.labels_layer.data_to_world(start + corner)
            np.testing.assert_allclose(layer.data_to_world(corner), where)
    assert sum(layer.metadata.get("gradcamo") == "heatmap" for layer in viewer.layers) == 1


@pytest.mark.shown
@pytest.mark.parametrize("turn", [np.eye(3), TURN])
def test_the_brightest_pixel_on_the_screen_is_where_the_map_peaks(audited, viewer, qtbot, turn):
    label = scored_label(audited)
    for layer in (*audited.channel_layers.values(), audited.labels_layer):
        layer.translate = (0.0, 15.0, 25.0)
        layer.rotate = turn
        layer.visible = False
    coarse, _ = audited.results.cam(label)
    coarse[:] = 0
    coarse[tuple(n // 2 for n in coarse.shape)] = 1
    audited.choose(label, "table")
    cam, start = crop_map(audited, label)
    peak = np.array(np.nonzero(cam >= cam.max() - 1e-6)).mean(1)
    world = audited.labels_layer.data_to_world(start + peak)
    qtbot.waitUntil(lambda: marked_layer(viewer, "outline") is not None)
    for layer in viewer.layers:
        layer.visible = layer is heatmap_layer(viewer)
    viewer.dims.set_point(0, world[0])
    viewer.camera.center = np.add(world, (0, 3, -4))
    viewer.camera.zoom = 8
    qtbot.wait(100)
    shot = viewer.screenshot(canvas_only=True, flash=False)[..., :3].sum(-1).astype(float)
    ys, xs = np.nonzero(shot >= shot.max() - 2)
    expected = canvas_position(viewer, world)
    ratio = shot.shape[1] / viewer.window._qt_viewer.canvas.native.width()
    voxel = 8 * audited.stack.spacing_um[-1]  # on the screen
    assert abs(ys.mean() / ratio - expected.y()) < voxel
    assert abs(xs.mean() / ratio - expected.x()) < voxel


def test_what_the_user_changed_about_the_heatmap_stays(audited, viewer):
    audited.choose(scored_label(audited, 0), "table")
    heatmap_layer(viewer).colormap = "viridis"
    heatmap_layer(viewer).opacity = 0.4
    audited.choose(scored_label(audited, 1), "table")
    assert heatmap_layer(viewer).colormap.name == "viridis"
    assert heatmap_layer(viewer).opacity == 0.4


def test_channels_come_with_voxel_size_and_the_colour_of_their_stain(viewer, field):
    stack, _ = field
    layers = show_stack(viewer, stack, [(0, 1000)] * 3)
    assert list(layers) == list(stack.channels)
    assert "blue" in layers["Hoechst"].colormap.name
    assert spacing_of(layers["phalloidin"]) == pytest.approx(stack.spacing_um)
    assert len({colour for colour, _ in colours_of(CHANNELS)}) == 6


def test_a_step_that_is_not_known_is_shown_without_a_unit_and_stays_unknown(viewer, field):
    stack = replace(field[0], spacing_um=(None, 0.5, 0.25))
    layer = show_stack(viewer, stack, [(0, 1000)] * 3)["Hoechst"]
    assert layer.scale == pytest.approx((0.25, 0.5, 0.25))
    assert [str(unit) for unit in layer.units] == ["pixel", "micrometer", "micrometer"]
    assert spacing_of(layer) == (None, 0.5, 0.25)
    assert spacing_of(viewer.add_image(np.zeros((3, 8, 8)))) is None


def test_open_layers_become_the_stack_without_copying(viewer, field):
    stack, _ = field
    shown = show_stack(viewer, stack, [(0, 1000)] * 3)
    adopted = stack_from_layers(list(shown.values()))
    assert adopted.channels == stack.channels
    assert adopted.spacing_um == pytest.approx(stack.spacing_um)
    np.testing.assert_array_equal(adopted.data[2, 4], stack.data[2, 4])


def test_layers_of_different_shape_are_no_stack(viewer):
    layers = [viewer.add_image(np.zeros((3, 8, 8))), viewer.add_image(np.zeros((3, 8, 9)))]
    with pytest.raises(GradcamoError, match="of one shape"):
        stack_from_layers(layers)
    with pytest.raises(GradcamoError, match="open a Z-stack"):
        stack_from_layers([])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_channel_without_finite_intensities_in_the_middle_is_shown(bad, viewer):
    data = np.random.default_rng(0).normal(100, 10, (2, 5, 20, 20)).astype(np.float32)
    data[0, 2], data[1] = bad, bad
    limits = [contrast_limits(channel) for channel in data]
    assert limits[0] == contrast_limits(data[0, [1]])
    assert limits[1] == (0, 1)
    stack = ZStack(data, ("a", "b"))
    assert list(show_stack(viewer, stack, limits)) == ["a", "b"]
