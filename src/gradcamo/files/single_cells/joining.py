"""How rows of a table and labels of an image belong together, by the number of the object."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

LEAST_AGREE = 0.5


def how_joined(rows: pd.DataFrame, labels: np.ndarray, centre: Mapping[str, str]) -> str:
    """What of rows and labels has no counterpart, and whether centres agree; else empty.

    Parameters
    ----------
    rows : DataFrame, indexed by object number
    labels : integer array, (Z, Y, X)
    centre : mapping of axis (x, y, perhaps z) to the column with an object's centre, in voxels
        A centre agrees where its voxel, or without z any voxel of its column, is of its object.
    """
    numbers = np.unique(labels)
    numbers = numbers[numbers > 0]
    said = []
    if len(without := np.setdiff1d(numbers, rows.index)):
        said.append(f"{len(without):,} of {len(numbers):,} labels have no row ({_some(without)})")
    if len(without := np.setdiff1d(rows.index, numbers)):
        said.append(f"{len(without):,} of {len(rows):,} rows have no label ({_some(without)})")
    agree, looked = _agreeing(rows[rows.index.isin(numbers)], labels, centre)
    if looked and agree < LEAST_AGREE * looked:
        said.append(
            f"only {agree:,} of {looked:,} centres lie in the label of their number: are these the "
            "labels of the objects that the table is about?"
        )
    return "; ".join(said)


def centres_of(labels: np.ndarray) -> dict[int, tuple[float, float, float]]:
    """The middle (z, y, x) of the box around each label, in voxels."""
    from scipy.ndimage import find_objects

    numbers = np.unique(labels)
    numbers = numbers[numbers > 0]
    dense = np.searchsorted(numbers, labels) + 1  # labels may be any numbers
    dense[labels <= 0] = 0
    boxes = find_objects(dense)
    middles = (tuple((axis.start + axis.stop - 1) / 2 for axis in box) for box in boxes)
    return dict(zip(numbers.tolist(), middles, strict=True))


def _agreeing(rows: pd.DataFrame, labels: np.ndarray, centre: Mapping[str, str]) -> tuple[int, int]:
    """How many centres lie in their label, of how many that lie in the image."""
    if not {"x", "y"} <= set(centre) or not set(centre.values()) <= set(rows):
        return 0, 0
    at = {axis: pd.to_numeric(rows[name], errors="coerce") for axis, name in centre.items()}
    known = pd.DataFrame(at).notna().all(axis=1)
    places = {axis: np.rint(values[known]).astype(np.int64) for axis, values in at.items()}
    sizes = dict(zip("zyx", labels.shape, strict=True))
    inside = np.ones(int(known.sum()), bool)
    for axis, values in places.items():
        inside &= ((values >= 0) & (values < sizes[axis])).to_numpy()
    numbers = rows.index[known][inside].to_numpy()
    y, x = (places[axis].to_numpy()[inside] for axis in "yx")
    if "z" in places:
        hits = labels[places["z"].to_numpy()[inside], y, x] == numbers
    else:
        hits = (labels[:, y, x] == numbers).any(axis=0)
    return int(hits.sum()), len(hits)


def _some(numbers: np.ndarray) -> str:
    return ", ".join(map(str, numbers[:4])) + (" …" if len(numbers) > 4 else "")
