"""Windows of stacks that are too large to be held: each part of a file is read once for many."""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

import numpy as np

from gradcamo.datatypes import ZStack
from gradcamo.mapped import let_go

HELD = 1_500_000_000
"""Bytes of voxels up to which a stack is held in memory."""
TOGETHER = 500_000_000
"""Bytes of the windows that are cut in one go from a larger one."""
READ = 32_000_000
"""Bytes that are read of it at a time, or a chunk of its file where that is more."""


def held(stack: ZStack) -> ZStack:
    """The same stack in memory, where it is small; else as it is, to be read in `windows`."""
    size = prod(stack.shape) * np.dtype(stack.data.dtype).itemsize
    return stack.in_memory() if size <= HELD else stack


def bytes_held(stack: ZStack) -> int:
    """What a stack takes in memory while its cells are cut, with labels where it is large."""
    size = prod(stack.shape) * np.dtype(stack.data.dtype).itemsize
    return size if size <= HELD else TOGETHER + 4 * prod(stack.shape[1:])


def lies_in_memory(array: Any) -> bool:
    """Whether a window of it costs nothing but its own voxels."""
    return isinstance(array, np.ndarray) and not isinstance(array, np.memmap)


def groups(rows: np.ndarray, window: Sequence[int], array: Any) -> Iterator[np.ndarray]:
    """Rows in parts whose windows, of all channels of an array (C, Z, Y, X), are held together."""
    size = array.shape[0] * prod(window) * np.dtype(array.dtype).itemsize
    most = max(1, TOGETHER // size)
    yield from np.array_split(rows, max(1, -(-len(rows) // most)))


def windows(array: Any, starts: np.ndarray, size: Sequence[int]) -> list[np.ndarray]:
    """What windows hold of an array (C, Z, Y, X), each part of which is read once.

    Parameters
    ----------
    array : array-like, (C, Z, Y, X)
        Memory-mapped or a Dask array.
    starts : (N, 3), first voxels (z, y, x), which may lie outside
    size : of each window (z, y, x)

    Returns
    -------
    list of (C, z, y, x), the part of each window that lies inside
    """
    low, high = np.maximum(starts, 0), np.minimum(starts + np.array(size), array.shape[1:])
    cut = [_apart((array.shape[0], *inside), np.dtype(array.dtype)) for inside in high - low]
    for channels, first, last in _parts(array):
        begin, end = np.maximum(low, first), np.minimum(high, last)
        touched = np.flatnonzero((begin < end).all(1))
        if not len(touched):
            continue
        corner, far = begin[touched].min(0), end[touched].max(0)
        read = np.asarray(array[(channels, *_box(corner, far))])
        for n in touched:
            here = read[(slice(None), *_box(begin[n] - corner, end[n] - corner))]
            cut[n][(channels, *_box(begin[n] - low[n], end[n] - low[n]))] = here
        del read
        let_go(array)
    return cut


def _apart(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An array whose memory is given back on its own, however buffers are kept."""
    size = max(1, prod(map(int, shape)) * dtype.itemsize)
    return np.ndarray(shape, dtype, mmap.mmap(-1, size))


def _box(first: np.ndarray, last: np.ndarray) -> tuple[slice, ...]:
    return tuple(map(slice, first.tolist(), last.tolist()))


def _parts(array: Any) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Whole chunks of an array's file, as many as are read at a time: channels, first and last.

    What is memory-mapped has planes for chunks.
    """
    shape = array.shape
    chunks = getattr(array, "chunks", None)
    step = [n if isinstance(n, int) else max(n) for n in chunks or (1, 1, *shape[2:])]
    for axis in (3, 0, 2, 1):
        room = READ // (prod(step) * np.dtype(array.dtype).itemsize)
        step[axis] = min(shape[axis], step[axis] * max(1, room))
    for place in np.ndindex(*(-(-whole // n) for whole, n in zip(shape, step, strict=True))):
        first = np.multiply(place, step)
        last = np.minimum(first + step, shape)
        yield slice(int(first[0]), int(last[0])), first[1:], last[1:]
