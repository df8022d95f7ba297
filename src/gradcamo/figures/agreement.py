"""Grad-CAMO against what the prediction owes to the cell, cell by cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from gradcamo.cells.table import scored, told_causally
from gradcamo.errors import GradcamoError
from gradcamo.figures.paper import GREY, SITES, SMALL, require, sheet
from gradcamo.profiles.doses import in_dose_order
from gradcamo.words import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def maps_against_causes(
    table: pd.DataFrame, group: str = "treatment", about: str = "", width: float | None = None
) -> Figure:
    """Grad-CAMO and the causal share of the own cell, a point a cell, coloured by group.

    Of whole cells that were answered and, where treatments are known, called right.

    Parameters
    ----------
    table : DataFrame
        With ``grad_camo``, the columns of `gradcamo.causal_attention` and the column to group by.
    group : another column to colour by, such as ``predicted`` or ``well``
    about : what to write below
    width : inches

    Raises
    ------
    GradcamoError
        If columns are missing or no cell has both.
    """
    require(table, ["grad_camo", "causal_own", "causal_effect", "predicted", group])
    both = table[told_causally(table) & scored(table)]
    if both.empty:
        raise GradcamoError("no cell of this table has a score and a causal answer")
    figure = sheet(width or 5.0, 4.4)
    axes: Axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=GREY, lw=0.8, ls=":", label="alike")
    names = both[group].fillna("").astype(str)
    for n, name in enumerate(in_dose_order(names)):
        mine = both[names == name]
        axes.scatter(
            mine["grad_camo"], mine["causal_own"], s=14, color=SITES[n % len(SITES)],
            marker="os^Dv"[n // len(SITES) % 5], lw=0, alpha=0.7, label=name,
        )  # fmt: skip
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel="Grad-CAMO: the map on the cell")
    axes.set_ylabel("the prediction owes to the cell")
    axes.set_aspect("equal")
    axes.grid(color="#EEEEEE")
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=SMALL)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(counted(len(both), "cell") + (f" · {about}" if about else ""), fontsize=10)
    figure.legend(loc="outside lower center", ncols=4, fontsize=SMALL, frameon=False)
    return figure
