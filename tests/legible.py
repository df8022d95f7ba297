"""Whether what a figure says can be read."""

from __future__ import annotations

from itertools import combinations
from typing import Any


def illegible(figure: Any) -> list[str]:
    """Texts of a drawn figure that are cut off by its edge or lie on one another."""
    from matplotlib.text import Text

    figure.canvas.draw()
    ticks = {
        label
        for axes in figure.axes
        for axis, (low, high) in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim()))
        for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]
        for label in (tick.label1, tick.label2)
        if not low <= tick.get_loc() <= high
    }
    seen = [
        (text.get_text(), text.get_window_extent())
        for text in figure.findobj(Text)
        if text.get_visible() and text.get_text().strip() and text not in ticks
    ]
    sheet = figure.bbox
    cut = [
        name
        for name, box in seen
        if box.x0 < -1 or box.y0 < -1 or box.x1 > sheet.x1 + 1 or box.y1 > sheet.y1 + 1
    ]
    touching = [
        f"{one} | {other}"
        for (one, a), (other, b) in combinations(seen, 2)
        if min(a.x1, b.x1) - max(a.x0, b.x0) > 1 and min(a.y1, b.y1) - max(a.y0, b.y0) > 1
    ]
    return cut + touching
