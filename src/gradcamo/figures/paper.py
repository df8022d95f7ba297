"""What the figures share: the sheet, the colours, and what a table must have to be drawn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from gradcamo.cells.table import scored, whole
from gradcamo.errors import GradcamoError
from gradcamo.files.landing import ending_of, landing
from gradcamo.words import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SITES = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#555555")
GREY = "#555555"
SMALL = 8  # points
ROOM = 36  # points of a group; in less, numbers are written smaller
KINDS = (".png", ".svg", ".pdf")


def sheet(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", facecolor="white", dpi=120)


def save_figure(figure: Figure, path: str | Path, dpi: int = 150) -> None:
    """Write a figure, whole or not at all, as its ending says: PNG, SVG or PDF.

    Raises
    ------
    GradcamoError
        If it has another ending, or cannot be written.
    """
    ending_of(path, KINDS)
    with landing(path) as scratch:
        figure.savefig(scratch, dpi=dpi)


def room_of(width: float, groups: int) -> float:
    """Points along x that each of so many groups has in a figure of this width, in inches."""
    return 72 * (width - 0.8) / max(groups, 1)


def fits(text: str, room: float) -> bool:
    """Whether small text, line by line, is narrower than so many points."""
    return max(map(len, text.split("\n"))) * 0.62 * SMALL <= room


def name_groups(axes: Axes, names: Sequence[str], counts: Sequence[int], room: float) -> None:
    """Name groups and their cells below the axis, upright where they would touch otherwise."""
    held = [counted(n, "cell") for n in counts]
    for between, broken in (("\n", " "), ("\n", "\n"), (" · ", " ")):
        ticks = [
            name + between + cells.replace(" ", broken)
            for name, cells in zip(names, held, strict=True)
        ]
        if lie := all(fits(tick, room) for tick in ticks):
            break
    axes.set_xticks(range(len(names)), ticks, rotation=0 if lie else 90, fontsize=SMALL)
    axes.tick_params(axis="y", labelsize=SMALL)
    axes.xaxis.label.set_fontsize(SMALL + 1)
    axes.yaxis.label.set_fontsize(SMALL + 1)


def require(table: pd.DataFrame, columns: Sequence[str]) -> None:
    if missing := [name for name in columns if name not in table]:
        raise GradcamoError(
            f"this figure needs the columns {', '.join(columns)}, the table lacks "
            f"{', '.join(missing)}: audit a plate, or add them"
        )


def grouped_cells(table: pd.DataFrame, columns: Sequence[str], group: str) -> pd.DataFrame:
    """The whole cells that belong to a group, its name as text; at least one has a score."""
    require(table, columns)
    inside = table[whole(table)]
    inside = inside.assign(**{group: inside[group].fillna("").astype(str)})
    inside = inside[inside[group] != ""]
    if not scored(inside).any():
        raise GradcamoError("no cell of this table has a score: nothing to draw")
    return inside
