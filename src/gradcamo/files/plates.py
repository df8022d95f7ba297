"""Plates as tables: one row per stack, from a CSV or an OME-Zarr plate."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from gradcamo.errors import GradcamoError

REQUIRED = ("image", "plate", "well", "site", "treatment")
PATHS = ("image", "labels", "cells")
STACK = ["plate", "well", "site"]


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
        from gradcamo.files.plate_sources import plate_from_zarr

        return plate_from_zarr(path)
    table = read_text_table(path, REQUIRED)
    for name in PATHS:
        if name in table:
            folder = path.parent.resolve()
            table[name] = [
                str((folder / value).resolve()) if value else "" for value in table[name]
            ]
    return checked(table, path).reset_index(drop=True)


def checked(
    table: pd.DataFrame, source: str | Path, may_be_empty: Sequence[str] = ()
) -> pd.DataFrame:
    """The plate, if nothing in it is missing or there twice.

    Raises
    ------
    GradcamoError
        As `read_plate`.
    """
    if table.empty:
        raise GradcamoError(f"{source} has no rows: one row per stack is expected")
    for name in REQUIRED:
        empty = table.index[table[name] == ""]
        if len(empty) and name not in may_be_empty:
            raise GradcamoError(f"{source} has no {name} in {rows(empty)}: fill it in")
    for names, what in ((STACK, "the same plate, well and site"), (["image"], "the same image")):
        twice = table[table.duplicated(names, keep=False)].sort_values(names, kind="stable")
        if len(twice):
            first = twice[(twice[names] == twice[names].iloc[0]).all(axis=1)]
            raise GradcamoError(
                f"{source} has {what} in {rows(first.index)} ({', '.join(first[names].iloc[0])}; "
                f"{len(twice)} such rows): each stack has one row; number the sites apart"
            )
    paths = [name for name in PATHS if name in table]
    gone = [(i, value) for name in paths for i, value in table[name].items() if value]
    gone = [(i, value) for i, value in gone if not Path(value).exists()]
    if gone:
        listed = "; ".join(value for _, value in gone[:5])
        raise GradcamoError(
            f"{source} names {len(gone)} files that are not there ({rows(i for i, _ in gone)}): "
            f"{listed}{' …' if len(gone) > 5 else ''}; paths are relative to the table"
        )
    return table


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


def read_text_table(path: str | Path, required: Sequence[str]) -> pd.DataFrame:
    """A CSV with every value as text, spaces around it removed.

    Its index counts the rows from the first line on, blank ones too, as `rows` expects it.

    Raises
    ------
    GradcamoError
        If the file is missing, no CSV, lacks a required column, or a row has too many values.
    """
    path = Path(path)
    if not path.is_file():
        raise GradcamoError(f"there is no table {path}: check the path")
    lines: list[list[str]] = []
    try:
        text = path.read_text(encoding="utf-8-sig")
        if "\0" in text:
            raise ValueError("it holds zero bytes")
        for line in csv.reader(io.StringIO(text), strict=True, skipinitialspace=True):
            lines.append([value.strip() for value in line])
    except (OSError, ValueError) as error:
        raise GradcamoError(
            f"{path} cannot be read as a CSV ({error}): save it as UTF-8 CSV"
        ) from error
    except csv.Error as error:
        raise GradcamoError(
            f"{path} cannot be read as a CSV ({error} in {rows([len(lines) - 1])}): check the "
            "quotes there"
        ) from error
    numbered = [(i, line) for i, line in enumerate(lines, -1) if line not in ([], [""])]
    header = numbered[0][1] if numbered else []
    if missing := [name for name in required if name not in header]:
        used = {"\t": "tabs", ";": "semicolons"}
        wrong = next((used[mark] for mark in used if mark in "".join(header)), None)
        hint = f"; it seems separated by {wrong}: save it with commas" if wrong else ": add them"
        raise GradcamoError(
            f"{path} lacks the columns {', '.join(missing)} (it has {', '.join(header)}){hint}"
        )
    if repeated := sorted({name for name in header if header.count(name) > 1}):
        raise GradcamoError(f"{path} has the columns {', '.join(repeated)} twice: rename them")
    width = len(header)
    if long := [(i, len(line)) for i, line in numbered if any(line[width:])]:
        raise GradcamoError(
            f"{path} has {long[0][1]} fields in {rows(i for i, _ in long)} where the header has "
            f"{width}: put quotes around values that hold commas"
        )
    table = [(line + [""] * width)[:width] for _, line in numbered[1:]]
    return pd.DataFrame(table, [i for i, _ in numbered[1:]], header, dtype=str)


def rows(index: Iterable[Any]) -> str:
    """Rows as a spreadsheet numbers them, the header being row 1."""
    numbers = list(dict.fromkeys(int(i) + 2 for i in index))
    listed = ", ".join(map(str, numbers[:8])) + (" …" if len(numbers) > 8 else "")
    return f"row {listed}" if len(numbers) == 1 else f"rows {listed}"
