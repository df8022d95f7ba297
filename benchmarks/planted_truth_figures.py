"""Draws the tables of planted_truth.py into docs/images."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

HERE = Path(__file__).parent
RESULTS, IMAGES = HERE / "results", HERE.parent / "docs" / "images"
PARTS = {
    "grad_camo": ("own cell", "chance", "#2166AC"),
    "neighbour_share": ("neighbours", "neighbour_area", "#F4A582"),
    "background_share": ("background", "background_area", "#BDBDBD"),
}
PLAIN, REGULARISED = "own+background", "own+background, regularised"


def read(name: str) -> pd.DataFrame:
    return pd.read_csv(RESULTS / f"planted_truth_{name}.csv")


def shares() -> plt.Figure:
    """Where the treated class's maps lie, over what a flat map scores, layer by layer."""
    table = read("layers")
    table = table[(table["treatment"] == "treated") & (table["variant"] == "paired")]
    networks = ["own", "neighbour", "background"]
    figure, grid = plt.subplots(
        2, 3, figsize=(11, 5.2), sharex=True, sharey=True, layout="constrained"
    )
    for row, alignment in zip(grid, ("paper", "receptive-field"), strict=True):
        for axes, network in zip(row, networks, strict=True):
            here = table[(table["network"] == network) & (table["alignment"] == alignment)]
            place = np.arange(len(here))
            for part, (name, area, colour) in PARTS.items():
                times = here[part] / here[area]
                axes.plot(place, times, "o-", color=colour, label=name, markersize=4)
            axes.axhline(1, color="black", lw=0.7, ls=":")
            axes.set_xticks(place, [name.replace("block_", "") for name in here["layer"]])
            axes.spines[["top", "right"]].set_visible(False)
            axes.set_title(f"the signal is in: {network} · {alignment}", fontsize=9)
    for axes in grid[:, 0]:
        axes.set_ylabel("share / share of a flat map")
    for axes in grid[1]:
        axes.set_xlabel("layer (block)")
    grid[0, 0].legend(frameon=False, fontsize=8)
    return figure


def separation() -> plt.Figure:
    """How well a score tells cells of (own) from cells of (background), layer by layer."""
    table = read("separation")
    figure, axes = plt.subplots(figsize=(7, 3.6), layout="constrained")
    styles = {"paper": "#999999", "receptive-field": "#2166AC"}
    for alignment, colour in styles.items():
        here = table[table["alignment"] == alignment]
        place = np.arange(len(here))
        axes.plot(place, here["auroc_grad_camo"], "o-", color=colour, label=alignment)
        axes.plot(
            place, here["auroc_attainable"], "o--", color=colour, mfc="white", lw=0.8,
            label=f"{alignment}, attainable",
        )  # fmt: skip
    axes.axhline(0.95, color="black", lw=0.7, ls=":")
    axes.axhline(0.5, color="black", lw=0.7, ls=":")
    axes.set_xticks(place, here["layer"], rotation=45, ha="right")
    axes.set(ylabel="AUROC, own against background", ylim=(0, 1.02))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    return figure


def regularised() -> plt.Figure:
    """Accuracy without the shortcut, and Grad-CAMO by layer, with and without the regulariser."""
    accuracy, layers = read("accuracy"), read("layers")
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(10, 3.6), layout="constrained", width_ratios=(1, 1.5)
    )
    variants = ["paired", "shuffled", "removed"]
    colours = {PLAIN: "#999999", REGULARISED: "#2166AC"}
    for shift, (network, colour) in zip((-0.2, 0.2), colours.items(), strict=True):
        here = accuracy[accuracy["network"] == network].set_index("variant")
        values = here.loc[variants, "balanced_accuracy"]
        name = "with Grad-CAMO in the loss" if network == REGULARISED else "plain"
        bars = left.bar(np.arange(3) + shift, values, 0.4, color=colour, label=name)
        left.bar_label(bars, fmt="%.2f", fontsize=8)
        of = layers["network"] == network
        here = layers[
            of
            & (layers["variant"] == "removed")
            & (layers["alignment"] == "receptive-field")
            & (layers["treatment"] == "treated")
        ]
        place = np.arange(len(here))
        right.plot(place, here["grad_camo"], "o-", color=colour, markersize=4, label=name)
    right.plot(place, here["chance"], ":", color="black", lw=0.8, label="chance")
    right.plot(place, here["ceiling"], "-", color="black", lw=0.4, label="ceiling")
    right.set_xticks(place, here["layer"], rotation=45, ha="right")
    right.set(ylabel="Grad-CAMO, treated cells", ylim=(0, 1.02))
    left.set_xticks(range(3), [f"background\n{name}" for name in variants])
    left.axhline(0.5, color="black", lw=0.7, ls=":")
    left.set(ylabel="balanced accuracy, held-out wells", ylim=(0, 1.12))
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    right.legend(frameon=False, fontsize=8)
    return figure


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    for draw in (shares, separation, regularised):
        draw().savefig(IMAGES / f"planted_truth_{draw.__name__}.png", dpi=130)


if __name__ == "__main__":
    main()
