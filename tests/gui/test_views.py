"""Plots, gallery and plate: what is chosen there is chosen everywhere."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import docked
from qtpy.QtCore import Qt

from gradcamo.docks.panels.cells.cells_dock import CellsDock
from gradcamo.docks.panels.cells.gallery_dock import GalleryDock
from gradcamo.docks.panels.plates.figures_dock import FiguresDock
from gradcamo.docks.panels.plates.plate_dock import PlateDock
from gradcamo.docks.window import window_of
from gradcamo.words import counted

pytestmark = pytest.mark.gui


@pytest.fixture
def figures(audited, viewer, qtbot):
    dock = docked(viewer, FiguresDock)

    def draw(kind: str):
        dock.kind.setCurrentIndex(dock.kind.findData(kind))
        before = dock.figure
        dock.draw()
        qtbot.waitUntil(
            lambda: not dock.job.running and dock.figure not in (None, before), timeout=60_000
        )
        return dock.figure.axes[0]

    qtbot.waitUntil(lambda: not dock.job.running, timeout=60_000)
    return dock, draw


def test_the_scores_that_are_drawn_are_those_of_the_table(figures, audited, qtbot, tmp_path):
    dock, draw = figures
    table = audited.results.table.dropna(subset="grad_camo")
    cutoff = float(table["grad_camo"].median())
    audited.set_cutoff(cutoff)
    qtbot.waitUntil(lambda: not dock.job.running, timeout=60_000)
    axes = draw("scores")
    assert dock.group.currentData() == "predicted"
    assert "not known here" in axes.get_xlabel()  # one stack has no treatments to compare
    groups = [tick.get_text().split("\n") for tick in axes.get_xticklabels()]
    for name, count in groups:
        cells = table[table["predicted"] == name]
        assert count == counted(len(cells), "cell")
        share = f"{(cells['grad_camo'] >= cutoff).mean():.0%}"
        assert share in [text.get_text() for text in axes.texts]
    assert {name for name, _ in groups} == set(table["predicted"])
    lines = [line.get_ydata() for line in axes.lines]
    assert any(len(y) == 2 and y[0] == y[1] == cutoff for y in lines)
    for suffix, begin in ((".svg", b"<?xml"), (".png", b"\x89PNG")):
        dock.write(str(tmp_path / f"scores{suffix}"))
        assert (tmp_path / f"scores{suffix}").read_bytes().startswith(begin)


def test_the_budget_that_is_drawn_is_the_mean_of_the_table(figures, audited):
    _, draw = figures
    axes = draw("budget")
    table = audited.results.table.dropna(subset="grad_camo")
    names = [tick.get_text().split("\n")[0] for tick in axes.get_xticklabels()]
    for place, name in enumerate(names):
        cells = table[table["predicted"] == name]
        bars = [bar for bar in axes.patches if abs(bar.get_x() + bar.get_width() / 2 - place) < 0.1]
        means = cells[["grad_camo", "neighbour_share", "background_share"]].mean()
        np.testing.assert_allclose([bar.get_height() for bar in bars], means, rtol=1e-6)


def test_the_gallery_runs_from_the_lowest_score_to_the_highest(audited, viewer, qtbot):
    dock = docked(viewer, GalleryDock)
    table = audited.results.table
    whole = table[~table["touches_border"]].sort_values("grad_camo", kind="stable")
    assert dock.model.labels.tolist() == whole["label"].tolist()
    qtbot.mouseClick(dock.descending, Qt.MouseButton.LeftButton)
    assert dock.model.labels[0] == whole["label"].iloc[-1]
    dock.order.setCurrentIndex(dock.order.findData("volume_um3"))
    dock.order.activated.emit(dock.order.currentIndex())
    assert dock.model.labels[0] == whole["volume_um3"].idxmax()


def test_a_click_in_the_gallery_chooses_the_cell_and_the_other_way_round(audited, viewer, qtbot):
    dock = docked(viewer, GalleryDock)
    qtbot.waitUntil(lambda: len(dock.pictures._pictures) > 2, timeout=60_000)
    labels = dock.model.labels

    def press(row: int, modifier=Qt.KeyboardModifier.NoModifier) -> None:
        where = dock.view.visualRect(dock.model.index(row)).center()
        qtbot.mouseClick(dock.view.viewport(), Qt.MouseButton.LeftButton, modifier, where)

    press(1)
    assert audited.cell == labels[1]
    assert audited.labels_layer.selected_label == labels[1]
    press(2, Qt.KeyboardModifier.ControlModifier)
    assert set(audited.selection) == set(labels[1:3])
    last = int(labels[-1])
    audited.choose(last, "table")
    chosen = dock.view.selectionModel().selectedIndexes()
    assert [index.row() for index in chosen] == [len(labels) - 1]
    assert dock.view.viewport().rect().intersects(dock.view.visualRect(chosen[0]))  # scrolled to


def test_the_gallery_follows_the_table_on_request(audited, viewer, qtbot):
    dock, cells = docked(viewer, GalleryDock), docked(viewer, CellsDock)
    dock.order.setCurrentIndex(dock.order.findText("as in the table"))
    dock.order.activated.emit(dock.order.currentIndex())
    median = audited.results.table["volume_um3"].median()
    cells.toolbar.filter.setText(f"volume_um3 > {median}")
    qtbot.waitUntil(lambda: len(cells.model.labels()) == len(dock.model.labels), timeout=30_000)
    assert dock.model.labels.tolist() == cells.model.labels().tolist()
    assert (audited.results.table.loc[dock.model.labels, "volume_um3"] > median).all()


def test_wells_lie_where_they_lie_on_the_plate(viewer, tmp_path, qtbot):
    lines = [f"{well}.tif,P,{well},1,drug" for well in ("AA10", "B2", "AA9", "Z1", "control")]
    (tmp_path / "plate.csv").write_text("image,plate,well,site,treatment\n" + "\n".join(lines))
    for line in lines:
        (tmp_path / line.split(",")[0]).touch()
    dock = docked(viewer, PlateDock)
    with qtbot.waitSignal(dock.plate.reading.ended, timeout=60_000):
        dock.load(tmp_path / "plate.csv")
    table = dock.wells
    rows = [table.verticalHeaderItem(row).text() for row in range(table.rowCount())]
    columns = [table.horizontalHeaderItem(n).text() for n in range(table.columnCount())]
    assert rows == ["B", "Z", "AA", "control"]
    assert columns == ["", "01", "02", "09", "10"]
    at = {(r, c) for r in range(4) for c in range(5) if table.item(r, c) is not None}
    assert at == {(0, 2), (1, 1), (2, 3), (2, 4), (3, 0)}
    assert dock._sites(2, 4)["well"].tolist() == ["AA10"]


def test_a_double_click_on_a_well_opens_its_site(viewer, qtbot, tmp_path):
    from gradcamo.samples.design import PlateDesign
    from gradcamo.samples.plate import make_plate, make_stack

    design = PlateDesign(
        field_px=64, planes=5, cells_per_field=3, rows=("D", "E"), columns=("02",), sites=2
    )
    dock = docked(viewer, PlateDock)
    with qtbot.waitSignal(dock.plate.reading.ended, timeout=60_000):
        dock.load(make_plate(tmp_path, design))
    assert (dock.wells.rowCount(), dock.wells.columnCount()) == (2, 1)
    assert [dock.wells.item(row, 0).text() for row in range(2)] == ["control", "40.00x"]
    sites = [dock.site.itemText(number) for number in range(dock.site.count())]
    assert sites == ["site 1", "site 2"]  # before a well is chosen
    dock.wells.setCurrentCell(1, 0)
    dock.site.setCurrentText("site 2")
    where = dock.wells.visualItemRect(dock.wells.item(1, 0)).center()
    viewport = dock.wells.viewport()
    qtbot.mouseClick(viewport, Qt.MouseButton.LeftButton, pos=where)
    with qtbot.waitSignal(dock.plate.opening.ended, timeout=60_000):
        qtbot.mouseDClick(viewport, Qt.MouseButton.LeftButton, pos=where)
    stack, labels = make_stack(design, "E02", 2)
    session = window_of(viewer).session
    np.testing.assert_array_equal(np.asarray(session.stack.data), np.asarray(stack.data))
    np.testing.assert_array_equal(session.labels_layer.data, labels)
