"""Flags, notes and scores go into a table that others made, and nothing else of it changes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gradcamo.columns import SCORES
from gradcamo.errors import GradcamoError
from gradcamo.files.cytomining import FLAG
from gradcamo.files.flags import yes_or_no
from gradcamo.files.landing import landing, refuse_unwritable
from gradcamo.files.single_cells.cells import SingleCells
from gradcamo.files.single_cells.column_roles import OURS
from gradcamo.files.single_cells.csv_records import write_records
from gradcamo.files.single_cells.endings import DELIMITERS, suffix_of, whole_ending
from gradcamo.files.single_cells.parquet_rows import write_rows
from gradcamo.files.single_cells.table_files import telling_damage
from gradcamo.files.spreadsheets import unguarded

TOLD = {"flagged": FLAG, "reason": f"{OURS}reason", "note": f"{OURS}note"}
MEASURED = (*SCORES, "confidence")
CALLED = ("predicted", "layer")
COLUMNS = {**TOLD, **{name: f"{OURS}{name}" for name in (*MEASURED, *CALLED)}}
"""What is written of each cell, and how its column is called."""


def read_told(cells: SingleCells, image: int) -> pd.DataFrame:
    """Flags (bool), reasons and notes that a table holds already, by object number."""
    rows = cells.rows_of(image)
    rows = rows[cells.number_of[rows] > 0]
    columns = [name for name, column in TOLD.items() if column in cells.names]
    told = _before(cells, columns)
    values = {name: told[name][rows] for name in columns}
    return pd.DataFrame(values, pd.Index(cells.number_of[rows], name="label"))


def write_single_cells(
    cells: SingleCells,
    out: str | Path,
    found: pd.DataFrame | Mapping[int, pd.DataFrame],
    overwrite: bool = False,
) -> str:
    """Write a table again, with what was found of its cells in columns at its end.

    The columns are ``Metadata_cqc_gradcamo_is_outlier`` (whether a cell is flagged), and
    ``Metadata_gradcamo_…`` for why, notes and scores. Rows that nothing was found of are not
    flagged, or keep what an earlier run wrote. All else stays as it is: in a CSV byte by byte, in
    Parquet value by value, with types, row groups and metadata.

    Parameters
    ----------
    cells : SingleCells
        As `read_single_cells` gives it.
    out : path
        Of the same ending as the table.
    found : DataFrame, or one for each row of ``cells.images``
        With ``label`` (and ``image``, as ``cells.images`` or a path from the current folder calls
        it) and any of flagged, reason, note, grad_camo, its companions, predicted, confidence and
        layer: such as `audit` returns.
    overwrite : bool
        Whether ``out``, which may be the table itself, is replaced where it is there.

    Returns
    -------
    str
        What was written, in words.

    Raises
    ------
    GradcamoError
        If ``out`` is there or cannot be written, the table changed since it was opened, or
        ``found`` speaks of images that it does not hold.

    Examples
    --------
    >>> import gradcamo as gc
    >>> audited = gc.read_table("cells.h5ad")
    >>> audited[["image", "label", "volume_um3"]].to_csv("measured.csv", index=False)
    >>> cells = gc.read_single_cells("measured.csv")
    >>> said = gc.write_single_cells(cells, "checked.csv", {0: audited}, overwrite=True)
    >>> said.replace(str(audited["flagged"].sum()), "N")
    '18 cells, N flagged, written to checked.csv'
    """
    out = Path(out)
    if whole_ending(out) != (end := whole_ending(cells.path)):
        raise GradcamoError(f"{out} should end in {end}, as {cells.path.name} does: name it so")
    if out.exists() and not overwrite:
        raise GradcamoError(
            f"{out} is there already: name another file, or say that it is to be replaced "
            "(overwrite=True)"
        )
    refuse_unwritable(out)
    cells.refuse_changed()
    by_image = _by_image(cells, found)
    columns, lacking = _columns(cells, by_image)
    with telling_damage(cells.path):
        write = write_records if suffix_of(out) in DELIMITERS else write_rows
        with landing(out) as scratch:
            write(cells.path, scratch, columns)
            cells.refuse_changed()
    said = f"{len(cells.number_of):,} cells, {int(columns[FLAG].sum()):,} flagged, written to {out}"
    return said + (f"; {lacking:,} labels have no row there" if lacking else "")


def _by_image(
    cells: SingleCells, found: pd.DataFrame | Mapping[int, pd.DataFrame]
) -> dict[int, pd.DataFrame]:
    if isinstance(found, Mapping):
        if unknown := sorted(set(found) - set(range(len(cells.images)))):
            raise GradcamoError(
                f"{cells.path.name} has no image {unknown[0]}: its {len(cells.images)} images are "
                "numbered from 0"
            )
        return dict(found)
    names = {name: n for n, name in enumerate(cells.images["image"]) if name}
    if "image" not in found:
        if len(cells.images) > 1:
            raise GradcamoError(
                f"what was found lacks the column image, and {cells.path.name} is about "
                f"{len(cells.images)} images: say of which each cell is"
            )
        return {0: found}
    numbers = {
        name: names.get(name, names.get(str(Path(name).absolute()))) for name in set(found["image"])
    }
    if unknown := sorted(image for image, n in numbers.items() if n is None):
        raise GradcamoError(
            f"{cells.path.name} has no image {unknown[0]}: it has {', '.join(list(names)[:3])}; "
            "write the column image as there, or give found as {number of the image: its cells}"
        )
    return dict(tuple(found.groupby(found["image"].map(numbers), sort=False)))


def _columns(
    cells: SingleCells, by_image: Mapping[int, pd.DataFrame]
) -> tuple[dict[str, np.ndarray], int]:
    """The columns to write, in order, and how many labels of what was found have no row."""
    told = {name for part in by_image.values() for name in part if name in COLUMNS}
    held = {name for name, column in COLUMNS.items() if column in cells.names}
    wanted = [name for name in COLUMNS if name in told | held | {"flagged"}]
    values = _before(cells, wanted)
    lacking = 0
    for image, part in by_image.items():
        part = part.set_index("label") if "label" in part else part
        rows = cells.rows_of(image)
        rows = rows[cells.number_of[rows] > 0]
        places = part.index.get_indexer(cells.number_of[rows])
        lacking += len(part) - len(np.unique(places[places >= 0]))
        rows, places = rows[places >= 0], places[places >= 0]
        for name in wanted:
            if name in part:
                given = part[name].iloc[places]
                values[name][rows] = _filled(name, given)
    return {COLUMNS[name]: values[name] for name in wanted}, lacking


def _filled(name: str, given: pd.Series) -> Any:
    if name == "flagged":
        return given.fillna(False).astype(bool).to_numpy()
    if name in MEASURED:
        try:
            return pd.to_numeric(given).to_numpy(float, na_value=np.nan)
        except (TypeError, ValueError) as error:
            raise GradcamoError(f"{name} is a number for each cell: {error}") from error
    return given.astype(object).where(given.notna(), "").astype(str).to_numpy(object)


def _before(cells: SingleCells, names: list[str]) -> dict[str, np.ndarray]:
    """What the table holds of these already, for each of its rows."""
    rows = len(cells.number_of)
    held = [name for name in names if COLUMNS[name] in cells.names]
    text = cells.text([COLUMNS[name] for name in held]) if held else pd.DataFrame()
    values: dict[str, np.ndarray] = {}
    for name in names:
        if name == "flagged":
            values[name] = np.zeros(rows, bool)
        elif name in MEASURED:
            values[name] = np.full(rows, np.nan)
        else:
            values[name] = np.full(rows, "", object)
        if name not in held:
            continue
        column = text[COLUMNS[name]]
        if name == "flagged":
            values[name][:] = [yes_or_no(value, cells.path) for value in column]
        elif name in MEASURED:
            values[name][:] = pd.to_numeric(column.replace("", "nan")).to_numpy(float)
        elif name == "note" and suffix_of(cells.path) in DELIMITERS:
            values[name][:] = [unguarded(value) for value in column]
        else:
            values[name][:] = column.to_numpy(object)
    return values
