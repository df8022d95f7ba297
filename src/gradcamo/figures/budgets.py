"""Where maps lie and what predictions owe, by treatment or by any other group."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from gradcamo.cells.table import scored, told_causally
from gradcamo.colours import CAUSAL_SHARES, SHARES
from gradcamo.errors import GradcamoError
from gradcamo.figures.paper import (
    ROOM,
    SMALL,
    grouped_cells,
    name_groups,
    require,
    room_of,
    sheet,
)
from gradcamo.profiles.doses import in_dose_order

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def attention_budget(
    table: pd.DataFrame, group: str = "treatment", about: str = "", width: float | None = None
) -> Figure:
    """Mean share of the network's attention on the cell, its neighbours and the background.

    Parameters
    ----------
    table : DataFrame
        With the three shares and the column to group by; ``chance`` where known.
    group : another column to group by, such as ``predicted`` or ``well``
    about : what to write below the groups
    width : inches; wide enough for every group by default

    Raises
    ------
    GradcamoError
        If columns are missing or no cell has a score.
    """
    inside = grouped_cells(table, [*SHARES, group], group)
    seen = inside[scored(inside)]
    line = ("chance", "chance") if "chance" in seen else None
    labels = "mean share of attention", about
    return _stacked(seen, group, SHARES, line, "Attention budget", labels, width)


def causal_budget(
    table: pd.DataFrame, group: str = "treatment", about: str = "", width: float | None = None
) -> Figure:
    """Mean share of the prediction that is owed to the cell, its neighbours and the background.

    Of whole cells that were answered and, where treatments are known, called right.

    Parameters
    ----------
    table : DataFrame
        With the columns of `gradcamo.causal_attention` and the column to group by.
    group : another column to group by, such as ``predicted`` or ``well``
    about : what to write below the groups
    width : inches; wide enough for every group by default

    Raises
    ------
    GradcamoError
        If columns are missing or no cell is answered.
    """
    require(table, [*CAUSAL_SHARES, "causal_effect", "predicted", group])
    told = table[told_causally(table)]
    told = told.assign(**{group: told[group].fillna("").astype(str)})
    told = told[told[group] != ""]
    if told.empty:
        raise GradcamoError("no cell of this table is answered causally: nothing to draw")
    line = ("volume_own", "the cell fills") if "volume_own" in told else None
    labels = "mean share of the prediction", about
    return _stacked(told, group, CAUSAL_SHARES, line, "Causal budget", labels, width)


def _stacked(
    cells: pd.DataFrame,
    group: str,
    shares: Mapping[str, tuple[str, str]],
    line: tuple[str, str] | None,
    title: str,
    labels: tuple[str, str],
    width: float | None,
) -> Figure:
    """Bars of mean shares, one upon the other; ``line`` is a column to mark, and its name."""
    groups = in_dose_order(cells[group])
    means = cells.groupby(group)[list(shares)].mean().loc[groups]
    counts = cells[group].value_counts()
    inches = width or max(5.0, 1.5 + 0.9 * len(groups))
    figure = sheet(inches, 3.8)
    axes: Axes = figure.subplots()
    base = np.zeros(len(groups))
    room = room_of(inches, len(groups))
    size = SMALL + 1 if room > ROOM else SMALL - 1
    first = next(iter(shares))
    for column, (name, colour) in shares.items():
        share = means[column].to_numpy()
        axes.bar(range(len(groups)), share, 0.7, base, color=colour, label=name)
        for t, value in enumerate(share):
            if value >= 0.06:
                ink = "white" if column == first else "black"
                middle = base[t] + value / 2
                axes.text(
                    t, middle, f"{value:.0%}", ha="center", va="center", color=ink, fontsize=size
                )
        base += share
    if line:
        marked = cells.groupby(group)[line[0]].mean().loc[groups]
        middle = np.arange(len(groups))
        axes.hlines(marked, middle - 0.42, middle + 0.42, color="black", ls=":", label=line[1])
    axes.set(ylim=(0, 1), ylabel=labels[0], xlabel=labels[1])
    name_groups(axes, groups, [counts[name] for name in groups], room)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(title, fontsize=10)
    figure.legend(
        loc="outside lower center", ncols=2 if inches < 5 else 4, fontsize=SMALL, frameon=False
    )
    return figure
