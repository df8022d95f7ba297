"""Colours that carry meaning, as they are read in the theme of the viewer that shows them."""

from __future__ import annotations

import re
from typing import Any

from qtpy.QtCore import QObject
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QTableWidgetItem, QWidget

GOOD, WARN, BAD, FAINT = "#56b4e9", "#e69f00", "#ff8a65", "#a9afb7"
"""Of words: what is well, what wants care, what failed, what is said aside."""
PAPER, INK, LINE, EMPTY = "#23242b", "#c7ccd4", "#ffffff", "#3a3f4a"
"""Of plots and bars: what they are drawn on, axes and words, what stands out most, an empty bar."""
ON_LIGHT = {
    **{GOOD: "#005a87", WARN: "#8a4500", BAD: "#a8231a", FAINT: "#4f555d"},
    **{PAPER: "#ffffff", INK: "#3c4148", LINE: "#000000", EMPTY: "#d3d7dd"},
}


def in_theme(colours: str, theme: str) -> str:
    """One of these colours, or a style sheet that names some, as a theme of napari's needs it."""
    from napari.utils.theme import get_theme

    if sum(get_theme(theme).background.as_rgb_tuple()[:3]) < 384:
        return colours
    return re.sub("#[0-9a-f]{6}", lambda found: ON_LIGHT.get(found[0], found[0]), colours)


def theme_of(part: QObject) -> str:
    """The theme of the viewer whose window a part is in; before it is in one, of the active one."""
    import napari

    at: Any = part
    while at is not None and not hasattr(at, "_qt_viewer"):
        at = at.parent()
    viewer = napari.current_viewer() if at is None else at._qt_viewer.viewer
    return "dark" if viewer is None else viewer.theme


def legible(colour: str, part: QObject) -> str:
    """One of these colours as it is read where this part is."""
    return in_theme(colour, theme_of(part))


def highlight(part: QObject) -> QColor:
    """What napari draws behind what is selected; its own words are read on it."""
    from napari.utils.theme import get_theme

    return QColor(*get_theme(theme_of(part)).highlight.as_rgb_tuple()[:3])


def ink_on(colour: QColor) -> QColor:
    """Black or white, whichever is read better on a colour: at least 4.5 times as bright, or dark.

    Relative luminance as WCAG 2 defines it.
    """
    parts = (colour.redF(), colour.greenF(), colour.blueF())
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    bright = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return QColor("black" if (bright + 0.05) ** 2 > 1.05 * 0.05 else "white")


def fill(item: QTableWidgetItem, colour: str) -> None:
    """Give an item of a table a colour, in every theme the same, and an ink that is read on it."""
    item.setBackground(QColor(colour))
    item.setForeground(ink_on(QColor(colour)))


def style(widget: QWidget, sheet: str) -> None:
    """Give a widget a style sheet whose colours follow the theme (`follow_theme`)."""
    widget.setProperty("sheet", sheet)
    sheet = legible(sheet, widget)
    if sheet != widget.styleSheet():  # setting one is slow
        widget.setStyleSheet(sheet)


def tint(widget: QWidget, colour: str, more: str = "") -> None:
    """Give a widget's text a colour, and another style, that follow the theme."""
    style(widget, f"{more}color: {colour};")


def follow_theme(window: QWidget) -> None:
    """Follow another theme: what has a `style`, and what has a ``follow_theme`` of its own."""
    for widget in window.findChildren(QWidget):
        if (sheet := widget.property("sheet")) is not None:
            style(widget, sheet)
        if hasattr(widget, "follow_theme"):
            widget.follow_theme()
