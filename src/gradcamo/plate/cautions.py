"""What a reader of a plate's scores has to know, in plain words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from gradcamo.cells.table import scored, whole

if TYPE_CHECKING:
    from gradcamo.networks.checkpoint import Checkpoint


def cautions(table: pd.DataFrame, checkpoint: Checkpoint, layer: str | None) -> list[str]:
    """Sentences for the report and the terminal; empty where nothing stands in the way.

    Parameters
    ----------
    table : DataFrame, all cells of the plate
    checkpoint : Checkpoint
    layer : the layer explained; the checkpoint's by default
    """
    said = []
    seen, inside = table[scored(table)], whole(table)
    if seen.empty:
        return ["no cell has a score"]
    mean, chance, ceiling = (seen[name].mean() for name in ("grad_camo", "chance", "ceiling"))
    if mean < 1.5 * chance:
        said.append(
            f"the mean score of {mean:.2f} is hardly above {chance:.2f}, what a flat map scores: "
            "here Grad-CAMO says little about single cells"
        )
    if chance > 0.2:
        said.append(
            f"cells fill {chance:.0%} of their crops, so that a flat map comes near the cut-off; "
            "judge by the column attainable, or use larger crops"
        )
    grid = checkpoint.layers[layer or checkpoint.layer].grid
    if min(grid[-2:]) < 6 or ceiling < 0.8:
        said.append(
            f"the layer is coarse (grid {' x '.join(map(str, grid))}): even the best map would "
            f"score {ceiling:.2f} on average; an earlier layer tells more"
        )
    outside = int(((table["cell_in_crop"] == 0) & inside).sum())
    if outside:
        said.append(f"cells in pieces outside their own crops: {outside}; they have no score")
    if empty := int(inside.sum()) - len(seen) - outside:
        said.append(f"{empty} cells have no positive evidence at all: no score, they do not pass")
    if "split" in table and (table["split"] == "train").any():
        said.append("some wells served to train the network: judge it by the others")
    nameless = (table["treatment"] == "").sum()
    if 0 < nameless < len(table):
        said.append(
            f"{nameless} cells have no treatment: they are in the table, but have no part in "
            "confounding and cut-offs"
        )
    wells = seen.groupby("treatment")[["plate", "well"]].apply(lambda w: len(w.drop_duplicates()))
    wells = wells.drop("", errors="ignore")
    if (wells < 3).any():
        few = "one well" if wells.min() == 1 else "two wells"
        said.append(
            f"some treatments have {few}: differences between treatments cannot be told from "
            "differences between wells with certainty"
        )
    return said
