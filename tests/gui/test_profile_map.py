"""Points and cells choose each other, also across the stacks of a plate."""

from __future__ import annotations

import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import docked
from mouse import click
from qtpy.QtCore import QPoint, QPointF, Qt
from tiny import tiny_checkpoint, tiny_plate

from gradcamo.docks.panels.cells.cells_dock import CellsDock
from gradcamo.docks.panels.plates.figures_dock import FiguresDock
from gradcamo.docks.panels.plates.palette import Colours
from gradcamo.docks.panels.plates.profile_map_dock import ProfileMapDock
from gradcamo.docks.panels.steps.stack_choice import StackChoice
from gradcamo.docks.panels.training.stack_table import STACK, WELL, StackTable
from gradcamo.docks.window import window_of

pytestmark = pytest.mark.gui


@pytest.fixture
def mapped(audited, viewer, qtbot):
    """A map with a layout drawn by lot: UMAP itself takes its time and is tested elsewhere."""
    dock = docked(viewer, ProfileMapDock)
    labels, _ = audited.results.profiles()
    places = np.random.default_rng(1).normal(size=(len(labels), 2)).astype(np.float32)
    dock.job.stepped.emit((("stack", False), labels, places, "drawn by lot"))
    qtbot.wait(100)
    return dock


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    """The results of a plate of four stacks, laid out by lot."""
    from gradcamo.files.store import read_table, write_table
    from gradcamo.plate.assemble import finish
    from gradcamo.plate.checked_rows import open_plate
    from gradcamo.plate.jobs import stack_jobs
    from gradcamo.plate.run import open_folder
    from gradcamo.plate.tasks import audit_stack
    from gradcamo.settings import PlateSettings

    folder = tmp_path_factory.mktemp("plate")
    settings = PlateSettings(umap_cells=0, thumbnails=0)
    plate = open_plate(tiny_plate(folder / "plate", sites=1), settings)
    network = tiny_checkpoint()
    out = open_folder(network, folder / "results", settings)
    jobs = stack_jobs(plate, out)
    assert [audit_stack(job).reason for job in jobs] == [""] * 4
    finish(plate, out, [job.name for job in jobs], {})
    path = out.out / "cells.parquet"
    cells = read_table(path)
    places = np.random.default_rng(2).uniform(-5, 5, (len(cells), 2))
    places[cells["touches_border"].to_numpy(bool)] = np.nan
    cells[["umap_1", "umap_2"]] = places
    write_table(cells, path)
    return out.out


@pytest.fixture
def plate_map(viewer, results, qtbot):
    dock = docked(viewer, ProfileMapDock)
    dock.source.open(str(results))
    qtbot.waitUntil(lambda: dock.source.plate is not None, timeout=30_000)
    qtbot.wait(100)
    return dock


def test_a_folder_without_results_says_so_where_it_was_opened(viewer, tmp_path, qtbot):
    dock = docked(viewer, ProfileMapDock)
    with qtbot.waitSignal(dock._plate.reading.ended, timeout=30_000):
        dock.source.open(str(tmp_path))
    assert "cells.parquet" in dock.message.text()


def on_plot(dock, point) -> QPoint:
    where = dock.plot.box.mapViewToScene(QPointF(*map(float, point)))
    return dock.plot.mapFromScene(where)


def click_point(dock, qtbot, place, modifier=Qt.KeyboardModifier.NoModifier):
    where = on_plot(dock, place)
    qtbot.mouseClick(dock.plot.viewport(), Qt.MouseButton.LeftButton, modifier, where)


def lasso(dock, qtbot, corners):
    """Press, draw along the corners, release: as a hand does, with time between the moves."""
    viewport, button = dock.plot.viewport(), Qt.MouseButton.LeftButton
    stops = [on_plot(dock, corner) for corner in corners]
    qtbot.mousePress(viewport, button, pos=stops[0])
    for start, end in pairwise(stops):
        for part in (0.3, 0.6, 1.0):
            qtbot.mouseMove(viewport, start + (end - start) * part)
            qtbot.wait(15)
    qtbot.mouseRelease(viewport, button, pos=stops[-1])
    qtbot.wait(30)


def test_a_click_on_a_point_chooses_its_cell_everywhere(mapped, audited, viewer, qtbot):
    table = docked(viewer, CellsDock)
    qtbot.wait(100)
    label, other = mapped.rows[[2, 0]].tolist()
    click_point(mapped, qtbot, mapped.places[2])
    assert audited.cell == label
    assert audited.labels_layer.selected_label == label
    rows = table.view.selectionModel().selectedRows()
    assert [table.model.label_at(row.row()) for row in rows] == [label]
    click_point(mapped, qtbot, mapped.places[0], Qt.KeyboardModifier.ShiftModifier)
    assert set(audited.selection) == {label, other}


@pytest.mark.shown
def test_a_cell_that_is_clicked_on_the_canvas_is_ringed(mapped, audited, viewer, qtbot):
    from conftest import centre_of, scored_label

    label = scored_label(audited)
    centre = centre_of(audited, label)
    viewer.dims.set_point(0, centre[0])
    viewer.reset_view()
    qtbot.wait(200)
    click(viewer, qtbot, centre)
    assert audited.cell == label
    ringed = np.column_stack(mapped.plot.ring.getData())
    np.testing.assert_allclose(ringed, mapped.places[mapped.rows == label], rtol=1e-6)


def test_the_lasso_chooses_exactly_the_points_inside(mapped, audited, qtbot):
    low, high = mapped.places.min(0), mapped.places.max(0)
    along_x = np.sort(mapped.places[:, 0])
    gap = int(np.argmax(np.diff(along_x)))
    half = along_x[gap : gap + 2].mean()  # as far from any point as can be
    left, bottom, top = low[0] - 0.1, low[1] - 0.1, high[1] + 0.1
    mapped.plot.box.scaleBy((1.3, 1.3))  # room for the hand
    qtbot.wait(50)
    before = mapped.plot.box.viewRect()
    qtbot.mouseClick(mapped.lasso, Qt.MouseButton.LeftButton, pos=QPoint(8, 8))
    assert mapped.lasso.isChecked()
    lasso(mapped, qtbot, [(left, bottom), (half, bottom), (half, top), (left, top)])
    assert set(audited.selection) == set(mapped.rows[mapped.places[:, 0] < half])
    assert mapped.plot.box.viewRect() == before  # nothing was moved
    mapped.lasso.setChecked(False)
    lasso(mapped, qtbot, [(half, bottom), (half, top)])
    assert mapped.plot.box.viewRect() != before


def test_the_map_of_a_plate_opens_the_stack_of_a_point(plate_map, viewer, results, qtbot):
    session = window_of(viewer).session
    cells = plate_map.source.plate.cells
    whole = cells[~cells["touches_border"].astype(bool)]
    assert plate_map.rows.tolist() == whole.index.tolist()
    row = int(whole.index[whole["well"] == "E03"][1])
    point = plate_map.rows.tolist().index(row)
    click_point(plate_map, qtbot, plate_map.places[point])
    assert session.stack is None
    assert plate_map.offer.isVisible()
    assert f"E03 site 1 at cell {cells.at[row, 'label']}" in plate_map.offer.text()
    qtbot.mouseClick(plate_map.offer, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: session.cell != 0, timeout=60_000)
    assert session.cell == cells.at[row, "label"]
    assert session.stack.source == cells.at[row, "image"]
    assert StackChoice(window_of(viewer)).currentText() == "E03 site 1"
    table = StackTable()
    table.add(viewer)
    assert [table.item(0, column).text() for column in (STACK, WELL)] == ["E03 site 1", "E03"]
    opened = session.results.table
    expected = whole[whole["well"] == "E03"].set_index("label")
    for column in ("grad_camo", "predicted", "treatment", "well"):
        pd.testing.assert_series_equal(
            opened.loc[expected.index, column], expected[column], check_index_type=False,
            check_names=False,
        )  # fmt: skip
    assert session.checkpoint.hash == plate_map.source.plate.recipe["checkpoint"]
    ringed = np.column_stack(plate_map.plot.ring.getData())
    np.testing.assert_allclose(ringed, plate_map.places[[point]], rtol=1e-6)
    # from now on this stack's points and cells are the same thing
    other = int(expected.index[0])
    session.choose(other, "table")
    ringed = np.column_stack(plate_map.plot.ring.getData())
    where = whole.index[(whole["well"] == "E03") & (whole["label"] == other)]
    np.testing.assert_allclose(ringed, plate_map.places[np.isin(plate_map.rows, where)], rtol=1e-6)
    assert not plate_map.offer.isVisible()


def test_flags_kept_with_a_stack_survive_its_opening_from_the_map(plate_map, viewer, qtbot, window):
    session = window_of(viewer).session
    cells = plate_map.source.plate.cells
    first = int(cells.index[~cells["touches_border"].astype(bool)][0])
    label = int(cells.at[first, "label"])
    for _ in range(2):
        with qtbot.waitSignal(window.plate.opening.ended, timeout=60_000):
            window.plate.open_cell(first)
        qtbot.waitUntil(lambda: not window.autosave.looking.running, timeout=30_000)
        qtbot.waitUntil(lambda: session.cell == label, timeout=30_000)
        flagged = bool(session.results.table.at[label, "flagged"])
        if _ == 0:
            session.auditing.ended.emit(True)  # as after an audit: scores are kept
            qtbot.waitUntil(lambda: not window.autosave.writing.running, timeout=30_000)
            session.mark([label], not flagged)
            session.note(label, "seen")
            kept = not flagged
    assert session.results.table.at[label, "flagged"] == kept
    assert session.results.marks.notes == {label: "seen"}


def test_a_folder_without_results_is_refused(viewer, tmp_path, qtbot, capsys):
    dock = docked(viewer, ProfileMapDock)
    with qtbot.waitSignal(window_of(viewer).plate.reading.failed) as failed:
        dock.source.open(str(tmp_path))
    assert "gradcamo plate" in str(failed.args[0])
    assert dock.source.plate is None


@pytest.mark.slow
def test_umap_runs_beside_the_window_and_stops_at_once(audited, viewer, qtbot):
    dock = docked(viewer, ProfileMapDock)
    dock.space.setCurrentIndex(1)
    qtbot.mouseClick(dock.again, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: dock.umap._process is not None, timeout=20_000)
    process = dock.umap._process
    qtbot.mouseClick(dock.progress.cancel, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not dock.job.running, timeout=20_000)
    assert process.poll() is not None
    assert len(dock.rows) == 0
    qtbot.mouseClick(dock.again, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not dock.job.running, timeout=200_000)
    from gradcamo.profiles.whiten import whiten_stack

    labels, profiles = audited.results.profiles()
    values, said = whiten_stack(audited.results.table.loc[labels], profiles)
    assert "all cells: the controls are not known here" in dock.about.text()
    assert said in dock.about.text()
    *_, expected = dock.umap.steps(values, 0, lambda: False)
    np.testing.assert_allclose(dock.places, expected, rtol=1e-4, atol=1e-4)


def test_very_many_points_lie_where_few_would(viewer, qtbot):
    from gradcamo.docks.panels.plates.scatter import LARGE, PointPlot

    plot = PointPlot()
    docked(viewer, plot)
    places = np.random.default_rng(3).normal(size=(LARGE + 1, 2))
    places[0] = (9, 9)  # alone
    names = pd.Series(["many"] * LARGE + ["few"])[::-1].reset_index(drop=True)
    plot.show_points(places, Colours(names))
    qtbot.wait(100)
    where = plot.mapFromScene(plot.box.mapViewToScene(QPointF(9, 9)))
    drawn = plot.grab().toImage()
    ink = Colours(names).inks[Colours(names).names.index("few")]
    assert drawn.pixelColor(where).name() == ink.name()
    with qtbot.waitSignal(plot.clicked, timeout=30_000) as clicked:
        qtbot.mouseClick(plot.viewport(), Qt.MouseButton.LeftButton, pos=where + QPoint(2, -2))
    assert clicked.args[0] == 0


def test_numbers_get_a_bar_and_names_a_colour_each():
    numbers = Colours(pd.Series([*np.linspace(0.1, 0.4, 20), np.nan]))
    assert numbers.names is None
    assert (numbers.low, numbers.high) == (0.1, 0.4)
    assert numbers.codes[0] == 0
    assert len({numbers.codes[i] for i in range(20)}) == 20
    assert numbers.inks[numbers.codes[-1]].alphaF() < 0.5  # grey: no value
    doses = Colours(pd.Series(["control", "0.06x", "8.00x", "control"]))
    assert doses.names == ["control", "0.06x", "8.00x"]
    assert doses.codes.tolist() == [0, 1, 2, 0]
    wells = Colours(pd.Series([f"{row}{n:02}" for row in "ABCD" for n in range(1, 13)]))
    assert len(wells.names) == 12
    assert wells.names[-1] == "others"
    assert Colours(pd.Series([True, False])).names == ["no", "yes"]
    for answers in (pd.Series([True, None, False]), pd.array([True, None, False], "boolean")):
        answered = Colours(pd.Series(answers))
        assert answered.codes.tolist() == [1, 2, 0]  # who was not asked is no no
        assert answered.inks[2] == numbers.inks[-1]
    assert Colours(pd.Series([0, 1, 1])).names == ["0", "1"]
    assert Colours(pd.Series([np.nan, np.nan])).names == []


@pytest.mark.parametrize("far", [10.0, -400.0])
def test_the_points_fill_the_plot_wherever_they_lie(far, viewer, qtbot):
    from gradcamo.docks.panels.plates.scatter import PointPlot

    plot = PointPlot()
    docked(viewer, plot)
    places = far + np.random.default_rng(0).random((30, 2))
    plot.show_points(places, Colours(pd.Series(["one"] * 30)))
    (left, right), (low, high) = plot.box.viewRange()
    assert right - left < 2 * np.ptp(places[:, 0])
    assert high - low < 2 * np.ptp(places[:, 1])


def test_causal_figures_are_offered_where_cells_were_asked(viewer, results, qtbot, tmp_path):
    from gradcamo.files.store import read_table, write_table

    asked = tmp_path / "asked"
    shutil.copytree(results, asked)
    table = read_table(asked / "cells.parquet")
    table = table.assign(treatment=table["predicted"], causal_effect=1.0, volume_own=0.2)
    write_table(
        table.assign(causal_own=0.5, causal_neighbour=0.3, causal_background=0.2),
        asked / "cells.parquet",
    )
    dock = docked(viewer, FiguresDock)
    assert dock.kind.findData("causal") < 0
    dock.source.open(str(asked))
    qtbot.waitUntil(lambda: dock.source.plate is not None, timeout=60_000)
    for kind in ("causal", "agreement"):
        dock.kind.setCurrentIndex(dock.kind.findData(kind))
        before = dock.figure
        dock.draw()
        qtbot.waitUntil(
            lambda before=before: not dock.job.running and dock.figure not in (None, before),
            timeout=60_000,
        )
        axes = dock.figure.axes[0]
        if kind == "causal":
            assert axes.get_title() == "Causal budget"
            assert axes.patches[0].get_height() == pytest.approx(0.5)
    drawn = sum(len(part.get_offsets()) for part in axes.collections)
    assert drawn == table["grad_camo"].notna().sum() > 0
    dock.source.setCurrentIndex(0)
    dock.source.activated.emit(0)
    assert dock.kind.findData("causal") < 0
    assert dock.kind.currentData() in ("scores", "budget")
