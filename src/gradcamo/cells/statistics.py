"""Intensity statistics of crops, as networks are trained with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from gradcamo.errors import GradcamoError


def mean_and_std(
    images: Iterable[np.ndarray], channels: Sequence[str] = ()
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel over all voxels, in one pass.

    Parameters
    ----------
    images : crops (C, ...), rescaled to [0, 1]
    channels : names, for what is said about them

    Raises
    ------
    GradcamoError
        If there is no image, or a channel is constant.
    """
    total = squares = np.float64(0)
    voxels = 0
    for image in images:
        flat = image.reshape(len(image), -1)
        total = total + flat.sum(1, dtype=np.float64)
        squares = squares + np.einsum("cv,cv->c", flat, flat, dtype=np.float64)
        voxels += flat.shape[1]
    if not voxels:
        raise GradcamoError("no crop to measure intensities on: segment the cells first")
    mean = np.atleast_1d(total / voxels)
    std = np.sqrt(np.maximum(np.atleast_1d(squares / voxels) - mean**2, 0))
    if len(empty := np.flatnonzero(std == 0)):
        named = channels[empty[0]] if channels else f"number {empty[0] + 1}"
        raise GradcamoError(f"channel {named} is constant in every training crop: leave it out")
    return tuple(mean.tolist()), tuple(std.tolist())
