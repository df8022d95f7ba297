"""The one exception for input that cannot be used, and the one warning."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class GradcamoError(ValueError):
    """Says what was expected, what came and what to do next; a ``ValueError``.

    Examples
    --------
    >>> import gradcamo as gc
    >>> try:
    ...     gc.read_stack("nowhere.tif")
    ... except gc.GradcamoError as error:
    ...     print(error)
    there is no image nowhere.tif: check the path
    """


class GradcamoWarning(UserWarning):
    """Says what may not be what it seems; the work goes on."""


_said: ContextVar[set[str] | None] = ContextVar("said", default=None)


@contextmanager
def each_once() -> Iterator[None]:
    """In the block `warn` says the same once, whichever floors say it."""
    before = _said.set(set())
    try:
        yield
    finally:
        _said.reset(before)


def warn(said: str, stacklevel: int = 1) -> None:
    """Give a `GradcamoWarning`, as `warnings.warn` would at the caller's place."""
    before = _said.get()
    if before is not None and said in before:
        return
    if before is not None:
        before.add(said)
    warnings.warn(said, GradcamoWarning, stacklevel=stacklevel + 1)
