"""Which cells go to a file, and what is written of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from gradcamo.errors import GradcamoError

if TYPE_CHECKING:
    import pandas as pd

    from gradcamo.docks.session import Session

FILES = "CSV (*.csv);;Parquet (*.parquet);;AnnData (*.h5ad)"
CHOICES = ("all", "visible", "selected", "flagged")
KEYS = ("image", "label")  # a cell cannot be told without them


def chosen(session: Session, which: str, order: np.ndarray | None = None) -> pd.DataFrame:
    """The rows of ``all``, ``visible``, ``selected`` or ``flagged`` cells.

    ``order`` holds the labels as the table shows them: rows come in that order, and ``visible``
    are those in it.

    Raises
    ------
    GradcamoError
        If there are none.
    """
    table = session.results.table
    if not len(table):
        raise GradcamoError("there are no scores to export: audit the cells first")
    if order is not None:
        hidden = np.setdiff1d(table["label"], order)
        table = table.loc[order if which == "visible" else [*order, *hidden]]
    if which == "flagged":
        table = table[table["flagged"]]
    elif which == "selected":
        table = table[table["label"].isin(session.selection)]
    if not len(table):
        raise GradcamoError(f"no cell is {which}: nothing was written")
    return table


def write(
    session: Session,
    which: str,
    path: str,
    order: np.ndarray | None = None,
    columns: Sequence[str] | None = None,
) -> int:
    """Write cells as a table with its recipe; returns how many.

    AnnData gets the profiles too, where every cell has one.
    """
    from gradcamo.files.store import write_table

    table = chosen(session, which, order).reset_index(drop=True)
    profiles = None
    if path.endswith(".h5ad"):
        table, profiles = session.results.with_profiles(table)
    if columns is not None:
        table = table[[*(k for k in KEYS if k not in columns), *columns]]
    write_table(table, path, recipe=session.recipe(), profiles=profiles)
    return len(table)
