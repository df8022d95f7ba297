"""What the numbers of one network say beside the bounds of its kind: pure sums, no network."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt

import pandas as pd
from planted_kinds import Kind

from gradcamo.columns import CAUSAL_SHARES

REGIONS = ("own", "neighbour", "background")
CHANCE = 0.5


def right_region(kind: Kind, accuracy: Mapping[str, Mapping[str, float]]) -> str:
    """The region that a network must use; by removal where a plate has the class in two.

    Parameters
    ----------
    kind : Kind
    accuracy : ``balanced`` by variant
    """
    if kind.right != "by removal":
        return kind.right
    above = {name: accuracy[name]["balanced"] - CHANCE for name in ("paired", "removed")}
    return "background" if above["removed"] < above["paired"] / 2 else "own"


def measures(causal: pd.DataFrame, uses: pd.DataFrame, right: str) -> dict[str, float]:
    """The numbers that `planted_kinds.Bound` names, of one network.

    Parameters
    ----------
    causal : DataFrame
        Columns of `gradcamo.causal_attention`, and ``treatment``. Only cells that are called
        rightly count; shares are of those that are answered.
    uses : DataFrame
        The plate table of `gradcamo.causal.uses.uses_table`.
    right : str
        The region that the network must use, "" for none.

    Returns
    -------
    dict
        ``asked`` and ``answered`` (cells), ``right_region`` (share of answered cells whose largest
        share is the right region's), mean ``own_share``, ``neighbour_share``,
        ``background_share``, ``largest_share`` (the largest of these three), medians ``effect``,
        ``layout``, ``swap``, ``limits``, ``against``, and of the plate table ``own_only``, … and
        ``nothing`` (balanced accuracy), ``background_only_off`` (its distance from chance in
        binomial standard errors).
    """
    asked = causal[causal["predicted"] == causal["treatment"]]
    answered = asked[asked["causal_answered"].fillna(False).astype(bool)]
    shares = answered[list(CAUSAL_SHARES)]
    found: dict[str, float] = {"asked": len(asked), "answered": len(answered)}
    if right:
        found["right_region"] = (shares.rank(axis=1)[f"causal_{right}"] == len(REGIONS)).mean()
    found |= {f"{region}_share": shares[f"causal_{region}"].mean() for region in REGIONS}
    found["largest_share"] = shares.mean().max()
    for name in ("effect", "layout", "swap", "limits", "against"):
        found[name] = asked[f"causal_{name}"].median()
    for real, row in uses.iterrows():
        name = str(real) if real in ("nothing", "all") else f"{real}_only"
        found[name] = row["balanced_accuracy"]
        if real == "background":
            se = sqrt(row["chance"] * (1 - row["chance"]) / row["cells"])
            found["background_only_off"] = abs(row["balanced_accuracy"] - row["chance"]) / se
    return {name: float(value) for name, value in found.items()}


def met(kind: Kind, found: Mapping[str, float]) -> dict[str, bool]:
    """Whether each bound of a kind holds."""
    return {
        bound.measure: (
            found[bound.measure] >= bound.bound
            if bound.comparison == ">="
            else found[bound.measure] <= bound.bound
        )
        for bound in kind.bounds
    }
