"""The Segment dock runs real Cellpose on the stack of the window."""

import numpy as np
import pytest
from conftest import docked
from qtpy.QtCore import Qt

from gradcamo.display import contrast_limits
from gradcamo.docks.canvas.layers import show_stack
from gradcamo.docks.panels.steps.segment import SegmentDock
from gradcamo.docks.panels.steps.workbench import Workbench
from gradcamo.docks.window import window_of
from gradcamo.samples.design import PlateDesign
from gradcamo.samples.plate import make_stack
from gradcamo.segmentation.planes import segment
from gradcamo.settings import SegmentSettings

pytestmark = pytest.mark.gui
DESIGN = PlateDesign(field_px=96, cells_per_field=5, planes=5)


@pytest.fixture
def bench(viewer):
    bench = docked(viewer, Workbench, name="Grad-CAMO")
    stack, _ = make_stack(DESIGN, "D02", 1)
    limits = [contrast_limits(channel) for channel in stack.data]
    window_of(viewer).session.set_stack(stack, show_stack(viewer, stack, limits))
    bench.segment.rows.inputs["model"].value = "bundled"
    return bench


def test_the_labels_layer_holds_what_the_library_finds(bench, qtbot):
    session = bench.session
    bench.segment.begin.click()
    qtbot.waitUntil(lambda: session.labels_layer is not None, timeout=600_000)
    expected = segment(session.stack, SegmentSettings(model="bundled"))
    assert expected.max() >= 3
    np.testing.assert_array_equal(session.labels_layer.data, expected)
    like = session.channel_layers["Hoechst"]
    np.testing.assert_allclose(session.labels_layer.scale, like.scale)
    qtbot.waitUntil(bench.segment.begin.isEnabled, timeout=30_000)


def test_the_channel_pair_is_there_at_the_next_launch(session, viewer, qtbot):
    dock = SegmentDock(viewer)
    dock.rows.inputs["cytoplasm"].value = "phalloidin"
    dock.rows.inputs["nucleus"].value = "Hoechst"
    stack = session.stack
    session.stack = None  # the next launch begins without a stack
    again = SegmentDock(viewer)
    again.rows.inputs["diameter"].value = 31  # this alone is changed before one is opened
    session.stack = stack.select(("Hoechst", "concanavalin"))
    session.stack_changed.emit()
    assert again.rows.values()["cytoplasm"] is None
    assert again.rows.values()["nucleus"] == "Hoechst"
    session.stack = stack
    session.stack_changed.emit()
    values = again.rows.values()
    assert (values["cytoplasm"], values["nucleus"]) == ("phalloidin", "Hoechst")
    assert SegmentDock(viewer).rows.values() == values


def test_cancel_keeps_the_cells_of_the_planes_that_are_done(bench, qtbot):
    session = bench.session
    planes = []
    session.segmenting.stepped.connect(
        lambda item: planes.append(item[1]) if item[0] == "plane" else None
    )
    bench.segment.begin.click()
    qtbot.waitUntil(lambda: len(planes) >= 2, timeout=600_000)
    session.segmenting.cancel()
    qtbot.waitUntil(lambda: not session.segmenting.running, timeout=60_000)
    labels = session.labels_layer.data
    assert labels.shape == session.stack.shape[1:]
    assert labels[0].any()
    assert not labels[-1].any()
    assert bench.segment.begin.isEnabled()


def test_a_preview_is_what_the_stack_gives_in_that_plane(bench, viewer, qtbot):
    session = bench.session
    whole = segment(session.stack, SegmentSettings(model="bundled"))
    for plane in (2, 3):  # the layer is used again
        viewer.dims.set_current_step(0, plane)
        with qtbot.waitSignal(session.segmenting.ended, timeout=600_000):
            qtbot.mouseClick(bench.segment.preview, Qt.MouseButton.LeftButton)
        (layer,) = [one for one in viewer.layers if one.metadata.get("gradcamo") == "preview"]
        np.testing.assert_array_equal(layer.data[0] > 0, whole[plane] > 0)
        where = session.channel_layers["Hoechst"].data_to_world((plane, 0, 0))
        np.testing.assert_allclose(layer.data_to_world((0, 0, 0)), where)
        assert f"in plane {plane}" in bench.segment.message.text()
    assert session.labels_layer is None
    bench.segment.begin.click()
    qtbot.waitUntil(lambda: session.labels_layer is not None, timeout=600_000)
    assert layer not in viewer.layers


def test_a_model_that_nobody_has_is_reported_and_the_dock_goes_on(bench, qtbot):
    session = bench.session
    bench.segment.rows.inputs["model"].value = "cito"
    with qtbot.waitSignal(session.segmenting.ended, timeout=60_000):
        bench.segment.preview.click()
    assert "cito" in bench.segment.message.text()
    assert bench.segment.preview.isEnabled()
