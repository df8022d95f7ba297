"""Everything that is written can be read, in napari's dark and in its light theme."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import docked
from napari.utils.theme import get_theme
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QColor, QTextDocument
from qtpy.QtWidgets import QTableWidget, QTableWidgetItem

from gradcamo.docks.panels.cells.card import CellCard
from gradcamo.docks.panels.cells.cells_dock import CellsDock
from gradcamo.docks.panels.plates.palette import PALETTE, Colours, Legend
from gradcamo.docks.panels.plates.plate_dock import WellDelegate
from gradcamo.docks.panels.plates.scatter import PointPlot
from gradcamo.docks.panels.steps.histogram import ScoreHistogram
from gradcamo.docks.panels.steps.model import described
from gradcamo.docks.panels.steps.workbench import Workbench
from gradcamo.docks.panels.training import train_plate
from gradcamo.docks.panels.training.curves import TrainingCurves
from gradcamo.docks.parts.plot import Plot
from gradcamo.docks.parts.tint import BAD, FAINT, GOOD, LINE, PAPER, WARN, fill, in_theme
from gradcamo.docks.parts.widgets import Message

pytestmark = pytest.mark.gui


def contrast(one: str, other: str) -> float:
    """The ratio of WCAG 2."""

    def luminance(name: str) -> float:
        parts = [QColor(name).redF(), QColor(name).greenF(), QColor(name).blueF()]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("name", ["dark", "light"])
def test_inks_stand_out_from_whatever_they_are_written_on(name):
    theme = get_theme(name)
    window, table = (QColor(*c.as_rgb_tuple()[:3]) for c in (theme.background, theme.foreground))
    other = [round((127 * 24 + c * (255 - 24)) / 255) for c in table.getRgb()[:3]]  # every 2nd row
    for paper in (window, table, QColor(*other), QColor(in_theme(PAPER, name))):
        for ink in (GOOD, WARN, BAD, FAINT):
            assert contrast(in_theme(ink, name), paper.name()) >= 4.5
    chosen = QColor(*theme.highlight.as_rgb_tuple()[:3])
    assert contrast(QColor(*theme.text.as_rgb_tuple()[:3]).name(), chosen.name()) >= 4.5


@pytest.mark.parametrize("colour", sorted({*PALETTE, *train_plate.COLOURS.values()}))
def test_words_stand_out_from_the_colour_of_a_treatment_or_a_split(colour):
    item = QTableWidgetItem()
    fill(item, colour)
    assert item.background().color() == QColor(colour)
    assert contrast(item.foreground().color().name(), colour) >= 4.5


def test_a_chosen_well_is_ringed_and_keeps_its_treatments_colour(viewer, qtbot):
    wells = docked(viewer, QTableWidget(1, 2))
    wells.setItemDelegate(WellDelegate(wells))
    for column in range(2):
        wells.setItem(0, column, QTableWidgetItem())
        fill(wells.item(0, column), GOOD)
    wells.setCurrentCell(0, 1)
    picture = wells.viewport().grab().toImage()
    for column, edge in enumerate((GOOD, LINE)):
        box = wells.visualItemRect(wells.item(0, column))
        assert picture.pixelColor(box.center()).name() == GOOD
        assert picture.pixelColor(box.topLeft() + QPoint(1, 1)).name() == edge


def test_a_filter_is_ringed_while_it_fails_and_no_longer(audited, viewer, qtbot):
    cells = docked(viewer, CellsDock)
    for text, ringed in (("grad_camo <", True), ("grad_camo < 1", False)):
        cells.toolbar.filter.setText(text)
        assert (BAD in cells.toolbar.filter.styleSheet()) == ringed


def test_words_are_read_in_the_theme_of_the_window_that_they_stand_in(make_napari_viewer, qtbot):
    dark, light = make_napari_viewer(), make_napari_viewer()  # the later one is napari's current
    light.theme = "light"
    for viewer in (dark, light):
        message = docked(viewer, Message())
        message.say("a warning", WARN)
        assert in_theme(WARN, viewer.theme) in message.styleSheet()


@pytest.mark.shown
def test_messages_and_numbers_follow_another_theme(audited, viewer, qtbot):
    bench, cells = Workbench(viewer), CellsDock(viewer)
    for dock in (bench, cells):
        docked(viewer, dock)
    label = int(audited.results.table.index[audited.results.table["touches_border"]][0])
    audited.choose(label, "table")
    inks = {}
    for theme in ("dark", "light", "dark"):
        viewer.theme = theme
        cells.model.marked.clear()
        seen = [bench.load.message.styleSheet(), bench.steps[0].state.styleSheet()]
        assert all(in_theme(GOOD, theme) in sheet for sheet in seen)
        assert in_theme(FAINT, theme) in bench.review.card.legend.text()
        number = cells.model.index(cells.model.row_of(label), 1)
        ink = cells.model.data(number, Qt.ItemDataRole.ForegroundRole)
        assert ink.color() == QColor(in_theme(FAINT, theme))
        cells.model.marked.add(label)  # drawn as napari draws what is selected
        assert cells.model.data(number, Qt.ItemDataRole.ForegroundRole) is None
        paper = cells.model.data(number, Qt.ItemDataRole.BackgroundRole)
        assert paper.color() == QColor(*get_theme(theme).highlight.as_rgb_tuple()[:3])
        inks[theme] = seen
    assert inks["dark"] != inks["light"]


@pytest.mark.shown
def test_plots_follow_another_theme(window, viewer, qtbot):
    """Paper as bright as the theme; axes, words, lines and rings stand out from it."""
    histogram, curves, points = ScoreHistogram(), TrainingCurves(), PointPlot()
    for dock in (histogram, curves, points):
        docked(viewer, dock)
    points.show_points(np.array([[0.0, 0.0], [1.0, 1.0]]), Colours(pd.Series(["a", "b"])))
    points.mark(np.array([True, False]))
    drawn = [curve.opts for curve in curves.curves.values()]
    for theme in ("dark", "light", "dark"):
        viewer.theme = theme
        bright = [
            sum(QColor(colour).getRgb()[:3]) > 384
            for colour in (
                get_theme(theme).background.as_hex(),
                *map(paper, (histogram, curves.loss, points)),
            )
        ]
        assert len(set(bright)) == 1
        for plot in viewer.window._qt_window.findChildren(Plot):
            for pen in (plot.getAxis("bottom").pen(), plot.getAxis("bottom").textPen()):
                assert contrast(pen.color().name(), paper(plot)) >= 4.5
        lines = [histogram._line.pen, histogram._applied.pen, points.box.line.opts["pen"]]
        lines += [points.ring.opts["pen"], points.points.opts["pen"], *(o["pen"] for o in drawn)]
        inks = [pen.color().name() for pen in lines]
        inks += [label.opts["color"] for _, label in curves.legend.items]
        assert all(contrast(ink, paper(points)) >= 4.5 for ink in inks)


def paper(plot: Plot) -> str:
    """The colour in a plot's corner, as it is painted."""
    return plot.grab().toImage().pixelColor(1, 1).name()


def test_names_that_look_like_tags_are_written_out(audited, checkpoint, qtbot):
    legend, card = Legend(), CellCard()
    for part in (legend, card):
        qtbot.addWidget(part)
    legend.show_colours("<dose>", Colours(pd.Series(["<5 µM", "a<b>c"])))
    assert words(legend.names.text()).split() == ["<dose>:", "<5", "µM", "a<b>c"]
    row = audited.results.table.iloc[0].copy()
    row["predicted"] = "<5 µM"
    card.show_cell(row)
    assert "predicted <5 µM (" in words(card.title.text())
    told = replace(checkpoint, classes=("<5 µM", "a<b>c", "high"))
    assert "apart: <5 µM, a<b>c, high." in words(described(told, "network"))


def words(rich: str) -> str:
    document = QTextDocument()
    document.setHtml(rich)
    return document.toPlainText().replace("\N{NO-BREAK SPACE}", " ")
