"""How the intensities of a crop are rescaled to [0, 1], and what keeps them from it."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcamo.errors import GradcamoError
from gradcamo.settings import Rescale

PERCENTILES = (0.1, 99.9)
"""What percentile rescaling takes to 0 and 1."""

HOT = 3
"""A crop's hot voxels reach further above its minimum than so many times the upper percentile."""


def rescale(
    window: np.ndarray,
    name: Any = str,
    source: str = "",
    how: Rescale = "min-max",
    plane: int = 0,
) -> np.ndarray:
    """Each channel of (C, ...) rescaled to [0, 1], float32; a constant channel gives 0.

    Parameters
    ----------
    window : (C, ...)
    name : what a channel is called, by its number
    source : the file, for errors
    how : "min-max", or "percentile": from the 0.1th to the 99.9th percentile of the channel, what
        lies outside clipped
    plane : the stack's plane that the window begins with, for errors

    Raises
    ------
    GradcamoError
        If a channel holds NaN or infinite intensities, or such as are further apart than floating
        point tells: file, channel, planes and count are named.
    """
    axes = tuple(range(1, window.ndim))
    # float32 holds 16 bits exactly; wider intensities are rescaled in float64
    values = window.astype(np.result_type(window.dtype, np.float32))
    low = values.min(axis=axes, keepdims=True)
    with np.errstate(over="ignore", invalid="ignore"):  # told below
        span = values.max(axis=axes, keepdims=True) - low
    if not np.isfinite(span).all():
        refuse_unbounded(window, name, source, plane)
        wide = int((~np.isfinite(span)).ravel().argmax())
        raise GradcamoError(
            f"{source or 'the stack'}, channel {name(wide)}: intensities from "
            f"{low.ravel()[wide]:.3g} to {values[wide].max():.3g} in one crop, further apart than "
            f"{values.dtype} tells: repair or rescale them before auditing"
        )
    if how == "percentile":
        ends = np.array([quantiles(channel.ravel()) for channel in window], values.dtype)
        low, high = ends.T.reshape(2, -1, *[1] * len(axes))
        span = np.maximum(high - low, np.finfo(np.float32).tiny)  # few voxels differ: these clip
        values = ((values - low) / span).clip(0, 1)
    else:
        values -= low
        values /= np.where(span > 0, span, 1)
    return values.astype(np.float32, copy=False)


def refuse_unbounded(window: np.ndarray, name: Any = str, source: str = "", plane: int = 0) -> None:
    """Refuse a window (C, ..., Y, X) that holds NaN or infinite intensities.

    Parameters
    ----------
    window : (C, Y, X) of one plane, or (C, Z, Y, X)
    name, source, plane : as `rescale`

    Raises
    ------
    GradcamoError
        If a channel does: file, channel, planes and count are named.
    """
    if window.dtype.kind != "f":
        return
    bad = ~np.isfinite(window)
    counts = np.count_nonzero(bad, axis=tuple(range(1, window.ndim)))
    if counts.any():
        worst = int(counts.argmax())
        of = bad[worst].any(axis=(-2, -1))
        planes = [str(plane + z) for z in np.flatnonzero(of)]
        raise GradcamoError(
            f"{source or 'the stack'}, channel {name(worst)}, Z {', '.join(planes[:4])}"
            f"{' …' * (len(planes) > 4)}: {counts[worst]} NaN or infinite intensities in one crop: "
            "repair or replace them before auditing"
        )


def quantiles(values: np.ndarray) -> np.ndarray:
    """The lower and the upper percentile of (N,), as `np.quantile` interpolates."""
    shares = np.divide(PERCENTILES, 100)
    if values.dtype not in (np.uint8, np.uint16):
        return np.quantile(values.astype(np.float64), shares)
    places = shares * (len(values) - 1)  # counting is ten times as fast as sorting
    below = np.bincount(values).cumsum()
    ranks = places.astype(int)
    low, high = (below.searchsorted(ranks + step, side="right") for step in (0, 1))
    return low + (high - low) * (places - ranks)


def hot_channels(window: np.ndarray) -> np.ndarray:
    """Which channels of (C, Z, Y, X) are stretched by a few voxels, (C,) bool.

    Those whose maximum exceeds three times the 99.9th percentile, both above the minimum: the
    rest of them is squeezed into the lowest third of what the network sees.
    """
    return np.array([_hot(channel) for channel in window])


def _hot(channel: np.ndarray) -> bool:
    # the percentile lies below a third of the range where few enough voxels reach a third; often
    # some planes have more than those, and hardly ever anything needs to be sorted
    low, high = channel.min().item(), channel.max().item()
    third = low + (high - low) / HOT
    if channel.dtype.kind in "ui":  # counted as integers, which is faster
        third = -(-(2 * low + high) // 3)
    place = PERCENTILES[1] / 100 * (channel.size - 1)
    enough = channel.size - int(place)
    first = 3 * len(channel) // 8
    planes = channel[first : max(first + 1, 5 * len(channel) // 8)]
    if np.count_nonzero(planes >= third) >= enough:
        return False
    reach = np.count_nonzero(channel >= third)
    if reach == enough - 1:  # the percentile lies between the two voxels around a third
        return bool(high - low > HOT * (quantiles(channel.ravel())[1] - low))
    return bool(reach < enough)
