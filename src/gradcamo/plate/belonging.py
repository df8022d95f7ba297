"""A folder of results belongs to the plate whose images they are of."""

from __future__ import annotations

import json
import os
from collections.abc import Container, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from gradcamo.errors import GradcamoError
from gradcamo.files.links import as_named
from gradcamo.files.stamp import content_hash, stamp
from gradcamo.plate.folder import stack_name
from gradcamo.words import counted

COMPARED = 4
"""Stacks whose images are compared: plates of one microscope are of one size, and long to read."""


class _Kept(NamedTuple):
    """A stack of which a folder holds results: its name, and its image as it was then.

    ``time`` and ``content`` are those of `PlateFolder.with_content`, ``way`` the image's path seen
    from the folder; empty where that was not kept.
    """

    name: str
    image: str
    size: int = -1
    time: int | str = ""
    content: str = ""
    way: str = ""


def refuse_another_plate(rows: pd.DataFrame, out: str | Path) -> None:
    """Refuse a folder that holds results of other stacks alone: they would be replaced.

    One image in common makes two plates the same: it lies where it lay, as a whole or seen from
    the folder; or one of the first stacks of the same plate, well and site has the same size, and
    time or content.

    Parameters
    ----------
    rows : DataFrame
        The plate that is to be audited, as `read_plate`.
    out : path
        The folder, which need not exist.

    Raises
    ------
    GradcamoError
        If so: what stands there, and of which plate.
    """
    out = as_named(out)
    images = [str(image) for image in rows["image"]]
    names = dict(zip((stack_name(row) for _, row in rows.iterrows()), images, strict=True))
    places = set(map(os.path.realpath, images))
    ways = {_way(image, out) for image in images} - {""}
    namesakes: list[_Kept] = []
    others: list[_Kept] = []
    for kept in chain(_stacks(out, names), _tabled(out)):
        whole = Path(kept.image).is_absolute()  # others count from where Python worked then
        if kept.way in ways or (whole and os.path.realpath(kept.image) in places):
            return
        (namesakes if kept.name in names else others).append(kept)
    if any(_same(kept, names[kept.name]) for kept in namesakes[:COMPARED]):
        return
    found = list(dict.fromkeys(kept.image for kept in [*namesakes, *others]))
    if found:
        raise GradcamoError(
            f"{out} holds the results of another plate, {counted(len(found), 'stack')} such as "
            f"{found[0]}; this one ({images[0]} …) has no image in common with it, and would "
            "replace its tables and report: choose another folder (-o), or remove that one if "
            "nobody needs it"
        )


def _stacks(out: Path, first: Container[str]) -> Iterator[_Kept]:
    """Stacks that landed, under whatever settings; those of some names before all others."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    files = [path for path in (out / "cells").glob("*/*.parquet") if path.name[0] != "."]
    for path in sorted(files, key=lambda path: (path.stem not in first, path.name, path)):
        try:
            image = _recipe(pq.read_schema(path))["inputs"]["image"]
            yield _Kept(path.stem, *image)
        except (OSError, KeyError, TypeError, ValueError, pa.ArrowException):
            continue  # damaged: made again


def _tabled(out: Path) -> Iterator[_Kept]:
    """The stacks of the plate's table, where those that landed were removed."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        recipe = _recipe(pq.read_schema(out / "cells.parquet"))
        yield from (_Kept("", str(image)) for image in recipe["input_files"])
    except (OSError, KeyError, TypeError, ValueError, pa.ArrowException):
        return


def _recipe(schema: Any) -> Any:
    return json.loads((schema.metadata or {})[b"recipe"])


def _same(kept: _Kept, image: str) -> bool:
    """Whether an image that lies elsewhere is the one that was kept."""
    size, time = stamp(image)
    if size != kept.size:
        return False
    return time == kept.time or bool(kept.content and kept.content == content_hash(image))


def _way(image: str, out: Path) -> str:
    try:
        return os.path.relpath(image, out)
    except ValueError:  # on another drive
        return ""
