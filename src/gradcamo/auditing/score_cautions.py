"""What a table of scores says against itself, whatever made it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gradcamo.auditing.agreement import agreement, ranks_otherwise
from gradcamo.auditing.causal_cautions import causal_cautions
from gradcamo.cells.table import scored, whole
from gradcamo.files.titles import stack_title
from gradcamo.settings import CautionSettings
from gradcamo.words import beside

if TYPE_CHECKING:
    import pandas as pd

LIMITS = CautionSettings()
NAMED = 6  # cells or stacks, before the rest is counted


def verdicts(
    table: pd.DataFrame, recipe: Mapping[str, Any], limits: CautionSettings = LIMITS
) -> list[str]:
    """What is to be said of the scores themselves."""
    inside = table[whole(table)]
    seen = inside[scored(inside)]
    said = [
        one_class(inside, recipe, limits),
        _all_partial(table, inside),
        unscored(inside, seen, limits),
        _unreachable(inside, recipe.get("settings", {}).get("cutoff"), limits),
        _at_chance(seen, limits),
        _filled(seen, limits),
        _cut_off(inside, limits),
        *_hot(inside, recipe, limits),
        *_design(table, seen),
        *causal_cautions(table, limits),
        _ranks_otherwise(table, recipe, limits),
    ]
    return [caution for caution in said if caution]


def one_class(
    inside: pd.DataFrame, recipe: Mapping[str, Any], limits: CautionSettings
) -> str | None:
    """What to say where the network calls whole cells one class, and hardly knows it."""
    classes = len(recipe.get("classes", ()))
    if not classes or recipe.get("outputs") == "independent" or "confidence" not in inside:
        return None
    called = inside.loc[inside["predicted"].notna() & (inside["predicted"] != "")]
    chance = 1 / max(classes, 2)  # one logit tells two
    confidence = called["confidence"].median()
    differ = len(called) < 2 or called["predicted"].nunique() > 1
    if differ or confidence >= chance + limits.confidence:
        return None
    return (
        f"all {len(called):,} cells are called {called['predicted'].iloc[0]}, with a median "
        f"confidence of {confidence:.2f} where guessing has {chance:.2f}: the network hardly tells "
        "its classes apart; is it trained, and were its crops prepared like these?"
    )


def _all_partial(table: pd.DataFrame, inside: pd.DataFrame) -> str | None:
    if table.empty or len(inside):
        return None
    return (
        f"none of the {len(table):,} cells is whole: all are cut by the y or x border of their "
        "stack, and not scored"
    )


def unscored(inside: pd.DataFrame, seen: pd.DataFrame, limits: CautionSettings) -> str | None:
    """What to say where many whole cells have no score."""
    without = len(inside) - len(seen)
    if without <= limits.unscored * len(inside):
        return None
    return (
        f"{without:,} of {len(inside):,} whole cells have no score: no map speaks for their "
        "class, and they do not pass"
    )


def _unreachable(inside: pd.DataFrame, cutoff: float | None, limits: CautionSettings) -> str | None:
    if cutoff is None or "ceiling" not in inside:
        return None
    ceiling = inside["ceiling"].dropna()
    share = (cutoff >= (1 - limits.ceiling) * ceiling).mean() if len(ceiling) else 0
    if share <= limits.unreachable:
        return None
    return (
        f"for {share:.0%} of the cells the cut-off of {cutoff:g} lies above the best that this "
        f"layer allows, or within {limits.ceiling:.0%} of it: they cannot pass, or hardly; lower "
        "it, or explain an earlier layer"
    )


def share_at_chance(seen: pd.DataFrame) -> float:
    """The share of scored cells that score no more than a flat map would."""
    if "chance" not in seen or seen.empty:
        return 0.0
    return float((seen["grad_camo"] <= seen["chance"]).mean())


def _at_chance(seen: pd.DataFrame, limits: CautionSettings) -> str | None:
    if "chance" not in seen or seen.empty:
        return None
    if (share := share_at_chance(seen)) > limits.at_chance:
        return (
            f"{share:.0%} of the scored cells score no more than a flat map would: here Grad-CAMO "
            "says little about single cells"
        )
    mean, chance = seen["grad_camo"].mean(), seen["chance"].mean()
    if mean >= limits.mean_above_chance * chance:
        return None
    return (
        f"the mean score of {mean:.2f} is hardly above {chance:.2f}, what a flat map scores: "
        "here Grad-CAMO says little about single cells"
    )


def _ranks_otherwise(
    table: pd.DataFrame, recipe: Mapping[str, Any], limits: CautionSettings
) -> str | None:
    """Where cells were asked causally, too, and their maps rank them in another order."""
    if "causal_own" not in table:
        return None
    found = agreement(table)
    if not ranks_otherwise(found.rho, limits):
        return None
    settings = recipe.get("settings", {})
    where = settings.get("layer") or "this layer"
    where += f" with {settings['gradients']} gradients" if "gradients" in settings else ""
    rho = beside(found.rho, limits.agreement)
    return (
        f"at {where} Grad-CAMO ranks {found.cells:,} cells otherwise than their causal shares do "
        f"(Spearman's ρ {rho}, below {limits.agreement:g}): a cell's score here does "
        "not tell whether its prediction depends on it"
    )


def _filled(seen: pd.DataFrame, limits: CautionSettings) -> str | None:
    chance = seen["chance"].mean() if "chance" in seen and len(seen) else 0
    if chance <= limits.filled:
        return None
    return (
        f"cells fill {chance:.0%} of their crops, so that a flat map comes near the cut-off; "
        "judge by the column attainable, or use larger crops"
    )


def _cut_off(inside: pd.DataFrame, limits: CautionSettings) -> str | None:
    if "cell_in_crop" not in inside:
        return None
    cells = inside[inside["cell_in_crop"] < limits.in_crop]
    if cells.empty:
        return None
    return (
        f"less than {'half' if limits.in_crop == 0.5 else format(limits.in_crop, '.0%')} lies in "
        f"its own crop of {'cell' if len(cells) == 1 else f'{len(cells):,} cells:'} "
        f"{_named(_cell_names(cells, inside))}; larger crops hold more of them, and a label in "
        "several pieces may be several cells"
    )


def _cell_names(cells: pd.DataFrame, among: pd.DataFrame) -> list[str]:
    """By their numbers, and by their stacks where there are several."""
    if "image" not in among or among["image"].nunique() < 2:
        return [str(label) for label in cells["label"]]
    rows = cells.to_dict("records")
    return [f"{row['label']} ({stack_title(row['image'], row)})" for row in rows]


def _hot(inside: pd.DataFrame, recipe: Mapping[str, Any], limits: CautionSettings) -> list[str]:
    """Stack by stack, since one camera's hot voxels would drown in a plate."""
    if "hot_channels" not in inside:
        return []
    cut = inside[inside["cell_in_crop"] > 0] if "cell_in_crop" in inside else inside
    stacks = cut.groupby("image") if "image" in cut and cut["image"].any() else [("", cut)]
    worst: dict[str, list[float]] = {}
    total = 0
    for _, cells in stacks:
        total += 1
        hot = cells["hot_channels"].fillna("").astype(str).str.split(", ")
        for name in recipe.get("channels", ()):
            share = float(hot.map(lambda names, name=name: name in names).mean())
            if share > limits.hot_crops:
                worst.setdefault(str(name), []).append(share)
    return [
        f"a few hot voxels stretch the channel {name} in {max(shares):.0%} of the crops"
        + (f" of a stack ({len(shares)} of {total} stacks are so)" if total > 1 else "")
        + ": the network sees little else of it; mend them, or train with --crop-rescale percentile"
        for name, shares in worst.items()
    ]


def _design(table: pd.DataFrame, seen: pd.DataFrame) -> Iterable[str]:
    """What the layout of a plate keeps from being told."""
    if "split" in table and (table["split"] == "train").any():
        yield "some wells served to train the network: judge it by the others"
    if not {"plate", "well", "treatment"} <= set(table):
        return
    treatment = table["treatment"].fillna("").replace("no treatment", "")
    if 0 < (nameless := int((treatment == "").sum())) < len(table):
        yield (
            f"{nameless} cells have no treatment: they are in the table, but have no part in "
            "confounding and cut-offs"
        )
    wells = seen[treatment[seen.index] != ""].groupby("treatment")[["plate", "well"]]
    counts = [len(group.drop_duplicates()) for _, group in wells]
    if len(counts) > 1 and min(counts) < 3:
        few = "one well" if min(counts) == 1 else "two wells"
        yield (
            f"some treatments have {few}: differences between treatments cannot be told from "
            "differences between wells with certainty"
        )


def _named(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + " …" * (len(names) > NAMED)
