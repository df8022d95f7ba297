"""Names of channels as they are told: all in order, or ``old=new`` for some."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from gradcamo.errors import GradcamoError


def names_of(text: str) -> list[str]:
    """Names with commas between them; a name that holds a comma stands in quotes."""
    return [part.strip() for part in next(csv.reader(io.StringIO(text), skipinitialspace=True), [])]


def names_text(names: Sequence[str] | Mapping[str, str] | str) -> str:
    """Names, or ``old=new`` pairs, as the text that stands in a table."""
    if isinstance(names, str):
        return names
    if isinstance(names, Mapping):
        names = [f"{old}={new}" for old, new in names.items()]
    line = io.StringIO()
    csv.writer(line).writerow(names)
    return line.getvalue().strip()


def named(
    declared: Sequence[str], given: Sequence[str] | Mapping[str, str] | str, path: Any
) -> list[str]:
    """The names of channels after what was told: all in order, or ``old=new`` for some.

    Raises
    ------
    GradcamoError
        If there are more or fewer names than channels, or no channel has the old name.
    """
    if isinstance(given, str):
        given = names_of(given)
    if not isinstance(given, Mapping):
        given = [str(name) for name in given]
        given = pairs_of(given) or given
    if isinstance(given, Mapping):
        if unknown := [o for o, new in given.items() if o not in declared and new not in declared]:
            raise GradcamoError(
                f"{path} has the channels {', '.join(declared)}, and no {', '.join(unknown)}: name "
                "them as old=new, or give all names in order"
            )
        names = [given.get(name, name) for name in declared]
        return _each_its_own(names, path)
    if len(given) != len(declared):
        raise GradcamoError(
            f"{path} has {len(declared)} channels, {len(given)} names were given ({given}): give "
            "one per channel"
        )
    return _each_its_own(list(given), path)


def pairs_of(names: Sequence[str]) -> dict[str, str] | None:
    """Names that are all ``old=new``; None where they are names in order."""
    parts = [name.partition("=") for name in names]
    if not parts or not all(sign for _, sign, _ in parts):
        return None
    return {old.strip(): new.strip() for old, _, new in parts}


def _each_its_own(names: list[str], path: Any) -> list[str]:
    if empty_or_twice := [n for n in names if not n.strip() or names.count(n) > 1]:
        raise GradcamoError(
            f"{path}: each channel needs a name of its own, {empty_or_twice[0]!r} stands for "
            f"{len(empty_or_twice)} of {', '.join(map(repr, names))}"
        )
    return names


def renamed(known: str, channels: Sequence[str] | Mapping[str, str] | str) -> str:
    """Names in order, or ``old=new`` for some, under the names that are told now."""
    before = pairs_of(names_of(known))
    if before is None:
        return names_text(named(names_of(known), channels, "the plate"))
    now = channels if isinstance(channels, Mapping) else pairs_of(names_of(names_text(channels)))
    if now is None:
        return names_text(channels)
    others = {old: new for old, new in now.items() if old not in before.values()}
    return names_text({old: now.get(new, new) for old, new in before.items()} | others)
