"""Every layer of a network, scored."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from gradcamo.figures.paper import GREY, SITES, SMALL, fits, require, room_of, sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = (
    *("layer", "grad_camo", "grad_camo_sd", "attainable", "attainable_sd"),
    *("chance", "ceiling", "probe_accuracy", "largest_class"),
)
WIDE = 7.0  # inches from which on a legend has two columns


def layer_audit(
    summary: pd.DataFrame, explained: str | None = None, width: float | None = None
) -> Figure:
    """Layer by layer, what a localization map is worth and what the layer knows.

    Above: mean and sd of Grad-CAMO between what chance and the layer's grid allow. Below: the
    attainable share against the held-out accuracy of a linear classifier on the layer's profiles,
    and the rank correlation of scores with causal shares, where cells were asked causally.

    Parameters
    ----------
    summary : DataFrame
        One row per layer, from shallow to deep: ``layer, grad_camo, grad_camo_sd, attainable,
        attainable_sd, chance, ceiling, probe_accuracy, largest_class``.
    explained : the layer to mark, if any
    width : inches; wide enough for every layer by default

    Raises
    ------
    GradcamoError
        If columns are missing.
    """
    require(summary, COLUMNS)
    layers, place = list(summary["layer"]), np.arange(len(summary))
    width = width or max(5.0, 1.8 + 0.45 * len(layers))
    figure = sheet(width, 5.2)
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
    if "causal_rho" in summary and summary["causal_rho"].notna().any():
        lower.plot(
            place, summary["causal_rho"], "v-.", color=SITES[3], ms=5, lw=1.2,
            label="rank correlation of Grad-CAMO with the causal share",
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
        axes.tick_params(labelsize=SMALL)
    if explained in layers:
        upper.annotate(
            "explained", (layers.index(explained), 1.0), ha="center", va="top", fontsize=SMALL
        )
    upper.set_ylabel("Grad-CAMO", fontsize=SMALL)
    lower.set_ylabel("attainable, accuracy", fontsize=SMALL)
    short = [name.removeprefix("block_") for name in layers]
    lower.set_xticks(place, short)
    each = room_of(width, len(layers))
    for name in lower.get_xticklabels():
        name.set_rotation(0 if fits(name.get_text(), each) else 90)
    about = "block, shallow to deep: maps get coarser" if short != layers else "layer"
    lower.set_xlabel(about, fontsize=SMALL + 1)
    lower.set_xlim(-0.6, len(layers) - 0.4)
    columns = 2 if width >= WIDE else 1
    figure.legend(loc="outside lower center", ncols=columns, fontsize=SMALL, frameon=False)
    return figure
