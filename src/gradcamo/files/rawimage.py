"""An image as its file declares it, before it becomes a Z-stack."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

# with any prefix; not all lengths of pint's: it would take px, which says nothing, for 1/96 inch
_LENGTHS = {"meter", "micron", "angstrom", "inch", "thou", "foot"}


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
    length = _length_um((unit or "").strip())
    try:
        place = float(value) * length if length else math.nan
    except (TypeError, ValueError):
        return None
    return place if math.isfinite(place) else None


@lru_cache
def _length_um(unit: str) -> float | None:
    """How long a unit is in µm; None where it is no length."""
    from pint import get_application_registry

    unit = unit.replace("\\u00B5", "u").lower()
    unit = "angstrom" if unit in ("a", "å") else unit
    with _ONE:
        registry = get_application_registry()
        if not _LENGTHS.intersection(name for _, name, _ in registry.parse_unit_name(unit)):
            return None
        return float(registry.Quantity(1.0, unit).to("micrometer").magnitude)


_ONE = Lock()  # pint's registry knows no unit while another thread is making it
