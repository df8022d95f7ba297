"""Another stack, labels or voxel size: nothing that was found is shown where it is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tifffile
from conftest import docked, scored_label
from test_autosave import saved
from test_open import drop

from gradcamo.docks.canvas.heat_layer import heatmap_layer
from gradcamo.docks.canvas.layers import marked_layer, show_labels, show_stack
from gradcamo.docks.canvas.sites import Site
from gradcamo.docks.panels.steps.explain import ExplainDock
from gradcamo.docks.panels.steps.load import LoadDock
from gradcamo.docks.panels.steps.model import ModelDock
from gradcamo.docks.panels.steps.segment import SegmentDock
from gradcamo.docks.panels.steps.voxel_size_line import VoxelSize
from gradcamo.files.stacks import write_stack
from gradcamo.files.store import read_table

pytestmark = pytest.mark.gui


@pytest.fixture
def load(viewer, session):
    return docked(viewer, LoadDock)


@pytest.fixture
def other(field):
    """A stack of the same shape from another file, brighter along x."""
    stack, _ = field
    return replace(stack, data=stack.data[..., ::-1].copy(), source="/elsewhere/other.ome.tif")


def opened(window, stack) -> None:
    window.sites.show(Site(stack, [(0.0, 1.0)] * len(stack.channels)))


def test_scores_and_labels_of_a_stack_do_not_move_to_another(audited, other, viewer, qtbot, window):
    saved(window, qtbot)
    labels, kept = audited.labels_layer, window.autosave.home
    scores = kept.with_name(kept.name + ".parquet")
    before = read_table(scores)
    audited.choose(scored_label(audited), "test")
    opened(window, other)
    assert audited.labels_layer is None
    assert len(audited.results) == 0
    assert heatmap_layer(viewer) is None
    assert labels in viewer.layers  # painted ones would be lost
    assert not labels.visible
    audited.set_labels(labels)  # the user says that they are of this stack, too
    saved(window, qtbot)
    assert labels.visible
    assert len(audited.results) == 0
    assert window.autosave.home != kept
    audited.note(int(labels.data.max()), "of the other")
    saved(window, qtbot)
    assert read_table(scores).equals(before)


def test_scores_come_back_with_their_own_stack(audited, field, other, qtbot, window):
    saved(window, qtbot)
    before, labels = audited.results.table.copy(), audited.labels_layer
    opened(window, other)
    audited.set_labels(labels)
    saved(window, qtbot)
    moved = replace(field[0], source=f"/moved/{field[0].source}")
    opened(window, moved)
    audited.set_labels(labels)
    saved(window, qtbot)
    assert audited.results.table["grad_camo"].equals(before["grad_camo"])


def test_labels_of_another_shape_are_let_go(session, field, window):
    stack, _ = field
    smaller = replace(stack, data=stack.data[:, :7, :128, :128])  # another part of the same file
    opened(window, smaller)
    assert session.labels_layer is None


def test_labels_stay_when_a_stack_is_read_again(session, field, window):
    labels = session.labels_layer
    opened(window, field[0].select(("Hoechst", "phalloidin")))
    assert session.labels_layer is labels
    assert labels.visible


def test_cells_of_a_stack_that_was_left_do_not_come_to_the_next(
    viewer, session, other, qtbot, window
):
    dock = SegmentDock(viewer)
    dock.rows.inputs["model"].value = "bundled"
    viewer.layers.remove(session.labels_layer)
    seen = []
    session.segmenting.stepped.connect(seen.append)
    for start in (dock.start, dock.start_preview):
        start()
        opened(window, replace(other, data=other.data.copy(), source=start.__name__))
        qtbot.waitUntil(lambda: not session.segmenting.running, timeout=120_000)
        for item in [*seen, ("labels", None, np.ones((9, 160, 160), np.int32), 9)]:
            session.segmenting.stepped.emit(item)  # as one that was on its way
        assert session.labels_layer is None
        assert marked_layer(viewer, "preview") is None


def test_a_map_that_was_asked_for_on_another_stack_is_not_kept(audited, other, qtbot, window):
    label = scored_label(audited)
    audited.results.expire({label})
    labels = audited.labels_layer
    audited.choose(label, "test")
    assert audited.explaining.running
    opened(window, other)
    audited.set_labels(labels)
    qtbot.waitUntil(lambda: not audited.explaining.running, timeout=30_000)
    assert len(audited.results) == 0


def test_maps_and_volumes_follow_a_voxel_size_that_is_typed(audited, viewer, qtbot):
    label = scored_label(audited)
    audited.choose(label, "test")
    audited.select([label, scored_label(audited, 1)])
    qtbot.waitUntil(lambda: marked_layer(viewer, "outline") is not None, timeout=30_000)
    before = audited.results.table["volume_um3"].copy()
    start = heatmap_layer(viewer).world_to_data(audited.labels_layer.data_to_world((0, 0, 0)))
    size = VoxelSize(audited)
    qtbot.addWidget(size)
    z = audited.stack.spacing_um[0]
    size.lines[0].setText(f"{2 * z:.5g}")
    size.lines[0].editingFinished.emit()
    assert audited.stack.spacing_um[0] == pytest.approx(2 * z, rel=1e-4)
    np.testing.assert_allclose(audited.results.table["volume_um3"], 2 * before, rtol=1e-3)
    assert audited.recipe()["spacing_um"] == list(audited.stack.spacing_um)
    qtbot.wait(50)
    for layer in (heatmap_layer(viewer), marked_layer(viewer, "outline")):
        now = layer.world_to_data(audited.labels_layer.data_to_world((0, 0, 0)))
        np.testing.assert_allclose(now, start, atol=1e-6)
    chosen = marked_layer(viewer, "selection")
    np.testing.assert_allclose(chosen.extent.world, audited.labels_layer.extent.world)


def test_where_no_voxel_size_was_known_volumes_wait_for_the_next_audit(audited):
    audited.results.respace((None, 1.0, 1.0), (1.0, 1.0, 1.0))
    assert audited.results.table["volume_um3"].isna().all()
    assert audited.results.recipe["spacing_um"] == [1.0, 1.0, 1.0]


def test_other_labels_hide_the_ones_before_which_get_their_own_colours_back(audited, viewer):
    before = audited.labels_layer
    assert type(before.colormap).__name__ == "DirectLabelColormap"  # coloured by score
    like = next(iter(audited.channel_layers.values()))
    audited.set_labels(show_labels(viewer, before.data.copy(), like))
    assert not before.visible
    assert type(before.colormap).__name__ == "CyclicLabelColormap"
    assert before.contour == 0
    audited.set_labels(before)
    assert before.visible


def test_a_stack_that_is_opened_in_place_of_another_takes_its_names(
    load, audited, other, tmp_path, viewer, qtbot
):
    path = tmp_path / "other.ome.tif"
    write_stack(path, other)
    names = list(audited.channel_layers)
    audited.choose(scored_label(audited), "test")
    load.load_stack(path)
    qtbot.waitUntil(lambda: audited.stack.source == str(path), timeout=30_000)
    assert [layer.name for layer in audited.channel_layers.values()] == names
    assert heatmap_layer(viewer) is None
    assert load.labels.currentText() == ""
    assert "another stack's" in load.message.text()
    middle = audited.stack.shape[1] // 2
    shown = audited.channel_layers["Hoechst"].world_to_data(viewer.dims.point)
    assert shown[0] == pytest.approx(middle, abs=0.5)


def test_a_stack_and_its_labels_may_be_dropped_together(load, other, field, tmp_path, qtbot):
    session = load.session
    path, cells = tmp_path / "z.ome.tif", tmp_path / "a_labels.tif"
    write_stack(path, other)
    tifffile.imwrite(cells, field[1])
    assert drop(load, cells, path)
    qtbot.waitUntil(lambda: getattr(session.labels_layer, "name", "") == "a_labels", timeout=30_000)
    assert session.stack.source == str(path)
    assert "reading" not in load.message.text()
    assert "3 channels" in load.message.text()


def test_layers_of_several_stacks_are_not_made_one(load, session, other, viewer):
    show_stack(viewer, other, [(0.0, 1.0)] * 3)
    stack = session.stack
    viewer.layers.selection.clear()
    load.use_open_layers()
    assert session.stack is stack
    assert "3 of other.ome.tif" in load.message.text()
    viewer.layers.selection = set(viewer.layers[-3:])
    load.use_open_layers()
    assert session.stack.source == other.source


def test_a_stack_with_fewer_channels_than_the_network_is_told_as_such(
    session, checkpoint, viewer, window
):
    dock = ModelDock(viewer)
    opened(window, session.stack.select(("Hoechst", "phalloidin")))
    session.set_checkpoint(checkpoint, "small")
    assert not dock.matches
    said = dock.matching.layout().itemAt(0).widget().text()
    assert "takes 3 channels, the stack has 2" in said


def test_labels_in_a_plane_are_not_offered_as_cells(load, session, viewer):
    viewer.add_labels(np.ones((160, 160), int), name="flat")
    offered = [load.labels.itemText(i) for i in range(load.labels.count())]
    assert offered == [session.labels_layer.name]


def test_what_was_said_of_the_cells_before_is_not_said_of_others(audited, viewer):
    dock = ExplainDock(viewer)
    audited.auditing.ended.emit(True)
    dock._on_end(True)
    assert "scored" in dock.message.text()
    audited.set_labels(None)
    assert dock.message.text() == ""
