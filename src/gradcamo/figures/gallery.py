"""Cells side by side with their heatmaps."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from gradcamo.colours import NEIGHBOURS, OWN
from gradcamo.errors import GradcamoError
from gradcamo.figures.paper import GREY, sheet
from gradcamo.views import HEAT, CellView, overlay

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def heatmap_gallery(
    views: Sequence[CellView], columns: int | None = None, title: str | None = None
) -> Figure:
    """Cells side by side, each plain and with its heatmap.

    Parameters
    ----------
    views : CellView of each cell, in the order to show them
    columns : cells in a row; all up to eight by default
    title : str, optional

    Raises
    ------
    GradcamoError
        If there is nothing to show.
    """
    if not views:
        raise GradcamoError("a gallery needs at least one cell: audit some, or lower the cut-off")
    columns = min(columns or 8, len(views))
    rows = ceil(len(views) / columns)
    figure = sheet(1.55 * columns + 0.9, 3.55 * rows + 0.6)
    figure.get_layout_engine().set(hspace=0.02, wspace=0.02)  # type: ignore[union-attr, call-arg]
    grid = figure.subplots(2 * rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for i, view in enumerate(views):
        top, bottom = grid[2 * (i // columns) : 2 * (i // columns) + 2, i % columns]
        top.imshow(view.image, cmap="gray", vmin=0, vmax=1)
        bottom.imshow(overlay(view, outlines=False))
        for axes in (top, bottom):
            outline(axes, view.others, NEIGHBOURS)
            outline(axes, view.own, OWN)
        top.set_title(view.title, fontsize=8)
    _heat_bar(figure, grid)
    figure.suptitle(title or "Where the network looks", fontsize=11)
    figure.supxlabel(
        "blue: the cell's outline · grey: its neighbours' · each heatmap is scaled to its own "
        "maximum",
        fontsize=8,
        color=GREY,
    )
    return figure


def outline(axes: Axes, mask: np.ndarray, colour: str) -> None:
    if mask.any() and not mask.all():
        axes.contour(mask, [0.5], colors=colour, linewidths=1)


def _heat_bar(figure: Figure, grid: np.ndarray) -> None:
    from matplotlib.cm import ScalarMappable

    bar = figure.colorbar(ScalarMappable(cmap=HEAT), ax=grid, shrink=0.6, aspect=30, pad=0.01)
    bar.set_ticks([0, 1], labels=["none", "most"])
    bar.ax.tick_params(labelsize=7)
    bar.set_label("evidence", fontsize=8)
