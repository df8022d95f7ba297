"""What a reader of scores has to know before believing them: one list, made here alone.

A caution follows from a table and its recipe, so that whoever holds both (terminal, report, window,
export) says the same. Thresholds are `gradcamo.settings.CautionSettings`.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcamo.auditing.causal import causal_cautions
from gradcamo.cells.table import scored, whole
from gradcamo.datatypes import Spacing, spacing_text, unknown_axes
from gradcamo.settings import CautionSettings

if TYPE_CHECKING:
    import pandas as pd

LIMITS = CautionSettings()
NAMED = 6  # cells or stacks, before the rest is counted


def cautions(
    table: pd.DataFrame, recipe: Mapping[str, Any], limits: CautionSettings = LIMITS
) -> list[str]:
    """All that is to be said of a table, one line each; empty where nothing stands in the way.

    Parameters
    ----------
    table : DataFrame
        Cells of a stack or of a plate, with their scores.
    recipe : mapping
        How they were made (`gradcamo.auditing.stack.audit_recipe`); what it lacks is not judged.
    limits : CautionSettings

    Examples
    --------
    >>> import pandas as pd
    >>> cells = pd.DataFrame({"grad_camo": [0.4, None, None], "touches_border": False})
    >>> cautions(cells, {"settings": {"layer": "block_4"}})
    ['2 of 3 whole cells have no score: no map speaks for their class, and they do not pass']
    """
    known = recipe.get("facts")  # gathered from several stacks
    return [*(facts(recipe, limits) if known is None else known), *verdicts(table, recipe, limits)]


def with_cautions(table: pd.DataFrame, recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe with the ``cautions`` of its table, as files carry it; each is logged, too."""
    return {**recipe, "cautions": _logged(cautions(table, recipe))}


def facts(recipe: Mapping[str, Any], limits: CautionSettings = LIMITS) -> list[str]:
    """What is to be said of stack, network and layer, whatever the scores are."""
    causal = (recipe.get("causal") or {}).get("cautions", ())
    said = list(dict.fromkeys([*recipe.get("network_cautions", ()), *causal]))
    said += [channels_note(recipe)] if channels_note(recipe) else []
    there = recipe.get("trained_spacing_um")
    if note := voxel_note(recipe.get("spacing_um"), there, limits):
        said.append(note)
    if "spacing_um" in recipe and (note := volume_note(recipe["spacing_um"])):
        said.append(note)
    grid = recipe.get("grid")
    if grid is not None and is_coarse(grid, limits):
        layer = recipe.get("settings", {}).get("layer") or "the layer"
        said.append(
            f"the grid of {layer} is {' × '.join(map(str, grid))}, fewer than {limits.grid} voxels "
            "along y or x: its maps are coarse, and an earlier layer tells more"
        )
    stack = recipe.get("stack") or {}
    for name in stack.get("constant_channels", ()):
        said.append(f"the channel {name} is constant in the stack: the network sees nothing there")
    if absent := stack.get("absent_chunks"):
        said.append(_absent(absent))
    return said


def facts_of_stacks(
    recipes: Sequence[Mapping[str, Any]], limits: CautionSettings = LIMITS
) -> list[str]:
    """`facts` of several stacks, each once, with how many of the stacks it is true of."""
    counts = Counter(fact for recipe in recipes for fact in dict.fromkeys(facts(recipe, limits)))
    return [
        fact if n == len(recipes) else f"{fact} ({n} of {len(recipes)} stacks)"
        for fact, n in counts.items()
    ]


def verdicts(
    table: pd.DataFrame, recipe: Mapping[str, Any], limits: CautionSettings = LIMITS
) -> list[str]:
    """What is to be said of the scores themselves."""
    inside = table[whole(table)]
    seen = inside[scored(inside)]
    said = [
        _one_class(inside, recipe, limits),
        _unscored(inside, seen, limits),
        _unreachable(inside, recipe.get("settings", {}).get("cutoff"), limits),
        _at_chance(seen, limits),
        _filled(seen, limits),
        _cut_off(inside, limits),
        *_hot(inside, recipe, limits),
        *_design(table, seen),
        *causal_cautions(table, limits),
    ]
    return [caution for caution in said if caution]


def voxel_note(
    here: Spacing | None,
    there: Spacing | None,
    limits: CautionSettings = LIMITS,
) -> str | None:
    """What to say where a stack's voxels are larger or smaller than those trained on.

    Parameters
    ----------
    here, there : voxel size (z, y, x) in µm, what is known of it, of the stack and the training
    """
    steps = zip(here or (), there or (), strict=False)
    ratios = [mine / theirs for mine, theirs in steps if mine and theirs]
    if not ratios or np.abs(np.subtract(ratios, 1)).max() <= limits.voxel_size + 1e-9:
        return None
    return (
        f"the stack's voxels are {spacing_text(here)}, the checkpoint was trained on "
        f"{spacing_text(there)}: cells look larger or smaller to it than they are"
    )


def volume_note(here: Spacing | None) -> str | None:
    """What to say where volumes in µm³ cannot be told."""
    if not (axes := unknown_axes(here)):
        return None
    return f"the voxel size is not known along {axes}: volumes in µm³ stay empty"


def channels_note(recipe: Mapping[str, Any]) -> str | None:
    """What to say where a stack's channels stand for others by their order."""
    pairs = zip(recipe.get("channels", ()), recipe.get("trained_channels", ()), strict=False)
    if not (other := [f"{here} for {there}" for here, there in pairs if here != there]):
        return None
    return f"channels were taken by their order: {', '.join(other)}"


def is_coarse(grid: Sequence[int], limits: CautionSettings = LIMITS) -> bool:
    """Whether a layer's grid ([z,] y, x) is too coarse to show where a map lies."""
    return min(grid[-2:]) < limits.grid


def coarse_layers(
    grids: Mapping[str, Sequence[int]], limits: CautionSettings = LIMITS
) -> list[str]:
    """What to say of layers whose grids are coarse, if there are any."""
    names = [name for name, grid in grids.items() if is_coarse(grid, limits)]
    return [
        f"fewer than {limits.grid} voxels along y or x, so that maps are coarse: {', '.join(names)}"
        for _ in names[:1]
    ]


def layer_cautions(
    cells: pd.DataFrame, recipe: Mapping[str, Any], limits: CautionSettings = LIMITS
) -> list[str]:
    """What is to be said of several layers of one network, layers named.

    Parameters
    ----------
    cells : DataFrame
        Cells of an audit of layers, by their column ``layer``.
    recipe : mapping
        With ``classes`` and ``grids``, each layer's.
    """
    of_layer = dict(list(cells.groupby("layer", sort=False)))
    any_layer = next(iter(of_layer.values()), cells)
    found = {
        "more than half of the scored cells at or below what a flat map scores": [
            str(name)
            for name, rows in of_layer.items()
            if _share_at_chance(rows[scored(rows)]) > limits.at_chance
        ],
        "more than a tenth of the whole cells without a score": [
            str(name)
            for name, rows in of_layer.items()
            if _unscored(rows[whole(rows)], rows[scored(rows)], limits)
        ],
    }
    said = [_one_class(any_layer[whole(any_layer)], recipe, limits)]
    said += coarse_layers(recipe.get("grids", {}), limits)
    said += [f"{what}: {', '.join(names)}" for what, names in found.items() if names]
    return _logged([caution for caution in [*recipe.get("network_cautions", ()), *said] if caution])


def _one_class(
    inside: pd.DataFrame, recipe: Mapping[str, Any], limits: CautionSettings
) -> str | None:
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


def _unscored(inside: pd.DataFrame, seen: pd.DataFrame, limits: CautionSettings) -> str | None:
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
        "layer allows, or within a tenth of it: they cannot pass, or hardly; lower it, or explain "
        "an earlier layer"
    )


def _share_at_chance(seen: pd.DataFrame) -> float:
    if "chance" not in seen or seen.empty:
        return 0.0
    return float((seen["grad_camo"] <= seen["chance"]).mean())


def _at_chance(seen: pd.DataFrame, limits: CautionSettings) -> str | None:
    if "chance" not in seen or seen.empty:
        return None
    if (share := _share_at_chance(seen)) > limits.at_chance:
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
    pairs = zip(cells["label"], cells["image"], strict=True)
    return [f"{label} ({Path(image).name})" for label, image in pairs]


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
        hot = cells["hot_channels"].fillna("").str.split(", ")
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


def _logged(said: list[str]) -> list[str]:
    log = logging.getLogger("gradcamo.auditing")
    for caution in said:
        log.warning("%s", caution)
    return said


def _absent(absent: Any) -> str:
    """Of Zarr chunks: ``{channel: (absent, of)}``, or words."""
    if not isinstance(absent, Mapping):
        return str(absent)
    parts = [f"{n} of {of} in {name}" for name, (n, of) in absent.items()]
    return f"chunks are absent from the store and were read as 0: {', '.join(parts)}"


def _named(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + " …" * (len(names) > NAMED)
