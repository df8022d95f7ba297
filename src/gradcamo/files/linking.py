"""Masks of single planes, joined along z."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def link_planes(planes: Sequence[np.ndarray] | np.ndarray, threshold: float) -> np.ndarray:
    """Join masks of neighbouring planes whose overlap reaches a threshold into cells.

    A mask takes the number of the mask below with which its intersection over union is largest,
    among those that have no larger one with another mask of its plane, as Cellpose stitches.

    Parameters
    ----------
    planes : integer arrays, (Y, X)
        Numbered within each plane, 0 is background.
    threshold : float
        Smallest intersection over union of two masks of one cell.

    Returns
    -------
    numpy.ndarray, (Z, Y, X), integer
        Numbered from 1 without gaps, of 16 bits where these do.

    Examples
    --------
    >>> import numpy as np
    >>> link_planes([np.array([[7, 7, 0]]), np.array([[3, 3, 0]])], 0.5).tolist()
    [[[1, 1, 0]], [[1, 1, 0]]]
    """
    linked = np.empty((len(planes), *planes[0].shape), np.uint16)
    top = 0
    for z, plane in enumerate(planes):
        ids, inverse = np.unique(plane, return_inverse=True)
        number = inverse.reshape(plane.shape)
        names = np.zeros(len(ids), np.int32)
        if z:
            names = _partners(number, ids != 0, linked[z - 1], threshold)
        new = (ids != 0) & (names == 0)
        names[new] = np.arange(top + 1, top + 1 + new.sum())
        top += int(new.sum())
        if top > np.iinfo(linked.dtype).max:
            linked = linked.astype(np.int32)
        linked[z] = names[number]
    return linked


def _partners(
    number: np.ndarray, is_mask: np.ndarray, below: np.ndarray, threshold: float
) -> np.ndarray:
    """For each mask the number of its partner in the plane below, 0 where it has none."""
    ids, inverse = np.unique(below, return_inverse=True)
    shape = (len(is_mask), len(ids))
    pairs = number.ravel() * shape[1] + inverse.ravel()
    both = np.bincount(pairs, minlength=shape[0] * shape[1]).reshape(shape)
    iou = both / (both.sum(1, keepdims=True) + both.sum(0, keepdims=True) - both)
    iou[~is_mask] = 0
    iou[:, ids == 0] = 0
    iou[(iou < threshold) | (iou < iou.max(0))] = 0
    best = iou.argmax(1)
    return np.where(iou.max(1) > 0, ids[best], 0).astype(np.int32)
