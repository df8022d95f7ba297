"""Paths by the names that people gave them: what a link leads to may have one nobody chose."""

from __future__ import annotations

from pathlib import Path


def as_named(path: str | Path) -> Path:
    """An absolute path by the names that it was given, links included.

    ``..`` leads where the system says, which behind a link is the folder above its target.

    Examples
    --------
    >>> as_named("/data/plate 7/images/../D02.tif").as_posix()
    '/data/plate 7/D02.tif'
    """
    parts = Path(path).absolute().parts
    behind = max((i for i, part in enumerate(parts, 1) if part == ".."), default=1)
    return Path(*parts[:behind]).resolve().joinpath(*parts[behind:])
