"""What causal attention comes to, in plain words: a verdict on a network.

Shares are means over whole cells that were answered and, where treatments are known, called right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from gradcamo.cells.table import asked_causally, told_causally
from gradcamo.columns import CAUSAL_SHARES, VOLUME_SHARES
from gradcamo.profiles.doses import find_control, in_dose_order
from gradcamo.words import counted, joined

if TYPE_CHECKING:
    import pandas as pd

REGIONS = {"own": "the cell itself", "neighbour": "its neighbours", "background": "the background"}
_APART = REGIONS | {"neighbour": "neighbouring cells"}
"""The same where a network is spoken of, not one cell."""
REAL = {
    "own": "with the real cell and all else borrowed",
    "neighbour": "with real neighbours and all else borrowed",
    "background": "with real background and borrowed cells",
}
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


def causal_verdict(table: pd.DataFrame, uses: pd.DataFrame | None = None) -> list[str]:
    """By what a network tells treatments apart, in one sentence, and what to know beside it.

    Parameters
    ----------
    table : DataFrame
        Cells with the columns of `gradcamo.causal_attention`; ``treatment`` where it is known.
    uses : DataFrame
        `gradcamo.causal.uses.uses_table`, where there is one.

    Returns
    -------
    Sentences, the verdict first; none where no cell was asked.
    """
    if "causal_effect" not in table or not asked_causally(table).any():
        return []
    asked, told = table[asked_causally(table)], table[told_causally(table)]
    if 2 * len(told) < len(asked):
        return [
            f"No verdict: {len(asked) - len(told):,} of {counted(len(asked), 'cell')} asked are "
            "not answered; their predictions hardly change when all contents are swapped"
            + _right_anyway(uses)
            + ".",
            *_outlines(asked, "what these cells are called"),
        ]
    means = told[list(CAUSAL_SHARES)].mean()
    by = _named_regions(means)
    fills = told[[f"volume_{region}" for region in by]].mean()
    owes = joined(
        [
            f"{share:.0%} to {_APART[region]} (which fills {full:.0%} of the crop)"
            if region != "neighbour"
            else f"{share:.0%} to {_APART[region]} (which fill {full:.0%})"
            for region, share, full in zip(
                by, (means[f"causal_{region}"] for region in by), fills, strict=True
            )
        ]
    )
    few = f" A first impression: {counted(len(told), 'cell')} only." if len(told) < FEW else ""
    said = [
        f"This network tells {_what(told)} by {joined([_APART[region] for region in by])}: its "
        f"predictions owe {owes}{_right_with(by, uses)}.{few}"
    ]
    said += _unlike(told)
    said += _together(told)
    said += _everywhere(told)
    return said + _outlines(told, "it")


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


def _right_with(by: list[str], uses: pd.DataFrame | None) -> str:
    """How often calls are right with one region real; of the first region named."""
    real = by[0]
    if uses is None or not {real, "all"} <= set(uses.index):
        return ""
    right, chance = uses["balanced_accuracy"], uses["chance"].iloc[0]
    said = (
        f"; {REAL[real]} it is right in {right[real]:.0%} (as they are in {right['all']:.0%}, by "
        f"guessing in {chance:.0%})"
    )
    if right[real] - chance < ALONE * (right["all"] - chance):
        said += ", so that this region alone is hardly enough"
    return said


def _right_anyway(uses: pd.DataFrame | None) -> str:
    if uses is None or "nothing" not in uses.index:
        return ""
    row = uses.loc["nothing"]
    return f" (with nothing real it is right in {row['balanced_accuracy']:.0%})"


def _unlike(told: pd.DataFrame) -> list[str]:
    """Treatments that are told by different regions."""
    by: dict[str, list[str]] = {}
    for name in in_dose_order(told["causal_target"]):
        mine = told[told["causal_target"] == name]
        if len(mine) >= FEW:
            by.setdefault(_named_regions(mine[list(CAUSAL_SHARES)].mean())[0], []).append(name)
    if len(by) < 2:
        return []
    parts = [f"{joined(names)} by {_APART[region]}" for region, names in by.items()]
    return [f"Treatments differ: above all it tells {'; '.join(parts)}."]


def _outlines(cells: pd.DataFrame, what: str) -> list[str]:
    """Where outlines tell more than contents."""
    if not (layout := cells["causal_layout"].median()) > LAYOUT:
        return []
    return [
        f"Outlines, sizes and crowding alone explain {layout:.0%} of {what} (median), and no swap "
        "of contents takes these away: regions share out the rest."
    ]


def _together(told: pd.DataFrame) -> list[str]:
    """The treatment whose regions are most read together: all are needed, or any will do.

    A cue that is everywhere may be gone as soon as one region lacks it, so that each is needed, or
    show in each of them alone.
    """
    ways: dict[Literal["needed", "alone"], str] = {
        "needed": "without each single region they lose",
        "alone": "each single region by itself is worth",
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
        f"Regions are read together: of calls of {name}, what {how} adds up to {most:.2g} times "
        "what all are worth (1 where one region holds the cue). The cue may be everywhere, such as "
        "the focus, the camera or a stain, or in several regions that are weighed together."
    ]


def read_together(cells: pd.DataFrame, way: Literal["needed", "alone"]) -> float:
    """Evidence of single regions over that of all: median over median; 1 where one holds the cue.

    Parameters
    ----------
    cells : DataFrame of `gradcamo.causal_attention`, answered
    way : what is lost without a region, or what it is worth by itself
    """
    return float(evidence(cells, way).median() / cells["causal_effect"].median())


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
    return [
        "Each region's share equals what it fills of the crop: the cue may be everywhere, such as "
        "the camera or a stain."
    ]
