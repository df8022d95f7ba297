"""Everything that is written can be read, in napari's dark and in its light theme."""

from __future__ import annotations

import pytest
from conftest import docked
from napari.utils.theme import get_theme
from qtpy.QtGui import QColor

from gradcamo.docks.panels.cells.cells_dock import CellsDock
from gradcamo.docks.panels.steps.workbench import Workbench
from gradcamo.docks.parts.tint import BAD, FAINT, GOOD, INK, PAPER, WARN, legible

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
    assert contrast(INK, PAPER) >= 4.5


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
