"""What the page says of cells that were asked causally."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from gradcamo.auditing.agreement import agreement
from gradcamo.auditing.causal import NOT_DRAWN
from gradcamo.auditing.causal_cautions import remedy
from gradcamo.auditing.verdict import causal_verdict
from gradcamo.cells.table import asked_causally, checked, scored, told_causally, whole
from gradcamo.columns import CAUSAL_SHARES, VOLUME_SHARES
from gradcamo.profiles.doses import in_dose_order

MOST_POINTS = 2_000
"""Cells of the scatter, drawn by lot from more; its correlation comes from all of them."""
_REAL = {
    "own": "the cell itself",
    "neighbour": "its neighbours",
    "background": "the background",
    "nothing": "nothing",
    "all": "all, as it is",
}
_MEDIANS = ("causal_layout", "causal_swap", "causal_limits", "causal_against")


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """A table as it was read, its causal columns as the page reads them; as it is without any.

    Raises
    ------
    GradcamoError
        If causal columns are incomplete, or hold something else than they should.
    """
    if "causal_effect" not in table:
        return table
    numbers = (*CAUSAL_SHARES, *VOLUME_SHARES, *_MEDIANS, "causal_effect", "causal_draws")
    names: tuple[str, ...] = ("predicted", "causal_reason", *({"treatment"} & set(table)))
    return checked(table, numbers, names)


def told_in(table: pd.DataFrame) -> pd.Series | None:
    """Cells whose causal shares are aggregated, as a bool Series; None where none was asked."""
    if "causal_effect" not in table or table["causal_effect"].isna().all():
        return None
    return told_causally(table)


def causal_section(
    table: pd.DataFrame, treatment: pd.Series, uses: pd.DataFrame | None
) -> dict[str, Any] | None:
    """Sentences and rows of the section, None where no cell was asked.

    Parameters
    ----------
    table : DataFrame
        Cells as they were audited.
    treatment : Series of what the page calls each cell's treatment
    uses : DataFrame of `gradcamo.causal.uses.uses_table`, where there is one
    """
    told = told_in(table)
    if told is None:
        return None
    inside = table[whole(table)]
    reasons = inside.loc[inside["causal_effect"].isna(), "causal_reason"].fillna("")
    lacking = reasons[~reasons.isin(["", NOT_DRAWN])].value_counts()
    return {
        "verdict": causal_verdict(table, uses),
        "treatments": _by_treatment(inside, treatment[inside.index], told[inside.index]),
        "not_asked": [(why, int(n)) for why, n in lacking.items()],
        "remedy": remedy(str(why) for why in lacking.index),
        "uses": None if uses is None or uses.empty else _uses(uses),
        "agreement": agreement(table).said,
        "draws": int(table["causal_draws"].max()),
    }


def _by_treatment(
    inside: pd.DataFrame, treatment: pd.Series, told: pd.Series
) -> list[dict[str, Any]]:
    """Per treatment: how many cells were asked, called right and answered, and what they owe."""
    right, rows = asked_causally(inside), []
    for name in in_dose_order(treatment):
        mine = treatment == name
        asked = mine & inside["causal_effect"].notna()
        answered = inside[mine & told]
        if not asked.any():
            continue
        shares, full = answered[list(CAUSAL_SHARES)].mean(), answered[list(VOLUME_SHARES)].mean()
        medians = inside.loc[mine & right, list(_MEDIANS)].median()
        rows.append(
            {
                "name": name,
                "asked": int(asked.sum()),
                "right": int((mine & right).sum()),
                "answered": len(answered),
                "shares": list(zip(shares, full, strict=True)),
                "medians": medians.tolist(),
            }
        )
    return rows


def _uses(uses: pd.DataFrame) -> dict[str, Any]:
    numbers = ("balanced_accuracy", "chance", "cells")
    treatments = in_dose_order(str(name) for name in uses if name not in numbers)
    return {
        "treatments": treatments,
        "chance": uses["chance"].iloc[0],
        "rows": [
            {
                "real": _REAL.get(str(real), str(real)),
                "shares": [row[name] for name in treatments],
                "balanced": row["balanced_accuracy"],
                "cells": int(row["cells"]),
            }
            for real, row in uses.iterrows()
        ],
    }


def points(table: pd.DataFrame, told: pd.Series | None) -> dict[str, Any] | None:
    """Grad-CAMO and the causal share of the own cell, column by column; None without cells.

    Parameters
    ----------
    table : DataFrame
        With treatment, well and site, as the page shows them.
    told : as of `told_in`
    """
    if told is None or not (told & scored(table)).any():
        return None
    cells = table[told & scored(table)]
    if len(cells) > MOST_POINTS:
        chosen = np.random.default_rng(0).permutation(len(cells))[:MOST_POINTS]
        cells = cells.iloc[np.sort(chosen)]
    said = {name: cells[name].astype(str).tolist() for name in ("treatment", "well", "site")}
    return {
        "map": cells["grad_camo"].round(4).tolist(),
        "cause": cells["causal_own"].round(4).tolist(),
        "label": cells["label"].astype(str).tolist() if "label" in cells else [""] * len(cells),
        **said,
    }
