"""What a window of an earlier version kept comes back: settings, scores, flags, notes."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from older import unpacked
from test_autosave import saved

import gradcamo as gc
from gradcamo.docks.canvas.sites import read_site
from gradcamo.docks.panels.steps.workbench import Workbench
from gradcamo.docks.panels.training.train_dock import TrainDock
from gradcamo.docks.window import window_of

pytestmark = pytest.mark.gui
FLAGGED = 1  # by hand, with a note


@pytest.fixture
def old(tmp_path):
    return unpacked(tmp_path / "old")


def opened(viewer, image, labels, qtbot):
    window = window_of(viewer)
    window.sites.show(read_site(image, labels))
    saved(window, qtbot)
    return window.session


def test_scores_flags_and_notes_come_back(old, viewer, qtbot):
    session = opened(viewer, old / "field.ome.tif", old / "field_labels.ome.tif", qtbot)
    before = gc.read_table(next(old.glob("field_labels.gradcamo-*.parquet")))
    table = session.results.table
    np.testing.assert_array_equal(table["grad_camo"], before["grad_camo"])
    assert session.results.cutoff == 0.31
    assert table.at[FLAGGED, "note"] == "look again: µ"
    assert not table.at[FLAGGED, "flagged"]
    assert table["grad_camo"].at[FLAGGED] < session.results.cutoff
    _, profiles = session.results.profiles()
    assert len(profiles) == before["grad_camo"].notna().sum()


def test_what_was_kept_in_the_user_s_folder_comes_back(old, viewer, qtbot):
    home = Path(os.environ["XDG_DATA_HOME"]) / "napari-gradcamo"
    home.mkdir(parents=True)
    for path in old.glob("field_labels.gradcamo-*"):
        path.rename(home / path.name.replace("field_labels", "labels"))
    session = opened(viewer, old / "field.ome.tif", old / "field_labels.ome.tif", qtbot)
    assert session.results.marks.notes == {FLAGGED: "look again: µ"}


def test_scores_of_another_image_with_the_same_labels_do_not(old, viewer, qtbot):
    image = old / "another.ome.tif"
    shutil.copy(old / "field.ome.tif", image)
    session = opened(viewer, image, old / "field_labels.ome.tif", qtbot)
    assert len(session.results) == 0
    assert not session.results.marks.notes


def test_what_is_kept_anew_goes_before_what_was_kept_then(old, viewer, qtbot):
    paths = old / "field.ome.tif", old / "field_labels.ome.tif"
    session = opened(viewer, *paths, qtbot)
    session.note(FLAGGED, "seen")
    window = window_of(viewer)
    saved(window, qtbot)
    window.sites.show(replace(read_site(paths[0]), labels=None))
    assert window.session.labels_layer is None or not len(window.session.results)
    session = opened(viewer, *paths, qtbot)
    assert session.results.marks.notes == {FLAGGED: "seen"}


def test_settings_come_back(old, viewer, qtbot):
    config = Path(os.environ["XDG_CONFIG_HOME"]) / "napari-gradcamo"
    config.mkdir(parents=True)
    shutil.copy(old / "docks.ini", config)
    bench, train = Workbench(viewer), TrainDock(viewer)
    qtbot.addWidget(bench)
    qtbot.addWidget(train)
    window = window_of(viewer)
    look = window.session.look
    assert (look.colormap, look.opacity, look.hide_below, look.only_cell) == (
        *("viridis", 0.5),
        *(0.2, True),
    )
    settings = train.settings()
    assert (settings.epochs, settings.gamma_range) == (7, (0.6, 1.4))
    assert (settings.crop.size_yx, settings.regularise_form) == ((96, 80), "log")
    planned = bench.explain.settings()
    assert (planned.gradients, planned.alignment) == ("local", "receptive-field")
    rows = bench.segment.rows.values() | bench.segment.more.values()
    assert (rows["diameter"], rows["min_size"], rows["flow_threshold"]) == (22, 55, 0.6)
