"""Tables of single cells of other tools at the window: opened, flagged, written back."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import docked

from gradcamo.docks.entry.reader import get_table_reader
from gradcamo.docks.panels.cells.cells_dock import CellsDock
from gradcamo.docks.panels.plates.single_cells_dock import SingleCellsDock
from gradcamo.docks.panels.steps.load import LoadDock
from gradcamo.docks.panels.steps.review import ReviewDock
from gradcamo.docks.work.verdicts import BY_HAND
from gradcamo.files.store import write_table

sys.path.insert(0, str(Path(__file__).parents[1]))
from measured import CHANNELS, cytotable, labels_of, write_cytotable

pytestmark = pytest.mark.gui

FLAG = "Metadata_cqc_gradcamo_is_outlier"


@pytest.fixture
def path(tmp_path):
    return write_cytotable(tmp_path / "run")


@pytest.fixture
def dock(viewer):
    return docked(viewer, SingleCellsDock, area="right")


@pytest.fixture
def cells(viewer):
    return docked(viewer, CellsDock, area="bottom")


def load(dock, qtbot, path, **how) -> None:
    with qtbot.waitSignal(dock.browser.reading.ended, timeout=20_000):
        dock.load(path, **how)


def open_image(dock, qtbot, row: int, window) -> None:
    """Open an image as a double click does, and wait until what was kept is back."""
    with qtbot.waitSignal(dock.browser.opening.ended, timeout=20_000):
        dock.list.cellActivated.emit(row, 0)
    qtbot.waitUntil(lambda: not window.autosave.looking.running, timeout=20_000)


def write_back(dock, qtbot, out) -> str:
    with qtbot.waitSignal(dock.browser.writing.ended, timeout=20_000):
        dock.browser.write(out)
    return dock.message.text()


def test_images_are_listed_and_one_opens_with_its_rows_joined_to_its_labels(
    dock, cells, path, qtbot, window
):
    load(dock, qtbot, path, labels=path.parent / "masks")
    shown = [dock.list.item(1, column).text() for column in range(dock.list.columnCount())]
    assert shown == ["B03_s1_DNA.tiff", "007", "B03", "1", "4", "image and labels"]
    assert "8 cells in 2 images" in dock.recognised.text()
    open_image(dock, qtbot, 1, window)
    session = window.session
    assert session.stack.channels == CHANNELS
    np.testing.assert_array_equal(session.labels_layer.data, labels_of(1))
    assert cells.model.labels().tolist() == [1, 2, 4, 6]
    assert dock.message.text() == "B03_s1_DNA.tiff: 4 rows joined to their labels"
    assert "4 cells of plate.parquet · 0 scored · 0 flagged" in cells.message.text()
    assert cells.model.columns[:3] == ["label", "flagged", "note"]
    assert cells.model.columns[3] == "Metadata_cqc_small_is_outlier"
    assert "Cells_Intensity_Mean_ER" in cells.model.columns
    measured = cytotable().iloc[4:].set_index("Metadata_ObjectNumber")
    pd.testing.assert_series_equal(
        session.cells["Cells_Intensity_Mean_ER"].rename_axis("Metadata_ObjectNumber"),
        measured["Cells_Intensity_Mean_ER"],
    )


def test_rows_are_sorted_and_filtered_by_the_columns_of_the_table(dock, cells, path, qtbot, window):
    load(dock, qtbot, path, labels=path.parent / "masks")
    open_image(dock, qtbot, 0, window)
    cells.sort_by("Cells_Intensity_Mean_ER", ascending=False)
    assert cells.model.labels().tolist() == [5, 4, 2, 1]
    cells.toolbar.filter.setText("Metadata_cqc_small_is_outlier or Cells_AreaShape_Center_X < 10")
    assert cells.model.labels().tolist() == [5, 1]
    cells.toolbar.filter.setText("Cells_Children_Nuclei_Count is None")
    assert cells.model.labels().tolist() == [2]


def test_flags_of_all_images_go_back_and_nothing_else_of_the_table_changes(
    dock, cells, path, qtbot, window, viewer
):
    load(dock, qtbot, path, labels=path.parent / "masks")
    session, out = window.session, path.with_name("checked.parquet")
    open_image(dock, qtbot, 0, window)
    session.choose(2, "table")
    flag = cells.model.index(cells.model.row_of(2), cells.model.columns.index("flagged"))
    assert not cells.model.value(flag)
    window.keys.toggle_flag()
    assert cells.model.value(flag)
    cells.model.writer(4, "note", "=debris")
    assert session.cells["flagged"].tolist() == [False, True, False, False]
    open_image(dock, qtbot, 1, window)
    assert not session.cells["flagged"].any()  # label 2 of the other image
    session.mark([6], True)
    open_image(dock, qtbot, 0, window)
    assert session.cells["flagged"].tolist() == [False, True, False, False]  # kept, and back
    said = write_back(dock, qtbot, out)
    assert "8 cells, 2 flagged" in said
    assert "flags from 2 of 2 images" in said
    back, table = pd.read_parquet(out), cytotable()
    pd.testing.assert_frame_equal(back[list(table)], table)
    flagged = back.loc[back[FLAG], ["Image_Metadata_Well", "Metadata_ObjectNumber"]]
    assert flagged.to_numpy().tolist() == [["B02", 2], ["B03", 6]]
    assert back.loc[back[FLAG], "Metadata_gradcamo_reason"].tolist() == [BY_HAND] * 2
    assert back["Metadata_gradcamo_note"].tolist() == ["", "", "=debris", "", "", "", "", ""]


def test_flags_of_an_export_are_read_back_where_nothing_was_scored(
    dock, cells, path, qtbot, window
):
    load(dock, qtbot, path, labels=path.parent / "masks")
    open_image(dock, qtbot, 0, window)
    flags = {"label": [1, 2, 4], "flagged": [True, False, False], "note": ["", "seen", ""]}
    pd.DataFrame(flags).to_csv(path.with_name("flags.csv"), index=False)
    with qtbot.waitSignal(cells.reading.ended, timeout=20_000):
        cells.read_flags(str(path.with_name("flags.csv")))
    assert window.session.cells["flagged"].tolist() == [True, False, False, False]
    assert window.session.cells.loc[2, "note"] == "seen"
    assert window.session.results.marks.flagged == {1: True}  # nobody cleared the others


def test_what_was_written_back_opens_with_its_flags_where_nothing_was_kept(
    dock, cells, path, qtbot, window, tmp_path
):
    load(dock, qtbot, path, labels=path.parent / "masks")
    open_image(dock, qtbot, 0, window)
    window.session.mark([1, 4], True)
    window.session.note(1, "two nuclei")
    assert "2 flagged" in write_back(dock, qtbot, path.with_name("checked.parquet"))
    other = tmp_path / "other"
    shutil.copytree(path.parent, other, ignore=shutil.ignore_patterns("*.gradcamo-*"))
    load(dock, qtbot, other / "checked.parquet", labels=other / "masks")
    assert window.session.measured is None, dock.message.text()
    open_image(dock, qtbot, 0, window)
    assert window.session.cells["flagged"].tolist() == [True, False, True, False]
    assert window.session.cells.loc[1, "note"] == "two nuclei"
    window.session.mark([1], False)
    said = write_back(dock, qtbot, other / "again.parquet")
    assert "1 flagged" in said
    back = pd.read_parquet(other / "again.parquet")
    assert list(back).count(FLAG) == 1
    assert back["Metadata_gradcamo_reason"].tolist()[:3] == ["cleared by hand", "", BY_HAND]


def test_scores_join_the_columns_of_the_table_and_go_back_with_them(
    dock, cells, audited, qtbot, window, tmp_path
):
    """The field as another tool measured it: the same stack and labels, from files."""
    from gradcamo.files.labels import write_labels
    from gradcamo.files.stacks import write_stack

    table = audited.results.table.sort_values("volume_um3")
    write_stack(tmp_path / "f.ome.tif", audited.stack)
    write_labels(tmp_path / "f_labels.tif", np.asarray(audited.labels_layer.data))
    measured = table[["label", "volume_um3"]].assign(image="f.ome.tif", grad_camo=7.0)
    measured.to_csv(tmp_path / "single_cells.csv", index=False)
    batches, recipe = list(audited.results._parts), audited.results.recipe
    load(dock, qtbot, tmp_path / "single_cells.csv")
    qtbot.waitUntil(lambda: dock.browser.here == 0, timeout=20_000)  # its only image
    qtbot.waitUntil(lambda: not window.autosave.looking.running, timeout=20_000)
    session = window.session
    assert not session.cells["flagged"].any()
    assert session.cells["grad_camo (table)"].eq(7).all()
    session.results._parts, session.results.recipe = batches, recipe
    session.results._table = None
    session.set_cutoff(float(table["grad_camo"].median()) + 1e-9)
    session.results_changed.emit()
    np.testing.assert_array_equal(session.cells["grad_camo"], session.results.table["grad_camo"])
    assert session.cells["volume_um3 (table)"].notna().all()
    session.mark([int(table["label"].iloc[0])], True)
    write_back(dock, qtbot, tmp_path / "out.csv")
    back = pd.read_csv(tmp_path / "out.csv", float_precision="round_trip")
    pd.testing.assert_frame_equal(back[list(measured)], measured.reset_index(drop=True))
    ours = session.results.table.loc[measured["label"]]
    assert back[FLAG].tolist() == ours["flagged"].tolist()
    np.testing.assert_array_equal(back["Metadata_gradcamo_grad_camo"], ours["grad_camo"])
    reasons = set(back["Metadata_gradcamo_reason"].fillna(""))
    assert reasons >= {"", BY_HAND, f"Grad-CAMO below {session.results.cutoff:g}"}


def test_labels_without_row_and_rows_without_label_are_said(dock, cells, path, qtbot, window):
    table = cytotable()
    table = table.drop(index=[0, 1])
    table.loc[3, "Metadata_ObjectNumber"] = 99
    table.to_parquet(path)
    load(dock, qtbot, path, labels=path.parent / "masks")
    open_image(dock, qtbot, 0, window)
    text = dock.message.text()
    assert "3 of 4 labels have no row (1, 2, 5)" in text
    assert "1 of 2 rows have no label (99)" in text
    window.session.choose(99, "table")  # nothing to look at, and no harm


def test_a_cell_without_score_is_shown_where_its_label_lies(
    dock, cells, path, qtbot, window, viewer
):
    review = docked(viewer, ReviewDock)
    load(dock, qtbot, path, labels=path.parent / "masks")
    open_image(dock, qtbot, 0, window)
    viewer.dims.set_current_step(0, 0)
    window.session.choose(4, "table")
    assert viewer.dims.current_step[0] == 1  # the middle one of three planes
    assert "Cell 4" in review.card.title.text()
    assert "Not scored" in review.card.legend.text()


def test_labels_that_are_not_known_are_asked_for_and_then_found(dock, path, qtbot, window):
    load(dock, qtbot, path)
    assert dock.list.item(0, 5).text() == "image"
    dock.list.cellActivated.emit(0, 0)
    assert "Labels…" in dock.message.text()
    with qtbot.waitSignal(dock.browser.reading.ended, timeout=20_000):
        dock.browser.open_again(labels=path.parent / "masks")
    assert dock.list.item(0, 5).text() == "image and labels"
    shutil.move(path.parent / "images", path.parent / "away")
    with qtbot.waitSignal(dock.browser.reading.ended, timeout=20_000):
        dock.browser.open_again(images=path.parent / "away")
    open_image(dock, qtbot, 0, window)
    assert window.session.stack is not None
    assert len(window.session.cells) == 4


def test_another_stack_takes_the_rows_away(dock, cells, path, qtbot, window, field):
    from gradcamo.docks.canvas.sites import site_of

    load(dock, qtbot, path, labels=path.parent / "masks")
    open_image(dock, qtbot, 0, window)
    stack, labels = field
    window.sites.show(site_of(stack, labels.copy()))
    assert window.session.measured is None
    assert dock.browser.here == -1
    assert not len(window.session.cells)


def test_a_table_that_is_no_such_table_is_said_and_the_dock_goes_on(dock, path, qtbot, tmp_path):
    bad = tmp_path / "bad.csv"
    bad.write_text("a,b\n1,2\n")
    with qtbot.waitSignal(dock.browser.reading.ended, timeout=20_000):
        dock.load(bad)
    assert "expected Metadata_ObjectNumber" in dock.message.text()
    load(dock, qtbot, path)
    assert dock.list.rowCount() == 2


def test_a_table_that_is_dropped_on_load_is_opened_as_one(dock, viewer, path, qtbot, window):
    load_dock = docked(viewer, LoadDock)
    cytotable().to_csv(path.with_name("t.csv"), index=False)  # which might be a plate's table
    for name in ("plate.parquet", "t.csv"):
        with qtbot.waitSignal(window.single_cells.reading.ended, timeout=20_000):
            load_dock.open_path(path.with_name(name))
        assert window.single_cells.cells.path.name == name
    assert dock.list.rowCount() == 2
    assert window.session.stack is None


def test_wide_tables_list_few_columns_and_show_any(dock, cells, path, qtbot, window, monkeypatch):
    table = cytotable()
    wide = pd.DataFrame(np.ones((8, 900)), columns=[f"Cells_Texture_{n}" for n in range(900)])
    pd.concat([table, wide], axis=1).to_parquet(path)
    load(dock, qtbot, path, labels=path.parent / "masks")
    open_image(dock, qtbot, 0, window)
    assert len(cells.model.columns) < 30
    actions = cells.toolbar.columns.menu().actions()
    assert len(actions) < 60
    from gradcamo.docks.panels.cells import toolbar

    chosen = ("Cells_Texture_777", True)
    monkeypatch.setattr(toolbar.QInputDialog, "getItem", lambda *_: chosen)
    actions[0].trigger()
    assert cells.model.columns[-1] == "Cells_Texture_777"


def test_our_own_export_opens_as_such_a_table(dock, cells, path, qtbot, window):
    image = str(path.parent / "images/B02_s1_DNA.tiff")
    table = pd.DataFrame({"image": image, "label": [1, 2], "grad_camo": [0.5, 0.6]})
    write_table(table, path.with_name("cells.csv"))
    load(dock, qtbot, path.with_name("cells.csv"), labels=path.parent / "masks")
    qtbot.waitUntil(lambda: dock.browser.here == 0, timeout=20_000)
    assert window.session.cells["grad_camo (table)"].tolist() == [0.5, 0.6]


def test_the_reader_takes_tables_of_single_cells_alone(path, tmp_path):
    assert get_table_reader(str(path)) is not None
    assert get_table_reader([str(path)]) is None
    points = tmp_path / "Cells.csv"
    points.write_text("index,axis-0,axis-1\n0,1,2\n")
    assert get_table_reader(str(points)) is None


@pytest.mark.shown
def test_file_open_lists_the_images_in_a_dock(viewer, path, qtbot, window):
    viewer.window._qt_viewer._qt_open([str(path)], stack=False)
    qtbot.waitUntil(lambda: window.single_cells.cells is not None, timeout=20_000)
    docks = [w for w in viewer.window.dock_widgets.values() if isinstance(w, SingleCellsDock)]
    assert len(docks) == 1
    assert docks[0].list.rowCount() == 2
    assert not viewer.layers
