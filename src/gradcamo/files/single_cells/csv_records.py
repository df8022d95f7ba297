"""A CSV with columns added at the end of its records, whose own bytes stay as they are."""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, cast

import numpy as np

from gradcamo.errors import GradcamoError
from gradcamo.files.single_cells.column_roles import is_ours
from gradcamo.files.single_cells.endings import DELIMITERS, is_packed, opened, suffix_of
from gradcamo.files.spreadsheets import NOTES, guarded
from gradcamo.files.text_tables import rows as rows_in_words

_END = re.compile(r"(\r\n|\n|\r)?\Z")


def write_records(source: Path, out: Path, columns: Mapping[str, np.ndarray]) -> None:
    """Write the CSV at ``source`` with these columns at its end, in the place of earlier ones.

    Raises
    ------
    GradcamoError
        If a record has more or fewer fields than the header, or there are more or fewer of them
        than values.
    """
    delimiter = DELIMITERS[suffix_of(source)]
    fields = _field(delimiter)
    count = len(next(iter(columns.values())))
    rows = _texts(columns, delimiter)
    with opened(source) as file, _writing(out, is_packed(source)) as scratch:
        kept: list[int] | None = None  # of a header that holds ours
        width, done = -1, 0
        for raw, values in records(file, delimiter):
            if not values:
                scratch.write(raw)
                continue
            if width < 0:
                width = len(values)
                names = [name.removeprefix("\ufeff") for name in values]
                if any(map(is_ours, names)):
                    kept = [n for n, name in enumerate(names) if not is_ours(name)]
                added = delimiter.join(columns)
            else:
                if len(values) != width:
                    raise _ragged(source, done, len(values), width)
                if done == count:
                    raise _other_rows(source, count)
                added, done = next(rows), done + 1
            end = _END.search(raw)
            assert end is not None
            own = raw[: end.start()]
            if kept is not None:
                parts = _split(own, fields, delimiter)
                own = delimiter.join(parts[n] for n in kept)
            scratch.write(f"{own}{delimiter}{added}{end[0]}")
        if done != count:
            raise _other_rows(source, count)


def refuse_ragged(source: Path) -> None:
    """Refuse a CSV whose records have more or fewer fields than its header.

    Raises
    ------
    GradcamoError
        If one has, or its quotes do not match.
    """
    width, done = -1, 0
    with opened(source) as file:
        reader = csv.reader(file, delimiter=DELIMITERS[suffix_of(source)], strict=True)
        try:
            for values in reader:
                if width < 0:
                    width = len(values)
                elif values and not _blank(values):
                    if len(values) != width:
                        raise _ragged(source, done, len(values), width)
                    done += 1
        except csv.Error as error:
            raise GradcamoError(
                f"{source} cannot be read as a CSV ({error} in {rows_in_words([done])}): check the "
                "quotes there"
            ) from error


def records(file: IO[str], delimiter: str) -> Iterator[tuple[str, list[str]]]:
    """The raw text of each record with its line end, and its fields, none for a blank line."""
    taken: list[str] = []

    def lines() -> Iterator[str]:
        for line in file:
            taken.append(line)
            yield line

    for values in csv.reader(lines(), delimiter=delimiter, strict=True):
        raw = "".join(taken)
        taken.clear()
        yield raw, [] if _blank(values) else values


def _blank(values: Sequence[str]) -> bool:
    return not values or (len(values) == 1 and not values[0].strip())


def _ragged(source: Path, row: int, fields: int, width: int) -> GradcamoError:
    return GradcamoError(
        f"{source} has {fields} fields in {rows_in_words([row])} where the header has {width}: put "
        "quotes around values that hold commas, and fill up short rows"
    )


def _other_rows(source: Path, count: int) -> GradcamoError:
    return GradcamoError(f"{source} no longer has {count:,} rows: open it again")


def _texts(columns: Mapping[str, np.ndarray], delimiter: str) -> Iterator[str]:
    """The added fields of each row, quoted where they must be."""
    each = []
    for name, values in columns.items():
        if values.dtype.kind == "f":
            each.append(["" if value != value else repr(float(value)) for value in values])
        elif values.dtype.kind == "b":
            each.append(["True" if value else "False" for value in values])
        else:
            each.append([guarded(value) if name in NOTES else value for value in values])
    line = io.StringIO(newline="")
    writer = csv.writer(line, delimiter=delimiter, lineterminator="\r\n")  # quotes either of them
    for row in zip(*each, strict=True):
        line.seek(0)
        line.truncate()
        writer.writerow(row)
        yield line.getvalue()[:-2]


def _field(delimiter: str) -> re.Pattern[str]:
    return re.compile(rf'(?:"(?:[^"]|"")*")?[^{re.escape(delimiter)}]*')


def _split(record: str, field: re.Pattern[str], delimiter: str) -> list[str]:
    """The fields of a record as they stand there, quotes included."""
    parts, at = [], 0
    while True:
        found = field.match(record, at)
        assert found is not None, "an empty field is one, too"
        parts.append(found[0])
        at = found.end()
        if at >= len(record):
            return parts
        at += len(delimiter)


def _writing(path: Path, packed: bool) -> IO[str]:
    if packed:
        return cast(IO[str], gzip.open(path, "wt", encoding="utf-8", newline=""))
    return path.open("w", encoding="utf-8", newline="")
