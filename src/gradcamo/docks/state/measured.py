"""What another tool measured of the cells that are open, beside what audits brought."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gradcamo.columns import KNOWN

if TYPE_CHECKING:
    import pandas as pd

    from gradcamo.docks.state.results import Results

MOST_SHOWN = 8  # of a wide table's columns, until the user chooses


@dataclass(frozen=True, eq=False)
class Measured:
    """Rows of another tool's table, indexed by label, and where each label lies."""

    name: str  # of the table
    rows: pd.DataFrame
    centres: Mapping[int, tuple[float, float, float]]  # (z, y, x), in voxels


def joined(results: Results, measured: Measured) -> pd.DataFrame:
    """One row for each cell that an audit or the other tool knows, indexed by label, ascending.

    Columns of the other tool that are called as ours are marked. ``attrs["usual"]`` names those
    that a screen shows first.
    """
    import pandas as pd

    theirs = measured.rows
    theirs = theirs.rename(
        columns={name: f"{name} (table)" for name in theirs if name in KNOWN or name == "pictured"}
    )
    if not len(results):
        table = theirs.copy()
    else:
        ours = results.table
        theirs = theirs.drop(columns=[name for name in theirs if name in ours])
        table = ours.join(theirs, how="outer")
        if "touches_border" in table:  # nobody looked at the others
            table["touches_border"] = table["touches_border"].eq(True)
    table = table.drop(columns=["label", "flagged", "note"], errors="ignore").sort_index()
    labels = table.index.to_numpy(np.int64)
    marks = pd.DataFrame({"label": labels, "flagged": False, "note": ""}, index=table.index)
    table = pd.concat([marks, table], axis=1)
    table.index.name = "id"
    table.attrs = {"usual": usual(theirs.columns.tolist())}
    return table


def usual(columns: list[str]) -> list[str]:
    """The columns of another tool that a screen shows first: flags, places, a few numbers."""
    flags = [name for name in columns if name.startswith(("Metadata_cqc_", "cqc."))]
    places = [name for name in columns if "Metadata_" in name and name not in flags]
    places = [n for n in places if not any(part in n for part in ("Name_", "ImageN", "ObjectN"))]
    others = [name for name in columns if "Metadata_" not in name and not name.startswith("Image_")]
    others = [name for name in others if name not in (*flags, "image (table)", "label (table)")]
    return list(dict.fromkeys([*flags, *places[:MOST_SHOWN], *others[:MOST_SHOWN]]))


def put_marks(table: pd.DataFrame, results: Results) -> None:
    """Write the flags and notes of each cell into a joined table."""
    import pandas as pd

    flagged = np.zeros(len(table), bool)
    if len(results):
        ours = results.table
        flagged[table.index.get_indexer(ours.index)] = ours["flagged"].to_numpy(bool)
    notes = np.full(len(table), "", object)
    for values, given in ((flagged, results.marks.flagged), (notes, results.marks.notes)):
        places = table.index.get_indexer(pd.Index([*given], dtype="int64"))
        for place, value in zip(places.tolist(), given.values(), strict=True):
            if place >= 0:
                values[place] = value
    table["flagged"], table["note"] = flagged, notes
