"""A layer's grid in the crop that the network saw: maps are upsampled, masks projected, linearly.

U is separable, one small matrix per axis, and so is its transpose.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
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


def upsample_cam(cam: Any, shape: Sequence[int], placement: Placement | None = None) -> Any:
    """Localization maps on the crop's own grid, by linear interpolation.

    Parameters
    ----------
    cam : Tensor or array
        ``(..., *grid)``.
    shape : sequence of int
        The crop's shape, as many axes as the grid.
    placement : Placement, optional
        Where the grid lies in the crop; the published placement by default.

    Returns
    -------
    Tensor or array
        ``(..., *shape)``, as it came.

    Examples
    --------
    >>> import gradcamo as gc
    >>> import numpy as np
    >>> gc.upsample_cam(np.array([[0.0, 1.0]]), shape=(4,)).round(2).tolist()
    [[0.0, 0.25, 0.75, 1.0]]
    """
    maps = as_maps(cam)
    matrices = matrices_of(maps.shape[maps.ndim - len(shape) :], shape, placement, maps.device)
    for axis, matrix in enumerate(matrices, start=maps.ndim - len(shape)):
        maps = applied(matrix, maps, axis)
    return maps if isinstance(cam, Tensor) else maps.numpy()


def fine_map(
    cam: np.ndarray, shape: Sequence[int], placement: Placement | None = None
) -> np.ndarray:
    """One cell's map (*grid) on its crop's own grid, (Z, Y, X); a 2D network's has one plane.

    Parameters
    ----------
    cam : array, (*grid)
    shape : of the crop, (Z, Y, X)
    placement : Placement, optional
        As in `upsample_cam`.
    """
    fine = upsample_cam(cam, shape[len(shape) - cam.ndim :], placement)
    return np.asarray(fine).reshape(-1, *shape[1:])


def project_mask(mask: Tensor, grid: Sequence[int], placement: Placement | None = None) -> Tensor:
    """U'm: what each coarse voxel contributes to the masked sum, (..., *crop) -> (..., *grid)."""
    n = len(grid)
    shape = mask.shape[mask.ndim - n :]
    out = mask.float()
    # planes first: they are contiguous, and few are left for the other axes
    matrices = matrices_of(grid, shape, placement, mask.device)
    for axis, matrix in enumerate(matrices, start=mask.ndim - n):
        out = applied(matrix.T, out, axis)
    return out


def applied(matrix: Tensor, array: Tensor, axis: int) -> Tensor:
    if axis == array.ndim - 1:
        return array @ matrix.T
    shape = (*array.shape[:axis], len(matrix), *array.shape[axis + 1 :])
    return (matrix @ array.flatten(axis + 1)).view(shape)


def matrices_of(
    grid: Sequence[int], shape: Sequence[int], placement: Placement | None, device: torch.device
) -> list[Tensor]:
    if len(grid) != len(shape):
        raise GradcamoError(f"a map on a grid {tuple(grid)} does not fit a crop {tuple(shape)}")
    step, origin = placement or plain_placement(grid, shape)
    return [_on_device(*axis, device) for axis in zip(grid, shape, step, origin, strict=True)]


@cache  # recordings of a GPU's work go on reading them
def _on_device(coarse: int, fine: int, step: float, origin: float, device: torch.device) -> Tensor:
    with torch.inference_mode(False):  # whoever comes next may want gradients
        return upsampling_matrix(coarse, fine, step, origin).to(device)


def as_maps(cam: Any) -> Tensor:
    maps = torch.as_tensor(cam)
    if not maps.is_floating_point():
        raise GradcamoError(f"localization maps are floating point, got {maps.dtype}")
    return maps.float()
