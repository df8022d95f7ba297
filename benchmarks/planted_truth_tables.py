"""What the cells of planted_truth.py say, as tables."""

from __future__ import annotations

from itertools import product

import pandas as pd

TREATED = "treated"


def accuracies(cells: pd.DataFrame) -> pd.DataFrame:
    """Share of held-out cells classified correctly, by class and balanced over classes."""
    ways = ["layer", "alignment", "gradients"]
    once = cells[(cells[ways] == cells[ways].iloc[0]).all(axis=1)]
    once = once.assign(right=once["predicted"] == once["treatment"])
    keys = ["network", "seed", "variant"]
    table = once.pivot_table(index=keys, columns="treatment", values="right", sort=False)
    table["balanced"] = table.mean(axis=1)
    return table.join(once.groupby(keys).size().rename("cells")).reset_index()


def summarise(cells: pd.DataFrame) -> pd.DataFrame:
    """Means per network, seed, variant, alignment, gradients, layer and class."""
    cells = cells.assign(
        accuracy=cells["predicted"] == cells["treatment"], empty=cells["grad_camo"].isna()
    )
    keys = ["network", "seed", "variant", "alignment", "gradients", "layer", "treatment"]
    columns = [
        *("accuracy", "empty", "grad_camo", "neighbour_share", "background_share", "chance"),
        *("neighbour_area", "background_area", "ceiling", "attainable"),
    ]
    grouped = cells.groupby(keys, sort=False)
    return grouped[columns].mean().join(grouped.size().rename("cells")).reset_index()


def separation(cells: pd.DataFrame) -> pd.DataFrame:
    """How well scores tell cells of an honest network from those of a cheat, by layer and class.

    Only cells that were classified correctly: the map of another is about the other class.
    ``auroc_chance`` is that of the cells' size alone: 0.5, if the comparison is fair.
    """
    from sklearn.metrics import roc_auc_score

    rows = []
    for honest, other in product(("own", "own, diffuse"), ("background", "neighbour")):
        chosen = cells[cells["network"].isin([honest, other]) & (cells["variant"] == "paired")]
        chosen = chosen[chosen["predicted"] == chosen["treatment"]].dropna(subset="grad_camo")
        keys = ["seed", "treatment", "alignment", "gradients", "layer"]
        for key, group in chosen.groupby(keys, sort=False):
            own = group["network"] == honest
            if own.nunique() < 2:
                continue
            row = {"network": honest, "against": other, **dict(zip(keys, key, strict=True))}
            row |= {"own_cells": own.sum(), "other_cells": (~own).sum()}
            for score in ("grad_camo", "attainable", "chance"):
                known = group[score].notna()
                both = own[known].nunique() == 2
                row[f"auroc_{score}"] = (
                    roc_auc_score(own[known], group.loc[known, score]) if both else float("nan")
                )
            for cut in (0.25, 0.5):
                row[f"own_passing_{cut}"] = (group.loc[own, "grad_camo"] >= cut).mean()
                row[f"other_passing_{cut}"] = (group.loc[~own, "grad_camo"] >= cut).mean()
            rows.append(row)
    return pd.DataFrame(rows)
