"""Which cells go to a file, and what is written of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gradcamo.errors import GradcamoError

if TYPE_CHECKING:
    import pandas as pd

    from gradcamo.docks.session import Session

FILES = "CSV (*.csv);;Parquet (*.parquet);;AnnData (*.h5ad)"


def chosen(session: Session, which: str) -> pd.DataFrame:
    """The rows of ``all``, ``flagged`` or ``selected`` cells.

    Raises
    ------
    GradcamoError
        If there are none.
    """
    table = session.results.table
    if not len(table):
        raise GradcamoError("there are no scores to export: audit the cells first")
    if which == "flagged":
        table = table[table["flagged"]]
    elif which == "selected":
        table = table[table["label"].isin(session.selection)]
    if not len(table):
        raise GradcamoError(f"no cell is {which}: nothing was written")
    return table


def write(session: Session, which: str, path: str) -> int:
    """Write cells as a table with its recipe; returns how many."""
    from gradcamo.store import write_table

    table = chosen(session, which).reset_index(drop=True)
    write_table(table, path, recipe=session.recipe())
    return len(table)
