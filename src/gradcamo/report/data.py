"""The numbers behind the page; their size follows the plate's layout, not its cells."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from gradcamo.cells.table import scored, whole
from gradcamo.columns import CAUSAL_COLUMNS, CAUSAL_SHARES
from gradcamo.figures import SITES
from gradcamo.files.wells import well_place
from gradcamo.profiles.doses import in_dose_order
from gradcamo.report.budget_section import budgets, plain
from gradcamo.report.causal_section import points

STEPS = 100
"""The slider's steps: hundredths, of which the one nearest to the table's cut-off stands for it."""
DRAWN = 400
"""Scores drawn per violin; counts come from all cells."""
MOST_NAMES = 40
"""Colours and shapes that a map's legend can tell apart."""
_SAID = ("plate", "well", "site", "treatment", "predicted")
_FIRST = ("treatment", "grad_camo", "predicted", "site", "well")
_CAUSAL = (*CAUSAL_SHARES, "causal_effect", "causal_layout")
_NO_COLOUR = (
    *("umap_1", "umap_2", "image", "label", "picture", "cells"),
    *(name for name in CAUSAL_COLUMNS if name not in _CAUSAL),
)


def page_data(
    table: pd.DataFrame,
    cutoff: float,
    pictures: pd.DataFrame,
    layers: pd.DataFrame | None = None,
    told: pd.Series | None = None,
) -> dict[str, Any]:
    """All that the page's script draws, as plain values; ``told`` is of `told_in`."""
    inside, seen = table[whole(table)], table[scored(table)]
    treatments = in_dose_order(inside["treatment"])
    sites = sorted(seen["site"].unique(), key=lambda site: (len(site), site))
    steps = cutoff_steps(cutoff)
    return {
        "steps": steps,
        "treatments": treatments,
        "sites": sites,
        "colours": {site: SITES[i % len(SITES)] for i, site in enumerate(sites)},
        "wells": _wells(inside, steps),
        "groups": _groups(seen, treatments, sites),
        "passing": [
            {"name": name} | passing_at(inside[inside["treatment"] == name], steps)
            for name in treatments
        ],
        "budgets": budgets(seen, None if told is None else table[told]),
        "agreement": points(table, told),
        "cells": _cells(pictures),
        "layers": None if layers is None else _layers(layers),
    }


def cutoff_steps(cutoff: float) -> list[float]:
    """The cut-offs that the slider offers: 0, 0.01, … 1, and the table's own among them."""
    steps = (np.arange(STEPS + 1) / STEPS).tolist()
    steps[round(cutoff * STEPS)] = cutoff
    return steps


def passing_at(inside: pd.DataFrame, steps: list[float]) -> dict[str, Any]:
    """How many whole cells there are, and how many of them pass at each step."""
    ranked = np.sort(inside.loc[scored(inside), "grad_camo"].to_numpy())  # `passes`, all at once
    reach = len(ranked) - np.searchsorted(ranked, steps, side="left")
    return {"cells": len(inside), "at_least": reach.tolist()}


def _wells(inside: pd.DataFrame, steps: list[float]) -> list[dict[str, Any]]:
    """Median score and pass counts per well, with its row and column on the plate."""
    wells = []
    for key, cells in inside.groupby(["plate", "well"], sort=True):
        plate, well = map(str, key)
        row, column = well_place(well) or ("", None)
        median = cells["grad_camo"].median()
        wells.append(
            {
                "plate": plate,
                "well": well,
                "row": row,
                "column": column,
                "treatment": ", ".join(dict.fromkeys(cells["treatment"])),
                "median": None if np.isnan(median) else round(float(median), 4),
                **passing_at(cells, steps),
            }
        )
    return [well for well in wells if well["column"] is not None]


def _groups(seen: pd.DataFrame, treatments: list[str], sites: list[str]) -> list[dict[str, Any]]:
    groups = []
    rng = np.random.default_rng(0)
    for treatment in treatments:
        for site in sites:
            chosen = (seen["treatment"] == treatment) & (seen["site"] == site)
            scores = seen.loc[chosen, "grad_camo"].to_numpy()
            if len(scores) > DRAWN:
                scores = rng.permutation(scores)[:DRAWN]
            if len(scores):
                rounded = [round(float(s), 4) for s in scores]
                groups.append({"treatment": treatment, "site": site, "scores": rounded})
    return groups


def _cells(pictures: pd.DataFrame) -> dict[str, Any] | None:
    """Cells with a place on the map and a picture, column by column.

    ``kinds`` says of each column that can colour them whether it holds a number or text.
    """
    if "umap_1" not in pictures:
        return None
    placed = pictures[pictures["umap_1"].notna()]
    if placed.empty:
        return None
    kinds = _kinds(placed.drop(columns=list(_NO_COLOUR), errors="ignore"))
    text = {"label", "picture", *_SAID} | {name for name in kinds if kinds[name] == "text"}
    numbers = {"umap_1", "umap_2", "grad_camo"} | (kinds.keys() - text)
    columns: dict[str, Any] = {name: plain(placed[name].astype(float)) for name in numbers}
    said = placed[list(text)].astype(str).where(placed[list(text)].notna(), "")
    columns |= {str(name): values for name, values in said.to_dict("list").items()}
    return {**columns, "kinds": list(kinds.items())}


def _kinds(placed: pd.DataFrame) -> dict[str, str]:
    """The columns by which cells differ, "number" or "text"; text with a name per cell is none."""
    kinds = {}
    for name in [*_FIRST, *placed.columns]:
        if name not in placed or placed[name].nunique(dropna=False) < 2:
            continue
        if placed[name].dtype.kind in "iuf":
            kinds[name] = "number"
        elif placed[name].nunique() <= MOST_NAMES:
            kinds[name] = "text"
    return kinds


def _layers(layers: pd.DataFrame) -> list[dict[str, Any]]:
    rows = []
    for name in dict.fromkeys(layers["layer"]):
        cells = layers[(layers["layer"] == name) & scored(layers)]
        bounds = cells[["chance", "ceiling"]].mean()
        quartiles = cells["grad_camo"].quantile([0.25, 0.5, 0.75])
        quartiles.index = pd.Index(["low", "median", "high"])
        found = pd.concat([quartiles, bounds])
        rows.append({"layer": name, **dict(zip(found.index, plain(found), strict=True))})
    return rows
