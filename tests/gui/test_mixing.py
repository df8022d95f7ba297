"""A table holds the scores of one network, and each map stays what it was made as."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import tifffile
from conftest import docked, scored_label
from qtpy.QtCore import Qt

from gradcamo.auditing.stack import audit_batches
from gradcamo.cells.upsampling import upsample_cam
from gradcamo.docks.canvas.heat_layer import heatmap_layer
from gradcamo.docks.canvas.layers import show_labels
from gradcamo.docks.panels.steps.explain import ExplainDock
from gradcamo.docks.work.export import Request, prepare
from gradcamo.settings import AuditSettings

pytestmark = pytest.mark.gui
OTHER = AuditSettings(layer="block_2", alignment="receptive-field")


@pytest.fixture
def explain(audited, viewer):
    return docked(viewer, ExplainDock)


@pytest.fixture
def another(checkpoint):
    """A network that differs in nothing but its statistics, and so in its hash."""
    return replace(checkpoint, channel_mean=(0.3,) * len(checkpoint.channels))


def audit_selected(session, explain, qtbot, labels) -> None:
    session.select(labels)
    explain.rows.inputs["layer"].value = OTHER.layer
    explain.rows.inputs["alignment"].value = OTHER.alignment
    with qtbot.waitSignal(session.auditing.ended, timeout=60_000):
        qtbot.mouseClick(explain.audit_selected, Qt.MouseButton.LeftButton)


def maps_of(session, settings, labels) -> dict[int, np.ndarray]:
    """What the library finds, on the crops' own grid."""
    batches = audit_batches(
        session.stack, session.labels_layer.data, session.checkpoint, settings, labels
    )
    return {
        label: upsample_cam(cam, (9, 64, 64), batch.placement)
        for batch in batches
        for label, cam in zip(batch.table["label"].tolist(), batch.maps, strict=True)
    }


def same(map_, expected) -> bool:
    return np.allclose(map_, expected, rtol=1e-3, atol=1e-3 * expected.max())


def test_each_map_keeps_its_own_layer_and_placement(audited, explain, viewer, qtbot, tmp_path):
    one, two = scored_label(audited, 0), scored_label(audited, 1)
    audit_selected(audited, explain, qtbot, [one])
    table = audited.results.table
    assert table.loc[[one, two], "layer"].tolist() == ["block_2", "block_4"]
    assert table.loc[[one, two], "alignment"].tolist() == ["receptive-field", "paper"]
    assert audited.recipe()["settings"]["layer"] == "block_4"  # of the rest
    expected = {**maps_of(audited, OTHER, [one]), **maps_of(audited, AuditSettings(), [two])}
    for label in (one, two):
        audited.choose(label, "table")
        assert same(heatmap_layer(viewer).data, expected[label])
    audited.select([one, two])
    prepare(audited, Request("selected", "maps"), tmp_path)()
    for label in (one, two):
        (path,) = tmp_path.glob(f"*{label}*")
        assert same(tifffile.imread(path), expected[label])


def test_only_profiles_of_the_same_layer_are_compared(audited, explain, qtbot):
    label = scored_label(audited)
    labels, profiles = audited.results.profiles()
    audit_selected(audited, explain, qtbot, [label])
    kept, others = audited.results.profiles()
    assert label in labels
    assert kept.tolist() == [each for each in labels.tolist() if each != label]
    np.testing.assert_array_equal(others, profiles[labels != label])


def test_a_cell_whose_map_was_not_kept_is_explained_as_its_row_says(
    audited, explain, viewer, qtbot, window
):
    label = scored_label(audited)
    audit_selected(audited, explain, qtbot, [label])
    before = audited.results.table.loc[label].copy()
    save, labels = window.autosave, audited.labels_layer.data.copy()
    qtbot.waitUntil(lambda: save.home is not None and not save.looking.running, timeout=20_000)
    save.save_scores()
    qtbot.waitUntil(lambda: not save.writing.running, timeout=20_000)
    viewer.layers.remove(audited.labels_layer)
    show_labels(viewer, labels, next(iter(audited.channel_layers.values())))
    qtbot.waitUntil(lambda: len(audited.results) > 0, timeout=20_000)
    assert audited.results.cam(label) is None  # maps of the commonest layer are kept
    assert audited.results.cam(scored_label(audited, 1)) is not None
    with qtbot.waitSignal(audited.explaining.ended, timeout=30_000):
        audited.choose(label, "table")
    row = audited.results.table.loc[label]
    assert (row["layer"], row["alignment"]) == ("block_2", "receptive-field")
    assert row["grad_camo"] == pytest.approx(before["grad_camo"], rel=1e-5)


def test_some_cells_are_not_scored_with_another_network(audited, explain, another, qtbot):
    label, before = scored_label(audited), audited.results.table.copy()
    audited.set_checkpoint(another, "another")
    assert "another network" in explain.missing.text()
    audited.select([label])
    qtbot.mouseClick(explain.audit_selected, Qt.MouseButton.LeftButton)
    assert not audited.auditing.running
    assert "audit all cells" in explain.message.text()
    audited.results.expire({label})
    audited.choose(label, "canvas")  # its map is gone, and is not made with another network
    assert not audited.explaining.running
    pd.testing.assert_frame_equal(audited.results.table, before)
    with qtbot.waitSignal(audited.auditing.ended, timeout=60_000):
        qtbot.mouseClick(explain.audit_all, Qt.MouseButton.LeftButton)
    assert audited.recipe()["checkpoint"] == another.hash
    assert not explain.missing.text()


def test_some_cells_are_not_scored_for_another_treatment(audited, explain, qtbot):
    explain.rows.inputs["target"].value = "low"
    assert "another choice of treatment" in explain.missing.text()
    audited.select([scored_label(audited)])
    qtbot.mouseClick(explain.audit_selected, Qt.MouseButton.LeftButton)
    assert not audited.auditing.running
    explain.rows.inputs["target"].value = None
    assert not explain.missing.text()


def test_cells_that_were_only_looked_at_are_let_go_with_their_network(
    session, checkpoint, another, qtbot
):
    label = int(np.unique(session.labels_layer.data)[1:][3])
    session.set_checkpoint(checkpoint, "small")
    with qtbot.waitSignal(session.explaining.ended, timeout=60_000):
        session.choose(label, "canvas")
    session.note(label, "look again")
    session.set_checkpoint(another, "another")
    assert len(session.results) == 0
    with qtbot.waitSignal(session.explaining.ended, timeout=60_000):
        session.choose(label, "canvas")
    assert session.recipe()["checkpoint"] == another.hash
    assert session.results.table.at[label, "note"] == "look again"
