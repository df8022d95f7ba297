"""From rescaled crops to what the network sees."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def standardise(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """(v - mean_c) / std_c of (N, C, *spatial), with the training set's statistics."""
    shape = (1, -1, *[1] * (images.ndim - 2))
    centre = torch.tensor(mean, dtype=images.dtype, device=images.device).view(shape)
    spread = torch.tensor(std, dtype=images.dtype, device=images.device).view(shape)
    return (images - centre) / spread


def resize(images: Tensor, size: Sequence[int]) -> Tensor:
    """(N, C, *spatial) to (N, C, *size), bi- or trilinear with half-pixel centres."""
    if tuple(images.shape[2:]) == tuple(size):
        return images
    mode = "trilinear" if len(size) == 3 else "bilinear"
    return F.interpolate(images, size=tuple(size), mode=mode, align_corners=False)


def choose_device(name: str) -> torch.device:
    """The device called ``name``; ``auto`` takes the GPU if there is one."""
    if name != "auto":
        return torch.device(name)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
