"""How stacks are called where people read of them; rows are joined by their paths."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradcamo.files.patterns import without_gaps

if TYPE_CHECKING:
    import pandas as pd

_ENDING = re.compile(r"(\.ome)?\.[A-Za-z]\w*$")


def stack_title(image: str | Path, row: Mapping[Any, Any] | pd.Series | None = None) -> str:
    """Well and site of a stack where a table says them, else the name of its file.

    Of a stack of many files it is what their names share, within an OME-Zarr plate the way there.

    Parameters
    ----------
    image : path, perhaps with gaps
    row : of a plate's table, or of one of cells; optional

    Examples
    --------
    >>> stack_title("plate/4711_E02_s2_w{channel:d}.TIF")
    '4711_E02_s2'
    >>> stack_title("plate/4711_E02_s2_w{channel:d}.TIF", {"well": "E02", "site": "2"})
    'E02 site 2'
    >>> stack_title("results/plate.zarr/E/2/0")
    'plate.zarr/E/2/0'
    """
    well, site = (_word(row, name) for name in ("well", "site"))
    if well:
        return f"{well} site {site}" if site else well
    path = Path(image)
    plate = next((part for part in path.parents if part.suffix == ".zarr"), None)
    if plate is not None:
        return path.relative_to(plate.parent).as_posix()
    shared = without_gaps(path.name)
    if shared == path.name:
        return shared or str(image)
    shared = _ENDING.sub("", shared).strip("-_. ")
    return shared or stack_title(path.parent)


def plain_title(image: str | Path) -> str:
    """The title of a stack without the ending of its file: how a copy in another format is called.

    Examples
    --------
    >>> plain_title("plate/4711_E02_s2.ome.tif"), plain_title("plate/r02c03f01p{z}-ch{channel}.tif")
    ('4711_E02_s2', 'r02c03f01')
    """
    return _ENDING.sub("", stack_title(image))


def _word(row: Any, name: str) -> str:
    value = "" if row is None else row.get(name, "")
    return "" if value is None or value != value else str(value).strip()
