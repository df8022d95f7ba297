"""Image files into Z-stacks (C, Z, Y, X)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcamo.datatypes import ZStack, refuse_no_stack
from gradcamo.errors import GradcamoError
from gradcamo.files.axes import arranged
from gradcamo.files.channel_names import named
from gradcamo.files.file_sequence import name_of_channels, read_channels, read_gaps
from gradcamo.files.gaps import has_gaps
from gradcamo.files.images import open_image
from gradcamo.files.landing import landing
from gradcamo.files.rawimage import RawImage
from gradcamo.files.told import told
from gradcamo.files.voxel_size import spacing_of

if TYPE_CHECKING:
    import pandas as pd


def read_stack(
    path: str | Path | Mapping[str, Any] | pd.Series,
    axes: str | None = None,
    channels: Sequence[str] | Mapping[str, str] | None = None,
    spacing_um: Sequence[float | None] | None = None,
) -> ZStack:
    """Open a Z-stack without reading its voxels.

    Parameters
    ----------
    path : path or row of a plate
        TIFF, ImageJ hyperstack, OME-TIFF, or an OME-Zarr image. 2D images become one plane. A path
        with gaps stands for many files: ``"r02c03f01p{z}-ch{channel}.tiff"`` has one for each plane
        and channel, in natural order; ``*`` stands for anything within a name. Of a row of
        `read_plate`, ``image`` is read, a path or one for each channel by its name, and what its
        columns axes, channel_names and spacing_um tell.
    axes : str, optional
        One letter per dimension (C channels, Z planes, Y rows, X columns, T time), such as
        ``"CZYX"``, of each file. Default: what the file declares. It is never guessed.
    channels : sequence of str or mapping, optional
        Names of the file's channels in order, or new names by old ones. Default: from its metadata,
        else ``channel 0`` and so on.
    spacing_um : tuple of float, optional
        Voxel size (z, y, x) in µm. Default, for each axis left out (None) too: from the metadata,
        else None.

    Returns
    -------
    ZStack
        ``.data`` (C, Z, Y, X) memory-mapped or a Dask array.

    Raises
    ------
    GradcamoError
        If the file is missing, damaged, truncated, no image or more than one, or if its axes are
        undeclared or cannot be brought to (C, Z, Y, X); if planes of a stack of many files are
        missing, there twice or not alike.

    Examples
    --------
    >>> import gradcamo as gc
    >>> gc.read_stack("plate/images/E02_s1.ome.tif").shape
    (6, 9, 160, 160)
    >>> renamed = gc.read_stack("plate/images/E02_s1.ome.tif", channels={"Hoechst": "DNA"})
    >>> renamed.channels
    ('DNA', 'concanavalin', 'SYTO14', 'WGA', 'phalloidin', 'MitoTracker')
    """
    if isinstance(path, str | Path):
        return _read(path, axes, channels, spacing_um)
    row = path
    axes = axes or told(row, "axes") or None
    channels = channels or told(row, "channel_names") or None
    if spacing_um is None and (said := told(row, "spacing_um")):
        spacing_um = spacing_of(said)
    try:
        return _read(row["image"], axes, channels, spacing_um)
    except GradcamoError as error:
        if not (told(row, "well") and told(row, "site")):
            raise
        raise type(error)(f"well {row['well']}, site {row['site']}: {error}") from error


def _read(
    path: str | Path | Mapping[str, str],
    axes: str | None,
    channels: Sequence[str] | Mapping[str, str] | None,
    spacing_um: Sequence[float | None] | None,
) -> ZStack:
    if isinstance(path, Mapping):
        raw = read_channels(path, axes)
        data, path = raw.data, name_of_channels(path)
    elif has_gaps(path):
        raw = read_gaps(path, axes)
        data = raw.data
    else:
        raw = open_image(path)
        data = arranged(raw, axes, path)
    names = _names(raw.channels, data.shape[0])
    if channels is not None:
        names = named(names, channels, path)
    known = raw.spacing_um or {}
    steps = zip("ZYX", spacing_um or (None,) * 3, strict=True)
    spacing = tuple(known.get(axis) if step is None else step for axis, step in steps)
    lacking = partial(_lacking, raw, axes or raw.axes, tuple(names)) if raw.absent else None
    return ZStack(data, tuple(names), spacing, str(path), lacking)  # type: ignore[arg-type]


def _lacking(raw: RawImage, order: str, names: tuple[str, ...]) -> dict[str, tuple[int, int]]:
    """By channel, how many of its chunks the file lacks, of how many."""
    assert raw.absent is not None
    absent = raw.absent()
    if "C" not in order.upper():
        return dict.fromkeys(names, (int(absent.sum()), absent.size))
    axis = order.upper().index("C")
    found = {}
    for c, name in enumerate(names):
        of_channel = absent.take(c // raw.chunks[axis], axis)
        found[name] = (int(of_channel.sum()), of_channel.size)
    return found


def stack_of_array(data: Any, axes: str, source: str = "") -> ZStack:
    """The Z-stack that an array holds, its axes named as in `read_stack`.

    Raises
    ------
    GradcamoError
        If the axes do not describe the array, or cannot be brought to (C, Z, Y, X).
    """
    data = arranged(RawImage(data, "?" * data.ndim), axes, source or "the array")
    return ZStack(data, tuple(_names((), data.shape[0])), None, source)


def write_stack(path: str | Path, stack: ZStack, labels: np.ndarray | None = None) -> None:
    """Write a Z-stack in one piece, whole or not at all, with names of channels and voxel size.

    Parameters
    ----------
    path : path
        ``.zarr`` for OME-Zarr 0.5, written slab by slab; anything else for OME-TIFF.
    stack : ZStack
        (C, Z, Y, X), of any type that the format holds.
    labels : array of int, optional
        (Z, Y, X); stored in the OME-Zarr as ``labels/cells``; an OME-TIFF has no room for them.

    Raises
    ------
    GradcamoError
        If the file cannot be written, or an OME-Zarr is there already.

    Examples
    --------
    >>> import gradcamo as gc
    >>> stack = gc.read_stack("plate/images/E02_s1.ome.tif")
    >>> labels = gc.read_labels("plate/labels/E02_s1.ome.tif")
    >>> gc.write_stack("E02.ome.zarr", stack, labels)
    >>> gc.read_stack("E02.ome.zarr").spacing_um
    (0.6, 0.701, 0.701)
    >>> gc.read_labels("E02.ome.zarr/labels/cells").shape
    (9, 160, 160)
    """
    refuse_no_stack(stack, "the second place of write_stack(path, stack)")
    if Path(path).suffix.lower() == ".zarr":
        from gradcamo.files.zarr_writer import write_zarr

        write_zarr(path, stack, labels)
        return
    import tifffile

    with landing(path) as scratch:
        tifffile.imwrite(
            scratch,
            np.asarray(stack.data),
            ome=True,
            photometric="minisblack",
            metadata={
                "axes": "CZYX",
                "Channel": {"Name": list(stack.channels)},
                **ome_spacing(stack.spacing_um),
            },
        )


def ome_spacing(spacing_um: Sequence[float | None] | None) -> dict[str, Any]:
    """What is known of a voxel size (z, y, x) in µm as tifffile's OME metadata."""
    steps = zip("ZYX", spacing_um or (None,) * 3, strict=True)
    sizes = {f"PhysicalSize{axis}": float(step) for axis, step in steps if step is not None}
    return {**sizes, **{f"{name}Unit": "µm" for name in sizes}}


def _names(declared: Sequence[str | None], count: int) -> list[str]:
    """One different name per channel."""
    given = list(declared) if len(declared) == count else [None] * count
    names: list[str] = []
    for index, name in enumerate(given):
        name = (name or "").strip() or f"channel {index}"
        twin = 2
        unique = name
        while unique in names:
            unique, twin = f"{name} ({twin})", twin + 1
        names.append(unique)
    return names
