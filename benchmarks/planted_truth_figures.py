"""Draws what planted_truth.py found into docs/images (after planted_truth_tables.py).

Maps need the networks in planted_truth.py's cache, and make what it lacks.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from PIL import Image
from planted_kinds import KINDS
from planted_pages import DEFAULT, EARLY, read_made
from planted_results import RESULTS, run
from planted_truth_tables import TREATED

IMAGES = Path(__file__).parent.parent / "docs" / "images"
BLUE, ORANGE, GREY, GREEN = "#2166AC", "#E08214", "#999999", "#1B7837"
PARTS = {"own": BLUE, "neighbour": ORANGE, "background": GREY}
GRADIENTS = {"averaged": "averaged gradients", "local": "local gradients"}
MAPPED = [
    kind
    for kind in ("own", "neighbour", "background")
    if (RESULTS / f"{kind}-0" / "network.json").is_file()
]


def read(name: str) -> pd.DataFrame:
    return read_made(RESULTS / f"{name}.csv").query("treatment == @TREATED")


def separation() -> plt.Figure:
    """How well scores tell honest networks from cheats, layer by layer, and the causal share."""
    table = read("separation").query("honest == 'own'")
    others = [other for other in ("background", "neighbour") if other in set(table["other"])]
    figure, grid = plt.subplots(
        1, len(others), figsize=(4.6 * len(others), 3.8), sharey=True, layout="constrained",
        squeeze=False,
    )  # fmt: skip
    for axes, other in zip(grid[0], others, strict=True):
        here = table[table["other"] == other]
        maps = here[(here["score"] == "grad_camo") & here["layer"].str.startswith("block_")]
        for (way, told), colour in zip(GRADIENTS.items(), (GREY, BLUE), strict=True):
            values = maps[maps["gradients"] == way]
            at = values["layer"].str.removeprefix("block_").astype(int)
            axes.plot(at, values["median"], "o-", color=colour, ms=4, label=f"Grad-CAMO, {told}")
            axes.fill_between(at, values["least"], values["most"], color=colour, alpha=0.15, lw=0)
        causal = here[here["score"] == "causal_own"].iloc[0]
        axes.axhline(causal["median"], color=GREEN, lw=2, label="causal share of the own cell")
        axes.axhspan(causal["least"], causal["most"], color=GREEN, alpha=0.15, lw=0)
        axes.axhline(0.5, color="black", lw=0.6, ls=":")
        title = f"own against {other}, pairs of networks: {causal['pairs']}"
        axes.set(xlabel="block", ylim=(0, 1.04), title=title, xticks=range(0, 16, 2))
        axes.spines[["top", "right"]].set_visible(False)
    grid[0, 0].set_ylabel("AUROC, treated cells")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=2 * len(others) - 1,
        frameon=False,
        fontsize=8,
    )
    return figure


def budgets() -> plt.Figure:
    """Where maps of treated cells lie and what the predictions owe, kind by kind."""
    maps, causes = read("shares"), read("causes")
    kinds = [kind for kind in KINDS if kind in set(causes["kind"])]
    figure, axes = plt.subplots(figsize=(8, 1 + 0.55 * len(kinds)), layout="constrained")
    names = {"grad_camo": "own", "neighbour_share": "neighbour", "background_share": "background"}
    for n, kind in enumerate(kinds):
        of_maps = maps[maps["kind"] == kind].rename(columns=names)
        owed = causes[causes["kind"] == kind].rename(columns=lambda c: c.removeprefix("causal_"))
        rows = {
            f"map averaged, {DEFAULT}": at(of_maps, DEFAULT, "averaged"),
            f"map local, {EARLY}": at(of_maps, EARLY, "local"),
            "prediction owes": owed[list(PARTS)].mean(),
        }
        for m, (label, shares) in enumerate(rows.items()):
            start, y = 0.0, -4 * n - m
            for part, colour in PARTS.items():
                axes.barh(
                    y, shares[part], 0.85, start, color=colour, lw=0, alpha=1 if m == 2 else 0.6
                )
                start += shares[part]
            axes.text(1.01, y, label, va="center", fontsize=6.5)
        axes.text(-0.02, -4 * n - 1, KINDS[kind].title, va="center", ha="right", fontsize=8)
    axes.set(xlim=(0, 1), ylim=(1 - 4 * len(kinds), 1), yticks=[])
    axes.set_xlabel("share, treated cells called rightly")
    axes.spines[["top", "right", "left"]].set_visible(False)
    handles = [plt.Rectangle((0, 0), 1, 1, color=colour) for colour in PARTS.values()]
    labels = ["own cell", "neighbours", "background"]
    figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False, fontsize=8)
    return figure


def at(maps: pd.DataFrame, layer: str, gradients: str) -> pd.Series:
    chosen = (maps["layer"] == layer) & (maps["gradients"] == gradients)
    return maps.loc[chosen, list(PARTS)].mean()


def maps() -> plt.Figure:
    """Crops of treated cells that were called rightly, drawn by lot, and their maps."""
    from planted_truth import held_out, network

    from gradcamo.cells.upsampling import upsample_cam
    from gradcamo.networks.geometry import place
    from gradcamo.networks.infer import explain
    from gradcamo.training.explain_cells import crops_of

    size = (3.2 * len(MAPPED), 5.2)
    figure, grid = plt.subplots(3, 2 * len(MAPPED), figsize=size, layout="constrained")
    for columns, kind in zip(np.split(grid.T, len(MAPPED)), MAPPED, strict=True):
        cells = held_out(KINDS[kind].plate, KINDS[kind].training)
        cells = cells[cells["treatment"] == TREATED].sample(12, random_state=0).sort_index()
        (checkpoint, _), shown = network(kind, 0), 0
        crops = list(crops_of(cells, checkpoint.crop))
        target = checkpoint.classes.index(TREATED)
        ways = [
            [part for (part,) in explain(crops, checkpoint, (EARLY,), batch_size=1, gradients=way)]
            for way in GRADIENTS
        ]
        info = checkpoint.layers[EARLY]
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
            places[0].set_title(kind, fontsize=8)
            shown += 1
    return figure


def main() -> None:
    for draw in (separation, budgets, maps):
        file = IMAGES / f"planted_truth_{draw.__name__}.png"
        draw().savefig(file, dpi=90)
        Image.open(file).convert("RGB").quantize(128).save(file, optimize=True)  # a third the size


if __name__ == "__main__":
    run(main)
