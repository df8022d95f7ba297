"""Equation 5 and its companions: how much of a localization map lies on its own cell.

Upsampling is linear, G = U G~, so a score never needs the large map: <G, m> = <G~, U'm>.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from gradcamo.cells.upsampling import Placement, applied, as_maps, matrices_of
from gradcamo.errors import GradcamoError

CACHED = 2**19  # voxels whose masks fit into a processor's cache
ROUNDING = 1e-5  # a relative difference between ceiling and chance that is none


def grad_camo(cam: Any, mask: Any) -> Any:
    """Share of each localization map that lies on its own cell (equation 5).

    Parameters
    ----------
    cam : Tensor or array
        ``(N, *shape)``, after ReLU and not min-max scaled.
    mask : Tensor or array of bool
        ``(N, *shape)``, which voxels are the cell's.

    Returns
    -------
    Tensor or array
        (N,) in [0, 1]; NaN for an all-zero map: no attention is not background attention.

    Raises
    ------
    GradcamoError
        If the shapes differ or the maps hold negative, NaN or infinite values.

    Examples
    --------
    >>> import gradcamo as gc
    >>> import numpy as np
    >>> cam = np.array([[1.0, 3.0, 0.0, 4.0]])
    >>> gc.grad_camo(cam, mask=np.array([[False, True, True, False]])).tolist()
    [0.375]
    """
    maps, masks = as_maps(cam), torch.as_tensor(mask)
    if maps.shape != masks.shape:
        raise GradcamoError(
            f"maps {tuple(maps.shape)} and masks {tuple(masks.shape)} differ: upsample the maps "
            "with upsample_cam first, or score coarse maps with attention_shares"
        )
    if masks.dtype != torch.bool and not ((masks == 0) | (masks == 1)).all():
        raise GradcamoError(
            "a mask says which voxels are the cell's, this one holds numbers other than 0 and 1: "
            "of labels take labels == label"
        )
    _check_maps(maps)
    own = torch.where(masks.bool().to(maps.device), maps, 0.0)
    share = own.flatten(1).sum(1) / maps.flatten(1).sum(1)  # 0 / 0 is NaN, as it should be
    return share if isinstance(cam, Tensor) else share.numpy()


BACKGROUND, ANOTHER, OWN = range(3)  # whose a voxel is


class Footprint(NamedTuple):
    """Cells' crops on a layer's grid: the weight of each coarse voxel in a masked sum.

    ``own`` and ``cells`` (this or another cell) are (N, *grid), ``full`` (the whole crop) is
    (*grid). ``chance`` (N,) is the cell's share of the crop's voxels, ``ceiling`` (N,) what the
    best map on this grid scores.
    """

    own: Tensor
    cells: Tensor
    full: Tensor
    chance: Tensor
    ceiling: Tensor


class Shares(NamedTuple):
    """What `attention_shares` says of N cells, (N,) each."""

    grad_camo: Tensor
    neighbour_share: Tensor
    background_share: Tensor
    chance: Tensor
    ceiling: Tensor
    attainable: Tensor


def footprints(
    owners: Tensor, places: Sequence[tuple[Sequence[int], Placement | None]]
) -> list[Footprint]:
    """Crops of `BACKGROUND`, `ANOTHER` and `OWN`, (N, *crop), on layers' grids, one for each."""
    shape = owners.shape[1:]
    sides = [matrices_of(grid, shape, placement, owners.device) for grid, placement in places]
    at_once = 1 if owners.device.type == "cpu" else max(1, len(owners))  # a CPU has little cache
    parts = [_project_masks(some, sides) for some in owners.split(at_once)]
    found = []
    for masks, matrices in zip(zip(*parts, strict=True), sides, strict=True):
        own, cells = torch.cat(masks, 1)
        full = reduce(lambda product, side: product[..., None] * side, [m.sum(0) for m in matrices])
        ceiling = torch.where(full > 0, own / full, 0.0).flatten(1).amax(1).clamp(max=1)
        size = own.flatten(1).sum(1)  # interpolation keeps sums: voxels of the cell
        chance = (size / math.prod(shape)).clamp(max=1)
        found.append(Footprint(own, cells, full, chance, ceiling))
    return found


def _project_masks(owners: Tensor, sides: Sequence[Sequence[Tensor]]) -> list[Tensor]:
    """Masks of the own cell and of any on every grid, (2, N, *grid) each."""
    first = torch.cat([matrices[0].T for matrices in sides])
    planes = _project_first_axis(owners, first).split([m[0].shape[1] for m in sides], 2)
    projected = []
    for part, (_, *rest) in zip(planes, sides, strict=True):
        for axis, matrix in enumerate(rest, start=3):
            part = applied(matrix.T, part, axis)
        projected.append(part)
    return projected


def _project_first_axis(owners: Tensor, first: Tensor) -> Tensor:
    """The same along the first axis, (2, N, grids, *rest), in pieces that stay in the cache."""
    columns = owners.flatten(2)
    n, z, area = columns.shape
    width = max(1, CACHED // z) if owners.device.type == "cpu" else area
    out = torch.empty(2, n, len(first), area, dtype=first.dtype, device=owners.device)
    masks = torch.empty(2, n, z, width, dtype=first.dtype, device=owners.device)
    for piece, part in zip(columns.split(width, 2), out.split(width, 3), strict=True):
        here = masks[..., : piece.shape[2]]
        torch.eq(piece, OWN, out=here[0])
        torch.ne(piece, BACKGROUND, out=here[1])
        part[:] = first @ here
    return out.unflatten(3, owners.shape[2:])


def attention_shares(
    cam: Any, labels: Any, label: Any, placement: Placement | None = None
) -> dict[str, Any]:
    """Grad-CAMO and its companions, straight from coarse maps.

    Parameters
    ----------
    cam : Tensor or array
        ``(N, *grid)``: maps after ReLU, not min-max scaled; 2D or 3D.
    labels : array of int
        ``(N, *crop)``: the label crop of each cell.
    label : array of int
        (N,): each cell's own id.
    placement : Placement, optional
        Where the grid lies in the crop; the published placement by default.

    Returns
    -------
    dict of str to Tensor or array
        Each (N,): ``grad_camo`` (equation 5), ``neighbour_share``, ``background_share`` (sum to 1;
        NaN for an all-zero map), ``chance`` (what a flat map scores), ``ceiling`` (the best map on
        this grid), ``attainable`` = (grad_camo - chance) / (ceiling - chance), NaN where both
        agree.

    Raises
    ------
    GradcamoError
        If labels are not whole numbers, shapes do not fit, a map is negative or not finite, or a
        crop lacks its own cell.

    Examples
    --------
    >>> import gradcamo as gc
    >>> import numpy as np
    >>> labels = np.zeros((1, 8, 8), int)
    >>> labels[0, :, :4], labels[0, :, 6:] = 1, 2
    >>> shares = gc.attention_shares(np.ones((1, 2, 2)), labels, np.array([1]))
    >>> {name: round(float(value[0]), 2) for name, value in shares.items()}
    {'grad_camo': 0.5, 'neighbour_share': 0.25, 'background_share': 0.25,
     'chance': 0.5, 'ceiling': 0.88, 'attainable': 0.0}
    """
    maps, crops, ids = as_maps(cam), _as_integers(labels), _as_integers(label)
    if maps.ndim != crops.ndim or len(maps) != len(crops):
        raise GradcamoError(
            f"maps {tuple(maps.shape)} and labels {tuple(crops.shape)} of {len(crops)} "
            "cells do not fit: expected (N, *grid) and (N, *crop), with as many axes"
        )
    if crops.ndim < 2 or ids.shape != crops.shape[:1]:
        raise GradcamoError(
            f"labels {tuple(crops.shape)} and ids {tuple(ids.shape)} do not fit: expected "
            "(N, *crop) and (N,)"
        )
    crops, own = crops.to(maps.device), ids.to(maps.device)
    owners = (crops != 0).byte() + (crops == own.view(-1, *[1] * (crops.ndim - 1)))
    (on_grid,) = footprints(owners, [(maps.shape[1:], placement)])
    check(maps, on_grid.chance, ids.tolist())
    shares = score(maps, on_grid)._asdict()
    return shares if isinstance(cam, Tensor) else {k: v.numpy() for k, v in shares.items()}


def score(maps: Tensor, on_grid: Footprint) -> Shares:
    """Shares of coarse maps (N, *grid) after ReLU."""
    own, cells, full, chance, ceiling = on_grid
    flat = maps.flatten(1)
    total = flat @ full.flatten()  # 0 for an empty map: its shares are NaN
    on_own, on_cells = ((flat * part.flatten(1)).sum(1) for part in (own, cells))
    # rounding must not make a share negative, or more than all
    grad_camo = (on_own / total).clamp(max=1)
    gained = ((grad_camo - chance) / (ceiling - chance)).clamp(max=1)
    return Shares(
        grad_camo,
        neighbour_share=((on_cells - on_own) / total).clamp(0, 1),
        background_share=((total - on_cells) / total).clamp(0, 1),
        chance=chance,
        ceiling=ceiling,
        attainable=torch.where(ceiling - chance > ROUNDING * ceiling, gained, torch.nan),
    )


def check(maps: Any, chance: Any, labels: Sequence[int]) -> None:
    """Whether there is something to score: maps (N, *grid), chance (N,) and ids of N cells.

    Raises
    ------
    GradcamoError
        If a map is negative or not finite, or a crop lacks its own cell.
    """
    _check_maps(torch.as_tensor(maps))
    if lacking := [labels[i] for i, share in enumerate(chance.tolist()) if share == 0]:
        raise GradcamoError(f"the crops of the cells {lacking} do not contain them")


def _as_integers(values: Any) -> Tensor:
    if not isinstance(values, Tensor):
        values = np.asarray(values)
        if values.dtype.kind == "u":  # torch compares few unsigned types
            values = values.astype(np.int64)
        values = torch.as_tensor(values)
    if values.is_floating_point() or values.is_complex() or values.dtype == torch.bool:
        raise GradcamoError(f"labels and ids are whole numbers, got {values.dtype}")
    return values


def _check_maps(maps: Tensor) -> None:
    if not maps.numel():
        return
    low, high = (float(end) for end in maps.detach().aminmax())  # NaN where a map holds one
    if not (math.isfinite(low) and math.isfinite(high)):
        raise GradcamoError("a localization map holds NaN or infinite values: check the network")
    if low < 0:
        raise GradcamoError("a localization map holds negative values: apply the ReLU first")
