"""Typed numbers mean the same in every country."""

from __future__ import annotations

import pytest
from qtpy.QtCore import QLocale, Qt

from gradcamo.docks.panels.steps.cutoff import CutoffBox
from gradcamo.docks.panels.steps.voxel_size_line import VoxelSize
from gradcamo.docks.parts.rows import SettingRows
from gradcamo.settings import TrainSettings

pytestmark = pytest.mark.gui


@pytest.fixture(params=["de_DE", "en_US"])
def country(request):
    before = QLocale()
    QLocale.setDefault(QLocale(request.param))
    yield request.param
    QLocale.setDefault(before)


def type_in(line, text, qtbot):
    line.selectAll()
    qtbot.keyClicks(line, text)
    qtbot.keyClick(line, Qt.Key.Key_Return)


@pytest.mark.parametrize("text", ["0.3", "0,3"])
def test_a_cut_off_is_taken_as_it_was_typed(country, text, audited, qtbot):
    box = CutoffBox(audited)
    qtbot.addWidget(box)
    type_in(box.value.lineEdit(), text, qtbot)
    assert box.value.text() == "0.300"
    assert audited.results.cutoff == pytest.approx(0.3)


@pytest.mark.parametrize("text", ["0.35", "0,35"])
def test_a_voxel_size_is_taken_as_it_was_typed(country, text, session, qtbot):
    size = VoxelSize(session)
    qtbot.addWidget(size)
    type_in(size.lines[1], text, qtbot)
    assert session.stack.spacing_um[1] == 0.35
    assert size.lines[1].text() == "0.35"


def test_numbers_of_settings_are_taken_as_they_were_typed(country, qtbot):
    rows = SettingRows(TrainSettings, ("width",))
    qtbot.addWidget(rows)
    type_in(rows.inputs["width"].native.lineEdit(), "0.25", qtbot)
    assert rows.values()["width"] == 0.25
