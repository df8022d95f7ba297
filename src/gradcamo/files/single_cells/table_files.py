"""Parquet and CSV as they lie on disk: names, some columns as text, and all of some rows."""

from __future__ import annotations

import csv
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from gradcamo.errors import GradcamoError
from gradcamo.files.single_cells.csv_records import refuse_ragged
from gradcamo.files.single_cells.endings import (
    DELIMITERS,
    PARQUET,
    SUFFIXES,
    is_packed,
    suffix_of,
)
from gradcamo.files.text_tables import texts_of


class File(Protocol):
    """A table on disk."""

    names: list[str]

    def text(self, names: Sequence[str]) -> pd.DataFrame:
        """These columns, every value as text, missing ones empty."""

    def rows(self, rows: np.ndarray) -> pd.DataFrame:
        """These rows, ascending, with all columns that a screen can show."""


def open_file(path: Path) -> File:
    """A table on disk, of which nothing but the names of its columns is read.

    Raises
    ------
    GradcamoError
        If it is missing, damaged or of another kind.
    """
    suffix = suffix_of(path)
    if suffix not in SUFFIXES or (suffix in PARQUET and is_packed(path)):
        raise GradcamoError(
            f"{path} should be a table of single cells in .parquet, .csv, .csv.gz or .tsv: convert "
            "it first"
        )
    if not path.is_file():
        raise GradcamoError(f"there is no table {path}: check the path")
    with telling_damage(path):
        return _Parquet(path) if suffix in PARQUET else _Csv(path, DELIMITERS[suffix])


_DAMAGE = (OSError, ValueError, KeyError, EOFError, zlib.error, csv.Error)


@contextmanager
def telling_damage(path: Path) -> Iterator[None]:
    """Turn what readers raise on damaged files into a GradcamoError."""
    import pyarrow as pa

    try:
        yield
    except GradcamoError:
        raise
    except (*_DAMAGE, pa.ArrowException) as error:
        first, *_ = str(error).strip().splitlines() or [type(error).__name__]
        raise GradcamoError(
            f"{path} cannot be read as a table ({first}): it may be damaged or of another kind"
        ) from error


class _Csv:
    def __init__(self, path: Path, delimiter: str) -> None:
        self._path = path
        self._options: dict[str, Any] = {"sep": delimiter, "encoding": "utf-8-sig"}
        self.names = list(pd.read_csv(path, nrows=0, **self._options).columns)
        self._whole: pd.DataFrame | None = None
        self._checked = False

    def text(self, names: Sequence[str]) -> pd.DataFrame:
        places = {self.names.index(name): name for name in names}
        with telling_damage(self._path):
            if not self._checked:
                refuse_ragged(self._path)
                self._checked = True
            return pd.read_csv(
                self._path,
                usecols=sorted(places),
                dtype=str,
                keep_default_na=False,
                index_col=False,
                **self._options,
            )[list(names)]

    def rows(self, rows: np.ndarray) -> pd.DataFrame:
        if self._whole is None:
            with telling_damage(self._path):
                self._whole = pd.read_csv(
                    self._path,
                    index_col=False,
                    low_memory=False,
                    float_precision="round_trip",
                    **self._options,
                )
        return self._whole.iloc[rows]


class _Parquet:
    def __init__(self, path: Path) -> None:
        import pyarrow.parquet as pq

        self._path = path
        with pq.ParquetFile(path) as file:
            self._schema = file.schema_arrow
            sizes = [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)]
        self._ends = np.cumsum(sizes, dtype=np.int64)
        self.names = list(self._schema.names)

    def text(self, names: Sequence[str]) -> pd.DataFrame:
        import pyarrow.parquet as pq

        with telling_damage(self._path), pq.ParquetFile(self._path) as file:
            return texts_of(file.read(columns=list(names)).select(list(names)))

    def rows(self, rows: np.ndarray) -> pd.DataFrame:
        import pyarrow as pa
        import pyarrow.parquet as pq

        shown = [field.name for field in self._schema if not _deep(field.type)]
        groups = np.unique(np.searchsorted(self._ends, rows, side="right"))
        parts = []
        with telling_damage(self._path), pq.ParquetFile(self._path) as file:
            for group in groups.tolist():
                first = int(self._ends[group - 1]) if group else 0
                inside = rows[(rows >= first) & (rows < self._ends[group])] - first
                parts.append(file.read_row_group(group, columns=shown).take(pa.array(inside)))
            table = pa.concat_tables(parts) if parts else file.schema_arrow.empty_table()
            return table.to_pandas(ignore_metadata=True)


def _deep(kind: Any) -> bool:
    """Whether a value is no scalar, or bytes: nothing that a table on the screen shows."""
    import pyarrow.types as t

    return t.is_nested(kind) or t.is_binary(kind) or t.is_large_binary(kind)
