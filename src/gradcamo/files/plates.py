"""Plates as tables: one row per stack, from a CSV or an OME-Zarr plate."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from gradcamo.errors import GradcamoError
from gradcamo.files.plate_checks import PATHS, REQUIRED, checked
from gradcamo.files.plate_sources import plate_from_zarr
from gradcamo.files.text_tables import read_text_table, rows


def read_plate(path: str | Path) -> pd.DataFrame:
    """Read and check the table of a plate.

    Parameters
    ----------
    path : path
        A CSV with the columns image, plate, well, site, treatment, optionally labels and cells (a
        CSV of label, treatment for single cells), and any others; paths in it are relative to it.
        Or an OME-Zarr plate, see `plate_from_zarr`.

    Returns
    -------
    DataFrame
        One row per stack, every value as the text that stands in the file (``"02"``, ``"0.06"``),
        missing ones as empty text, paths absolute.

    Raises
    ------
    GradcamoError
        If columns, values or files are missing, or a stack or an image is there twice.
    """
    path = Path(path)
    if path.is_dir():
        return plate_from_zarr(path)
    table = read_text_table(path, REQUIRED)
    for name in PATHS:
        if name in table:
            folder = path.parent.resolve()
            table[name] = [
                str((folder / value).resolve()) if value else "" for value in table[name]
            ]
    return checked(table, path).reset_index(drop=True)


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
