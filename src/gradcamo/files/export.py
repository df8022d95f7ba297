"""A table of cells in another format, or under the names of other tools."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gradcamo.files.cytomining import cytomining_names
from gradcamo.files.landing import refuse_unwritable
from gradcamo.files.store import TABLE_SUFFIXES, read_profiles, read_table, write_table


def write_cytomining(
    table: pd.DataFrame,
    path: str | Path,
    recipe: Mapping[str, Any] | None = None,
    profiles: np.ndarray | pd.DataFrame | None = None,
) -> None:
    """`write_table` under the names of CytoTable, coSMicQC and pycytominer (`cytomining_names`).

    Profiles are columns ``Cells_…`` in CSV and Parquet, and X in AnnData, as they always are.

    Raises
    ------
    GradcamoError
        As `write_table` and `cytomining_names`.
    """
    if Path(path).suffix.lower() == ".h5ad":
        write_table(cytomining_names(table), path, recipe, profiles)
    else:
        write_table(cytomining_names(table, profiles), path, recipe)


def export_table(
    source: str | Path, out: str | Path, profiles: bool = False, cytomining: bool = False
) -> pd.DataFrame:
    """Write a table of cells in another format, or under other names.

    Parameters
    ----------
    source : path
        A table, or the folder that `gradcamo plate` wrote.
    out : path
        ``.csv``, ``.parquet`` or ``.h5ad``.
    profiles : bool
        With the profiles, and of a folder whole cells alone, which have one.
    cytomining : bool
        Under the names of CytoTable, coSMicQC and pycytominer.

    Returns
    -------
    DataFrame
        The cells written, under our names.

    Raises
    ------
    GradcamoError
        If the table cannot be read, holds no profiles where they are wanted, or is ``out`` itself.
    """
    source, out = Path(source), Path(out)
    if source.is_dir():
        source = source / ("profiles.h5ad" if profiles else "cells.parquet")
    refuse_unwritable(out, TABLE_SUFFIXES, [source])
    values: np.ndarray | None = None
    if profiles:
        read = read_profiles(source)
        table, values = read.table, read.values
    else:
        table = read_table(source)
    write = write_cytomining if cytomining else write_table
    write(table, out, profiles=values)
    return table
