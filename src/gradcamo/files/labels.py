"""Label images (Z, Y, X), read and written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gradcamo.errors import GradcamoError
from gradcamo.files.axes import arranged
from gradcamo.files.images import open_image
from gradcamo.files.landing import landing
from gradcamo.files.stacks import ome_spacing


def read_labels(
    path: str | Path | Mapping[str, Any] | pd.Series, axes: str | None = None
) -> np.ndarray:
    """Read a label image: 0 is background, every cell has its own positive number.

    Parameters
    ----------
    path : path, or a row of `read_plate`
        As `read_stack`; a label image inside OME-Zarr is ``image.ome.zarr/labels/cells``.
    axes : str, optional
        As `read_stack`. A file that declares none is taken as (Y, X) or (Z, Y, X): labels have no
        channels.

    Returns
    -------
    numpy.ndarray, (Z, Y, X), integer

    Raises
    ------
    GradcamoError
        As `read_stack`, and if there are several channels, negative numbers or fractions.
    """
    if not isinstance(path, str | Path):
        return read_labels(str(path["labels"]), axes)
    raw = open_image(path)
    if axes is None and raw.axes == "?YX":
        axes = "ZYX"
    data = arranged(raw, axes, path)
    if data.shape[0] != 1:
        raise GradcamoError(
            f"{path} has {data.shape[0]} channels, a label image has one number per voxel: is it "
            "the image itself?"
        )
    labels = np.asarray(data[0])
    if labels.dtype.kind not in "uib":
        with np.errstate(invalid="ignore"):
            whole = labels.astype(np.int64)
        if not np.array_equal(whole, labels):
            raise GradcamoError(
                f"{path} holds fractions ({labels.dtype}), labels are whole numbers: is it the "
                "image itself?"
            )
        labels = whole
    if labels.size and (labels.min() < 0 or labels.max() > np.iinfo(np.int64).max):
        raise GradcamoError(
            f"{path} holds labels from {labels.min()} to {labels.max()}: 0 is background and "
            "cells have positive numbers; relabel it"
        )
    if labels.dtype.kind == "b":
        return labels.astype(np.uint8)
    return labels.astype(np.int64) if labels.dtype == np.uint64 else np.ascontiguousarray(labels)


def write_labels(
    path: str | Path, labels: np.ndarray, spacing_um: Sequence[float | None] | None = None
) -> None:
    """Write labels (Z, Y, X) as zlib-compressed OME-TIFF, whole or not at all.

    Parameters
    ----------
    path : path
    labels : numpy.ndarray, (Z, Y, X), integer
        Stored as uint16 where that is enough, else uint32.
    spacing_um : (z, y, x), optional
        Voxel size in µm; axes along which it is not known (None) are left out.

    Raises
    ------
    GradcamoError
        If these are no labels or the file cannot be written.
    """
    import tifffile

    labels = np.asarray(labels)
    highest = int(labels.max(initial=0))
    if labels.ndim != 3 or labels.dtype.kind not in "ui" or labels.min(initial=0) < 0:
        raise GradcamoError(
            f"labels are (Z, Y, X) whole numbers from 0, got {labels.dtype} of shape {labels.shape}"
        )
    if highest > np.iinfo(np.uint32).max:
        raise GradcamoError(
            f"label {highest} does not fit a TIFF (at most {np.iinfo(np.uint32).max}): relabel"
        )
    smallest = np.uint16 if highest <= np.iinfo(np.uint16).max else np.uint32
    with landing(path) as scratch:
        tifffile.imwrite(
            scratch,
            labels.astype(smallest),
            ome=True,
            compression="zlib",
            photometric="minisblack",
            metadata={"axes": "ZYX", **ome_spacing(spacing_um)},
        )
