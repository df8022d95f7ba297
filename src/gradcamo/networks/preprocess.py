"""From rescaled crops to what the network sees."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from gradcamo.errors import GradcamoError


def rescaled(images: Tensor) -> Tensor:
    """Each channel of (N, C, *spatial) min-max rescaled to [0, 1]; what is so already stays.

    The same numbers as `gradcamo.cells.crops.rescale`, on the images' device.
    """
    low, high = images.flatten(2).aminmax(dim=2)
    span = torch.where(high > low, high - low, 1)
    low, span = (ends.view(*ends.shape, *[1] * (images.ndim - 2)) for ends in (low, span))
    return (images - low).div_(span)


def standardise(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """(v - mean_c) / std_c of (N, C, *spatial), with the training set's statistics."""
    shape = (1, -1, *[1] * (images.ndim - 2))
    centre = torch.tensor(mean, dtype=images.dtype, device=images.device).view(shape)
    spread = torch.tensor(std, dtype=images.dtype, device=images.device).view(shape)
    return (images - centre) / spread


def resize(images: Tensor, size: Sequence[int]) -> Tensor:
    """(N, C, *spatial) to (N, C, *size), bi- or trilinear with half-pixel centres.

    On a CPU, trilinear is done as bilinear planes, then along z: the same numbers, several times
    faster than ``interpolate(mode="trilinear")``, and laid out as ``channels_last_3d``.
    """
    if tuple(images.shape[2:]) == tuple(size):
        return images
    if len(size) == 2:
        return _interpolate(images, size)
    if images.device.type != "cpu":
        return _interpolate(images, size, "trilinear")
    n, channels, planes = images.shape[:3]
    flat = images.transpose(1, 2).flatten(0, 1).contiguous(memory_format=torch.channels_last)
    wide = _interpolate(flat, size[1:]).permute(0, 2, 3, 1)
    # whole planes stand where torch expects channels, which it blends fastest
    column = wide.reshape(n, planes, 1, -1).permute(0, 3, 1, 2)
    deep = _interpolate(column, (size[0], 1)).permute(0, 2, 3, 1)
    return deep.reshape(n, *size, channels).permute(0, 4, 1, 2, 3)


def _interpolate(images: Tensor, size: Sequence[int], mode: str = "bilinear") -> Tensor:
    return F.interpolate(images, size=tuple(size), mode=mode, align_corners=False)


def choose_device(name: str) -> torch.device:
    """The device called ``name``; ``auto`` takes the GPU if there is one.

    Raises
    ------
    GradcamoError
        If there is no such device.
    """
    if name != "auto":
        try:
            return torch.empty(0, device=name).device
        except (RuntimeError, AssertionError, NotImplementedError) as error:
            raise GradcamoError(
                f"this computer has no device {name!r} that torch can use: choose auto or cpu"
            ) from error
    if torch.cuda.is_available():
        return torch.empty(0, device="cuda").device  # with its number
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
