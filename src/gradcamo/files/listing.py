"""Folders, listed once however many stacks lie in them."""

from __future__ import annotations

import os
import time
from bisect import bisect_left
from collections.abc import Iterator
from functools import lru_cache
from itertools import takewhile
from pathlib import Path

from gradcamo.errors import GradcamoError

_SETTLED_S = 2.0
_STORES = (".zarr", ".zarr2", ".n5")


def names_in(folder: str | Path, start: str = "") -> list[str]:
    """The sorted names in a folder that begin with ``start``; none where there is no folder."""
    try:
        changed = Path(folder).stat().st_mtime_ns
    except OSError:
        return []
    settled = time.time_ns() - changed > _SETTLED_S * 1e9
    names = _listed(str(folder), changed) if settled else _list(str(folder))
    first = bisect_left(names, start)
    return list(takewhile(lambda name: name.startswith(start), names[first:])) if start else names


@lru_cache(maxsize=256)
def _listed(folder: str, changed_ns: int) -> list[str]:
    return _list(folder)


def _list(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries)
    except OSError:
        return []


def walk(folder: str | Path, depth: int | None = None) -> Iterator[str]:
    """Every file below a folder, as a path relative to it; Zarr stores count as files.

    Parameters
    ----------
    folder : path
    depth : how many folders deep; all by default

    Raises
    ------
    GradcamoError
        If the folder, or one in it, cannot be listed.
    """
    waiting = [("", 0)]
    while waiting:
        inside, level = waiting.pop()
        try:
            with os.scandir(Path(folder) / inside) as entries:
                found = sorted((entry.name, entry.is_dir()) for entry in entries)
        except OSError as error:
            raise GradcamoError(
                f"{Path(folder) / inside} cannot be listed ({error.strerror}): check the path and "
                "its permissions"
            ) from error
        for name, is_folder in found:
            if name.startswith("."):
                continue
            if not is_folder or name.lower().endswith(_STORES):
                yield inside + name
            elif depth is None or level < depth:
                waiting.append((f"{inside}{name}/", level + 1))
