"""What a reader of scores has to know before believing them: one list, made here alone.

A caution follows from a table and its recipe, so that whoever holds both (terminal, report, window,
export) says the same. Thresholds are `gradcamo.settings.CautionSettings`.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcamo.auditing.agreement import ranks_otherwise
from gradcamo.auditing.score_cautions import LIMITS, one_class, share_at_chance, unscored, verdicts
from gradcamo.cells.table import scored, whole
from gradcamo.datatypes import Spacing, absent_text, spacing_text, unknown_axes
from gradcamo.settings import CautionSettings
from gradcamo.words import number

if TYPE_CHECKING:
    import pandas as pd


def cautions(
    table: pd.DataFrame, recipe: Mapping[str, Any], limits: CautionSettings = LIMITS
) -> list[str]:
    """All that is to be said of a table, one line each; empty where nothing stands in the way.

    Parameters
    ----------
    table : DataFrame
        Cells of a stack or of a plate, with their scores.
    recipe : mapping
        How they were made (`gradcamo.auditing.recipe.audit_recipe`); what it lacks is not judged.
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
        said.append(absent_text(absent) if isinstance(absent, Mapping) else str(absent))
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
    flat = (
        f"more than {limits.at_chance:.0%} of the scored cells at or below what a flat map scores"
    )
    silent = f"more than {limits.unscored:.0%} of the whole cells without a score"
    found = {
        flat: [
            str(name)
            for name, rows in of_layer.items()
            if share_at_chance(rows[scored(rows)]) > limits.at_chance
        ],
        silent: [
            str(name)
            for name, rows in of_layer.items()
            if unscored(rows[whole(rows)], rows[scored(rows)], limits)
        ],
    }
    said = [one_class(any_layer[whole(any_layer)], recipe, limits)]
    said += coarse_layers(recipe.get("grids", {}), limits)
    said += [f"{what}: {', '.join(names)}" for what, names in found.items() if names]
    return _logged([caution for caution in [*recipe.get("network_cautions", ()), *said] if caution])


def rank_cautions(told: pd.DataFrame, limits: CautionSettings = LIMITS) -> list[str]:
    """What to say of layers whose scores rank cells otherwise than causal shares do.

    Parameters
    ----------
    told : DataFrame of `gradcamo.auditing.agreement.agreement_by_layer`
    """
    low = told[told["causal_rho"].map(lambda rho: ranks_otherwise(rho, limits))]
    names = ", ".join(f"{layer} ({number(rho)})" for layer, rho in low["causal_rho"].items())
    return [
        "Grad-CAMO ranks cells otherwise than their causal shares do (Spearman's ρ below "
        f"{limits.agreement:g}), so that a cell's score does not tell whether its prediction "
        f"depends on it: {names}"
        for _ in names[:1]
    ]


def _logged(said: list[str]) -> list[str]:
    log = logging.getLogger("gradcamo.auditing")
    for caution in said:
        log.warning("%s", caution)
    return said
