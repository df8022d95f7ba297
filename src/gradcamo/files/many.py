"""Many small reads at a time: a network drive answers a hundred as soon as one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

S = TypeVar("S")
T = TypeVar("T")

AT_A_TIME = 32


def each(
    read: Callable[[S], T], items: Iterable[S], on_read: Callable[[int, int], Any] | None = None
) -> list[T]:
    """What ``read`` gives for each item, in their order; the first exception ends it.

    ``on_read`` is called with how many are read, and of how many.
    """
    items, found = list(items), []
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        for one in pool.map(read, items):
            found.append(one)
            if on_read is not None:
                on_read(len(found), len(items))
    return found
