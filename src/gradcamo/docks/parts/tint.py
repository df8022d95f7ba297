"""Colours that can be read in napari's dark and in its light theme."""

from __future__ import annotations

from qtpy.QtWidgets import QWidget

GOOD, WARN, BAD, FAINT = "#56b4e9", "#e69f00", "#ff8a65", "#9aa0a8"
PAPER, INK, LINE, EMPTY = "#23242b", "#c7ccd4", "#ffffff", "#3a3f4a"
"""Of plots and bars: what they are drawn on, axes and words, what stands out most, an empty bar."""
ON_LIGHT = {
    **{GOOD: "#005a87", WARN: "#7d4b00", BAD: "#a8231a", FAINT: "#555b63"},
    **{PAPER: "#ffffff", INK: "#3c4148", LINE: "#000000", EMPTY: "#d3d7dd"},
}


def legible(colour: str) -> str:
    """One of these colours in a dark theme, in a light one what does its work there."""
    import napari
    from napari.utils.theme import get_theme

    viewer = napari.current_viewer()
    if viewer is None or sum(get_theme(viewer.theme).background.as_rgb_tuple()[:3]) < 384:
        return colour
    return ON_LIGHT[colour]


def tint(widget: QWidget, colour: str, style: str = "") -> None:
    """Give a widget's text a colour, and another style, that follow the theme (`tint_again`)."""
    widget.setProperty("tint", [colour, style])
    sheet = f"{style}color: {legible(colour)};"
    if sheet != widget.styleSheet():  # setting one is slow
        widget.setStyleSheet(sheet)


def tint_again(window: QWidget) -> None:
    """Follow another theme: tinted texts, and what has a ``follow_theme`` of its own."""
    for widget in window.findChildren(QWidget):
        if widget.property("tint"):
            tint(widget, *widget.property("tint"))
        if hasattr(widget, "follow_theme"):
            widget.follow_theme()
