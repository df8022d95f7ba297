"""Scores by treatment, or by any other group."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from gradcamo.cells.table import passes, scored, whole
from gradcamo.figures.paper import (
    GREY,
    ROOM,
    SITES,
    SMALL,
    grouped_cells,
    name_groups,
    room_of,
    sheet,
)
from gradcamo.profiles.doses import in_dose_order

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def scores_by_dose_and_site(
    table: pd.DataFrame,
    cutoff: float = 0.25,
    group: str = "treatment",
    about: str = "",
    width: float | None = None,
) -> Figure:
    """Grad-CAMO by treatment and site, the cut-off and the share that passes (figure 5B).

    Cells are counted whole, those without a score too, which do not pass.

    Parameters
    ----------
    table : DataFrame
        With ``grad_camo`` and the column to group by; ``site`` and ``chance`` where known.
    cutoff : float
    group : another column to group by, such as ``predicted`` or ``well``
    about : what to write below the groups
    width : inches; wide enough for every group by default

    Raises
    ------
    GradcamoError
        If columns are missing or no cell has a score.
    """
    inside = grouped_cells(table, ["grad_camo", group], group)
    seen, passing = inside[scored(inside)], passes(inside, cutoff)
    treatments = in_dose_order(inside[group])
    split = "site" in seen and group != "site" and seen["site"].nunique() > 1
    site_of = seen["site"].astype(str) if split else pd.Series("", seen.index)
    sites = sorted(site_of.unique(), key=lambda site: (len(site), site))
    inches = width or max(6.0, 1.0 + 1.35 * len(treatments))
    figure = sheet(inches, 4.2)
    axes: Axes = figure.subplots()
    room = room_of(inches, len(treatments))
    each = 0.8 / len(sites)
    for s, site in enumerate(sites):
        colour = SITES[s % len(SITES)]
        for t, treatment in enumerate(treatments):
            chosen = (seen[group] == treatment) & (site_of == site)
            place = t + (s - (len(sites) - 1) / 2) * each
            _violin(axes, seen.loc[chosen, "grad_camo"].to_numpy(), place, each, colour)
        if split:
            axes.scatter([], [], marker="s", color=colour, label=site)
    axes.axhline(cutoff, color="black", lw=1, ls="--", label=f"cut-off {cutoff:g}")
    for t, treatment in enumerate(treatments):
        mine = inside[group] == treatment
        size = SMALL + 1 if room > ROOM else SMALL - 1
        axes.text(t, 1.03, f"{passing[mine].mean():.0%}", ha="center", fontsize=size, weight="bold")
        if "chance" in inside:
            chance = inside.loc[mine, "chance"].mean()
            axes.hlines(chance, t - 0.42, t + 0.42, color=GREY, lw=1.2, ls=":")
    if "chance" in inside:
        axes.plot([], [], color=GREY, ls=":", label="chance")
    axes.annotate(
        "pass ",
        (0, 1.03),
        xycoords=("axes fraction", "data"),
        ha="right",
        fontsize=SMALL,
        color=GREY,
    )
    counts = inside[group].value_counts()
    axes.set(
        xlim=(-0.5, len(treatments) - 0.5), ylim=(-0.02, 1.1), ylabel="Grad-CAMO", xlabel=about
    )
    axes.set_yticks(np.linspace(0, 1, 6))
    name_groups(axes, treatments, [counts[name] for name in treatments], room)
    axes.grid(axis="y", color="#EEEEEE")
    axes.set_axisbelow(True)
    cells, among = passes(table, cutoff).sum(), whole(table).sum()  # those of no group, too
    axes.set_title(
        f"{cells:,} of {among:,} whole cells score {cutoff:g} or more", fontsize=10, pad=8
    )
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(
        title="site" if split else None,
        loc="outside lower center",
        ncols=min(len(sites) + 2, max(2, int(inches / 0.75))),
        fontsize=SMALL,
        frameon=False,
    )
    return figure


def _violin(axes: Axes, values: np.ndarray, place: float, width: float, colour: str) -> None:
    """A violin with quartiles and median; points alone where there are few."""
    if len(values) >= 5 and np.ptp(values) > 0:
        parts = axes.violinplot(values, [place], widths=0.9 * width, showextrema=False, points=80)
        for body in parts["bodies"]:  # type: ignore[attr-defined]
            body.set(facecolor=colour, alpha=0.55, edgecolor="none")
        low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
        axes.vlines(place, low, high, color=GREY, lw=2.5)
        axes.plot(place, middle, "o", color="white", mec=GREY, ms=4)
    else:
        axes.plot(np.full(len(values), place), values, "o", color=colour, ms=3)
