"""Long tables of measures, turned so that a page has one row per thing that is compared."""

from __future__ import annotations

from typing import Any

import pandas as pd

from gradcamo.auditing.agreement import agreement_by_layer
from gradcamo.auditing.layer_report import rank_text

LEVELS = ("treatment", "well", "site", "cell")
_NAMES = {"grad_camo": "Grad-CAMO"}


def variance_rows(confounding: pd.DataFrame) -> list[dict[str, Any]]:
    """Per score or profile: the share of the variance between treatments, wells, sites, cells.

    ``levels`` has a mapping of ``value, chance, p`` per level.
    """
    part = confounding[confounding["measure"] == "variance"]
    rows = []
    for of, levels in part.groupby("of", sort=False):
        by_level = levels.set_index("question").reindex(LEVELS)
        shares = by_level[["value", "chance", "p"]].to_dict("records")
        rows.append({"of": _NAMES.get(str(of), str(of)), "levels": shares})
    return rows


def neighbour_rows(confounding: pd.DataFrame) -> list[dict[str, Any]]:
    """Per kind of profile and question: how often all cells and passing cells are told right."""
    part = confounding[confounding["measure"] == "neighbours"]
    rows = []
    for (of, question), kinds in part.groupby(["of", "question"], sort=False):
        row: dict[str, Any] = {"of": of, "question": question}
        for _, kind in kinds.iterrows():
            row[str(kind["cells"])] = {"value": kind["value"], "error": kind["error"]}
        first = kinds.iloc[0]
        rows.append(row | {name: first[name] for name in ("chance", "groups", "per_class")})
    return rows


def layer_rows(
    summary: pd.DataFrame, layers: pd.DataFrame | None, cells: pd.DataFrame
) -> list[dict[str, Any]]:
    """The summary of a layer audit; ``ranks`` holds scores against causal shares, where known.

    Parameters
    ----------
    summary, layers : one row per layer, and one per cell and layer
    cells : of the plate, with their causal columns if they were asked
    """
    if layers is not None:
        told = agreement_by_layer(layers, cells)
        summary = summary.drop(columns=told.columns, errors="ignore").join(told, on="layer")
    rows = [{str(name): value for name, value in row.items()} for row in summary.to_dict("records")]
    if "causal_rho" in summary and summary["causal_rho"].notna().any():
        rows = [row | {"ranks": rank_text(row["causal_rho"])} for row in rows]
    return rows


def cost_rows(costs: pd.DataFrame) -> list[dict[str, Any]]:
    """Per treatment: what each cut-off leaves, in the order of the cut-offs."""
    return [
        {
            "treatment": treatment,
            "smallest_effect": mine["smallest_effect"].iloc[0],
            "cutoffs": mine.to_dict("records"),
        }
        for treatment, mine in costs.groupby("treatment", sort=False)
    ]
