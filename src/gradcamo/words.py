"""Words that sentences share."""

from __future__ import annotations

from collections.abc import Sequence


def counted(n: int, what: str) -> str:
    """A number of things: ``1 cell``, ``1,200 cells``."""
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def joined(names: Sequence[str]) -> str:
    """Names as in a sentence: ``a, b and c``."""
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
