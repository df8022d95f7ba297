"""CSV tables with every value as the text that stands in the file."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from gradcamo.errors import GradcamoError


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
        refuse_separator(header, path)
        raise GradcamoError(
            f"{path} lacks the columns {', '.join(missing)} (it has {', '.join(header)}): add them"
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


def refuse_separator(header: Iterable[Any], path: str | Path) -> None:
    """Refuse a header that holds no wanted column because other marks than commas stand between.

    Raises
    ------
    GradcamoError
        If so.
    """
    names = [str(name) for name in header]
    for mark, called in {"\t": "tabs", ";": "semicolons"}.items():
        if any(mark in name for name in names):
            raise GradcamoError(
                f"{path} seems separated by {called}: save it with commas; its first line is "
                f"{', '.join(names)}"
            )


def rows(index: Iterable[Any]) -> str:
    """Rows as a spreadsheet numbers them, the header being row 1."""
    numbers = list(dict.fromkeys(int(i) + 2 for i in index))
    listed = ", ".join(map(str, numbers[:8])) + (" …" if len(numbers) > 8 else "")
    return f"row {listed}" if len(numbers) == 1 else f"rows {listed}"
