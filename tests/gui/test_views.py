"""Plots, gallery and plate: what is chosen there is chosen everywhere."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import scored_label
from qtpy.QtCore import Qt

from gradcamo.docks.figures_dock import FiguresDock
from gradcamo.docks.gallery import GalleryDock
from gradcamo.docks.plate import PlateDock
from gradcamo.docks.session import session_of

pytestmark = pytest.mark.gui


def docked(viewer, widget_class):
    widget = widget_class(viewer)
    viewer.window.add_dock_widget(widget)
    return widget


def test_figures_are_drawn_and_saved(audited, viewer, qtbot, tmp_path):
    dock = docked(viewer, FiguresDock)
    for kind in range(dock.kind.count()):
        dock.kind.setCurrentIndex(kind)
        dock.draw()
        qtbot.waitUntil(lambda: not dock.job.running and dock.figure is not None, timeout=30_000)
        path = tmp_path / f"{kind}.svg"
        dock.write(str(path))
        assert "</svg>" in path.read_text()
    assert dock.group.currentText() == "predicted"


def test_the_gallery_follows_the_order_and_chooses_cells(audited, viewer, qtbot):
    dock = docked(viewer, GalleryDock)
    audited.order = np.array([scored_label(audited, rank) for rank in (2, 0, 1)])
    with qtbot.waitSignal(dock.job.ended, timeout=60_000):
        dock.draw()
    assert list(dock.items) == audited.order.tolist()
    item = dock.view.item(1)
    where = dock.view.visualItemRect(item).center()
    qtbot.mouseClick(dock.view.viewport(), Qt.MouseButton.LeftButton, pos=where)
    assert audited.cell == audited.order[1]
    audited.choose(int(audited.order[2]), "table")
    assert dock.view.currentItem() is dock.items[audited.cell]


def test_a_double_click_on_a_well_opens_its_site(viewer, qtbot, tmp_path):
    from gradcamo.samples.design import PlateDesign
    from gradcamo.samples.plate import make_plate, make_stack

    design = PlateDesign(
        field_px=64, planes=5, cells_per_field=3, rows=("D", "E"), columns=("02",), sites=2
    )
    dock = docked(viewer, PlateDock)
    with qtbot.waitSignal(dock.job.ended, timeout=60_000):
        dock.load(make_plate(tmp_path, design))
    assert (dock.wells.rowCount(), dock.wells.columnCount()) == (2, 1)
    assert [dock.wells.item(row, 0).text() for row in range(2)] == ["control", "40.00x"]
    dock.wells.setCurrentCell(1, 0)
    dock.site.setCurrentText("site 2")
    where = dock.wells.visualItemRect(dock.wells.item(1, 0)).center()
    viewport = dock.wells.viewport()
    qtbot.mouseClick(viewport, Qt.MouseButton.LeftButton, pos=where)
    with qtbot.waitSignal(dock.job.ended, timeout=60_000):
        qtbot.mouseDClick(viewport, Qt.MouseButton.LeftButton, pos=where)
    stack, labels = make_stack(design, "E02", 2)
    session = session_of(viewer)
    np.testing.assert_array_equal(np.asarray(session.stack.data), np.asarray(stack.data))
    np.testing.assert_array_equal(session.labels_layer.data, labels)
