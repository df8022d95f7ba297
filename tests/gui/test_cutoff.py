"""A cut-off shows what it would do before it does it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from conftest import docked, scored_label
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QFont, QFontMetrics

from gradcamo.docks.panels.steps.cutoff import _names
from gradcamo.docks.panels.steps.review import ReviewDock
from gradcamo.docks.state.results import Results
from gradcamo.profiles.cutoffs import passing

pytestmark = pytest.mark.gui


@pytest.fixture
def cut(audited, viewer, qtbot):
    dock = docked(viewer, ReviewDock)
    qtbot.wait(50)
    return dock.cut


def slide(cut, qtbot, cutoff: float) -> None:
    """Press on the slider's handle, move it, and release."""
    slider = cut.slider
    start = QPoint(round(slider.value() / slider.maximum() * (slider.width() - 14)) + 7, 9)
    end = QPoint(round(cutoff / cut._top * (slider.width() - 14)) + 7, 9)
    qtbot.mousePress(slider, Qt.MouseButton.LeftButton, pos=start)
    for part in np.linspace(0, 1, 6):
        qtbot.mouseMove(slider, start + (end - start) * float(part))
    qtbot.mouseRelease(slider, Qt.MouseButton.LeftButton, pos=end)


def expected(session, cutoff: float) -> pd.DataFrame:
    """Passing cells and all whole cells of each predicted treatment, counted one by one."""
    table = session.results.table
    whole = table[~table["touches_border"].astype(bool)]
    passes = [bool(score >= cutoff) for score in whole["grad_camo"]]
    groups = pd.Series(passes, whole["predicted"].to_numpy()).groupby(level=0)
    return pd.DataFrame({"passing": groups.sum(), "cells": groups.count()})


def test_the_slider_shows_what_would_pass_and_flags_nothing(audited, cut, qtbot):
    before = audited.results.table["flagged"].copy()
    slide(cut, qtbot, 0.4)
    proposed = cut.value.value()
    assert proposed == pytest.approx(0.4, abs=0.05)
    assert proposed != audited.results.cutoff
    assert cut.histogram._line.value() == pytest.approx(proposed)
    assert cut.histogram._applied.value() == audited.results.cutoff
    counts = expected(audited, proposed)
    assert {n: (p, c) for n, p, c in cut.bars.rows} == {
        name: (row["passing"], row["cells"]) for name, row in counts.iterrows()
    }
    assert f"{counts['passing'].sum()} of {counts['cells'].sum()}" in cut.count.text()
    assert (audited.results.table["flagged"] == before).all()
    qtbot.mouseClick(cut.apply_button, Qt.MouseButton.LeftButton)
    assert audited.results.cutoff == proposed
    table = audited.results.table
    assert (~table["flagged"] & ~table["touches_border"]).sum() == counts["passing"].sum()
    assert not cut.apply_button.isEnabled()


def test_hand_made_flags_are_said_beside_what_passes(audited, cut):
    best = int(audited.results.table["grad_camo"].idxmax())
    audited.mark([best], True)
    cut.propose(0.0)
    counts = expected(audited, 0.0)
    assert sum(part for _, part, _ in cut.bars.rows) == counts["passing"].sum()
    assert counts["passing"].sum() == counts["cells"].sum()
    assert "1 flagged or cleared by hand" in cut.count.text()


def test_a_flag_leaves_the_proposal_and_a_new_cutoff_replaces_it(audited, cut):
    cut.propose(0.37)
    audited.mark([scored_label(audited)], True)
    assert cut.value.value() == 0.37
    audited.set_cutoff(0.1)
    assert cut.value.value() == 0.1


def test_enter_in_the_number_applies_it(audited, cut, qtbot):
    cut.value.lineEdit().selectAll()
    qtbot.keyClicks(cut.value.lineEdit(), "0.41")
    assert audited.results.cutoff != 0.41
    qtbot.keyClick(cut.value.lineEdit(), Qt.Key.Key_Return)
    assert audited.results.cutoff == 0.41


def test_groups_are_treatments_where_the_table_has_them(audited, cut):
    table = audited.results.table.drop(columns=["flagged", "note"])
    dose = np.where(np.arange(len(table)) % 2, "8.00x", "control")
    audited.set_results(Results.of_table(table.assign(treatment=dose), 0.25))
    assert [name for name, _, _ in cut.bars.rows] == ["control", "8.00x"]
    assert "treatment" in cut.count.text()


def test_passing_counts_each_group_in_the_order_of_doses():
    groups = pd.Series(["8.00x", "control", "0.06x", "8.00x", None, "1.60x"])
    found = passing(groups, np.array([True, False, True, False, True, False]))
    assert found.index.tolist() == ["control", "0.06x", "1.60x", "8.00x", ""]
    assert found["passing"].tolist() == [0, 1, 0, 1, 1]
    assert found["cells"].tolist() == [1, 1, 1, 2, 1]


@pytest.mark.parametrize("points", [8, 9, 10, 11, 12])
def test_names_that_have_room_are_written_whole(qapp, points):
    font = QFont(qapp.font())
    font.setPointSize(points)
    for name in ("40.00x", "8 µM", "control"):
        assert _names([name], QFontMetrics(font))[1] == [name]
    left, (short,) = _names(["a treatment whose name does not end"], QFontMetrics(font))
    assert left == 110
    assert short.endswith("…")
