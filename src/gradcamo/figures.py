"""The figures of a plate, for files and reports. Each function returns a matplotlib Figure.

Colours are Okabe and Ito's, told apart with every common colour vision.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from gradcamo.errors import GradcamoError
from gradcamo.profiles.doses import in_dose_order
from gradcamo.views import HEAT, NEIGHBOUR, OWN, CellView, overlay

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SITES = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#555555")
BUDGET = {
    "grad_camo": ("own cell", "#0072B2"),
    "neighbour_share": ("neighbours", "#E69F00"),
    "background_share": ("background", "#BBBBBB"),
}
GREY = "#555555"
_LAYER_COLUMNS = (
    *("layer", "grad_camo", "grad_camo_sd", "attainable", "attainable_sd"),
    *("chance", "ceiling", "probe_accuracy", "largest_class"),
)


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
    figure = _figure(1.55 * columns + 0.9, 3.55 * rows + 0.6)
    figure.get_layout_engine().set(hspace=0.02, wspace=0.02)  # type: ignore[union-attr, call-arg]
    grid = figure.subplots(2 * rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for i, view in enumerate(views):
        top, bottom = grid[2 * (i // columns) : 2 * (i // columns) + 2, i % columns]
        top.imshow(view.image, cmap="gray", vmin=0, vmax=1)
        bottom.imshow(overlay(view, outlines=False))
        for axes in (top, bottom):
            _outline(axes, view.others, NEIGHBOUR)
            _outline(axes, view.own, OWN)
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


def scores_by_dose_and_site(
    table: pd.DataFrame, cutoff: float = 0.25, group: str = "treatment", about: str = ""
) -> Figure:
    """Grad-CAMO by treatment and site, the cut-off and the share that passes (figure 5B).

    Parameters
    ----------
    table : DataFrame
        With ``grad_camo`` and the column to group by; ``site`` and ``chance`` where known.
    cutoff : float
    group : another column to group by, such as ``predicted`` or ``well``
    about : what to write below the groups

    Raises
    ------
    GradcamoError
        If columns are missing or no cell has a score.
    """
    scored = _scored(table, ["grad_camo", group], group)
    treatments = in_dose_order(scored[group])
    split = "site" in scored and group != "site" and scored["site"].nunique() > 1
    site_of = scored["site"].astype(str) if split else pd.Series("", scored.index)
    sites = sorted(site_of.unique(), key=lambda site: (len(site), site))
    figure = _figure(max(6.0, 1.0 + 1.35 * len(treatments)), 4.2)
    axes: Axes = figure.subplots()
    width = 0.8 / len(sites)
    for s, site in enumerate(sites):
        colour = SITES[s % len(SITES)]
        for t, treatment in enumerate(treatments):
            chosen = (scored[group] == treatment) & (site_of == site)
            place = t + (s - (len(sites) - 1) / 2) * width
            _violin(axes, scored.loc[chosen, "grad_camo"].to_numpy(), place, width, colour)
        if split:
            axes.scatter([], [], marker="s", color=colour, label=site)
    axes.axhline(cutoff, color="black", lw=1, ls="--")
    axes.annotate(
        f"cut-off {cutoff:g}",
        (1, cutoff),
        xycoords=("axes fraction", "data"),
        xytext=(4, 0),
        textcoords="offset points",
        fontsize=8,
        va="center",
    )
    for t, treatment in enumerate(treatments):
        cells = scored[scored[group] == treatment]
        passing = (cells["grad_camo"] >= cutoff).mean()
        axes.text(t, 1.03, f"{passing:.0%}", ha="center", fontsize=9, weight="bold")
        if "chance" in cells:
            chance = cells["chance"].mean()
            axes.hlines(chance, t - 0.42, t + 0.42, color=GREY, lw=1.2, ls=":")
    if "chance" in scored:
        axes.plot([], [], color=GREY, ls=":", label="chance")
    axes.text(-0.55, 1.03, "pass ", ha="right", fontsize=8, color=GREY)
    counts = scored[group].value_counts()
    ticks = [f"{name}\n{counts[name]:,} cells" for name in treatments]
    axes.set_xticks(range(len(treatments)), ticks)
    axes.set(
        xlim=(-0.5, len(treatments) - 0.5), ylim=(-0.02, 1.1), ylabel="Grad-CAMO", xlabel=about
    )
    axes.set_yticks(np.linspace(0, 1, 6))
    axes.grid(axis="y", color="#EEEEEE")
    axes.set_axisbelow(True)
    passing = int((scored["grad_camo"] >= cutoff).sum())
    axes.set_title(
        f"{passing:,} of {len(scored):,} cells score {cutoff:g} or more", fontsize=10, pad=8
    )
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(
        title="site" if split else None,
        loc="outside lower center",
        ncols=len(sites) + 1,
        fontsize=8,
        frameon=False,
    )
    return figure


def attention_budget(table: pd.DataFrame, group: str = "treatment", about: str = "") -> Figure:
    """Mean share of the network's attention on the cell, its neighbours and the background.

    Parameters
    ----------
    table : DataFrame
        With the three shares and the column to group by; ``chance`` where known.
    group : another column to group by, such as ``predicted`` or ``well``
    about : what to write below the groups

    Raises
    ------
    GradcamoError
        If columns are missing or no cell has a score.
    """
    scored = _scored(table, [*BUDGET, group], group)
    treatments = in_dose_order(scored[group])
    means = scored.groupby(group)[list(BUDGET)].mean().loc[treatments]
    counts = scored[group].value_counts()
    figure = _figure(max(5.0, 1.5 + 0.9 * len(treatments)), 3.8)
    axes: Axes = figure.subplots()
    base = np.zeros(len(treatments))
    for column, (name, colour) in BUDGET.items():
        share = means[column].to_numpy()
        axes.bar(range(len(treatments)), share, 0.7, base, color=colour, label=name)
        for t, value in enumerate(share):
            if value >= 0.06:
                ink = "white" if column == "grad_camo" else "black"
                middle = base[t] + value / 2
                axes.text(t, middle, f"{value:.0%}", ha="center", va="center", color=ink)
        base += share
    if "chance" in scored:
        chance = scored.groupby(group)["chance"].mean().loc[treatments]
        middle = np.arange(len(treatments))
        axes.hlines(chance, middle - 0.42, middle + 0.42, color="black", ls=":", label="chance")
    ticks = [f"{name}\n{counts[name]:,} cells" for name in treatments]
    axes.set_xticks(range(len(treatments)), ticks)
    axes.set(ylim=(0, 1), ylabel="mean share of attention", xlabel=about)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title("Attention budget", fontsize=10)
    figure.legend(loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    return figure


def confusion_matrix(table: pd.DataFrame) -> Figure:
    """Predicted against given treatment, rows summing to 1.

    Parameters
    ----------
    table : DataFrame
        With ``treatment, predicted``; cells without either take no part.

    Raises
    ------
    GradcamoError
        If columns are missing or no cell has both.
    """
    _require(table, ["treatment", "predicted"])
    known = table[(table["treatment"].fillna("") != "") & (table["predicted"].fillna("") != "")]
    if known.empty:
        raise GradcamoError("no cell has a treatment and a prediction: audit cells of a plate")
    names = in_dose_order([*known["treatment"], *known["predicted"]])
    given = [name for name in names if (known["treatment"] == name).any()]
    counts = pd.crosstab(known["treatment"], known["predicted"])
    counts = counts.reindex(index=given, columns=names, fill_value=0)
    share = counts.div(counts.sum(axis=1), axis=0).to_numpy()
    figure = _figure(1.9 + 0.75 * len(names), 1.5 + 0.62 * len(given))
    axes: Axes = figure.subplots()
    shown = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, column), value in np.ndenumerate(share):
        ink = "white" if value > 0.55 else "black"
        axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=ink, fontsize=8)
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
    axes.set_yticks(range(len(given)), given)
    accuracy = (known["predicted"] == known["treatment"]).mean()
    axes.set(xlabel="predicted", ylabel="treatment")
    axes.set_title(f"{accuracy:.0%} of {len(known):,} cells", fontsize=10)
    figure.colorbar(shown, ax=axes, label="share of the row", shrink=0.8)
    return figure


def layer_audit(summary: pd.DataFrame, explained: str | None = None) -> Figure:
    """Layer by layer, what a localization map is worth and what the layer knows.

    Above: mean and sd of Grad-CAMO between what chance and the layer's grid allow. Below: the
    attainable share against the held-out accuracy of a linear classifier on the layer's profiles.

    Parameters
    ----------
    summary : DataFrame
        One row per layer, from shallow to deep: ``layer, grad_camo, grad_camo_sd, attainable,
        attainable_sd, chance, ceiling, probe_accuracy, largest_class``.
    explained : the layer to mark, if any

    Raises
    ------
    GradcamoError
        If columns are missing.
    """
    _require(summary, _LAYER_COLUMNS)
    layers, place = list(summary["layer"]), np.arange(len(summary))
    figure = _figure(max(5.0, 1.8 + 0.45 * len(layers)), 5.2)
    upper, lower = figure.subplots(2, 1, sharex=True)
    room = summary["ceiling"] - summary["chance"]
    label = "from chance to the layer's ceiling"
    upper.bar(place, room, 0.8, summary["chance"], color="#DCE5EE", label=label)
    scores = ((upper, "grad_camo", "Grad-CAMO", 0), (lower, "attainable", "attainable", 2))
    for axes, column, name, colour in scores:
        axes.errorbar(
            place, summary[column], summary[f"{column}_sd"], fmt="o-", color=SITES[colour], ms=5,
            lw=1.2, elinewidth=1, capsize=3, label=f"{name}, mean ± sd",
        )  # fmt: skip
    lower.plot(
        place, summary["probe_accuracy"], "D--", color=SITES[5], ms=5, lw=1.2,
        label="accuracy of a linear probe, held-out wells",
    )  # fmt: skip
    guess = summary["largest_class"].iloc[0]
    lower.axhline(guess, color=SITES[5], lw=1, ls=":", label="accuracy of always the commonest")
    for axes in (upper, lower):
        if explained in layers:
            at = layers.index(explained)
            axes.axvspan(at - 0.5, at + 0.5, color="#FFF3C4", zorder=0)
        axes.axhline(0, color=GREY, lw=0.6)
        axes.grid(axis="y", color="#EEEEEE")
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_ylim(top=1.02)
    if explained in layers:
        upper.annotate(
            "explained", (layers.index(explained), 1.0), ha="center", va="top", fontsize=8
        )
    upper.set(ylabel="Grad-CAMO")
    lower.set(ylabel="attainable, accuracy", xlim=(-0.6, len(layers) - 0.4))
    short = [name.removeprefix("block_") for name in layers]
    if short == layers:
        lower.set_xticks(place, short, rotation=45, ha="right")
    else:
        lower.set_xticks(place, short)
    lower.set_xlabel("block, shallow to deep: maps get coarser" if short != layers else "layer")
    figure.legend(loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    return figure


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", facecolor="white", dpi=120)


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


def _outline(axes: Axes, mask: np.ndarray, colour: str) -> None:
    if mask.any() and not mask.all():
        axes.contour(mask, [0.5], colors=colour, linewidths=1)


def _heat_bar(figure: Figure, grid: np.ndarray) -> None:
    from matplotlib.cm import ScalarMappable

    bar = figure.colorbar(ScalarMappable(cmap=HEAT), ax=grid, shrink=0.6, aspect=30, pad=0.01)
    bar.set_ticks([0, 1], labels=["none", "most"])
    bar.ax.tick_params(labelsize=7)
    bar.set_label("evidence", fontsize=8)


def _require(table: pd.DataFrame, columns: Sequence[str]) -> None:
    if missing := [name for name in columns if name not in table]:
        raise GradcamoError(
            f"this figure needs the columns {', '.join(columns)}, the table lacks "
            f"{', '.join(missing)}: audit a plate, or add them"
        )


def _scored(table: pd.DataFrame, columns: Sequence[str], group: str | None = None) -> pd.DataFrame:
    _require(table, columns)
    scored = table[table["grad_camo"].notna()]
    if group is not None:
        scored = scored.assign(**{group: scored[group].fillna("").astype(str)})
        scored = scored[scored[group] != ""]
    if scored.empty:
        raise GradcamoError("no cell of this table has a score: nothing to draw")
    return scored
