"""Words and numbers as sentences and tables share them."""

from __future__ import annotations

import math
from collections.abc import Sequence


def counted(n: int, what: str) -> str:
    """A number of things: ``1 cell``, ``1,200 cells``."""
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def joined(names: Sequence[str]) -> str:
    """Names as in a sentence: ``a, b and c``."""
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def number(value: float | None, digits: int = 2, sign: str = "") -> str:
    """A number of so many digits, a dash where there is none; what rounds to 0 has no minus.

    Parameters
    ----------
    value : float, perhaps NaN
    digits : after the point
    sign : "+" to show it of positive numbers, too
    """
    return "–" if value is None or math.isnan(value) else f"{value:{sign}z,.{digits}f}"


def beside(value: float, limit: float, digits: int = 2) -> str:
    """A number that stands beside a limit: with so many digits that it does not look equal to it.

    Examples
    --------
    >>> beside(0.43, 0.5), beside(0.4996, 0.5), beside(0.5, 0.5)
    ('0.43', '0.4996', '0.50')
    """
    more = (n for n in range(digits, 9) if number(value, n) != number(limit, n))
    return number(value, next(more, digits))


def percent(share: float) -> str:
    """A share as ``37%``, a dash where it is not known."""
    return "–" if math.isnan(share) else f"{share:z.0%}"
