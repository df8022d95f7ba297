"""Where each cell of a label image lies."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd


def cell_extents(labels: Any) -> pd.DataFrame:
    """Where every cell lies, from one pass over the planes.

    Parameters
    ----------
    labels : integer array, (Z, Y, X)
        0 is background; ids may have gaps and may be large.

    Returns
    -------
    DataFrame indexed by label, ascending, with the inclusive voxel ranges ``z0 y0 x0 z1 y1 x1``,
    the number of ``voxels`` and the centroid ``centroid_z centroid_y centroid_x`` in voxels.
    """
    planes = [_runs(z, np.asarray(labels[z])) for z in range(labels.shape[0])]
    label, *extents = _merged(np.concatenate(planes, axis=1))
    cells = pd.DataFrame(dict(zip(_EXTENTS, extents, strict=True)), pd.Index(label, name="label"))
    for axis in "zyx":
        cells[f"centroid_{axis}"] /= cells["voxels"]
    return cells


_EXTENTS = ["z0", "y0", "x0", "z1", "y1", "x1", "voxels", "centroid_z", "centroid_y", "centroid_x"]


def _runs(z: int, plane: np.ndarray) -> np.ndarray:
    # a run of equal ids along x stands for its voxels: there are few of them
    begins = np.ones(plane.shape, bool)
    np.not_equal(plane[:, 1:], plane[:, :-1], out=begins[:, 1:])
    first = np.flatnonzero(begins)
    label, n = plane.ravel()[first].astype(np.int64), np.diff(first, append=plane.size)
    first, label, n = (values[label != 0] for values in (first, label, n))
    y, x = np.divmod(first, plane.shape[1])
    zs = np.full_like(n, z)
    sums = [n, z * n, y * n, x * n + n * (n - 1) // 2]
    return _merged(np.stack([label, zs, y, x, zs, y, x + n - 1, *sums]))


def _merged(parts: np.ndarray) -> np.ndarray:
    # columns are parts of cells: label, first and last voxel (z, y, x), voxels, sums of z, y, x
    parts = parts[:, np.argsort(parts[0], kind="stable")]
    cell = np.flatnonzero(np.diff(parts[0], prepend=0))
    if not cell.size:
        return parts
    label, first, last, total = np.split(parts, [1, 4, 7])
    return np.concatenate(
        [
            label[:, cell],
            np.minimum.reduceat(first, cell, axis=1),
            np.maximum.reduceat(last, cell, axis=1),
            np.add.reduceat(total, cell, axis=1),
        ]
    )
