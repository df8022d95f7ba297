"""A voxel size as it is told: three lengths z, y, x in µm, ``?`` where one is not known."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from gradcamo.datatypes import Spacing
from gradcamo.errors import GradcamoError


def spacing_of(value: Sequence[float | None] | str) -> Spacing:
    """A voxel size (z, y, x) in µm; ``?`` stands for a length that is not known.

    Raises
    ------
    GradcamoError
        If it is not three lengths.
    """
    parts: Sequence[Any] = value
    if isinstance(value, str):
        parts = re.split(r"[,;\s×x]+", value.strip().strip("()"))
    try:
        z, y, x = (None if part in (None, "?", "None") else float(part) for part in parts)
    except (TypeError, ValueError) as error:
        raise GradcamoError(
            f"a voxel size is three lengths z,y,x in µm, such as 0.6,0.35,0.35 (? for one that is "
            f"not known), got {value!r}"
        ) from error
    return z, y, x


def told_spacing(spacing: Sequence[float | None] | str | None) -> str:
    """A voxel size as the text that stands in a table, empty where nothing of it is known."""
    if spacing is None:
        return ""
    lengths = spacing_of(spacing)
    if lengths == (None, None, None):
        return ""
    return ",".join("?" if length is None else f"{length:.6g}" for length in lengths)


def filled(said: str, known: str) -> str:
    """A voxel size whose unknown lengths are those that are known already."""
    lengths = zip(spacing_of(said), spacing_of(known), strict=True)
    return told_spacing([before if now is None else now for now, before in lengths])
