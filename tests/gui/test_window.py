"""What a user does with the mouse, in a real window."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import scored_label
from qtpy.QtCore import QPoint, Qt

from gradcamo.docks.cells import CellsDock
from gradcamo.docks.layers import heatmap_layer

pytestmark = pytest.mark.gui


def canvas_position(viewer, world) -> QPoint:
    """Where a world position lies on the canvas, in logical pixels."""
    view = viewer.window._qt_viewer.canvas.view
    shown = [world[axis] for axis in viewer.dims.displayed][::-1]
    x, y, _, w = (view.transform * view.scene.transform).map([*shown, 0, 1][: 3] + [1])
    return QPoint(round(x / w), round(y / w))


def click(viewer, qtbot, world, modifier=Qt.KeyboardModifier.NoModifier):
    native = viewer.window._qt_viewer.canvas.native
    qtbot.mouseClick(native, Qt.MouseButton.LeftButton, modifier, canvas_position(viewer, world))


def centre_of(session, label):
    row = session.results.table.loc[label]
    voxel = [row["centroid_z"], row["centroid_y"], row["centroid_x"]]
    return session.labels_layer.data_to_world(voxel)


@pytest.mark.parametrize("ndisplay", [2, 3])
def test_clicking_a_cell_on_the_canvas_chooses_it_and_shows_its_map(audited, viewer, qtbot, ndisplay):
    label = scored_label(audited)
    viewer.dims.ndisplay = ndisplay
    viewer.dims.set_point(0, centre_of(audited, label)[0])
    viewer.reset_view()
    qtbot.wait(50)
    click(viewer, qtbot, centre_of(audited, label))
    if ndisplay == 2:
        assert audited.cell == label
    else:  # another cell may lie in the line of sight
        assert audited.cell in audited.results.table.index
    assert audited.labels_layer.selected_label == audited.cell
    assert heatmap_layer(viewer).metadata["cell"] == f"cell {audited.cell}"
