"""Label images (Z, Y, X), read and written."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcamo.datatypes import ZStack
from gradcamo.errors import GradcamoError, GradcamoWarning
from gradcamo.files.axes import arranged
from gradcamo.files.file_sequence import read_gaps
from gradcamo.files.gaps import has_gaps
from gradcamo.files.images import open_image
from gradcamo.files.landing import landing
from gradcamo.files.linking import link_planes
from gradcamo.files.masks import connected_pieces, refuse_mask, too_large
from gradcamo.files.rawimage import RawImage
from gradcamo.files.seal import TIFF_TAG, check_seal
from gradcamo.files.stacks import ome_spacing
from gradcamo.files.told import says_yes, told
from gradcamo.mapped import slabs

if TYPE_CHECKING:
    import pandas as pd

STITCH = 0.05
"""Overlap (IoU) at which masks of neighbouring planes become one cell, as in segmentation."""


def read_labels(
    path: str | Path | Mapping[str, Any] | pd.Series,
    axes: str | None = None,
    stitch_threshold: float = STITCH,
    like: ZStack | None = None,
    connected: bool = False,
) -> np.ndarray:
    """Read a label image: 0 is background, every cell has its own positive number.

    Parameters
    ----------
    path : path or row of a plate
        As `read_stack`, PNG or npy; a label image inside OME-Zarr is
        ``image.ome.zarr/labels/cells``. A path with a gap, ``"masks_{z}.npy"``, stands for one
        mask for each plane. Of a row of `read_plate`, ``labels`` is read as its columns
        labels_axes, labels_stitch, labels_coarser and connected tell.
    axes : str, optional
        As `read_stack`. Labels have neither channels nor time points: where there is one axis
        beside Y and X, it holds planes, whatever the file calls it.
    stitch_threshold : float
        Masks of one plane each are numbered within their planes: those of neighbouring planes that
        overlap so much (intersection over union; 0.05 by default) become one cell. 0: they have
        the same numbers in all planes.
    like : ZStack, optional
        A stack whose size labels of a coarser level are brought to, voxel by voxel.
    connected : bool
        Whether every connected piece becomes a cell of its own, for masks, in which all cells
        have one number.

    Returns
    -------
    ndarray
        (Z, Y, X), integer; of 16 bits where these do.

    Raises
    ------
    GradcamoError
        As `read_stack`, and if there are several channels, negative numbers or fractions, if they
        are a mask, if the file holds pickled objects, or its size is no whole part of that of
        ``like``.

    Examples
    --------
    >>> import gradcamo as gc
    >>> labels = gc.read_labels("plate/labels/E02_s1.ome.tif")
    >>> labels.shape, int(labels.max())
    ((9, 160, 160), 18)
    """
    if not isinstance(path, str | Path):
        return _of_row(path, axes, stitch_threshold, like, connected)
    labels = _read(path, axes, stitch_threshold, connected)
    return labels if like is None else enlarged(labels, like.shape[1:], path)


def _of_row(
    row: Mapping[str, Any] | pd.Series,
    axes: str | None,
    stitch_threshold: float,
    like: ZStack | None,
    connected: bool,
) -> np.ndarray:
    if not (path := told(row, "labels")):
        raise GradcamoError(f"{told(row, 'image') or 'the row'} has no labels: segment it first")
    axes = axes or told(row, "labels_axes") or None
    if said := told(row, "labels_stitch"):
        try:
            stitch_threshold = float(said)
        except ValueError as error:
            raise GradcamoError(
                f"labels_stitch is an overlap from 0 to 1, got {said!r} for {path}"
            ) from error
    like = like if says_yes(row, "labels_coarser") else None
    connected = connected or says_yes(row, "connected")
    try:
        return read_labels(path, axes, stitch_threshold, like, connected)
    except GradcamoError as error:
        if not (told(row, "well") and told(row, "site")):
            raise
        raise type(error)(f"well {row['well']}, site {row['site']}: {error}") from error


def enlarged(labels: np.ndarray, shape: Sequence[int], path: str | Path = "") -> np.ndarray:
    """Labels of a coarser level at a stack's size (Z, Y, X): every voxel is repeated.

    Raises
    ------
    GradcamoError
        If they are no coarser level of it.
    """
    factors = coarser_by(labels.shape, shape)
    if factors is None:
        raise GradcamoError(
            f"{path or 'labels'} of (Z, Y, X) = {tuple(labels.shape)} are no coarser level of a "
            f"stack of {tuple(shape)}: open the labels that were made for it"
        )
    for axis, (factor, size) in enumerate(zip(factors, shape, strict=True)):
        if factor > 1:
            places = np.minimum(np.arange(size) // factor, labels.shape[axis] - 1)
            labels = np.take(labels, places, axis=axis)
    return labels


def coarser_by(labels: Sequence[int], stack: Sequence[int]) -> tuple[int, ...] | None:
    """By which whole factors labels are coarser than a stack, along z, y and x; None if not."""
    if len(labels) != len(stack) or any(n < 1 for n in labels):
        return None
    factors = [max(1, round(whole / n)) for n, whole in zip(labels, stack, strict=True)]
    for n, whole, factor in zip(labels, stack, factors, strict=True):
        if n not in (whole // factor, -(-whole // factor)):
            return None
    return tuple(factors)


def _read(
    path: str | Path, axes: str | None, stitch_threshold: float, connected: bool
) -> np.ndarray:
    labels = _whole_numbers(open_labels(path, axes), path)
    if Path(path).suffix.lower() in (".tif", ".tiff") and Path(path).is_file():
        check_seal(path)
    if connected:
        return connected_pieces(labels)
    refuse_mask(labels, path)
    return link_planes(labels, stitch_threshold) if has_gaps(path) and stitch_threshold else labels


def open_labels(path: str | Path, axes: str | None = None) -> Any:
    """A label image (Z, Y, X) as it lies in its file, without reading its voxels.

    Raises
    ------
    GradcamoError
        As `read_labels`, for what the file says about itself.
    """
    many = has_gaps(path)
    if many:
        raw = read_gaps(path, axes, labels=True)
    else:
        raw = open_image(path)
        if axes is None:
            raw = planes_of_labels(raw, path)
    data = arranged(raw, None if many else axes, path)
    if data.shape[0] != 1:
        raise GradcamoError(
            f"{path} has {data.shape[0]} channels, a label image has one number per voxel: is it "
            "the image itself?"
        )
    return data[0]


def planes_of_labels(raw: RawImage, path: str | Path) -> RawImage:
    """Labels whose only axis beside Y and X is taken for planes, which is said where it is named.

    Samples behind X are colours: a picture of labels, not labels.
    """
    further = [i for i, n in enumerate(raw.data.shape) if n > 1 and raw.axes[i] not in "YX"]
    if "S" in raw.axes and raw.axes.index("S") > raw.axes.index("X"):
        raise GradcamoError(
            f"{path} is a colour picture (axes {raw.axes}, shape {tuple(raw.data.shape)}): labels "
            "have one number per voxel; export them as grey levels of 16 bits"
        )
    if len(further) != 1 or raw.axes[further[0]] == "Z" or not set("YX") <= set(raw.axes):
        return raw
    (place,) = further
    name = {"T": "time points", "C": "channels"}.get(raw.axes[place])
    if name:
        warnings.warn(
            f"{path} calls its {raw.data.shape[place]} planes {name}: labels have no {name}, so "
            "they are taken for planes",
            GradcamoWarning,
            stacklevel=2,
        )
    kept = [i for i, letter in enumerate(raw.axes) if i == place or letter in "YX"]
    data = raw.data[tuple(slice(None) if i in kept else 0 for i in range(raw.data.ndim))]
    order = "".join("Z" if i == place else raw.axes[i] for i in kept)
    return RawImage(data, order, (), raw.spacing_um)


def _whole_numbers(lazy: Any, path: str | Path) -> np.ndarray:
    """Whole numbers from 0 up of an array (Z, Y, X), read slab by slab.

    In 16 bits where these do, whatever the file has; else in its own type, of which those wider
    than 32 bits, and those that are no integers, are narrowed to 32 bits where these do.
    """
    kind = np.dtype(lazy.dtype)
    wider = [kind if kind.kind in "ui" and kind.itemsize <= 4 else np.dtype(np.int32)]
    wider.append(np.dtype(np.int64))
    labels = np.empty(lazy.shape, np.uint8 if kind.itemsize == 1 else np.uint16)
    low, high, first = 0, 0, 0
    for slab in slabs(lazy):
        low, high = min(low, slab.min(initial=0)), max(high, slab.max(initial=0))
        while wider and not _holds(labels.dtype, low, high):
            labels = labels.astype(wider.pop(0), copy=False)
        part = labels[first : first + len(slab)]
        with np.errstate(invalid="ignore"):
            part[:] = slab
        if kind.kind not in "uib" and not np.array_equal(part, slab):
            raise GradcamoError(
                f"{path} holds fractions ({kind}), labels are whole numbers: is it the image "
                "itself?"
            )
        first += len(slab)
    if high > np.iinfo(np.int64).max:
        raise GradcamoError(f"{path} {too_large(int(high))}")
    if low < 0:
        raise GradcamoError(
            f"{path} holds labels from {low} to {high}: 0 is background and cells have positive "
            "numbers; relabel it"
        )
    return labels


def _holds(dtype: np.dtype, low: float, high: float) -> bool:
    return bool(np.iinfo(dtype).min <= low <= high <= np.iinfo(dtype).max)


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
            extratags=[TIFF_TAG],
        )
