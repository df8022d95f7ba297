"""Filter, columns, keys, export and what is kept between two openings of the same labels."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from conftest import docked, scored_label
from qtpy.QtCore import Qt

from gradcamo.docks.canvas.heat_layer import heatmap_layer
from gradcamo.docks.canvas.keys import KEYS
from gradcamo.docks.panels.cells.cells_dock import CellsDock
from gradcamo.docks.state.results import Results

pytestmark = pytest.mark.gui
CENTROID = ("centroid_z", "centroid_y", "centroid_x")


@pytest.fixture
def cells(audited, viewer, qtbot, window):
    dock = docked(viewer, CellsDock, area="bottom")
    qtbot.waitUntil(lambda: not window.autosave.looking.running, timeout=30_000)
    return dock


def test_a_filter_shows_the_rows_that_pandas_would(cells, audited, qtbot):
    text = "grad_camo < 0.3 and not touches_border"
    qtbot.keyClicks(cells.toolbar.filter, text)
    expected = audited.results.table.query(text)["label"]
    assert set(cells.model.labels()) == set(expected)
    assert 0 < len(expected) < len(audited.results)
    cells.toolbar.filter.clear()
    assert cells.model.rowCount() == len(audited.results)


def test_half_a_filter_hides_nothing_and_says_so(cells, audited):
    cells.toolbar.filter.setText("grad_camo <")
    assert cells.model.rowCount() == len(audited.results)
    assert "not complete" in cells.toolbar.state.text()
    cells.toolbar.filter.setText("camo < 0.2")
    assert "no column" in cells.toolbar.state.text()


def test_columns_are_hidden_and_shown(cells):
    actions = {a.data(): a for a in cells.toolbar.columns.menu().actions()}
    actions["chance"].trigger()
    assert "chance" not in cells.model.columns
    actions["centroid_z"].trigger()
    assert cells.model.columns[-1] == "centroid_z"


@pytest.mark.shown
def test_keys_walk_down_the_table_on_the_canvas_and_in_the_table(cells, audited, viewer, qtbot):
    shown = cells.model.labels().tolist()
    for widget in (viewer.window._qt_viewer.canvas.native, cells.view):
        audited.choose(shown[0], "test")
        widget.setFocus()
        qtbot.keyClick(widget, Qt.Key.Key_J)
        assert audited.cell == shown[1], widget
        qtbot.keyClick(widget, Qt.Key.Key_K)
        qtbot.keyClick(widget, Qt.Key.Key_K)
        assert audited.cell == shown[-1]


def test_keys_flag_the_chosen_cell_and_hide_the_heatmap(cells, audited, viewer, qtbot):
    label = scored_label(audited)
    audited.choose(label, "test")
    before = bool(audited.results.table.at[label, "flagged"])
    qtbot.keyClick(cells.view, Qt.Key.Key_G)
    assert audited.results.table.at[label, "flagged"] == (not before)
    qtbot.keyClick(cells.view, Qt.Key.Key_H)
    assert not heatmap_layer(viewer).visible


def test_flags_and_notes_are_edited_in_the_table(cells, audited):
    model, label = cells.model, scored_label(audited)
    row = model.row_of(label)
    flag = model.index(row, model.columns.index("flagged"))
    before = audited.results.table.at[label, "flagged"]
    state = Qt.CheckState.Unchecked if before else Qt.CheckState.Checked
    assert model.setData(flag, state, Qt.ItemDataRole.CheckStateRole)
    note = model.index(row, model.columns.index("note"))
    assert model.setData(note, "dividing", Qt.ItemDataRole.EditRole)
    assert audited.results.table.at[label, "flagged"] != before
    assert model.data(note) == "dividing"


def test_the_help_popover_names_every_key(cells, qtbot):
    assert cells.toolbar.keys.text() == "?"
    text = cells.toolbar.help.text()
    for key, what, _ in KEYS:
        assert f"<b>{key}</b>" in text
        assert what in text
    menu = cells.toolbar.keys.menu()
    menu.popup(cells.mapToGlobal(cells.rect().center()))
    qtbot.waitUntil(cells.toolbar.help.isVisible, timeout=30_000)
    menu.hide()


def test_thousands_of_cells_are_chosen_at_once_and_a_click_replaces_them(cells, audited, qtbot):
    rng = np.random.default_rng(0)
    n = 3000
    own = rng.uniform(0, 1, n)
    labels = np.arange(n) * 3 + 5  # with gaps
    plate = pd.DataFrame({"label": labels, "grad_camo": own, "touches_border": False})
    plate["neighbour_share"], plate["background_share"] = (1 - own) / 2, (1 - own) / 2
    plate["predicted"], plate["confidence"] = "control", 0.5
    for axis in "zyx":
        plate[f"centroid_{axis}"] = 1.0
    plate["chance"] = plate["ceiling"] = 0.5
    plate["layer"], plate["alignment"] = "block_4", "paper"
    audited.set_results(Results.of_table(plate, 0.25))
    cells.sort_by("label")
    chosen = set(labels[::2].tolist())
    audited.select(chosen)

    def drawn_as_selected() -> set[int]:
        model, rows = cells.model, range(cells.model.rowCount())
        marked = {
            model.label_at(r)
            for r in rows
            if model.data(model.index(r, 1), Qt.ItemDataRole.BackgroundRole) is not None
        }
        of_qt = cells.view.selectionModel().selectedRows()
        return marked | {model.label_at(index.row()) for index in of_qt}

    assert drawn_as_selected() == chosen
    cells.sort_by("grad_camo")
    assert drawn_as_selected() == chosen
    assert set(audited.selection.tolist()) == chosen
    few = set(labels[10:40].tolist())  # one range: Qt's own selection
    cells.sort_by("label")
    audited.select(few)
    assert drawn_as_selected() == few
    audited.select(chosen)
    cells.view.scrollToTop()
    where = cells.view.visualRect(cells.model.index(1, 2)).center()
    qtbot.mouseClick(cells.view.viewport(), Qt.MouseButton.LeftButton, pos=where)
    assert audited.selection.tolist() == [8]
    assert drawn_as_selected() == {8}


def test_ctrl_adds_to_more_rows_than_qt_selects_itself(cells, audited, qtbot):
    labels = np.arange(1000) * 3 + 5
    table = pd.DataFrame({"label": labels, "grad_camo": 0.5, "touches_border": False})
    table["predicted"], table["confidence"], table["chance"] = "control", 0.5, 0.1
    for name in ("neighbour_share", "background_share", "ceiling", *CENTROID):
        table[name] = 0.25
    table["layer"], table["alignment"] = "block_4", "paper"
    audited.set_results(Results.of_table(table, 0.25))
    cells.sort_by("label")
    chosen = set(labels[10::2].tolist())  # 495 ranges of one row
    audited.select(chosen)
    assert cells.model.marked == chosen
    cells.view.scrollToTop()

    def press(row: int, *held: Qt.KeyboardModifier) -> None:
        where = cells.view.visualRect(cells.model.index(row, 2)).center()
        modifiers = Qt.KeyboardModifier.ControlModifier
        for key in held:
            modifiers |= key
        qtbot.mouseClick(cells.view.viewport(), Qt.MouseButton.LeftButton, modifiers, where)

    press(0)
    assert set(audited.selection.tolist()) == chosen | {5}
    assert audited.cell == 5
    press(2, Qt.KeyboardModifier.ShiftModifier)  # the rows from there to here
    assert set(audited.selection.tolist()) == chosen | {5, 8, 11}
    press(0)  # once more: this one is let go
    assert set(audited.selection.tolist()) == chosen | {8, 11}
    assert cells.model.marked == chosen | {8, 11}


def test_scores_are_in_the_layer_s_features_under_their_labels(audited, viewer, qtbot):
    layer, label = audited.labels_layer, scored_label(audited)
    layer.features = pd.DataFrame({"index": [label], "mine": ["x"]})
    audited.mark([label], True)
    assert "grad_camo" not in layer.features  # not while the user works …
    qtbot.waitUntil(lambda: "grad_camo" in layer.features, timeout=30_000)  # … but soon after
    rows = layer.features.set_index("index")
    table = audited.results.table
    assert rows["grad_camo"].to_dict() == pytest.approx(table["grad_camo"].to_dict(), nan_ok=True)
    assert rows.at[label, "flagged"]
    assert rows.at[label, "mine"] == "x"
    row = table.loc[label, ["centroid_z", "centroid_y", "centroid_x"]].to_numpy(float)
    status = layer.get_status(layer.data_to_world(row), world=True)
    assert f"grad_camo: {table.at[label, 'grad_camo']:.3g}" in status["value"]
