"""Arrays that are read from files when they are indexed, and what of them stays in memory."""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np


def let_go(array: Any) -> None:
    """Give back the memory that a file took which is mapped to be read; nothing else happens."""
    while not isinstance(array, np.memmap):
        array = getattr(array, "whole", None)
        if array is None:
            return
    mapped = getattr(array, "_mmap", None)  # NumPy has no public name for it
    if array.mode == "r" and mapped is not None and hasattr(mapped, "madvise"):
        mapped.madvise(mmap.MADV_DONTNEED)


class Native:
    """A mapped file of the other byte order, in this machine's when it is indexed."""

    def __init__(self, mapped: Any) -> None:
        self._mapped = mapped
        self.shape, self.ndim = mapped.shape, mapped.ndim
        self.dtype = mapped.dtype.newbyteorder("=")

    def __getitem__(self, index: Any) -> np.ndarray:
        turned = np.asarray(self._mapped[index]).astype(self.dtype)
        let_go(self._mapped)
        return turned

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype)


def native(array: Any) -> Any:
    """The same numbers in this machine's byte order; of what lies in a file when they are read."""
    dtype = np.dtype(array.dtype)
    if dtype.isnative:
        return array
    if hasattr(array, "astype") and not isinstance(array, np.memmap):
        return array.astype(dtype.newbyteorder("="))
    return Native(array)


class SomeChannels:
    """Some channels of a memory-mapped array (C, Z, Y, X), in an order, read when it is indexed.

    Parameters
    ----------
    whole : array-like, (C, Z, Y, X)
    order : numbers of the channels
    """

    def __init__(self, whole: Any, order: Sequence[int]) -> None:
        self.whole, self.order = whole, np.array(order)
        self.shape, self.dtype = (len(order), *whole.shape[1:]), whole.dtype
        self.ndim = len(self.shape)

    def __getitem__(self, index: Any) -> Any:
        channels, *rest = index if isinstance(index, tuple) else (index,)
        if channels is Ellipsis:
            channels, rest = slice(None), [Ellipsis, *rest]
        return self.whole[(self.order[channels], *rest)]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype)


def slabs(channel: Any) -> Iterator[np.ndarray]:
    """A channel (Z, Y, X) in slabs of planes as deep as the chunks of its file.

    A slab is to be used before the next one is asked for: of a mapped file none stays in memory.
    """
    chunks = getattr(channel, "chunks", None)
    depths = chunks[0] if chunks else (1,) * channel.shape[0]
    first = 0
    for depth in depths:
        yield np.asarray(channel[first : first + depth])
        let_go(channel)
        first += depth
