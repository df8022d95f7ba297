"""A cell in the image, its row in the table and its heatmap are the same thing."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import centre_of, docked, scored_label
from mouse import canvas_position, click, drag
from qtpy.QtCore import Qt

from gradcamo.docks.canvas.click import label_at
from gradcamo.docks.canvas.heat_layer import heatmap_layer
from gradcamo.docks.panels.cells.cells_dock import CellsDock

pytestmark = pytest.mark.gui


@pytest.fixture
def cells(audited, viewer, qtbot):
    dock = docked(viewer, CellsDock, area="bottom")
    qtbot.wait(50)
    return dock


def selected_in_table(dock) -> list[int]:
    return [dock.model.label_at(i.row()) for i in dock.view.selectionModel().selectedRows()]


def row_click(dock, qtbot, label, modifier=Qt.KeyboardModifier.NoModifier) -> None:
    index = dock.model.index(dock.model.row_of(label), 0)
    dock.view.scrollTo(index)
    where = dock.view.visualRect(index).center()
    qtbot.mouseClick(dock.view.viewport(), Qt.MouseButton.LeftButton, modifier, where)


@pytest.mark.shown
def test_a_click_on_a_cell_in_2d_chooses_it_everywhere(audited, viewer, cells, qtbot):
    label = scored_label(audited)
    viewer.dims.set_point(0, centre_of(audited, label)[0])
    qtbot.wait(50)
    click(viewer, qtbot, centre_of(audited, label))
    assert audited.cell == label
    assert audited.labels_layer.selected_label == label
    assert selected_in_table(cells) == [label]
    assert heatmap_layer(viewer).metadata["cell"] == f"cell {label}"


@pytest.mark.shown
def test_a_click_in_3d_chooses_the_first_cell_in_the_line_of_sight(audited, viewer, cells, qtbot):
    label = scored_label(audited)
    for layer in audited.channel_layers.values():
        layer.visible = False  # volumes are slow to draw without a graphics card
    viewer.dims.ndisplay = 3
    viewer.camera.angles = (0, 0, 90)  # along z: the first cell is the top one at this (y, x)
    viewer.reset_view()
    qtbot.wait(50)
    row = audited.results.table.loc[label]
    column = audited.labels_layer.data[:, round(row["centroid_y"]), round(row["centroid_x"])]
    in_sight = set(np.unique(column)) - {0}
    click(viewer, qtbot, centre_of(audited, label))
    assert audited.cell in in_sight
    assert selected_in_table(cells) == [audited.cell]


@pytest.mark.shown
def test_hidden_labels_are_clicked_all_the_same(audited, viewer, qtbot):
    label = scored_label(audited)
    viewer.dims.set_point(0, centre_of(audited, label)[0])
    audited.labels_layer.visible = False
    qtbot.wait(50)
    click(viewer, qtbot, centre_of(audited, label))
    assert audited.cell == label


@pytest.mark.shown
def test_dragging_the_image_chooses_nothing(audited, viewer, qtbot):
    label = scored_label(audited)
    viewer.dims.set_point(0, centre_of(audited, label)[0])
    qtbot.wait(50)
    drag(viewer, qtbot, centre_of(audited, label), 25)
    assert audited.cell == 0


def test_a_ray_that_misses_the_stack_meets_no_cell(session):
    assert label_at(session.labels_layer, (-50, -50, -50), (1.0, 0, 0), (0, 1, 2)) == 0
    assert label_at(session.labels_layer, (0.0, -9, -9), None, (1, 2)) == 0


def test_a_click_on_a_row_chooses_the_cell_and_goes_to_its_plane(audited, viewer, cells, qtbot):
    label = scored_label(audited, 1)
    viewer.dims.set_point(0, 0)
    row_click(cells, qtbot, label)
    assert audited.cell == audited.labels_layer.selected_label == label
    plane = round(audited.results.table.at[label, "centroid_z"])
    assert viewer.dims.current_step[0] == plane
    assert heatmap_layer(viewer).metadata["cell"] == f"cell {label}"


def test_several_rows_are_several_cells_and_sorting_keeps_them(audited, cells, qtbot):
    labels = [scored_label(audited, rank) for rank in range(3)]
    row_click(cells, qtbot, labels[0])
    for label in labels[1:]:
        row_click(cells, qtbot, label, Qt.KeyboardModifier.ControlModifier)
    assert audited.selection.tolist() == sorted(labels)
    for column, ascending in (("volume_um3", False), ("predicted", True), ("label", False)):
        cells.sort_by(column, ascending)
        assert sorted(selected_in_table(cells)) == sorted(labels)
        assert audited.selection.tolist() == sorted(labels)


def test_picking_a_label_with_napari_s_own_tool_chooses_the_cell(audited, viewer, cells):
    label = scored_label(audited, 2)
    audited.labels_layer.selected_label = label
    assert audited.cell == label
    assert selected_in_table(cells) == [label]


def test_colouring_the_labels_chooses_nothing(audited, viewer, window):
    label = scored_label(audited, 1)
    audited.choose(label, "table")
    for mode in ("flagged", "label", "score"):
        window.colours.set_mode(mode)
        assert audited.cell == label
    audited.choose(0, "table")  # the layer keeps its selected label, and repeats it
    window.colours.set_mode("flagged")
    assert audited.cell == 0


def test_cells_at_the_border_can_be_chosen_and_show_no_map(audited, viewer, cells, qtbot):
    table = audited.results.table
    label = int(table[table["touches_border"]]["label"].iloc[0])
    row_click(cells, qtbot, label)
    assert audited.cell == label
    assert heatmap_layer(viewer) is None


def white_share(session, viewer, label: int) -> float:
    """The share of a cell's rim, on the plane that is shown, that is white on the screen."""
    from scipy.ndimage import binary_erosion

    layer = session.labels_layer
    plane = round(layer.world_to_data(viewer.dims.point)[0])
    mask = layer.data[plane] == label
    rim = np.argwhere(mask & ~binary_erosion(mask))
    picture = viewer.screenshot(flash=False)
    ratio = picture.shape[1] / viewer.window._qt_viewer.canvas.native.width()
    places = [canvas_position(viewer, layer.data_to_world((plane, *voxel))) for voxel in rim]
    pixels = [picture[int(p.y() * ratio), int(p.x() * ratio), :3] for p in places]
    return float((np.array(pixels).min(axis=1) > 200).mean())


@pytest.mark.shown
def test_cells_that_are_chosen_together_are_outlined_together(audited, viewer, cells, qtbot):
    layer, active = audited.labels_layer, viewer.layers.selection.active
    there = [int(n) for n in np.unique(layer.data[4])[1:]]
    chosen, other = there[:3], there[3]
    for shown in (*audited.channel_layers.values(), layer):
        shown.visible = False
    viewer.dims.set_point(0, layer.data_to_world((4, 0, 0))[0])
    audited.select(chosen)
    qtbot.wait(100)
    assert min(white_share(audited, viewer, label) for label in chosen) > 0.8
    assert white_share(audited, viewer, other) < 0.3  # where a neighbour is chosen
    assert viewer.layers.selection.active is active
    layer.data_setitem(np.nonzero(layer.data == chosen[0]), 0)
    layer.translate = (0.0, 3.0, 4.0)
    audited.select([*chosen[1:], other])
    qtbot.wait(100)
    assert min(white_share(audited, viewer, label) for label in (*chosen[1:], other)) > 0.8
    audited.select([other])
    qtbot.wait(100)
    assert white_share(audited, viewer, chosen[1]) < 0.3
    viewer.layers.remove(layer)
    assert "chosen cells" not in viewer.layers
