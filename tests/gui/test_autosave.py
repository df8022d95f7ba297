"""Scores, flags and notes come back with the same labels, and nothing that happens loses them."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import numpy as np
import pandas as pd
import pytest
import tifffile
from conftest import scored_label
from napari.utils.notifications import notification_manager

from gradcamo.docks.canvas.heat_layer import heatmap_layer
from gradcamo.docks.canvas.layers import show_labels, show_stack
from gradcamo.docks.window import window_of
from gradcamo.files.kept import fingerprint, homes_of, read_kept, write_marks, write_scores
from gradcamo.files.landing import to_json

pytestmark = pytest.mark.gui
ONE_CELL = pd.DataFrame(
    {
        "label": [3],
        "grad_camo": [0.5],
        "touches_border": [False],
        "layer": ["block_4"],
        "alignment": ["paper"],
    }
)


def saved(window, qtbot) -> None:
    """Wait until all is looked at and written."""
    save = window.autosave
    qtbot.waitUntil(lambda: not save.looking.running and save.home is not None, timeout=20_000)
    qtbot.waitUntil(lambda: not save.writing.running, timeout=20_000)


def reopened(session, viewer, qtbot, labels, path=None) -> None:
    """Remove the labels and add others, as a layer of a file where ``path`` is given."""
    if session.labels_layer is not None:
        viewer.layers.remove(session.labels_layer)
    assert len(session.results) == 0
    layer = show_labels(viewer, labels, next(iter(session.channel_layers.values())))
    if path is not None:
        viewer.layers.remove(layer)
        layer.metadata["path"] = str(path)
        viewer.layers.append(layer)
    saved(window_of(viewer), qtbot)


@pytest.fixture
def flagged(audited, qtbot, window):
    """A cell is flagged the other way round, with a note, and the cut-off is moved."""
    saved(window, qtbot)
    label = scored_label(audited)
    audited.set_cutoff(0.31)
    audited.mark([label], not bool(audited.results.table.at[label, "flagged"]))
    audited.note(label, "look again: µ")
    saved(window, qtbot)
    return label


def test_scores_flags_and_notes_come_back_with_the_same_labels(audited, flagged, viewer, qtbot):
    before, recipe = audited.results.table.copy(), audited.recipe()
    profiles = audited.results.profiles()
    reopened(audited, viewer, qtbot, audited.labels_layer.data.copy())
    pd.testing.assert_frame_equal(audited.results.table, before, check_dtype=False)
    assert audited.results.table.at[flagged, "note"] == "look again: µ"
    assert audited.results.cutoff == 0.31
    assert to_json(audited.recipe()) == to_json(recipe)
    np.testing.assert_array_equal(audited.results.profiles()[1], profiles[1])
    audited.choose(flagged, "test")
    assert heatmap_layer(viewer).metadata["cell"] == f"cell {flagged}"  # at once


def test_a_map_that_was_not_kept_is_made_again(audited, flagged, viewer, qtbot, window):
    for path in window.autosave.home.parent.glob("*.safetensors"):
        path.unlink()
    reopened(audited, viewer, qtbot, audited.labels_layer.data.copy())
    assert len(audited.results)
    with qtbot.waitSignal(audited.explaining.ended, timeout=30_000):
        audited.choose(flagged, "test")
    assert heatmap_layer(viewer).metadata["cell"] == f"cell {flagged}"


def test_other_labels_get_nothing_of_these_and_take_nothing_from_them(
    audited, flagged, viewer, qtbot, tmp_path, window
):
    same = audited.labels_layer.data.copy()
    other = same.copy()
    other[0, 0, 0] = 7
    assert fingerprint(other) != fingerprint(same) == fingerprint(same.astype(np.uint16))
    reopened(audited, viewer, qtbot, other)
    assert len(audited.results) == 0
    audited.note(flagged, "another cell")
    saved(window, qtbot)
    reopened(audited, viewer, qtbot, same)
    assert audited.results.table.at[flagged, "note"] == "look again: µ"


def test_labels_of_a_file_keep_theirs_beside_it(audited, flagged, viewer, qtbot, tmp_path, window):
    path = tmp_path / "my.cells.tif"
    tifffile.imwrite(path, audited.labels_layer.data)
    labels = audited.labels_layer.data.copy()
    reopened(audited, viewer, qtbot, labels, path)
    audited.note(flagged, "from the file")
    saved(window, qtbot)
    assert list(tmp_path.glob("my.gradcamo-*.json"))
    reopened(audited, viewer, qtbot, labels.copy(), path)
    assert audited.results.table.at[flagged, "note"] == "from the file"


def test_where_the_folder_takes_no_file_the_user_s_folder_does(
    audited, viewer, qtbot, tmp_path, window
):
    labels = audited.labels_layer.data.copy()
    path = tmp_path / "cells.tif"
    tifffile.imwrite(path, labels)
    beside = homes_of(path, fingerprint(labels, audited.image))[0]
    for suffix in (".json", ".parquet", ".maps.safetensors"):  # root may write anywhere else
        (beside.with_name(beside.name + suffix) / "in the way").mkdir(parents=True)
    reopened(audited, viewer, qtbot, labels, path)
    label = int(labels.max())
    audited.note(label, "kept elsewhere")
    saved(window, qtbot)
    reopened(audited, viewer, qtbot, labels.copy(), path)
    assert audited.results.marks.notes == {label: "kept elsewhere"}


def test_what_is_damaged_is_set_aside_with_a_message(audited, flagged, viewer, qtbot, window):
    home = window.autosave.home
    for suffix in (".parquet", ".json"):
        path = home.with_name(home.name + suffix)
        path.write_bytes(path.read_bytes()[:100])
    notification_manager.records.clear()
    reopened(audited, viewer, qtbot, audited.labels_layer.data.copy())
    assert len(audited.results) == 0
    said = " ".join(str(record.message) for record in notification_manager.records)
    assert ".parquet" in said
    assert ".json" in said
    assert len(list(home.parent.glob(f"{home.name}*.damaged-*"))) == 2
    audited.note(flagged, "anew")  # and the work goes on
    saved(window, qtbot)
    assert read_kept([home]).marks["notes"] == {flagged: "anew"}


def test_flags_set_before_an_audit_of_the_same_labels_are_not_overwritten_by_it(
    audited, flagged, viewer, checkpoint, batches, qtbot, window
):
    labels = audited.labels_layer.data.copy()
    viewer.layers.remove(audited.labels_layer)
    show_labels(viewer, labels, None)  # the look for what was kept begins …
    for batch in batches:  # … and scores arrive before it ends
        audited.auditing.stepped.emit(batch)
    audited.auditing.ended.emit(True)
    saved(window, qtbot)
    assert audited.results.marks.notes == {flagged: "look again: µ"}
    assert read_kept([window.autosave.home]).marks["notes"] == {flagged: "look again: µ"}


def test_another_stack_under_the_same_labels_keeps_the_flags(
    audited, flagged, field, viewer, qtbot, window
):
    stack, _ = field
    audited.set_stack(stack, audited.channel_layers)
    saved(window, qtbot)
    assert audited.results.table.at[flagged, "note"] == "look again: µ"


def test_edited_labels_take_their_scores_and_flags_along(audited, flagged, viewer, qtbot, window):
    before = audited.labels_layer.data.copy()
    audited.labels_layer.data_setitem((np.array([0]), np.array([0]), np.array([0])), 5)
    audited.note(flagged, "after painting")
    saved(window, qtbot)
    after = audited.labels_layer.data.copy()
    reopened(audited, viewer, qtbot, after)
    assert audited.results.table.at[flagged, "note"] == "after painting"
    reopened(audited, viewer, qtbot, before)
    assert audited.results.table.at[flagged, "note"] == "look again: µ"


def test_renaming_and_deleting_layers_loses_no_flag(audited, flagged, field, viewer, qtbot, window):
    audited.labels_layer.name = "something else"
    audited.mark([flagged], True)
    labels = audited.labels_layer.data.copy()
    viewer.layers.clear()  # at once, before anything is written
    assert audited.labels_layer is None
    show_labels(viewer, labels, None)
    stack, _ = field
    audited.set_stack(stack, show_stack(viewer, stack, [(0.0, 1.0)] * 3))
    saved(window, qtbot)
    assert audited.results.marks.flagged == {flagged: True}
    assert audited.results.marks.notes == {flagged: "look again: µ"}


@pytest.mark.shown
def test_closing_the_window_during_a_run_keeps_scores_and_flags(
    audited, flagged, viewer, qtbot, window
):
    from gradcamo.settings import AuditSettings

    home, cells = window.autosave.home, len(audited.results)
    layer, seen = audited.labels_layer, []
    audited.auditing.stepped.connect(seen.append)
    window.audits.start(AuditSettings(batch_size=1))
    qtbot.waitUntil(lambda: len(seen) > 1, timeout=60_000)
    audited.note(flagged, "in the middle")
    viewer.close()
    qtbot.waitUntil(lambda: not audited.auditing.running, timeout=60_000)
    qtbot.waitUntil(lambda: not window.autosave.writing.running, timeout=20_000)
    kept = read_kept([home])
    assert kept.marks["notes"] == {flagged: "in the middle"}
    assert 0 < len(kept.table) <= cells
    assert audited.labels_layer is not layer
    assert len(audited.results) == 0  # nothing of it goes to other labels


def test_python_does_not_end_before_a_flag_is_written(tmp_path):
    script = f"""
        import time
        from pathlib import Path
        from qtpy.QtCore import QCoreApplication
        from gradcamo.files.kept import write_marks
        from gradcamo.docks.parts.writer import Writer
        app = QCoreApplication([])
        writer = Writer()
        homes = [Path({str(tmp_path / "labels")!r})]
        writer.put("scores", lambda: time.sleep(0.5))
        for number in range(5):
            marks = {{"cutoff": 0.1, "notes": {{number: "x"}}, "flagged_by_hand": {{}}}}
            writer.put("marks", lambda marks=marks: write_marks(homes, marks))
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, timeout=120)
    assert json.loads((tmp_path / "labels.json").read_text())["notes"] == {"4": "x"}


def test_a_killed_writer_leaves_the_former_file_whole(tmp_path, monkeypatch):
    homes = [tmp_path / "labels"]
    arrays = {"labels": np.array([3]), "maps": np.ones((1, 2, 2))}
    write_scores(homes, ONE_CELL, {"layer": "block_4"}, arrays)
    marks = {"cutoff": 0.2, "flagged_by_hand": {3: True}, "notes": {}}
    write_marks(homes, marks)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", die)
    for write in (
        lambda: write_marks(homes, {**marks, "notes": {3: "x"}}),
        lambda: write_scores(homes, ONE_CELL.assign(grad_camo=0.1), {}, arrays),
    ):
        with pytest.raises(KeyboardInterrupt):
            write()
    kept = read_kept(homes)
    assert kept.damaged == []
    assert kept.marks == {**marks, "stale": []}
    assert kept.table["grad_camo"].tolist() == [0.5]
    assert kept.arrays["maps"].shape == (1, 2, 2)


def test_maps_of_another_audit_are_not_taken_for_those_of_these_scores(tmp_path):
    homes = [tmp_path / "labels"]
    write_scores(homes, ONE_CELL, {}, {"maps": np.ones(1)})
    old = (tmp_path / "labels.maps.safetensors").read_bytes()
    write_scores(homes, ONE_CELL, {}, {"maps": np.zeros(1)})
    (tmp_path / "labels.maps.safetensors").write_bytes(old)
    assert read_kept(homes).arrays == {}
