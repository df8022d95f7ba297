"""What every plate's table has to hold, wherever it comes from."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from gradcamo.errors import GradcamoError
from gradcamo.files.gaps import is_there
from gradcamo.files.spellings import refuse_spellings
from gradcamo.files.text_tables import rows
from gradcamo.files.told import TOLD
from gradcamo.files.treatments import places, treatments_of
from gradcamo.files.wells import well_name

REQUIRED = ("image", "plate", "well", "site", "treatment")
PATHS = ("image", "labels", "cells")
STACK = ["plate", "well", "site"]


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
    if lacking := [name for name in REQUIRED if name not in table]:
        raise GradcamoError(f"{source} lacks the columns {', '.join(lacking)}: add them")
    for name in REQUIRED:
        empty = table.index[table[name].isna() | (table[name] == "")]
        if len(empty) and name not in may_be_empty:
            raise GradcamoError(f"{source} has no {name}{_in_rows(empty, source)}: fill it in")
    table = _as_text(table, source)
    one_file = table[["image"]].map(os.path.realpath)  # whatever links lead there
    for names, what, known, cure in (
        (STACK, "the same plate, well and site", table, "number the sites apart"),
        (["image"], "the same image", one_file, "name its own image in each"),
    ):
        twice = table[known.duplicated(names, keep=False)]
        twice = twice.loc[known.loc[twice.index].sort_values(names, kind="stable").index]
        if len(twice):
            same = known.loc[twice.index, names]
            first = twice[(same == same.iloc[0]).all(axis=1)]
            files = " and ".join(dict.fromkeys(first["image"]))
            which = "" if names == ["image"] else ", ".join(map(str, same.iloc[0])) + ": "
            others = f"; {len(twice) - len(first)} more rows are such" * (len(twice) > len(first))
            raise GradcamoError(
                f"{source} has {what}{_in_rows(first.index, source)} ({which}{files}{others}): "
                f"each stack has one row; {cure}"
            )
    paths = [name for name in PATHS if name in table]
    gone = [(i, value) for name in paths for i, value in table[name].items() if value]
    gone = [(i, value) for i, value in gone if not is_there(value)]
    if gone:
        listed = "; ".join(value for _, value in gone[:5]) + (" …" if len(gone) > 5 else "")
        well, site = (str(table.loc[[gone[0][0]], name].iloc[0]) for name in ("well", "site"))
        raise GradcamoError(
            f"{source} names {len(gone)} files that are not there ({rows(i for i, _ in gone)}; "
            f"well {well}, site {site}): {listed}; paths are relative to "
            + ("it" if Path(source).exists() else "the folder that Python works in")
        )
    refuse_two_spellings(table, source)
    return table


def _in_rows(index: Iterable[int], source: str | Path) -> str:
    """Where it stands in a table; the files of a folder stand in none."""
    return "" if Path(source).is_dir() else f" in {rows(index)}"


def _as_text(table: pd.DataFrame, source: str | Path) -> pd.DataFrame:
    """The table with paths as text, missing ones empty, as they stand in a file.

    Raises
    ------
    GradcamoError
        If what is told of a stack is no text: it would not be heard.
    """
    for name in (name for name in PATHS if name in table):
        if not all(isinstance(value, str) for value in table[name]):
            paths = ["" if pd.isna(value) else str(value) for value in table[name]]
            table = table.assign(**{name: paths})
    for name in (name for name in TOLD if name in table):
        other = table[~table[name].isna() & ~table[name].map(lambda value: isinstance(value, str))]
        if len(other):
            raise GradcamoError(
                f"{source} has {name} {other[name].iloc[0]!r} in {rows(other.index)}: write it as "
                "text, as it stands in a file, such as '0.6,0.35,0.35'"
            )
    return table


def refuse_two_spellings(table: pd.DataFrame, source: str | Path) -> None:
    """Refuse a plate in which a plate, well, site or treatment is spelled in two ways.

    Raises
    ------
    GradcamoError
        If so, with the rows; and if a table of cells cannot be read.
    """
    where = places(table, source)
    for name in ("plate", "site"):
        refuse_spellings(zip(table[name], where, strict=True), name, source)
    for (plate, _), wells in table["well"].groupby([table["plate"], table["well"].map(well_name)]):
        if wells.nunique() > 1:
            raise GradcamoError(
                f"{source}: plate {plate} writes one well as "
                f"{' and '.join(map(str, wells.unique()))}, which would count as two: write it one "
                "way"
            )
    refuse_spellings(treatments_of(table, source), "treatment", source)
