"""Whether what a layer gives is a map: cells, channels, and the axes of the input in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf, prod
from typing import Any, NamedTuple

from gradcamo.networks.following.forward import Leaf
from gradcamo.networks.following.tensor_axes import (
    ALIKE,
    CELLS,
    CHANNELS,
    LOST,
    Along,
    Axis,
    lost,
    meaning,
)

Reshape = Callable[[Any], Any]
"""From what a layer gives to (N, C', *grid), as pytorch-grad-cam's ``reshape_transform``."""


class Sight(NamedTuple):
    """Input voxel that voxel j of each axis is centred on: ``offset + stride * j``."""

    stride: tuple[float, ...]
    offset: tuple[float, ...]


class Unproved(Exception):
    """Why what a layer gives is no map, and what to do."""


def prove(given: Any, cells: int, size: Sequence[int], trusted: bool = False) -> Sight | None:
    """Where a layer's grid lies in the input, None if that is not known although it is a map.

    A grid is proved where its place is followed from the input on. Where only a convolution says
    that there is a grid, each side must be the input's, divided by one factor up to rounding and
    padding.

    Parameters
    ----------
    given : what the layer gave for ``cells`` cells, a `Leaf` for each tensor
    size : sides of the input
    trusted : whether axes of which nothing is known are what they should be

    Raises
    ------
    Unproved
        With what it is instead and the ``reshape`` that cures it.
    """
    n = len(size)
    expected = f"(N, C', {', '.join(_letters(n))})"
    if not isinstance(given, Leaf):
        raise Unproved(
            f"returns {type(given).__name__}, not a tensor: say what of it is the map, "
            f"{expected}, with reshape=lambda out: out[0]"
        )
    axes = given.axes or lost(given.shape)
    kinds = [meaning(axis) for axis in axes]
    should = [CELLS, CHANNELS, *range(n)]
    if len(kinds) != n + 2 or given.shape[0] != cells:
        raise Unproved(_instead(given, kinds, cells, size))
    if 0 in given.shape:
        raise Unproved(f"gives {_shape(given, cells)}: nothing of the input is left")
    for i, (kind, right) in enumerate(zip(kinds, should, strict=True)):
        same = kind.axis == right if isinstance(kind, Along) else kind == right
        unknown = kind in (LOST, ALIKE) and (trusted or i == 0)  # as many as there are cells
        if not (same or unknown):
            raise Unproved(_instead(given, kinds, cells, size))
    along = [kind for kind in kinds[2:] if isinstance(kind, Along)]
    for kind in along:
        if kind.rolled or (kind.stride is not None and kind.stride <= 0):
            turn = "rolled" if kind.rolled else "flipped"
            raise Unproved(
                f"gives a map that is {turn} along {_letters(n)[kind.axis]}: turn it back with "
                "reshape=, or choose another layer"
            )
    places = [(kind.stride, kind.offset) for kind in along]
    strides = tuple(stride for stride, _ in places if stride is not None)
    offsets = tuple(offset for _, offset in places if offset is not None)
    if len(offsets) == n:
        return Sight(strides, offsets)
    if not trusted and not _one_factor(size, given.shape[2:]):
        raise Unproved(
            f"gives {_shape(given, cells)}, whose sides are not those of the input, {tuple(size)}, "
            "divided by one factor: say that it is a map with reshape=lambda a: a if you know"
        )
    return None


def _one_factor(size: Sequence[int], grid: Sequence[int]) -> bool:
    """Whether one factor, up to a voxel of rounding or padding, makes one of the other."""
    low = max(n / (g + 1) for n, g in zip(size, grid, strict=True))
    high = min(n / (g - 1) if g > 1 else inf for n, g in zip(size, grid, strict=True))
    return low < high


def _instead(given: Leaf, kinds: Sequence[Along | str], cells: int, size: Sequence[int]) -> str:
    n = len(size)
    expected = f"(N, C', {', '.join(_letters(n))})"
    if given.axes is None:
        return (
            f"gives {_shape(given, cells)}, which does not depend on the input: expected "
            f"{expected}, choose a convolutional layer"
        )
    what = ", ".join(_words(axis, n) for axis in given.axes)
    told = "" if LOST in what else f", which is ({what})"
    cure = _cure(given, kinds, size)
    return (
        f"gives {_shape(given, cells)}{told}, expected {expected}: choose a convolutional layer, "
        f"or make a map of it with reshape={cure or '…, a function from its output to that'}"
    )


def _cure(given: Leaf, kinds: Sequence[Along | str], size: Sequence[int]) -> str | None:
    """Code that makes a map of it, where that can be told."""
    axes, n = given.axes or (), len(size)
    order = [kind.axis if isinstance(kind, Along) else kind for kind in kinds]
    if sorted(map(str, order)) == sorted(map(str, (CELLS, CHANNELS, *range(n)))):
        right = [order.index(what) for what in (CELLS, CHANNELS, *range(n))]
        return f"lambda a: a.permute({', '.join(map(str, right))})"
    if len(axes) != 3 or kinds[0] != CELLS or CHANNELS not in kinds[1:]:
        return None
    tokens = 3 - kinds[1:].index(CHANNELS) - 1
    turned = ".transpose(1, 2)" if tokens == 1 else ""
    parts = [count.what.axis for count in axes[tokens] if isinstance(count.what, Along)]
    if parts == list(range(n)):
        grid, extra = tuple(count.size for count in axes[tokens]), 0
    else:
        grid, extra = _patches(given.shape[tokens], size)
    if prod(grid) + extra != given.shape[tokens]:
        return None
    taken = f"[:, {extra}:]" if tokens == 1 else f"[:, :, {extra}:]"
    return f"lambda a: a{taken if extra else ''}{turned}.unflatten(2, {grid})"


def _patches(tokens: int, size: Sequence[int]) -> tuple[tuple[int, ...], int]:
    """The grid that so many tokens make, and how many (of class, registers) come before it."""
    for extra in range(6):
        for patch in range(1, max(size) + 1):
            grid = tuple(side // patch for side in size)
            if prod(grid) + extra == tokens:
                return grid, extra
    return (), 0


def _words(axis: Axis, n: int) -> str:
    what = meaning(axis)
    if isinstance(what, Along):
        return _letters(n)[what.axis]
    if what == LOST and all(isinstance(count.what, Along) for count in axis):
        return "·".join(_letters(n)[count.what.axis] for count in axis)  # type: ignore[union-attr]
    return what


def _letters(n: int) -> str:
    return "zyx"[-n:]


def _shape(given: Leaf, cells: int) -> str:
    first, *rest = given.shape or (0,)
    return f"({', '.join(map(str, ('N' if first == cells else first, *rest)))})"
