"""Which treatments a plate holds, those of single cells included."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from gradcamo.errors import GradcamoError
from gradcamo.files.text_tables import read_text_table, rows


def treatments_of(table: pd.DataFrame, source: str | Path) -> list[tuple[str, str | int]]:
    """Every treatment of a plate and the places where it stands.

    Raises
    ------
    GradcamoError
        If a table of cells cannot be read.
    """
    found: dict[tuple[str, str | int], None] = {}
    for place, (_, row) in zip(places(table, source), table.iterrows(), strict=True):
        found[str(row["treatment"]), place] = None
        of_cells = treatment_of_cells(row).values()
        found |= dict.fromkeys((name, str(row["cells"])) for name in of_cells)
    return [use for use in found if use[0]]


def places(table: pd.DataFrame, source: str | Path) -> list[Any]:
    """Where the stacks of a plate stand: rows of a file, else the names of their images."""
    if Path(source).is_file():
        return [int(i) + 2 for i in table.index]
    return [Path(image).name for image in table["image"]]


def treatment_of_cells(row: Mapping[str, Any] | pd.Series) -> dict[int, str]:
    """Label to treatment of the cells that were treated otherwise than their stack.

    Cells with an empty treatment take no part in a training.

    Parameters
    ----------
    row : a row of `read_plate`
        Its column ``cells``, where there is one, names a CSV of label, treatment.

    Raises
    ------
    GradcamoError
        If the CSV lacks columns, or names a label twice or not by a whole number.
    """
    path = row.get("cells", "")
    if not isinstance(path, str) or not path:
        return {}
    table = read_text_table(path, ("label", "treatment"))
    valid = table["label"].str.fullmatch(r"[0-9]+") & ~table["label"].duplicated()
    if not valid.all():
        bad = table.index[~valid]
        raise GradcamoError(
            f"{path} has label {table.loc[bad[0], 'label']!r} in {rows(bad)}: expected a "
            "different whole number for every cell"
        )
    return dict(zip(table["label"].astype(int), table["treatment"], strict=True))
