"""What one cell's causal columns say, in a sentence or two, beside where its map lies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcamo.auditing.causal import NOT_DRAWN
from gradcamo.auditing.causal_cautions import doubts, remedy
from gradcamo.auditing.verdict import REGIONS as OF_ALL
from gradcamo.columns import CAUSAL_SHARES, SHARES, VOLUME_SHARES
from gradcamo.settings import CautionSettings
from gradcamo.words import number

if TYPE_CHECKING:
    import pandas as pd

REGIONS = tuple(OF_ALL.values())
APART = 0.1
"""By how much two regions' shares differ at least for one to count as the larger."""


def is_answered(row: Mapping[str, Any] | pd.Series) -> bool:
    """Whether a cell's prediction was shared out among its regions, be it as a preview."""
    return bool(np.isfinite(row.get("causal_own", np.nan)))


def cell_verdict(row: Mapping[str, Any] | pd.Series) -> str:
    """What a cell's prediction depends on, and whether its map says so too; or why that is unknown.

    Map and prediction disagree where the region that owns most of the one is another than that of
    the other, and both lie `APART`.

    Parameters
    ----------
    row : of a table with the columns of an audit and of `gc.causal_attention`

    Returns
    -------
    str; empty where the cell was not asked

    Examples
    --------
    >>> cell_verdict({"causal_reason": "it touches the border"})
    'Not asked: it touches the border.'
    """
    reason = row.get("causal_reason", NOT_DRAWN)
    if reason == NOT_DRAWN:
        return ""
    if reason:
        return f"Not asked: {reason}." + (f" {cure}." if (cure := remedy([reason])) else "")
    if not is_answered(row):
        return f"No answer: {_silence(row)}."
    owes = np.array([row[name] for name in CAUSAL_SHARES], float)
    top = int(owes.argmax())
    mostly = "mostly " if owes[top] > 0.5 else "most "
    preview = "Preview: that" if row["causal_draws"] == 1 else "That"
    said = (
        f"{preview} it is called {row['causal_target']} rather than {row['causal_reference']} "
        f"depends {mostly}on {REGIONS[top]} ({owes[top]:.0%})"
    )
    lies, fills = ([row.get(name, np.nan) for name in names] for names in (SHARES, VOLUME_SHARES))
    return said + _beside(np.array(lies, float), owes, fills)


def cell_doubts(
    row: Mapping[str, Any] | pd.Series, limits: CautionSettings | None = None
) -> list[str]:
    """Why the causal shares of a cell mean less than they seem; nothing where they do not.

    Parameters
    ----------
    row : as in `cell_verdict`
    limits : CautionSettings
    """
    if not is_answered(row):
        return []
    return [
        f"{what} ({name} {number(row[name])})"
        for name, most, what in doubts(limits or CautionSettings())
        if row[name] > most
    ]


def _beside(lies: np.ndarray, owes: np.ndarray, fills: list[float]) -> str:
    """Whether a map tells the same as the prediction's shares; nothing where it is close."""
    if not np.isfinite(lies).all():
        return "."
    top, there = int(owes.argmax()), int(lies.argmax())
    if top == there:
        return f", where the map lies, too ({lies[there]:.0%})."
    if min(owes[top] - owes[there], lies[there] - lies[top]) < APART:
        return "."
    return (
        f". The map disagrees: it lies most on {REGIONS[there]} ({lies[there]:.0%}, which "
        f"fill{'' if there == 1 else 's'} {fills[there]:.0%} of the crop)."
    )


def _silence(row: Mapping[str, Any] | pd.Series) -> str:
    from gradcamo.causal.shares import SAME  # and pandas, for which an empty window need not wait

    if row.get("predicted", row["causal_target"]) != row["causal_target"]:
        return f"{row['causal_target']} was asked for, the network calls it {row['predicted']}"
    effect, error = row["causal_effect"], row["causal_effect_se"]
    clear = -effect > max(2 * np.nan_to_num(error), SAME)
    by = number(-effect if clear else effect, 1, "" if clear else "+") + (
        f" ± {number(error, 1)}" if np.isfinite(error) else ""
    )
    swapped = f"contents of {row['causal_reference']} in place of {row['causal_target']}'s"
    if clear:
        return f"{swapped} make it surer of {row['causal_target']}, by {by} logits"
    return f"{swapped} take away {by} logits, which cannot be told from nothing"
