"""Names of wells."""

from __future__ import annotations

import re


def well_place(well: object) -> tuple[str, int] | None:
    """Row and column of a well on its plate: ``"d2"`` and ``"D02"`` lie in ``("D", 2)``.

    None for a well that is not named by row letters and a column number.
    """
    match = re.fullmatch(r"\s*([A-Za-z]{1,2})0*(\d{1,2})\s*", str(well))
    return (match[1].upper(), int(match[2])) if match else None


def well_name(well: object) -> str:
    """A well as every plate map writes it: ``d2`` is ``D02``."""
    place = well_place(well)
    return f"{place[0]}{place[1]:02d}" if place else str(well).strip().upper()
