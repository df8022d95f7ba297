"""The fill of one draw: every voxel from another cell, at the same voxel and of the same kind.

24 pairs of donor and in-plane symmetry are taken in the order drawn. A voxel takes all channels of
the first donor that has the same kind there; what is left takes the nearest filled voxel of its
kind.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

PAIRS = 24
NEAR = 3
"""Largest steps of voxels within which the nearest is looked for first."""
FURTHER = 600
"""At most so many voxels around are looked at: of flat voxels thousands are as near."""
AT_ONCE = 2**20
"""Voxels around others that are looked at in one go."""
_TIES = (1e-4, 1.7e-4, 2.3e-4)
"""In voxels (z, y, x): towards where the nearest of equally distant voxels is looked for."""


class Pair(NamedTuple):
    """A donor's number and one of the symmetries of `turned`."""

    donor: int
    symmetry: int


def symmetries(size_yx: Sequence[int]) -> int:
    """In-plane symmetries that keep a crop's shape: 8, or 4 where it is not square."""
    return 8 if size_yx[0] == size_yx[1] else 4


def turned(values: Tensor, symmetry: int) -> Tensor:
    """Values (..., Y, X) mirrored along y (bit 0), x (bit 1), and with both swapped (bit 2)."""
    if symmetry & 4:
        values = values.transpose(-1, -2)
    axes = [axis for bit, axis in ((1, -2), (2, -1)) if symmetry & bit]
    return values.flip(axes) if axes else values


def draw_pairs(
    rng: np.random.Generator,
    donors: Sequence[int],
    n_symmetries: int,
    kinds: Sequence[int],
    meets: Callable[[Pair, int], bool],
) -> list[Pair] | int:
    """The pairs of one draw, in their order.

    Parameters
    ----------
    rng : where the lot comes from
    donors : the pool
    n_symmetries : of a crop
    kinds : those that the cell has
    meets : whether a pair has voxels of a kind where the cell has some

    Returns
    -------
    At most `PAIRS` pairs without replacement, one for each kind at least. Or a kind that no pair
    of the pool meets.
    """
    order = [
        Pair(donors[n // n_symmetries], int(n % n_symmetries))
        for n in rng.permutation(len(donors) * n_symmetries)
    ]
    needed = set()
    for kind in kinds:
        first = next((n for n, pair in enumerate(order) if meets(pair, kind)), None)
        if first is None:
            return kind
        needed.add(first)
    others = [n for n in range(len(order)) if n not in needed]
    return [order[n] for n in sorted([*needed, *others[: PAIRS - len(needed)]])]


class Fill(NamedTuple):
    """Where each voxel (V,) comes from: a voxel of all donors, (n V,). ``nearest`` (V,) bool says
    which had no donor at their own place; -1 outside the stack."""

    source: Tensor
    nearest: Tensor


def fill(
    kinds: Tensor, donor_kinds: Tensor, pairs: Sequence[Pair], spacing: Sequence[float]
) -> Fill:
    """One draw's source of every voxel of a crop.

    Parameters
    ----------
    kinds : (Z, Y, X) uint8, of the cell
    donor_kinds : (n, Z, Y, X) uint8
    pairs : as drawn, at most `PAIRS`
    spacing : voxel size (z, y, x), in which the nearest is found

    Notes
    -----
    A kind that no pair meets stays at -1.
    """
    n, voxels = len(pairs), kinds.numel()
    found = torch.stack([turned(donor_kinds[pair.donor], pair.symmetry) for pair in pairs])
    rank = torch.arange(n, 0, -1, dtype=torch.uint8, device=kinds.device)
    # the first pair that has the kind has the highest rank; 0: none
    best = found.eq_(kinds).mul_(rank.view(-1, 1, 1, 1)).amax(0)
    filled = ((best > 0) & (kinds > 0)).flatten()
    pair = (n - best.flatten().int()).clamp_(max=n - 1)
    donor, symmetry = torch.tensor(pairs, device=kinds.device).T * voxels
    places = _places(tuple(kinds.shape), kinds.device)
    here = torch.arange(voxels, device=kinds.device)
    turned_to = places.index_select(0, symmetry.index_select(0, pair).add_(here))
    source = donor.index_select(0, pair).add_(turned_to).masked_fill_(~filled, -1)
    left = ~filled & (kinds.flatten() > 0)
    if left.any():
        source = _from_nearest(source.view(kinds.shape), left.view(kinds.shape), kinds, spacing)
    return Fill(source.flatten(), left)


@lru_cache(maxsize=2)  # of 64 planes of the paper's crops it takes 67 MB
def _places(shape: tuple[int, ...], device: torch.device) -> Tensor:
    """Which voxel of a donor each symmetry lays on each voxel of a crop, (symmetries V,)."""
    voxel = torch.arange(int(np.prod(shape)), device=device).view(shape)
    turns = [turned(voxel, symmetry).flatten() for symmetry in range(symmetries(shape[1:]))]
    return torch.cat(turns)


def _from_nearest(source: Tensor, left: Tensor, kinds: Tensor, spacing: Sequence[float]) -> Tensor:
    """Voxels that are left, (Z, Y, X), take the source of the nearest filled one of their kind."""
    source, filled = source.clone(), torch.where(left, 0, kinds)
    wanting = left.nonzero()
    shape = torch.tensor(kinds.shape, device=kinds.device)
    for near in _around(tuple(spacing), kinds.device):
        lacking = []
        for some in wanting.split(AT_ONCE // max(1, len(near))):
            at = some[:, None] + near
            within = ((at >= 0) & (at < shape)).all(2)
            z, y, x = torch.where(within[..., None], at, 0).unbind(2)
            hit = within & (filled[z, y, x] == kinds[tuple(some.T)][:, None])
            found, first = hit.any(1), hit.int().argmax(1)  # the first of equal ones
            there = at[torch.arange(len(at), device=at.device), first][found]
            source[tuple(some[found].T)] = source[tuple(there.T)]
            lacking.append(some[~found])
        wanting = torch.cat(lacking)
    for kind in kinds[tuple(wanting.T)].unique().tolist():
        # the nearest one lies at the surface of what is filled
        there = surface(filled == kind).nonzero()
        points = wanting[kinds[tuple(wanting.T)] == kind]
        if len(there):
            nearest = (_nearest if kinds.is_cuda else _nearest_in_tree)(points, there, spacing)
            source[tuple(points.T)] = source[tuple(there[nearest].T)]
    return source


@cache
def _around(spacing: tuple[float, ...], device: torch.device) -> tuple[Tensor, ...]:
    """The steps (n, 3) from a voxel to those around it, the nearest first: a few, then more."""
    reach = NEAR * max(spacing)
    sides = [np.arange(-int(reach / step) - 1, int(reach / step) + 2) for step in spacing]
    steps = np.stack(np.meshgrid(*sides, indexing="ij"), -1).reshape(-1, 3)
    away = (((steps - _TIES) * spacing) ** 2).sum(1)
    order = np.argsort(away, kind="stable")
    near = torch.from_numpy(steps[order[away[order] <= reach**2]]).to(device)
    return near[:60], near[60:FURTHER]


def surface(mask: Tensor) -> Tensor:
    """Voxels of a mask (Z, Y, X) of whose six neighbours one is not in it, or outside."""
    framed = torch.nn.functional.pad(mask, (1,) * 6)
    core = (slice(1, -1),) * 3
    inner = mask.clone()
    for axis in range(3):
        for step in (slice(None, -2), slice(2, None)):
            inner &= framed[(*core[:axis], step, *core[axis + 1 :])]
    return mask & ~inner


def _nearest_in_tree(points: Tensor, others: Tensor, spacing: Sequence[float]) -> Tensor:
    from scipy.spatial import cKDTree

    step = np.asarray(spacing)
    tree = cKDTree(others.numpy() * step)
    return torch.from_numpy(tree.query((points.numpy() + _TIES) * step)[1])


def _nearest(points: Tensor, others: Tensor, spacing: Sequence[float]) -> Tensor:
    """The number of the nearest of ``others`` (m, 3) for each of ``points`` (n, 3)."""
    step = torch.tensor(spacing, dtype=torch.float64, device=points.device)
    ties = torch.tensor(_TIES, dtype=torch.float64, device=points.device)
    there = others * step
    at_once = max(1, 2**26 // max(1, len(others)))
    return torch.cat(
        [
            torch.cdist(part, there, compute_mode="donot_use_mm_for_euclid_dist").argmin(1)
            for part in ((points + ties) * step).split(at_once)
        ]
    )
