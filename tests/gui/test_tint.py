"""Everything that is written can be read, in napari's dark and in its light theme."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from conftest import docked
from napari.utils.theme import get_theme
from qtpy.QtGui import QColor

from gradcamo.docks.panels.cells.cells_dock import CellsDock
from gradcamo.docks.panels.plates.palette import Colours
from gradcamo.docks.panels.plates.scatter import PointPlot
from gradcamo.docks.panels.steps.histogram import ScoreHistogram
from gradcamo.docks.panels.steps.workbench import Workbench
from gradcamo.docks.panels.training.curves import TrainingCurves
from gradcamo.docks.parts.plot import Plot
from gradcamo.docks.parts.tint import BAD, FAINT, GOOD, WARN, legible

pytestmark = pytest.mark.gui


def contrast(one: str, other: str) -> float:
    """The ratio of WCAG 2."""

    def luminance(name: str) -> float:
        parts = [QColor(name).redF(), QColor(name).greenF(), QColor(name).blueF()]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


@pytest.mark.shown
@pytest.mark.parametrize("theme", ["dark", "light"])
def test_inks_stand_out_from_the_theme(theme, viewer):
    viewer.theme = theme
    background = get_theme(theme).background.as_hex()
    assert all(contrast(legible(ink), background) >= 4.5 for ink in (GOOD, WARN, BAD, FAINT))


@pytest.mark.shown
def test_messages_and_numbers_follow_another_theme(audited, viewer, qtbot):
    bench, cells = Workbench(viewer), CellsDock(viewer)
    for dock in (bench, cells):
        docked(viewer, dock)
    inks = {}
    for theme in ("dark", "light", "dark"):
        viewer.theme = theme
        seen = [bench.load.message.styleSheet(), bench.steps[0].state.styleSheet()]
        assert all(legible(GOOD) in sheet for sheet in seen)
        label = int(audited.results.table.index[audited.results.table["touches_border"]][0])
        brush = cells.model._ink(cells.model.index(cells.model.row_of(label), 1))
        assert brush.color() == QColor(legible(FAINT))
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
