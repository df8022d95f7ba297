"""Plates as tables: one row per stack, from a CSV or an OME-Zarr plate."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from gradcamo.files.plate_checks import PATHS, REQUIRED, checked
from gradcamo.files.plate_sources import plate_from_zarr
from gradcamo.files.text_tables import read_text_table


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
        If columns, values or files are missing, a stack or an image is there twice, or a name is
        spelled in two ways.
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
