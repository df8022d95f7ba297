"""``reshape``: a user's function from what a layer gives to (N, C', *grid)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten

from gradcamo.networks.following.forward import Leaf
from gradcamo.networks.following.modes import followed, with_axes
from gradcamo.networks.grids import Reshape, Unproved


def reshaped(reshape: Reshape, given: Any, cells: int) -> Leaf:
    """What ``reshape`` makes of what a layer gave for so many cells.

    It may rearrange values and leave some out: then the gradient at what it makes is that at the
    layer's own values, rearranged likewise. Of sums and means it would not be.

    Raises
    ------
    Unproved
        If it fails, makes other values, or mixes cells.
    """
    leaves, structure = tree_flatten(given)
    sizes = [torch.Size(leaf.shape).numel() for leaf in leaves if isinstance(leaf, Leaf)]
    dtype = torch.float32 if sum(sizes) < 2**24 else torch.float64  # whole numbers are exact
    owners = torch.cat([torch.arange(n) // max(n // cells, 1) for n in sizes] or [torch.empty(0)])

    def applied(values: Tensor) -> Tensor:
        parts = iter(values.split(sizes))
        filled = [
            with_axes(next(parts).reshape(leaf.shape), leaf.axes)
            if isinstance(leaf, Leaf)
            else leaf
            for leaf in leaves
        ]
        made = reshape(tree_unflatten(filled, structure))
        if not isinstance(made, Tensor):
            raise TypeError(f"it makes {type(made).__name__} of it, not a tensor")
        return made

    numbers = torch.arange(sum(sizes), dtype=dtype)
    chance = torch.rand(len(numbers), generator=torch.Generator().manual_seed(0), dtype=dtype)
    try:
        with followed() as axes_of:
            places = applied(numbers)
            leaf = Leaf(tuple(places.shape), axes_of(places))
        values, places = applied(chance), places.flatten()
    except Exception as error:
        raise Unproved(f"is nothing that reshape can take: {error}") from error
    which = places.round().long()
    known = places.numel() and which.min() >= 0 and which.max() < len(numbers)
    if not known or not torch.allclose(chance[which].to(values), values.flatten()):
        raise Unproved(
            "may be rearranged by reshape, and part of it left out, but its values may not be "
            "changed: their gradients would be other ones"
        )
    if len(which.unique()) < len(which):
        raise Unproved("comes out of reshape with values that stand in several places: leave none")
    whose = owners[which].reshape(leaf.shape)
    if leaf.shape[:1] != (cells,) or (whose.flatten(1) != torch.arange(cells)[:, None]).any():
        raise Unproved(
            f"comes out of reshape as {tuple(leaf.shape)} for {cells} cells: keep one row a cell"
        )
    return leaf
