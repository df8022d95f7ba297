"""A file is there whole or not at all."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from gradcamo.errors import GradcamoError
from gradcamo.files.seal import seal

_TOGETHER = ".together-"


@contextmanager
def landing(path: str | Path) -> Iterator[Path]:
    """A scratch file beside ``path`` that takes its place once it is written whole, and sealed.

    Yields
    ------
    Path
        Where to write. What stood at ``path`` stays untouched until the block ends without an
        exception; after one, the scratch file is removed.

    Raises
    ------
    GradcamoError
        If the file cannot be written: disk full, no permission, a folder of that name.
    """
    path = Path(path)
    scratch = _scratch(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield scratch
        seal(scratch)
        with scratch.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(scratch, path)  # noqa: PTH105
    except OSError as error:
        raise GradcamoError(
            f"{path} could not be written ({_reason(error)}); what stood there before is "
            "untouched: make room or choose another place"
        ) from error
    finally:
        with suppress(OSError):  # below a file, or under a name too long, there is none
            scratch.unlink()


@contextmanager
def landing_together(folder: Path, last: str) -> Iterator[Path]:
    """A scratch folder whose files take their places in ``folder`` once all of them are written.

    What stood there stays whole while they are written. While they are moved the file ``last``
    is missing, so that a new file never stands beside an old one of that name.

    Raises
    ------
    GradcamoError
        If a file cannot be written.
    """
    for left in folder.glob(f"{_TOGETHER}*"):  # by a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    scratch = folder / f"{_TOGETHER}{secrets.token_hex(4)}"
    try:
        scratch.mkdir(parents=True)
        yield scratch
        (folder / last).unlink(missing_ok=True)
        written = [path for path in scratch.rglob("*") if path.is_file()]
        for path in written:  # a table without its recipe is honest, one beside an old one is not
            if path.name.endswith(".recipe.json"):
                (folder / path.relative_to(scratch)).unlink(missing_ok=True)
        for path in sorted(written, key=lambda path: path.name == last):
            place = folder / path.relative_to(scratch)
            place.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, place)  # noqa: PTH105
    except OSError as error:
        raise GradcamoError(
            f"{folder} could not be written ({_reason(error)}): make room or choose another place"
        ) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def refuse_unwritable(
    path: str | Path, endings: Sequence[str] = (), inputs: Iterable[str | Path] = ()
) -> None:
    """Refuse a place before long work whose result could not, or should not, land there.

    Parameters
    ----------
    path : path
    endings : those that the file may have, such as ``.tif``
    inputs : what the work reads

    Raises
    ------
    GradcamoError
        If it has another ending, is a folder or an input, or no file can be made beside it.
    """
    path = Path(path)
    if endings:
        ending_of(path, endings)
    try:
        if path.is_dir():
            raise GradcamoError(f"{path} is a folder: name a file in it")
        if path.exists() and any(Path(p).exists() and path.samefile(p) for p in inputs):
            raise GradcamoError(f"{path} is read, and would be overwritten: name another file")
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = _scratch(path)
        scratch.touch()
        scratch.unlink()
    except OSError as error:
        raise GradcamoError(
            f"{path} cannot be written ({_reason(error)}): choose another place"
        ) from error


def refuse_full(folder: Path, needed: int) -> None:
    """Refuse a folder on a disk that has no room for what is to come.

    Parameters
    ----------
    folder : path, which need not exist yet
    needed : bytes, at least

    Raises
    ------
    GradcamoError
        If there is less room.
    """
    there = next(at for at in (folder.absolute(), *folder.absolute().parents) if at.exists())
    free = shutil.disk_usage(there).free
    if free < needed:
        raise GradcamoError(
            f"{folder} has room for {free / 1e6:,.0f} MB, its results need {needed / 1e6:,.0f} MB "
            "or more: make room or choose another place"
        )


def ending_of(path: str | Path, endings: Sequence[str]) -> str:
    """The ending of a path, in small letters.

    Raises
    ------
    GradcamoError
        If it is none of ``endings``.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in endings:
        *others, last = endings
        raise GradcamoError(
            f"{path} should end in {', '.join(others)}{' or ' if others else ''}{last}, not "
            f"{suffix or 'nothing'!r}: the ending says what is stored, and how"
        )
    return suffix


def _scratch(path: Path) -> Path:
    return path.with_name(f".{secrets.token_hex(4)}-{path.name}")


def _reason(error: OSError) -> str:
    if isinstance(error, FileExistsError):  # where a folder was to be
        return f"{error.filename} is a file"
    return error.strerror or str(error)


def to_json(value: Any) -> str:
    """A recipe as JSON text; NumPy numbers, paths and settings become plain values."""

    def plain(item: Any) -> Any:
        if isinstance(item, np.generic | np.ndarray):
            return item.tolist()
        if hasattr(item, "model_dump"):
            return item.model_dump(mode="json")
        return dict(item) if isinstance(item, Mapping) else str(item)

    return json.dumps(value, default=plain, ensure_ascii=False)
