"""What the ending of a table says: Parquet, or text, its mark between values, packed or not."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import IO, cast

PARQUET = (".parquet", ".pq")
DELIMITERS = {".csv": ",", ".tsv": "\t", ".txt": "\t"}
SUFFIXES = (*PARQUET, *DELIMITERS)


def suffix_of(path: str | Path) -> str:
    """``.csv`` of ``cells.csv`` and of ``cells.csv.gz``."""
    name = Path(path).name.lower()
    return Path(name.removesuffix(".gz")).suffix


def whole_ending(path: str | Path) -> str:
    """``.csv.gz`` of ``cells.csv.gz``."""
    return suffix_of(path) + ".gz" * is_packed(path)


def is_packed(path: str | Path) -> bool:
    return str(path).lower().endswith(".gz")


def opened(path: Path) -> IO[str]:
    """The text of a CSV, packed or not, its line ends as they are."""
    if is_packed(path):
        return cast(IO[str], gzip.open(path, "rt", encoding="utf-8", newline=""))
    return path.open(encoding="utf-8", newline="")
