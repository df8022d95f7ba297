"""What was found, in plain language."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from gradcamo.cells.table import passes, scored, whole
from gradcamo.profiles.doses import in_dose_order
from gradcamo.words import counted

NOT_DONE = "not done when the run ended: the same command goes on with it"


def about(table: pd.DataFrame, recipe: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the page is about, as names and values: plate, network, layer, settings, software."""
    settings = recipe.get("settings", {})
    plates = [name for name in dict.fromkeys(table["plate"]) if name]
    rows = {
        "plate" if len(plates) == 1 else "plates": ", ".join(plates[:4])
        + (f" and {len(plates) - 4} more" if len(plates) > 4 else ""),
        "network": str(recipe.get("checkpoint", ""))[:12],
        "layer": settings.get("layer") or "",
        "placement": settings.get("alignment") or "",
        "gradients": settings.get("gradients") or "",
        "cut-off": f"{settings['cutoff']:g}" if "cutoff" in settings else "",
        "control": recipe.get("control") or "",
        "software": recipe.get("software", ""),
    }
    return [(name, value) for name, value in rows.items() if value]


def findings(
    table: pd.DataFrame,
    cutoff: float,
    recipe: Mapping[str, Any],
    confounding: pd.DataFrame | None = None,
) -> list[str]:
    """Sentences for somebody who was not there."""
    said, seen = [_extent(table)], table[scored(table)]
    if seen.empty:
        return [*said, "No cell has a score."]
    layer = recipe.get("settings", {}).get("layer")
    score = seen["grad_camo"]
    sentence = f"The mean Grad-CAMO score is {score.mean():.2f} ± {score.std(ddof=0):.2f}"
    if {"chance", "ceiling"} <= set(seen):
        sentence += (
            f"; a network that looked everywhere alike would score {seen['chance'].mean():.2f}, "
            f"the best possible map {'on ' + layer if layer else 'of this layer'} "
            f"{seen['ceiling'].mean():.2f}"
        )
    said.append(sentence + ".")
    said.append(_passing(table, cutoff))
    shares = [name for name in ("neighbour_share", "background_share") if name in seen]
    if len(shares) == 2:
        mean = seen[["grad_camo", *shares]].mean()
        said.append(
            f"On average the network spends {mean.iloc[0]:.0%} of its attention on the cell "
            f"itself, {mean.iloc[1]:.0%} on its neighbours and {mean.iloc[2]:.0%} on the "
            "background."
        )
    said += _accuracy(table[whole(table)])
    if confounding is not None:
        said += _confounding(confounding)
    return said


def flat_recipe(recipe: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """A recipe as rows of name and value."""
    rows = []
    for name, value in recipe.items():
        if name in ("cautions", "facts", "pictures", "input_files", "known_as"):
            continue
        if isinstance(value, Mapping):
            rows += flat_recipe(value, f"{prefix}{name} · ")
        elif value is not None:
            text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
            rows.append((prefix + name, text))
    return rows


def sentence(text: str) -> str:
    """With a capital letter and a full stop."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def _extent(table: pd.DataFrame) -> str:
    wells = table[["plate", "well"]].drop_duplicates()
    known = (wells["well"] != "").any()
    stacks = table["image"].nunique() if "image" in table else 1
    treatments = counted(table["treatment"].nunique(), "treatment")
    where = f" in {counted(len(wells), 'well')} under {treatments}"
    inside, seen = int(whole(table).sum()), int(scored(table).sum())
    rest = f"{inside - seen:,} whole ones without a score, " * (seen < inside)
    return (
        f"{counted(len(table), 'cell')} of {counted(stacks, 'stack')}{where if known else ''}: "
        f"{seen:,} whole ones with a score, {rest}{len(table) - inside:,} cut by the border of "
        "their stack, which are not scored."
    )


def _passing(table: pd.DataFrame, cutoff: float) -> str:
    passing = passes(table, cutoff)[whole(table)]
    sentence = (
        f"{int(passing.sum()):,} of {len(passing):,} whole cells ({passing.mean():.0%}) reach the "
        f"cut-off of {cutoff:g}"
    )
    share = passing.groupby(table["treatment"]).mean()
    if share.nunique() > 1:
        share = share.reindex(in_dose_order(share.index))
        sentence += (
            f": fewest of {share.idxmin()} ({share.min():.0%}), most of {share.idxmax()} "
            f"({share.max():.0%})"
        )
    return sentence + "."


def _accuracy(inside: pd.DataFrame) -> list[str]:
    known = inside[(inside["predicted"] != "") & (inside["treatment"] != "all cells")]
    held_out = known[known["split"] == "test"] if "split" in known else known[:0]
    cells, which = (held_out, "of wells held out from training") if len(held_out) else (known, "")
    if cells.empty or not cells["predicted"].isin(cells["treatment"]).any():
        return []
    right = (cells["predicted"] == cells["treatment"]).mean()
    return [f"The network names the treatment of {right:.0%} of the cells {which}".rstrip() + "."]


def _confounding(confounding: pd.DataFrame) -> list[str]:
    asked = confounding[(confounding["measure"] == "neighbours") & (confounding["cells"] == "all")]
    said = []
    for of in ("whitened profiles", "profiles"):
        site = asked[(asked["of"] == of) & (asked["question"] == "site")]
        if len(site):
            row = site.iloc[0]
            error = row["error"] if row["error"] == row["error"] else 0.05
            clear = row["value"] > row["chance"] + 2 * max(error, 0.01)
            said.append(
                f"From the {of}, the site of a cell within its well can be told in "
                f"{row['value']:.0%} of cases, by chance in {row['chance']:.0%}: "
                + ("profiles also describe where a cell lay." if clear else "sites hardly show.")
            )
            break
    return said
