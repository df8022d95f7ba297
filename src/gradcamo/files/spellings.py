"""Names that a person takes for one and a computer for two."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Hashable, Iterable
from decimal import Decimal, InvalidOperation
from typing import Any

from gradcamo.errors import GradcamoError

# Letters that look like Latin ones; case, width and the like are folded by Unicode itself.
_LOOK_ALIKES = str.maketrans("×μаекмнорстухіјѕв−", "xuaekmhopctyxijsb-")
# A number stands alone: the digits of "v1.10" or "A01" belong to a name.
_NUMBER = re.compile(r"(?<![\w.])(\d+\.?\d*|\.\d+)(e[+-]?\d+)?")


def spelling(name: object) -> str:
    """What all spellings of one name have in common.

    Case, look-alike letters (the micro sign and the Greek mu, ``×`` and ``x``), spaces of any kind
    and ways to write a number do not count: ``0.10 µM``, ``1e-1 μm`` and ``.1µM`` are one.

    Examples
    --------
    >>> spelling("0.06×") == spelling("0.060 X"), spelling("DMSO") == spelling("DMSO 2")
    (True, False)
    """
    text = unicodedata.normalize("NFKC", str(name)).casefold().translate(_LOOK_ALIKES)
    text = "".join(
        "-" if unicodedata.category(letter) == "Pd" else letter
        for letter in text
        if unicodedata.category(letter) != "Cf"  # zero width
    )
    text = _NUMBER.sub(_plain, text)
    return re.sub(r"(?<!\d)\s+|\s+(?!\d)", "", re.sub(r"\s+", " ", text.strip()))


def _plain(number: re.Match[str]) -> str:
    try:
        value = Decimal(number[0]).normalize()
    except InvalidOperation:  # digits of another script, or an exponent without bounds
        return number[0]
    return f"{value:f}" if abs(value.adjusted()) < 30 else str(value)


def alike(name: object, known: Iterable[Any]) -> str | None:
    """The other spelling of a name among those known; None where it is known itself, or not."""
    names = [str(other) for other in known]
    if str(name) in names:
        return None
    key = spelling(name)
    return next((other for other in names if spelling(other) == key), None)


def meant(name: object, known: Iterable[Any]) -> str:
    """What to say after a name that is not known: its other spelling, or all names there are."""
    names = list(dict.fromkeys(map(str, known)))
    other = alike(name, names)
    return f"did you mean {other!r}?" if other else f"choose one of {', '.join(names)}"


def refuse_spellings(
    uses: Iterable[tuple[object, Hashable]],
    what: str,
    source: object,
    known: Iterable[object] = (),
    knower: str = "",
) -> None:
    """Refuse names that are spellings of one, and those that are known by another spelling.

    Parameters
    ----------
    uses : (name, place) of every use; the place is the number of a row, or text
    what : what the names are, such as ``treatment``
    source : the file or table that they are in
    known, knower : names that stand already, and who knows them

    Raises
    ------
    GradcamoError
        If two names differ by their spelling alone.
    """
    found: dict[str, dict[str, list[Hashable]]] = {}
    for name, place in uses:
        found.setdefault(spelling(name), {}).setdefault(str(name), []).append(place)
    for names in found.values():
        if len(names) > 1:
            told = "; ".join(f"{name!r} in {_listed(where)}" for name, where in names.items())
            raise GradcamoError(
                f"{source} spells one {what} in {len(names)} ways, which would count as "
                f"{len(names)} {what}s: {told}. Write it one way"
            )
    given = {spelling(other): str(other) for other in known}
    for key, names in found.items():
        for spelled, where in names.items():
            if given.get(key, spelled) != spelled:
                raise GradcamoError(
                    f"{source} has the {what} {spelled!r} in {_listed(where)}, {knower} knows it "
                    f"as {given[key]!r}: write it so"
                )


def _listed(places: list[Hashable]) -> str:
    different = list(dict.fromkeys(places))
    listed = ", ".join(map(str, different[:8])) + (" …" if len(different) > 8 else "")
    if not all(isinstance(place, int) for place in different):
        return listed
    return f"row {listed}" if len(different) == 1 else f"rows {listed}"
