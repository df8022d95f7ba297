"""The order of treatments, and which of them is the control."""

from __future__ import annotations

import re
from collections.abc import Iterable

CONTROL_NAMES = ("control", "ctrl", "dmso", "vehicle", "mock", "untreated", "negcon")
_DOSE = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*(?:[x×]|[pnuµμm]?M|%)?\s*$")


def is_control(treatment: str) -> bool:
    """Whether a treatment's name says that it is the control: DMSO, vehicle, 0x and the like."""
    return treatment.strip().lower() in CONTROL_NAMES or dose(treatment) == 0


def find_control(treatments: Iterable[str]) -> str | None:
    """The one treatment whose name says that it is the control; None where none or several do."""
    found = [name for name in dict.fromkeys(treatments) if is_control(name)]
    return found[0] if len(found) == 1 else None


def dose(treatment: str) -> float | None:
    """The number in a name such as ``0.06x``, ``1.60×``, ``8 µM`` or ``40``; None without one."""
    match = _DOSE.match(treatment)
    return float(match[1]) if match else None


def in_dose_order(treatments: Iterable[str]) -> list[str]:
    """Treatments, each once: the control first, then by dose.

    Where a name holds no dose, or units differ, all keep the order in which they appear.
    """
    names = [name for name in dict.fromkeys(treatments) if name]
    treated = [name for name in names if not is_control(name)]
    doses = {name: value for name in treated if (value := dose(name)) is not None}
    units = {re.sub(r"[\d.\s]", "", name).replace("×", "x") for name in treated}
    if len(doses) < len(treated) or len(units) > 1:
        return names
    return [name for name in names if is_control(name)] + sorted(treated, key=doses.__getitem__)
