"""CSV and Parquet tables with every value as the text that stands in the file, or would."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from gradcamo.errors import GradcamoError

if TYPE_CHECKING:
    import pyarrow as pa


def read_text_table(path: str | Path, required: Sequence[str]) -> pd.DataFrame:
    """A CSV, or a Parquet file, with every value as text, spaces around it removed.

    Its index counts the rows from the first line on, blank ones too, as `rows` expects it.

    Raises
    ------
    GradcamoError
        If the file is missing, neither CSV nor Parquet, lacks a required column, or a row has too
        many values.
    """
    path = Path(path)
    if not path.is_file():
        raise GradcamoError(f"there is no table {path}: check the path")
    if _is_parquet(path):
        return _from_parquet(path, required)
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
    _refuse_header(header, required, path)
    width = len(header)
    if long := [(i, len(line)) for i, line in numbered if any(line[width:])]:
        raise GradcamoError(
            f"{path} has {long[0][1]} fields in {rows(i for i, _ in long)} where the header has "
            f"{width}: put quotes around values that hold commas"
        )
    table = [(line + [""] * width)[:width] for _, line in numbered[1:]]
    return pd.DataFrame(table, [i for i, _ in numbered[1:]], header, dtype=str)


def _refuse_header(header: list[str], required: Sequence[str], path: Path) -> None:
    if missing := [name for name in required if name not in header]:
        refuse_separator(header, path)
        raise GradcamoError(
            f"{path} lacks the columns {', '.join(missing)} (it has {', '.join(header)}): add them"
        )
    if repeated := sorted({name for name in header if header.count(name) > 1}):
        raise GradcamoError(f"{path} has the columns {', '.join(repeated)} twice: rename them")


def _is_parquet(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4) == b"PAR1"
    except OSError:  # said when it is read
        return False


def _from_parquet(path: Path, required: Sequence[str]) -> pd.DataFrame:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        _refuse_header(pq.read_schema(path).names, required, path)  # before all of it is read
        return texts_of(pq.read_table(path)).map(str.strip)
    except GradcamoError:
        raise
    except (OSError, ValueError, LookupError, OverflowError, pa.ArrowException) as error:
        first, *_ = str(error).strip().splitlines() or [type(error).__name__]
        raise GradcamoError(
            f"{path} cannot be read as Parquet ({first}): it may be damaged; make it again, or "
            "save the table as UTF-8 CSV"
        ) from error


def texts_of(table: pa.Table) -> pd.DataFrame:
    """A typed table as a CSV would hold it, every value as text, empty where it is missing.

    Lists stand as what is told does in a CSV: 0.6,0.35,0.35.
    """
    import pyarrow as pa

    texts = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        if pa.types.is_float32(column.type):
            column = column.cast(pa.string()).cast(pa.float64())  # 0.1, not 0.10000000149011612
        texts[name] = [_as_text(value) for value in column.to_pylist()]
    return pd.DataFrame(texts, dtype=str)


def _as_text(value: Any) -> str:
    """A value as text.

    >>> _as_text(0.06), _as_text(7.0), _as_text(None), _as_text("02"), _as_text([0.6, 0.35, 0.35])
    ('0.06', '7', '', '02', '0.6,0.35,0.35')
    """
    if value is None or value != value:
        return ""
    if isinstance(value, list):
        return ",".join(map(_as_text, value))
    if isinstance(value, float) and value.is_integer():  # whole numbers where some are missing
        return str(int(value))
    return str(value)


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
