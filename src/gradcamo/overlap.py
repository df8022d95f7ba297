"""Equation 5 and its companions: how much of a localization map lies on its own cell.

Upsampling is linear, G = U G~, so a score never needs the large map: <G, m> = <G~, U'm>. U is
separable, one small matrix per axis, and so is its transpose.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gradcamo.errors import GradcamoError


class Placement(NamedTuple):
    """Where a layer's grid lies in the crop: voxel j at ``origin + step * j`` crop voxels."""

    step: tuple[float, ...]
    origin: tuple[float, ...]


def plain_placement(grid: Sequence[int], shape: Sequence[int]) -> Placement:
    """The published placement: the grid spread evenly, half-pixel centres.

    The same as ``interpolate(..., align_corners=False)``.
    """
    step = tuple(fine / coarse for coarse, fine in zip(grid, shape, strict=True))
    return Placement(step, tuple((s - 1) / 2 for s in step))


def upsampling_matrix(coarse: int, fine: int, step: float, origin: float) -> Tensor:
    """Linear interpolation along one axis, (fine, coarse); rows sum to 1, edges are extended."""
    position = ((torch.arange(fine, dtype=torch.float64) - origin) / step).clamp(0, coarse - 1)
    distance = position[:, None] - torch.arange(coarse, dtype=torch.float64)
    return (1 - distance.abs()).clamp(min=0).float()


def plain_matrix(coarse: int, fine: int) -> Tensor:
    """Half-pixel-centre interpolation along one axis, (fine, coarse)."""
    (step,), (origin,) = plain_placement((coarse,), (fine,))
    return upsampling_matrix(coarse, fine, step, origin)


def upsample_cam(cam: Any, shape: Sequence[int], placement: Placement | None = None) -> Any:
    """Localization maps on the crop's own grid, by linear interpolation.

    Parameters
    ----------
    cam : tensor or array, (..., *grid)
    shape : the crop's shape, as many axes as the grid
    placement : Placement, optional
        Where the grid lies in the crop; the published placement by default.

    Returns
    -------
    (..., *shape), tensor or array as it came.
    """
    maps = _as_maps(cam)
    matrices = _matrices(maps.shape[maps.ndim - len(shape) :], shape, placement, maps.device)
    for axis, matrix in enumerate(matrices, start=maps.ndim - len(shape)):
        maps = _apply(matrix, maps, axis)
    return maps if isinstance(cam, Tensor) else maps.numpy()


def project_mask(mask: Tensor, grid: Sequence[int], placement: Placement | None = None) -> Tensor:
    """U'm: what each coarse voxel contributes to the masked sum, (..., *crop) -> (..., *grid)."""
    n = len(grid)
    shape = mask.shape[mask.ndim - n :]
    out = mask.float()
    # the last axis first: it is contiguous and shrinks the most
    for axis, matrix in reversed(list(enumerate(_matrices(grid, shape, placement, mask.device)))):
        out = _apply(matrix.T, out, mask.ndim - n + axis)
    return out


def grad_camo(cam: Any, mask: Any) -> Any:
    """Share of each localization map that lies on its own cell (equation 5).

    Parameters
    ----------
    cam : (N, *shape), after ReLU and not min-max scaled
    mask : (N, *shape), bool

    Returns
    -------
    (N,) in [0, 1]; NaN for an all-zero map: no attention is not background attention.

    Raises
    ------
    GradcamoError
        If the shapes differ or the maps hold negative, NaN or infinite values.
    """
    maps, masks = _as_maps(cam), torch.as_tensor(mask)
    if maps.shape != masks.shape:
        raise GradcamoError(
            f"maps {tuple(maps.shape)} and masks {tuple(masks.shape)} differ: upsample the maps "
            "with upsample_cam first, or score coarse maps with attention_shares"
        )
    _check_maps(maps)
    own = torch.where(masks.bool().to(maps.device), maps, 0.0)
    share = own.flatten(1).sum(1) / maps.flatten(1).sum(1)  # 0 / 0 is NaN, as it should be
    return share if isinstance(cam, Tensor) else share.numpy()


def attention_shares(
    cam: Any, labels: Any, label: Any, placement: Placement | None = None
) -> dict[str, Any]:
    """Grad-CAMO and its companions, straight from coarse maps.

    Parameters
    ----------
    cam : (N, *grid)
        Maps after ReLU, not min-max scaled; 2D or 3D.
    labels : integers, (N, *crop)
        The label crop of each cell.
    label : (N,)
        Each cell's own id.
    placement : Placement, optional
        Where the grid lies in the crop; the published placement by default.

    Returns
    -------
    dict of (N,) tensors (arrays, if ``cam`` is one)
        ``grad_camo``, ``neighbour_share``, ``background_share`` (sum to 1; NaN for an all-zero
        map), ``chance`` (what a flat map scores), ``ceiling`` (the best map on this grid),
        ``attainable`` = (grad_camo - chance) / (ceiling - chance), NaN where both agree.

    Raises
    ------
    GradcamoError
        If shapes do not fit, a map is negative or not finite, or a crop lacks its own cell.
    """
    maps = _as_maps(cam)
    cells, ids = _as_integers(labels, maps.device), _as_integers(label, maps.device)
    _check_maps(maps)
    if cells.ndim != maps.ndim or len(cells) != len(maps) or ids.shape != (len(maps),):
        raise GradcamoError(
            f"maps {tuple(maps.shape)}, labels {tuple(cells.shape)} and ids {tuple(ids.shape)} do "
            "not fit: expected (N, *grid), (N, *crop) and (N,)"
        )
    grid = maps.shape[1:]
    own = cells == ids.view(-1, *[1] * len(grid))
    if lacking := ids[~own.flatten(1).any(1)].tolist():
        raise GradcamoError(f"the crops of the cells {lacking} do not contain them")
    own_weight = project_mask(own, grid, placement)
    any_weight = project_mask(cells != 0, grid, placement)
    full_weight = project_mask(torch.ones_like(own[:1]), grid, placement)
    shares = overlap_shares(maps, own_weight, any_weight, full_weight)
    shares["chance"] = own.flatten(1).float().mean(1)
    shares["ceiling"] = (own_weight / full_weight).nan_to_num(0.0).flatten(1).amax(1)
    room = shares["ceiling"] - shares["chance"]
    shares["attainable"] = torch.where(
        room > 0, (shares["grad_camo"] - shares["chance"]) / room, torch.nan
    )
    return shares if isinstance(cam, Tensor) else {k: v.numpy() for k, v in shares.items()}


def overlap_shares(
    maps: Tensor, own_weight: Tensor, any_weight: Tensor, full_weight: Tensor
) -> dict[str, Tensor]:
    """Own, neighbour and background share of coarse maps, from projected masks.

    All (N, *grid), ``full_weight`` (1, *grid). Differentiable in ``maps``.
    """
    total = (maps * full_weight).flatten(1).sum(1)  # 0 for an empty map: its shares are NaN
    parts = {
        "grad_camo": own_weight,
        "neighbour_share": (any_weight - own_weight).clamp(min=0),
        "background_share": (full_weight - any_weight).clamp(min=0),
    }
    return {name: (maps * weight).flatten(1).sum(1) / total for name, weight in parts.items()}


def _apply(matrix: Tensor, array: Tensor, axis: int) -> Tensor:
    return torch.movedim(torch.movedim(array, axis, -1) @ matrix.T, -1, axis)


def _matrices(
    grid: Sequence[int], shape: Sequence[int], placement: Placement | None, device: torch.device
) -> list[Tensor]:
    if len(grid) != len(shape):
        raise GradcamoError(f"a map on a grid {tuple(grid)} does not fit a crop {tuple(shape)}")
    step, origin = placement or plain_placement(grid, shape)
    return [
        upsampling_matrix(*axis).to(device) for axis in zip(grid, shape, step, origin, strict=True)
    ]


def _as_maps(cam: Any) -> Tensor:
    maps = torch.as_tensor(cam)
    if not maps.is_floating_point():
        raise GradcamoError(f"localization maps are floating point, got {maps.dtype}")
    return maps.float()


def _as_integers(values: Any, device: torch.device) -> Tensor:
    if not isinstance(values, Tensor):
        import numpy as np

        values = np.asarray(values)
        if values.dtype.kind in "u":  # torch compares few unsigned types
            values = values.astype(np.int64)
    return torch.as_tensor(values, device=device)


def _check_maps(maps: Tensor) -> None:
    if not bool(torch.isfinite(maps).all()):
        raise GradcamoError("a localization map holds NaN or infinite values: check the network")
    if bool((maps < 0).any()):
        raise GradcamoError("a localization map holds negative values: apply the ReLU first")
