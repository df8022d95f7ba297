"""Filter, columns, keys, export and what is kept between two openings of the same labels."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from conftest import scored_label
from qtpy.QtCore import Qt

from gradcamo.docks.cells import CellsDock
from gradcamo.docks.layers import heatmap_layer

pytestmark = pytest.mark.gui


@pytest.fixture
def cells(audited, viewer, qtbot):
    dock = CellsDock(viewer)
    viewer.window.add_dock_widget(dock, area="bottom")
    qtbot.waitUntil(lambda: not audited.autosave.looking.running, timeout=10_000)
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


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_visible_cells_are_written_as_they_are_seen(cells, tmp_path, suffix):
    cells.sort_by("volume_um3", ascending=False)
    cells.toolbar.filter.setText("not touches_border")
    path = tmp_path / f"cells.{suffix}"
    cells.export("visible", str(path))
    written = pd.read_csv(path) if suffix == "csv" else pd.read_parquet(path)
    shown = cells.model.shown()
    assert written["label"].tolist() == shown["label"].tolist()
    assert set(written) == {*shown, "image"}
    np.testing.assert_allclose(written["grad_camo"], shown["grad_camo"])


def test_anndata_gets_profiles_table_and_recipe(cells, audited, tmp_path):
    import anndata

    path = tmp_path / "cells.h5ad"
    cells.export("all", str(path))
    data = anndata.read_h5ad(path)
    labels, profiles = audited.results.profiles()
    order = np.argsort(data.obs["label"].to_numpy())
    assert data.obs["label"].to_numpy()[order].tolist() == labels.tolist()
    np.testing.assert_allclose(np.asarray(data.X)[order], profiles, rtol=1e-6)
    assert audited.checkpoint.hash in str(data.uns)


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
