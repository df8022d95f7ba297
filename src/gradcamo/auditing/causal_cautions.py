"""What causal columns say against themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcamo.auditing.causal import NOT_DRAWN
from gradcamo.cells.table import whole
from gradcamo.settings import CautionSettings
from gradcamo.words import counted

if TYPE_CHECKING:
    import pandas as pd


def causal_cautions(table: pd.DataFrame, limits: CautionSettings | None = None) -> list[str]:
    """What a reader of causal columns has to know, in plain words; none without such columns.

    Parameters
    ----------
    table : DataFrame with the columns of `gc.causal_attention`
    limits : CautionSettings
    """
    if "causal_effect" not in table:
        return []
    limits = limits or CautionSettings()
    asked = table[table["causal_effect"].notna()]
    said = []
    for name, most, what in doubts(limits):
        n = int((asked[name] > most).sum())
        if n > limits.asked * len(asked):
            of = counted(len(asked), "cell")
            said.append(f"in {n:,} of {of} asked causally {what} ({name} > {most:g})")
    said += _not_asked(table)
    if (asked["causal_draws"] == 1).any():
        said.append("one draw of donors is a preview: causal shares have no error yet")
    return said


def doubts(limits: CautionSettings) -> list[tuple[str, float, str]]:
    """Columns, the value above which a cell's shares mean less than they seem, and why."""
    return [
        ("causal_unfilled_own", limits.unfilled, "no donor covered some of the cell in its place"),
        ("causal_against", limits.against, "there is evidence against the class explained, too"),
        ("causal_swap", limits.swap, "swapping as such, seams and all, changes much"),
        (
            "causal_limits",
            limits.through_limits,
            "a region is read through the brightness of all others, to which crops are rescaled",
        ),
    ]


def _not_asked(table: pd.DataFrame) -> list[str]:
    """In one line, whatever the reasons."""
    lacking = table[whole(table) & table["causal_effect"].isna()]
    reasons = lacking.loc[~lacking["causal_reason"].isin(["", NOT_DRAWN]), "causal_reason"]
    if reasons.empty:
        return []
    counts = reasons.str.partition(":")[0].value_counts()  # what follows has numbers of its own
    if len(reasons.unique()) == 1:
        why = reasons.iloc[0]
    elif len(counts) == 1:
        why = counts.index[0]
    else:
        why = "; ".join(f"{reason} ({n:,})" for reason, n in counts.items())
    said = f"{counted(len(reasons), 'cell')} could not be asked causally: {why}"
    return [f"{said}. {cure}" if (cure := remedy(reasons)) else said]


def remedy(reasons: Iterable[str]) -> str:
    """What to do where cells could not be asked for want of donors, as a sentence less its stop."""
    if not any("donor" in reason or "training well" in reason for reason in reasons):
        return ""
    return (
        "Donors from more wells and images help: make a bank of a plate that has them (gradcamo "
        "donors), and name it (--donors)"
    )


def exposure_cautions(
    stacks: Iterable[tuple[Mapping[str, Any] | pd.Series, Mapping[str, Any]]],
    limits: CautionSettings | None = None,
) -> list[str]:
    """Whether stacks of other plates than the donors' are brighter or darker than these.

    Parameters
    ----------
    stacks : of (row of the plate, what its recipe says under ``causal``; empty of a field without
        cells)
    limits : CautionSettings
    """
    limits = limits or CautionSettings()
    seen: dict[str, list[list[float]]] = {}
    donors: list[float] = []
    channels: list[str] = []
    for row, causal in stacks:
        control = causal.get("control", "")
        if not control or row["treatment"] != control or row["plate"] in causal["bank_plates"]:
            continue
        if causal["medians"]:
            seen.setdefault(str(row["plate"]), []).append(causal["medians"])
            donors, channels = causal["bank_medians"], causal["channels"]
    said = []
    for plate, medians in seen.items():
        differ = np.median(medians, axis=0) - donors
        size = np.abs(donors)  # 0 where more than half of a channel was set to 0
        with np.errstate(divide="ignore"):
            share = np.where(differ == 0, 0, differ / np.where(differ == 0, 1, size))
        worst = int(np.abs(share).argmax())
        if abs(share[worst]) > limits.exposure:
            by = f"by {share[worst]:+z.0%}" if size[worst] else f"by {differ[worst]:+z.3g}, from 0,"
            said.append(
                f"controls of plate {plate} differ from the donors' {by} in the median intensity "
                f"of {channels[worst]}: a network that reads the exposure would count it as "
                "background"
            )
    return said
