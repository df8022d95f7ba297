"""The stacks that landed, brought together: one table, its profiles, and a recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gradcamo.auditing.causal_cautions import exposure_cautions
from gradcamo.auditing.cautions import facts_of_stacks
from gradcamo.cells.table import fails
from gradcamo.files.store import read_profiles
from gradcamo.plate.folder import PlateFolder, stack_name
from gradcamo.plate.splits import splits_of


def gather_stacks(
    plate: pd.DataFrame, folder: PlateFolder, landed: Sequence[str]
) -> tuple[pd.DataFrame, np.ndarray, dict[str, Any]]:
    """Table (N rows), profiles (N, d; NaN for partial cells) and recipe of the stacks that landed.

    Rows carry the plate's columns; a column ``split`` says which wells the network was trained
    on, where that is known (`splits_of`). ``facts`` of the recipe are what the stacks' own recipes
    give rise to say, the treatments of cells that they lack, and which stacks have none.
    """
    from gradcamo.files.treatments import treatment_of_cells

    tables, profiles, said, exposures, empty = [], [], [], [], []
    recipes: list[Mapping[str, Any]] = []
    done = set(landed)
    if (split := splits_of(plate, folder)).any():
        plate = plate.assign(split=split)
    for _, row in plate.iterrows():
        name = stack_name(row)
        if name not in done:
            continue
        stack = read_profiles(folder.cells(name))
        if stack.table.empty:
            empty.append(name)
        recipes.append(stack.recipe)
        exposures.append((row, stack.recipe.get("causal", {})))
        carried = row.drop(["labels", "cells"], errors="ignore")
        table = stack.table.assign(**carried)
        if own := treatment_of_cells(row):
            table["treatment"] = table["label"].map(own).fillna(row["treatment"])
            if lacking := sorted(set(own) - set(table["label"])):
                said.append(
                    f"{name}: {row['cells']} names {len(lacking)} cells that the labels lack "
                    f"({', '.join(map(str, lacking[:4]))}{' …' * (len(lacking) > 4)})"
                )
        table["pictured"] = _pictured(table["label"], folder.thumbnails(name))
        tables.append(table)
        profiles.append(stack.values)
    cells = pd.concat([table for table in tables if len(table)] or tables, ignore_index=True)
    cells["flagged"] = fails(cells, folder.settings.audit.cutoff)
    if "p_value" in cells:  # a false discovery rate is one of the whole plate
        from gradcamo.cells.null import q_values

        cells["q_value"] = q_values(cells["p_value"].to_numpy())
    of_stack = {"image", "inputs", "spacing_um", "stack", "network_cautions", "cautions"}
    of_stack |= {"pictures", "run"}
    recipe = {name: value for name, value in recipes[0].items() if name not in of_stack}
    if asked := [how for _, how in exposures if how]:  # a field without cells has none
        recipe["causal"] = {k: v for k, v in asked[0].items() if k != "medians"}
        said += exposure_cautions(exposures)
    if empty:
        said.append(_without_cells(empty, len(recipes)))
    recipe["settings"] = folder.settings.audit.model_dump()
    recipe["plate"] = folder.settings.model_dump(mode="json", exclude={"audit"})
    recipe["stacks"] = len(done)
    recipe["facts"] = [*facts_of_stacks(recipes), *said]
    recipe["pictures"] = {
        str(row["image"]): str(folder.thumbnails(name).relative_to(folder.out))
        for _, row in plate.iterrows()
        if (name := stack_name(row)) in done
    }
    recipe["input_files"] = [str(image) for image in plate["image"]]
    return cells, np.concatenate(profiles), recipe


def _without_cells(names: Sequence[str], of: int) -> str:
    """What to say of stacks that hold no cell."""
    listed = ", ".join(names[:6]) + " …" * (len(names) > 6)
    said = f"{len(names)} of {of} stacks {'holds' if len(names) == 1 else 'hold'} no cells"
    if len(names) == of:
        said = f"none of the {of} stacks holds a cell"
    return (
        f"{said} ({listed}): look at their labels, or segment them with another model, diameter or "
        "channel"
    )


def _pictured(labels: pd.Series, thumbnails: Path) -> pd.Series:
    """Which cells of a stack have a picture."""
    if not thumbnails.is_file():  # a stack without whole cells has none
        return labels.isin([])
    return labels.isin(pd.read_parquet(thumbnails, columns=["label"])["label"])
