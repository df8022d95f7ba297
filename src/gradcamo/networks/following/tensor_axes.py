"""What an axis of a tensor counts: cells, channels, or voxels along an axis of the input.

Of voxels it is known where they sit: number j is centred on input voxel ``offset + stride * j``.
Views split and join counts (windows, tokens). Whatever is not understood is lost, never guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod
from typing import NamedTuple

CELLS, CHANNELS, ALIKE, LOST = "cells", "channels", "alike", "unknown"


class Along(NamedTuple):
    """Voxels along an axis of the input; their place is None where only a convolution made them."""

    axis: int
    stride: float | None = None
    offset: float | None = None
    rolled: float = 0  # by so many voxels, as in shifted windows

    def at(self, scale: float, start: float) -> Along:
        """Voxels of which number j sits where ``start + scale * j`` did."""
        rolled = self.rolled / scale
        if self.stride is None or self.offset is None:
            return Along(self.axis, rolled=rolled)
        return Along(self.axis, self.stride * scale, self.offset + self.stride * start, rolled)


class Count(NamedTuple):
    """``size`` steps of length ``step`` through ``of`` voxels, channels or cells."""

    what: Along | str
    of: int
    step: int
    size: int


Axis = tuple[Count, ...]  # its length is the product of the sizes
Axes = tuple[Axis, ...]


def whole(what: Along | str, n: int) -> Axis:
    return (Count(what, n, 1, n),)


def lost(shape: Sequence[int]) -> Axes:
    return tuple(whole(LOST, n) for n in shape)


def length(axis: Axis) -> int:
    return prod(count.size for count in axis)


def meaning(axis: Axis) -> Along | str:
    """What an axis is, if it is one thing and all of it."""
    if axis and all(count.what == CHANNELS for count in axis):
        return CHANNELS
    counts = [count for count in axis if count.size > 1]
    counts = counts or [count for count in axis if isinstance(count.what, Along)] or list(axis[:1])
    if len(counts) != 1 or (counts[0].step, counts[0].size) != (1, counts[0].of):
        return LOST
    return counts[0].what


def moved(axis: Axis, n: int, scale: float, start: float) -> Axis:
    """``n`` voxels of which number j sits where ``start + scale * j`` did."""
    what = meaning(axis)
    return whole(what.at(scale, start) if isinstance(what, Along) else what, n)


def joined(axes: Iterable[Axis], n: int) -> Axis:
    """What an axis is to which several contribute, voxel by voxel."""
    axes = [axis for axis in axes if axis not in ((), whole(ALIKE, n))]
    if len(set(axes)) < 2:
        return axes[0] if axes else whole(ALIKE, n)
    kinds = [meaning(axis) for axis in axes]
    if all(kind == CHANNELS for kind in kinds):
        return whole(CHANNELS, n)
    along = [kind for kind in kinds if isinstance(kind, Along)]
    if len(along) < len(kinds) or len({(kind.axis, kind.rolled) for kind in along}) > 1:
        return whole(LOST, n)
    offsets = [kind.offset for kind in along if kind.offset is not None]
    if len(offsets) < len(along) or len({kind.stride for kind in along}) > 1:
        return whole(Along(along[0].axis, rolled=along[0].rolled), n)
    return whole(along[0]._replace(offset=sum(offsets) / len(offsets)), n)


def cut(axis: Axis, n: int, start: int, step: int, after: int) -> Axis:
    """Of ``n`` voxels every ``step``-th from ``start`` on, ``after`` in all."""
    if after == n:
        return axis
    what = meaning(axis)
    if what == CELLS or (isinstance(what, Along) and what.rolled):
        return whole(LOST, after)
    return moved(axis, after, step, start)


def viewed(axes: Axes, shape: Sequence[int]) -> Axes:
    """The same counts in their order, split and joined as a new shape has it."""
    rest, seen = [count for axis in axes for count in axis][::-1], []
    for n in shape:
        taken: list[Count] = []
        left = n
        while rest and (left > 1 or (n == 1 and not taken and rest[-1].size == 1)):
            count = rest.pop()
            if left % count.size == 0:
                taken.append(count)
                left //= count.size
            elif count.size % left == 0:
                inner = count.size // left
                taken.append(count._replace(step=count.step * inner, size=left))
                rest.append(count._replace(size=inner))
                left = 1
            else:
                return lost(shape)
        seen.append(_merged(taken))
    if rest and seen:  # of size 1
        seen[-1] = (*seen[-1], *rest[::-1])
    return tuple(seen)


def _merged(counts: Iterable[Count]) -> Axis:
    merged: list[Count] = []
    for count in counts:
        last = merged[-1] if merged else None
        if last and last[:2] == count[:2] and last.step == count.step * count.size:
            merged[-1] = count._replace(size=last.size * count.size)
        else:
            merged.append(count)
    return tuple(merged)
