"""What causal attention comes to, in plain words: a verdict on a network.

Shares are means over whole cells that were answered and, where treatments are known, called right.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Literal

import numpy as np

from gradcamo.cells.table import asked_causally, checked, told_causally
from gradcamo.columns import CAUSAL_SHARES, VOLUME_SHARES
from gradcamo.errors import GradcamoError
from gradcamo.profiles.doses import find_control, in_dose_order
from gradcamo.words import counted, joined, number, percent

if TYPE_CHECKING:
    import pandas as pd

REGIONS = {"own": "the cell itself", "neighbour": "its neighbours", "background": "the background"}
_APART = REGIONS | {"neighbour": "neighbouring cells"}
"""The same where a network is spoken of, not one cell."""
PART = 0.25
"""Mean share from which a region is named among those that a network goes by."""
FEW = 10
"""Cells below which a verdict is a first impression."""
ALONE = 0.25
"""Share of what calls gain over guessing below which a region alone is hardly enough."""
LAYOUT = 0.5
"""Median layout above which outlines, sizes and crowding tell more than contents."""
TOGETHER = 1.5
"""Effects to which the evidence of single regions adds up above which they are read together, in
most cells of a treatment; 1 where one region holds the cue."""
RARE = 0.05
"""How often as many cells may lie above it by chance, were it their median (sign test)."""
_EVERYWHERE = "may be everywhere, such as focus, camera or stain"
_NUMBERS = (
    *(*CAUSAL_SHARES, *VOLUME_SHARES, "causal_effect", "causal_layout"),
    *(f"causal_{way}_{region}" for way in ("needed", "alone") for region in REGIONS),
)
_NAMES = ("predicted", "causal_target", "causal_reference")


def causal_verdict(table: pd.DataFrame, uses: pd.DataFrame | None = None) -> list[str]:
    """By what a network tells treatments apart, in one sentence, and what to know beside it.

    Parameters
    ----------
    table : DataFrame
        Cells with the columns of `gradcamo.causal_attention`; ``treatment`` where it is known.
    uses : DataFrame
        `gradcamo.causal.uses.uses_table`, or ``uses.csv`` as it was read, where there is one.

    Returns
    -------
    Sentences, the verdict first; none where no cell was asked.

    Raises
    ------
    GradcamoError
        If causal columns are incomplete, or hold text for numbers or numbers for names.
    """
    if "causal_effect" not in table:
        return []
    table, uses = checked(table, _NUMBERS, _NAMES), _checked_uses(uses)
    if not asked_causally(table).any():
        return []
    asked, told = table[asked_causally(table)], table[told_causally(table)]
    if 2 * len(told) < len(asked):
        return [_no_verdict(asked, uses), *_outlines(asked, "")]
    by = [_APART[region] for region in _named_regions(told[list(CAUSAL_SHARES)].mean())]
    owes, fills = (
        told[list(names)].mean().map(percent).tolist() for names in (CAUSAL_SHARES, VOLUME_SHARES)
    )
    owes = [f"{share} to {name}" for share, name in zip(owes, _APART.values(), strict=True)]
    said = (
        f"This network tells {_what(told)} by {joined(by)}: its predictions owe {joined(owes)} "
        f"(which fill {joined(fills)} of the crop).{_right_with(told, uses)}"
    )
    if len(told) < FEW:
        said += f" Only {counted(len(told), 'cell')}: a first impression."
    rest = "; the shares above are of the rest"
    return [
        said,
        *_unlike(told),
        *(_together(told) or _everywhere(told)),
        *_outlines(told, rest),
    ]


def _no_verdict(asked: pd.DataFrame, uses: pd.DataFrame | None) -> str:
    """Why most cells have no shares: another class was asked for, or swaps take nothing."""
    silent = asked[~told_causally(asked)]
    other = int((silent["predicted"] != silent["causal_target"]).sum())
    nothing = len(silent) - other
    why = []
    if nothing:
        why.append(
            f"in {nothing:,} of {counted(len(asked), 'cell')} asked, swapping all contents for "
            f"another treatment's takes nothing measurable from the prediction{_right_anyway(uses)}"
        )
    if other:
        why.append(
            f"{other:,} of {counted(len(asked), 'cell')} asked are called otherwise than the "
            "treatment that was asked for, so that no prediction is shared out; leave the target "
            "(--target) out to ask of each what it is called"
        )
    return f"No verdict: {'; '.join(why)}."


def _checked_uses(uses: pd.DataFrame | None) -> pd.DataFrame | None:
    if uses is None or uses.empty:
        return None
    uses = uses.set_index("real") if "real" in uses else uses
    if lacking := [name for name in ("balanced_accuracy", "chance") if name not in uses]:
        raise GradcamoError(
            f"the table of what a network uses lacks {joined(lacking)}: expected uses.csv as "
            "'gradcamo plate --causal' writes it"
        )
    return uses


def _named_regions(means: pd.Series) -> list[str]:
    """The regions of mean shares that are named, the largest first."""
    ranked = means.sort_values(ascending=False)
    named = [name for n, name in enumerate(ranked.index) if n == 0 or ranked[name] >= PART]
    return [str(name).removeprefix("causal_") for name in named]


def _what(told: pd.DataFrame) -> str:
    classes = sorted({*told["predicted"], *told["causal_reference"]})
    if len(classes) != 2:
        return "treatments apart"
    control = find_control(classes) or in_dose_order(classes)[0]
    (other,) = set(classes) - {control}
    return f"{other} from {control}"


def _right_with(told: pd.DataFrame, uses: pd.DataFrame | None) -> str:
    """How often calls are right with one region real; of the region that holds most."""
    real = _named_regions(told[list(CAUSAL_SHARES)].mean())[0]
    if uses is None or not {real, "all"} <= set(uses["balanced_accuracy"].dropna().index):
        return ""
    right, chance = uses["balanced_accuracy"], uses["chance"].iloc[0]
    said = (
        f" With only {_APART[real]} real and all else swapped it is right in "
        f"{percent(right[real])} (whole crops {percent(right['all'])}, guessing {percent(chance)})"
    )
    if right[real] - chance < ALONE * (right["all"] - chance):
        said += ": this region alone is hardly enough"
    return said + "."


def _right_anyway(uses: pd.DataFrame | None) -> str:
    if uses is None or "nothing" not in uses["balanced_accuracy"].dropna().index:
        return ""
    right = percent(uses["balanced_accuracy"]["nothing"])
    chance = percent(uses["chance"].iloc[0])
    return f"; with nothing real it is right in {right} (guessing {chance})"


def _unlike(told: pd.DataFrame) -> list[str]:
    """Treatments that are told by different regions."""
    by: dict[str, dict[str, float]] = {}
    for name in in_dose_order(told["causal_target"]):
        mine = told[told["causal_target"] == name]
        if len(mine) >= FEW:
            means = mine[list(CAUSAL_SHARES)].mean()
            by.setdefault(_named_regions(means)[0], {})[name] = means.max()
    if len(by) < 2:
        return []
    parts = [
        f"{_APART[region]} for {joined(list(shares))} ({_range(shares.values())})"
        for region, shares in by.items()
    ]
    return [f"The region that tells most differs between treatments: {'; '.join(parts)}."]


def _range(shares: Collection[float]) -> str:
    return " to ".join(dict.fromkeys((percent(min(shares)), percent(max(shares)))))


def _outlines(cells: pd.DataFrame, rest: str) -> list[str]:
    """Where outlines tell more than contents."""
    if not (layout := cells["causal_layout"].dropna().median()) > LAYOUT:
        return []
    return [
        "Outlines, sizes and crowding, which swaps leave in place, explain "
        f"{percent(min(layout, 1))} of a prediction (median){rest}."
    ]


def _together(told: pd.DataFrame) -> list[str]:
    """The treatment whose regions are most read together: all are needed, or any will do.

    A cue that is everywhere may be gone as soon as one region lacks it, so that each is needed, or
    show in each of them alone.
    """
    ways: dict[Literal["needed", "alone"], str] = {
        "needed": "swapping them one at a time takes from the prediction, added up, {} times what "
        "swapping all at once does",
        "alone": "putting them back one at a time gives to the prediction, added up, {} times what "
        "putting all back at once does",
    }
    most, name, how = max(
        (
            (read_together(mine, way), str(name), how)
            for name, mine in told.groupby("causal_target", observed=True)
            if len(mine) >= FEW
            for way, how in ways.items()
            if are_read_together(mine, way)
        ),
        default=(0.0, "", ""),
    )
    if not name:
        return []
    return [
        f"Regions are read together, above all for {name}: {how.format(number(most, 1))} (1.0 "
        f"where one region holds the cue). The cue {_EVERYWHERE}, or in several regions at once."
    ]


def read_together(cells: pd.DataFrame, way: Literal["needed", "alone"]) -> float:
    """Evidence of single regions over that of all: median of cells; 1 where one holds the cue.

    Parameters
    ----------
    cells : DataFrame of `gradcamo.causal_attention`, answered
    way : what is lost without a region, or what it is worth by itself
    """
    return float((evidence(cells, way) / cells["causal_effect"]).median())


def are_read_together(cells: pd.DataFrame, way: Literal["needed", "alone"]) -> bool:
    """Whether evidence of single regions adds up to more than `TOGETHER` effects, in most cells.

    Parameters
    ----------
    cells : DataFrame of `gradcamo.causal_attention`, answered
    way : what is lost without a region, or what it is worth by itself
    """
    from scipy.stats import binomtest

    above = int((evidence(cells, way) > TOGETHER * cells["causal_effect"]).sum())
    return bool(binomtest(above, len(cells), alternative="greater").pvalue < RARE)


def evidence(cells: pd.DataFrame, way: Literal["needed", "alone"]) -> pd.Series:
    """``causal_needed_*`` or ``causal_alone_*`` of all regions that a cell has, added up: logits.

    Parameters
    ----------
    cells : DataFrame of `gradcamo.causal_attention`
    way : what is lost without a region, or what it is worth by itself
    """
    return cells[[f"causal_{way}_{region}" for region in REGIONS]].sum(axis=1)


def _everywhere(told: pd.DataFrame) -> list[str]:
    """Where shares equal volumes within twice their error."""
    if len(told) < FEW:
        return []
    for share, volume in zip(CAUSAL_SHARES, VOLUME_SHARES, strict=True):
        differ = (told[share] - told[volume]).to_numpy()
        error = differ.std(ddof=1) / np.sqrt(len(differ))
        if abs(differ.mean()) > max(2 * error, 0.02):
            return []
    return [f"Shares equal what regions fill of the crop: the cue {_EVERYWHERE}."]
