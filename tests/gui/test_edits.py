"""Labels edited by hand make the scores stale of the cells they are part of or in sight of."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import centre_of, docked, scored_label
from mouse import click
from qtpy.QtCore import Qt

from gradcamo import CellCrops, audit
from gradcamo.docks.canvas.heat_layer import heatmap_layer
from gradcamo.docks.panels.cells.cells_dock import CellsDock
from gradcamo.docks.panels.steps.explain import ExplainDock

pytestmark = pytest.mark.gui
SHARES = ["grad_camo", "neighbour_share", "background_share"]


@pytest.fixture
def explain(audited, viewer):
    return docked(viewer, ExplainDock)


def paint_on(audited, viewer, qtbot, label, new):
    """Real strokes with napari's own brush on the middle of a cell."""
    layer = audited.labels_layer
    viewer.layers.selection.active = layer
    viewer.dims.set_point(0, centre_of(audited, label)[0])
    layer.selected_label = new
    layer.mode, layer.brush_size = "paint", 4
    qtbot.wait(50)
    with qtbot.waitSignal(audited.edited, timeout=30_000):
        click(viewer, qtbot, centre_of(audited, label))
    layer.mode = "pan_zoom"


@pytest.mark.shown
def test_a_stroke_makes_the_touched_cells_stale_and_no_other(audited, viewer, explain, qtbot):
    cells = docked(viewer, CellsDock, area="bottom")
    first, second = scored_label(audited, 0), scored_label(audited, 1)
    paint_on(audited, viewer, qtbot, first, second)
    assert audited.results.stale == {first, second}
    assert audited.results.cam(first) is None
    assert audited.results.cam(scored_label(audited, 2)) is not None
    assert explain.changed.text().startswith("2 cells changed")
    assert explain.audit_changed.isVisible()
    row = cells.model.index(cells.model.row_of(first), 0)
    assert row.data(Qt.ItemDataRole.FontRole).italic()
    other = cells.model.index(cells.model.row_of(scored_label(audited, 2)), 0)
    assert other.data(Qt.ItemDataRole.FontRole) is None


def in_sight(audited, voxel) -> set[int]:
    """The whole cells whose crops hold a voxel, as the crops' own table says."""
    crops = CellCrops(audited.stack, audited.labels_layer.data, audited.checkpoint.crop)
    table = crops.table[~crops.table["touches_border"]]
    y, x = voxel[-2].item(), voxel[-1].item()
    inside = table["start_y"].between(y - 63, y) & table["start_x"].between(x - 63, x)
    return set(table.loc[inside, "label"].tolist())


@pytest.mark.shown
def test_cells_whose_shares_an_edit_changes_are_stale_and_keep_their_maps(
    audited, viewer, explain, qtbot
):
    before = audited.results.table[SHARES]
    first, second = scored_label(audited, 0), scored_label(audited, 1)
    layer = audited.labels_layer
    paint_on(audited, viewer, qtbot, first, second)  # a cell all the same, to all others
    assert audited.results.stale == {first, second}
    where = np.nonzero(layer.data == first)
    with qtbot.waitSignal(audited.edited, timeout=30_000):
        layer.data_setitem(tuple(axis[::3] for axis in where), 0)
    now = audit(audited.stack, layer.data, audited.checkpoint).set_index("label")[SHARES]
    common = now.index.intersection(before.index)
    differs = (now.loc[common] - before.loc[common]).abs().max(axis=1) > 1e-4
    changed = set(common[differs].tolist())
    assert len(changed - {first, second}) > 0
    assert changed <= audited.results.stale
    for label in audited.results.stale - {first, second}:
        assert audited.results.cam(label) is not None
    with qtbot.waitSignal(audited.auditing.ended, timeout=60_000):
        qtbot.mouseClick(explain.audit_changed, Qt.MouseButton.LeftButton)
    assert not audited.results.stale
    got = audited.results.table.loc[common, SHARES]
    np.testing.assert_allclose(got, now.loc[common], atol=1e-4)


@pytest.mark.shown
def test_auditing_the_changed_cells_gives_the_scores_of_the_edited_labels(
    audited, viewer, explain, qtbot
):
    first, second = scored_label(audited, 0), scored_label(audited, 1)
    before = audited.results.table.at[first, "grad_camo"]
    paint_on(audited, viewer, qtbot, first, second)
    with qtbot.waitSignal(audited.auditing.ended, timeout=60_000):
        qtbot.mouseClick(explain.audit_changed, Qt.MouseButton.LeftButton)
    expected = audit(
        audited.stack, audited.labels_layer.data, audited.checkpoint, only=[first, second]
    ).set_index("label")
    for label in (first, second):
        got = audited.results.table.at[label, "grad_camo"]
        assert got == pytest.approx(expected.at[label, "grad_camo"], rel=1e-5)
    assert audited.results.table.at[first, "grad_camo"] != before
    assert not audited.results.stale
    assert not explain.audit_changed.isVisible()


def test_a_cell_that_was_erased_leaves_the_table(audited, explain, qtbot):
    layer, label = audited.labels_layer, scored_label(audited)
    layer.data_setitem(np.nonzero(layer.data == label), 0)
    assert label in audited.results.stale
    with qtbot.waitSignal(audited.auditing.ended, timeout=60_000):
        explain.start_changed()
    assert label not in audited.results.table.index
    assert not audited.results.stale


def test_undoing_and_redoing_are_edits_too(audited, qtbot):
    layer, label = audited.labels_layer, scored_label(audited)
    voxel = tuple(np.array([axis[0]]) for axis in np.nonzero(layer.data == label))
    layer.data_setitem(voxel, 0)
    expected = {label} | in_sight(audited, voxel)
    for again in (layer.undo, layer.redo, layer.undo):
        audited.results.stale.clear()
        count = audited.version
        again()
        assert audited.results.stale == expected
        assert audited.version > count


def test_an_edit_during_an_audit_is_newer_than_its_scores(audited, explain, qtbot):
    layer, label = audited.labels_layer, scored_label(audited)
    voxel = tuple(np.array([axis[0]]) for axis in np.nonzero(layer.data == label))
    with qtbot.waitSignal(audited.auditing.ended, timeout=60_000):
        explain.start()
        layer.data_setitem(voxel, 0)
    assert audited.results.stale == {label} | in_sight(audited, voxel)
    assert len(audited.results) > 3


def test_choosing_a_stale_cell_explains_it_anew(audited, viewer, qtbot):
    layer, label = audited.labels_layer, scored_label(audited)
    audited.choose(label, "table")
    where = np.nonzero(layer.data == label)
    half = tuple(axis[: len(axis) // 2] for axis in where)
    with qtbot.waitSignal(audited.edited, timeout=30_000):
        layer.data_setitem(half, 0)
    assert not heatmap_layer(viewer).visible  # it is of the cell as it was
    audited.choose(0, "table")
    with qtbot.waitSignal(audited.explaining.ended, timeout=30_000):
        audited.choose(label, "canvas")
    expected = audit(audited.stack, layer.data, audited.checkpoint, only=[label])
    score = audited.results.table.at[label, "grad_camo"]
    assert score == pytest.approx(expected["grad_camo"][0], rel=1e-5)
    assert label not in audited.results.stale
    assert heatmap_layer(viewer).visible
