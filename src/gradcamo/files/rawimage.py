"""An image as its file declares it, before it becomes a Z-stack."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

_UM = {
    "pm": 1e-6,
    "picometer": 1e-6,
    "a": 1e-4,
    "angstrom": 1e-4,
    "nm": 1e-3,
    "nanometer": 1e-3,
    "um": 1.0,
    "micron": 1.0,
    "microns": 1.0,
    "micrometer": 1.0,
    "mm": 1e3,
    "millimeter": 1e3,
    "cm": 1e4,
    "centimeter": 1e4,
    "m": 1e6,
    "meter": 1e6,
    "in": 25400.0,
    "inch": 25400.0,
}


@dataclass(frozen=True, eq=False)
class RawImage:
    """A lazy array with what its file says about it.

    ``axes`` has one letter per dimension, ``?`` where the file says nothing and ``S`` for the
    samples of a colour image. ``spacing_um`` maps ``Z``, ``Y``, ``X`` to a length in µm, where
    known. ``channels`` may be of another number than the channels; then it says nothing. ``z_um``
    is where a single plane lies, in µm. ``absent`` tells which chunks the file lacks, a boolean
    for each along every axis, and ``chunks`` how large they are.
    """

    data: Any
    axes: str
    channels: Sequence[str | None] = ()
    spacing_um: dict[str, float] | None = None
    z_um: float | None = None
    absent: Callable[[], np.ndarray] | None = None
    chunks: tuple[int, ...] = ()


def to_um(value: Any, unit: str | None) -> float | None:
    """A length in µm; None where the value or its unit says nothing."""
    length = position_um(value, unit)
    return abs(length) if length else None


def position_um(value: Any, unit: str | None) -> float | None:
    """A place along an axis in µm, which may be 0 or below; None as in `to_um`."""
    unit = (unit or "").replace("\\u00B5", "u").replace("µ", "u").replace("μ", "u").strip()
    unit = unit.replace("Å", "a").replace("Å", "a")
    try:
        place = float(value) * _UM[unit.lower().replace("metre", "meter")]
    except (TypeError, ValueError, KeyError):
        return None
    return place if math.isfinite(place) else None
