"""Mean shares of maps and of predictions, by treatment and site."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from gradcamo.colours import CAUSAL_SHARES, SHARES
from gradcamo.profiles.doses import in_dose_order

MOST_BARS = 60
"""Groups of treatment and site that are told apart in a plot."""


def budgets(seen: pd.DataFrame, told: pd.DataFrame | None) -> list[dict[str, Any]]:
    """For each way of grouping: the groups, and what maps and predictions spend on each region.

    Parameters
    ----------
    seen : DataFrame
        Scored cells.
    told : DataFrame
        Cells that were answered causally; None where none was asked.

    Returns
    -------
    List of mappings: ``by`` names the grouping, ``groups`` are the values of its one or two
    columns, ``map`` and ``cause`` have the ``shares`` and a ``line`` to mark (chance, what the cell
    fills), None where they are not known.
    """
    if seen.empty or any(name not in seen for name in SHARES):
        return []
    order = {
        "treatment": in_dose_order(seen["treatment"]),
        "site": sorted(seen["site"].unique(), key=lambda site: (len(site), site)),
    }
    ways = [["treatment"]]
    if len(order["site"]) > 1:
        ways.append(["site"])
        if len(order["treatment"]) > 1 and _groups(seen, ["treatment", "site"]) <= MOST_BARS:
            ways.append(["treatment", "site"])
    return [
        {"by": " and ".join(columns), **_budget(seen, told, columns, order)} for columns in ways
    ]


def _groups(seen: pd.DataFrame, columns: list[str]) -> int:
    return len(seen.drop_duplicates(columns))


def _budget(
    seen: pd.DataFrame,
    told: pd.DataFrame | None,
    columns: list[str],
    order: Mapping[str, list[str]],
) -> dict[str, Any]:
    there = seen[columns].drop_duplicates()
    for name in columns:
        there[name] = pd.Categorical(there[name], order[name], ordered=True)
    groups = there.sort_values(columns).astype(str)
    keys = pd.MultiIndex.from_frame(groups)
    return {
        "groups": [groups[name].tolist() for name in columns],
        "map": _means(seen, columns, keys, SHARES, "chance"),
        "cause": _means(told, columns, keys, CAUSAL_SHARES, "volume_own"),
    }


def _means(
    cells: pd.DataFrame | None,
    columns: list[str],
    keys: pd.MultiIndex,
    shares: Mapping[str, tuple[str, str]],
    line: str,
) -> dict[str, Any] | None:
    if cells is None or cells.empty:
        return None
    wanted = [*shares, *([line] if line in cells else [])]
    means = cells.groupby(columns)[wanted].mean()
    means.index = pd.MultiIndex.from_frame(means.index.to_frame().astype(str))
    means = means.reindex(keys)
    counts = cells.groupby(columns).size()
    counts.index = pd.MultiIndex.from_frame(counts.index.to_frame().astype(str))
    return {
        "shares": [
            {"name": name, "colour": colour, "values": plain(means[column])}
            for column, (name, colour) in shares.items()
        ],
        "line": plain(means[line]) if line in means else None,
        "cells": counts.reindex(keys, fill_value=0).tolist(),
    }


def plain(values: pd.Series) -> list[float | None]:
    """Numbers as a page takes them: none for NaN."""
    return [round(float(v), 4) if np.isfinite(v) else None for v in values]
