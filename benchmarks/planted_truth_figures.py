"""Draws what planted_truth.py found into docs/images (run that first: maps need its networks)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from PIL import Image
from planted_truth import RESULTS, TREATED, held_out, network

from gradcamo.cells.upsampling import upsample_cam
from gradcamo.networks.geometry import place
from gradcamo.networks.infer import explain
from gradcamo.training.explain_cells import crops_of

IMAGES = Path(__file__).parent.parent / "docs" / "images"
BLUE, ORANGE, GREY = "#2166AC", "#E08214", "#999999"
PARTS = {
    "grad_camo": ("own cell", "chance", BLUE),
    "neighbour_share": ("neighbours", "neighbour_area", ORANGE),
    "background_share": ("background", "background_area", GREY),
}
PLAIN, REGULARISED = "own+background", "own+background, regularised"
GRADIENTS = {"averaged": "Grad-CAM", "local": "local gradients"}
SHOWN = "block_0"


def read(name: str) -> pd.DataFrame:
    table = pd.read_csv(RESULTS / f"planted_truth_{name}.csv")
    if "layer" in table:  # deeper layers are one or two voxels wide: no place is left to compare
        table = table[table["layer"].isin([f"block_{i}" for i in range(9)])]
        table = table[table["alignment"] == "receptive-field"]
    return table


def of_seeds(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """Layers from top to bottom, one column per seed."""
    wide = table.pivot_table(index="layer", columns="seed", values=column)
    return wide.loc[sorted(wide.index, key=lambda layer: int(layer.removeprefix("block_")))]


def draw_seeds(axes: plt.Axes, values: pd.DataFrame, colour: str, style: str, label: str) -> None:
    """The mean over the seeds, and the range that they span."""
    at = [int(layer.removeprefix("block_")) for layer in values.index]
    axes.plot(at, values.mean(axis=1), style, color=colour, label=label, markersize=4)
    axes.fill_between(at, values.min(axis=1), values.max(axis=1), color=colour, alpha=0.15, lw=0)


def maps(names: Sequence[str] = ("own", "neighbour", "background")) -> plt.Figure:
    """Crops of treated cells that were classified correctly, drawn by lot, and their maps."""
    size = (3.2 * len(names), 5.2)
    figure, grid = plt.subplots(3, 2 * len(names), figsize=size, layout="constrained")
    for columns, name in zip(np.split(grid.T, len(names)), names, strict=True):
        cells = held_out(name)
        cells = cells[cells["treatment"] == TREATED].sample(12, random_state=0).sort_index()
        checkpoint, shown = network(name), 0
        crops = list(crops_of(cells, checkpoint.crop))
        target = checkpoint.classes.index(TREATED)
        ways = [
            [part for (part,) in explain(crops, checkpoint, (SHOWN,), batch_size=1, gradients=way)]
            for way in GRADIENTS
        ]
        info = checkpoint.layers[SHOWN]
        for crop, *parts in zip(crops, *ways, strict=True):
            if shown == 2 or parts[0].target[0] != target or not all(p.maps.any() for p in parts):
                continue
            light = crop.image[[0, 4]].mean(1)  # nuclei, actin
            picture = np.stack([light[1], light[1] + light[0], light[1] + 2 * light[0]], -1)
            picture = (picture / np.quantile(picture, 0.995)).clip(0, 1) ** 0.6
            flat = crop.labels.max(0)
            places = columns[shown]
            for axes in places:
                axes.imshow(picture if axes is places[0] else picture.mean(-1), cmap="gray")
                axes.contour(flat == crop.label, [0.5], colors="white", linewidths=1.2)
                axes.set(xticks=[], yticks=[])
            for axes, part, way in zip(places[1:], parts, GRADIENTS.values(), strict=True):
                size = crop.labels.shape
                placement = place(info, checkpoint.input_size, size, "receptive-field")
                heat = upsample_cam(part.maps[0], size, placement)
                axes.imshow(heat.mean(0), cmap="inferno", alpha=0.65)
                share = heat[crop.labels == crop.label].sum() / heat.sum()
                axes.set_xlabel(f"{way}: {share:.2f}", fontsize=7)
            places[0].set_title(name, fontsize=8)
            shown += 1
    return figure


def regularised_maps() -> plt.Figure:
    """The same where the class can be read twice, without and with Grad-CAMO in the loss."""
    return maps((PLAIN, REGULARISED))


def shares() -> plt.Figure:
    """Where the maps of the treated class lie, layer by layer, and what a flat map scores."""
    table = read("layers")
    table = table[(table["treatment"] == TREATED) & (table["variant"] == "paired")]
    figure, grid = plt.subplots(
        2, 3, figsize=(10, 5.4), sharex=True, sharey=True, layout="constrained"
    )
    for row, (way, told) in zip(grid, GRADIENTS.items(), strict=True):
        for axes, name in zip(row, ("own", "neighbour", "background"), strict=True):
            here = table[(table["network"] == name) & (table["gradients"] == way)]
            for part, (label, area, colour) in PARTS.items():
                draw_seeds(axes, of_seeds(here, part), colour, "o-", label)
                axes.plot(range(9), of_seeds(here, area)[0], ":", color=colour, lw=1.2)
            axes.set_xticks(range(9))
            axes.spines[["top", "right"]].set_visible(False)
            axes.set_title(f"signal: {name}, {told}", fontsize=9)
    for axes in grid[:, 0]:
        axes.set(ylabel="share of the map", ylim=(0, 1))
    for axes in grid[1]:
        axes.set_xlabel("block")
    grid[0, 0].plot([], [], ":", color="black", lw=1.2, label="a flat map")
    grid[0, 0].legend(frameon=False, fontsize=8, ncols=2)
    return figure


def separation() -> plt.Figure:
    """How well a score tells (own) from (background) and (neighbour), layer by layer.

    A network that did not learn its class has nothing to explain: its seed is left out.
    """
    table, accuracy = read("separation"), read("accuracy")
    failed = accuracy[(accuracy["variant"] == "paired") & (accuracy["balanced"] < 0.8)]
    failed = set(zip(failed["network"], failed["seed"], strict=True))
    figure, grid = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
    for axes, other in zip(grid, ("background", "neighbour"), strict=True):
        for treatment, style in ((TREATED, "o-"), ("untreated", "s:")):
            for (way, told), colour in zip(GRADIENTS.items(), (GREY, BLUE), strict=True):
                here = table[
                    ~table["seed"].isin([seed for name, seed in failed if name == other])
                    & (table["network"] == "own")
                    & (table["against"] == other)
                    & (table["treatment"] == treatment)
                    & (table["gradients"] == way)
                ]
                values = of_seeds(here, "auroc_grad_camo")
                draw_seeds(axes, values, colour, style, f"{treatment}, {told}")
        axes.axhline(0.95, color="black", lw=0.6, ls="--")
        axes.axhline(0.5, color="black", lw=0.6, ls=":")
        axes.set(xlabel="block", ylim=(0, 1.03), title=f"own against {other}", xticks=range(9))
        axes.spines[["top", "right"]].set_visible(False)
    grid[0].set_ylabel("AUROC of Grad-CAMO")
    handles, labels = grid[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    return figure


def regularised() -> plt.Figure:
    """Accuracy without the shortcut, and Grad-CAMO by layer, with and without the regulariser."""
    accuracy, layers = (
        read("accuracy").set_index(["network", "variant", "seed"]).sort_index(),
        read("layers"),
    )
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(9, 3.4), layout="constrained", width_ratios=(1.1, 1)
    )
    variants = ["paired", "shuffled", "removed"]
    for shift, network_name, colour in ((-0.2, PLAIN, GREY), (0.2, REGULARISED, BLUE)):
        name = "plain" if network_name == PLAIN else "with Grad-CAMO in the loss"
        values = accuracy.loc[network_name, "balanced"].unstack("seed").reindex(variants)
        at = np.arange(3) + shift
        bars = left.bar(at, values.mean(axis=1), 0.4, color=colour, label=name)
        left.bar_label(bars, fmt="%.2f", fontsize=8, label_type="center", color="white")
        for seed in values:
            left.plot(at, values[seed], "_", color="black", markersize=9)
        here = layers[
            (layers["network"] == network_name)
            & (layers["variant"] == "paired")
            & (layers["gradients"] == "averaged")
            & (layers["treatment"] == TREATED)
        ]
        draw_seeds(right, of_seeds(here, "grad_camo"), colour, "o-", name)
    right.plot(range(9), of_seeds(here, "chance")[0], ":", color="black", lw=1, label="a flat map")
    right.plot(range(9), of_seeds(here, "ceiling")[0], "--", color="black", lw=0.6, label="ceiling")
    right.set_xticks(range(9))
    right.set(xlabel="block", ylabel="Grad-CAMO, treated cells", ylim=(0, 1.02))
    left.set_xticks(range(3), ["as trained", "dealt by lot", "removed"])
    left.axhline(0.5, color="black", lw=0.7, ls=":")
    left.set(xlabel="background signal of the test plate", ylim=(0, 1.12))
    left.set_ylabel("balanced accuracy")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    right.legend(loc="upper right", edgecolor="white", framealpha=1, fontsize=8)
    return figure


def main() -> None:
    for draw in (maps, regularised_maps, shares, separation, regularised):
        file = IMAGES / f"planted_truth_{draw.__name__}.png"
        draw().savefig(file, dpi=90)
        Image.open(file).convert("RGB").quantize(128).save(file, optimize=True)  # a third the size


if __name__ == "__main__":
    main()
