"""OME-Zarr images, versions 0.1 to 0.5, at full resolution."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

from gradcamo.errors import GradcamoError
from gradcamo.files.door import Door
from gradcamo.files.omezarr_metadata import Axis, Level, Metadata, Multiscale, checked
from gradcamo.files.rawimage import RawImage, to_um
from gradcamo.files.zarr_chunks import WholeChunks, absent_chunks

_BEFORE_AXES = [Axis(name=letter) for letter in "tczyx"]  # versions 0.1 and 0.2 fix them


def is_zarr(path: Path) -> bool:
    """Whether a folder is a Zarr group or array."""
    return any((path / name).is_file() for name in ("zarr.json", ".zgroup", ".zattrs", ".zarray"))


def ome_metadata(path: Path) -> Metadata:
    """What OME-Zarr says about a group (0.5 keeps it under ``ome``, 0.4 on top).

    Raises
    ------
    GradcamoError
        If the folder is not a Zarr group, or its metadata are not what the specification says.
    """
    import zarr

    try:
        attributes: dict[str, Any] = zarr.open_group(path, mode="r").attrs.asdict()
    except Exception as error:  # zarr raises many kinds
        raise GradcamoError(
            f"{path} is a folder but no OME-Zarr ({error}): name an image file, or the folder "
            "that ends in .zarr; a folder of many stacks is a plate (gradcamo plate, gc.read_plate)"
        ) from error
    inner = attributes.get("ome")
    return checked({**attributes, **(inner if isinstance(inner, dict) else {})}, path)


def read_omezarr(path: Path) -> RawImage:
    """An OME-Zarr image's first (full) resolution as a Dask array.

    Raises
    ------
    GradcamoError
        If the folder is no OME-Zarr image, is a plate or holds several images.
    """
    said = ome_metadata(path)
    if said.plate is not None:
        well = said.plate.wells[0].path if said.plate.wells else "A/1"
        raise GradcamoError(
            f"{path} is a plate of many images: read it with read_plate, or name one field of it, "
            f"such as {path / well / '0'}"
        )
    if not said.multiscales:
        return read_omezarr(_only_child(path, said))
    import dask.array as da
    import zarr

    multiscale = said.multiscales[0]
    level = multiscale.datasets[0]
    try:
        array = zarr.open_array(path / level.path, mode="r")
    except Exception as error:
        raise GradcamoError(
            f"{path} is an OME-Zarr without its first resolution ({error}): copy it again, whole"
        ) from error
    if any(n < 1 for n in (*array.shape, *array.chunks)) or _truths(path / level.path):
        raise GradcamoError(
            f"{path} declares an array of shape {array.shape} in chunks of {array.chunks}: correct "
            "its metadata"
        )
    axes = [_axis(axis) for axis in multiscale.axes or _BEFORE_AXES]
    order = "".join(letter for letter, _ in axes)
    if len(order) != array.ndim or len(set(order)) != array.ndim:
        raise GradcamoError(
            f"{path} declares the axes {order} for an array of shape {array.shape}: correct its "
            "metadata"
        )
    door = Door(WholeChunks(array), str(path), order)
    data = da.from_array(door, chunks=array.chunks, name=False, getitem=_chunk)
    sizes = _voxel_size(axes, multiscale, level, path)
    names = [channel.label for channel in said.omero.channels]
    lacking = partial(absent_chunks, array)
    return RawImage(data, order, names, sizes, absent=lacking, chunks=array.chunks)


def _truths(folder: Path) -> bool:
    """Whether a shape holds ``true``, which zarr reads as 1."""
    files = [file for name in ("zarr.json", ".zarray") if (file := folder / name).is_file()]
    return any(type(n) is bool for file in files for n in json.loads(file.read_text())["shape"])


def _chunk(array: Door, index: tuple[slice, ...], *_: Any) -> Any:
    """A whole chunk: with a reader of its own, Dask asks for no part of one."""
    return array[index]


def _only_child(path: Path, said: Metadata) -> Path:
    """The image in a bioformats2raw container or the label image in a ``labels`` group."""
    children = [path / name for name in said.labels]
    if said.container is not None:
        children = sorted(child for child in path.iterdir() if child.name.isdigit())
    if outside := [one for one in children if path.resolve() not in one.resolve().parents]:
        raise GradcamoError(f"{path} names the image {outside[0]}, which lies outside of it")
    if len(children) == 1:
        return children[0]
    if children:
        raise GradcamoError(f"{path} holds {len(children)} images: name one, such as {children[0]}")
    raise GradcamoError(
        f"{path} is a Zarr group without multiscales metadata, so not an OME-Zarr image: name the "
        "group that holds the image"
    )


def _axis(axis: Axis) -> tuple[str, str | None]:
    """Letter and unit."""
    by_type = {"channel": "C", "time": "T"}.get(axis.type or "")
    return by_type or axis.name.upper()[:1], axis.unit


def _voxel_size(
    axes: list[tuple[str, str | None]], multiscale: Multiscale, level: Level, path: Path
) -> dict[str, float]:
    scale = [1.0] * len(axes)
    declared = False
    for owner in (level, multiscale):
        for transform in owner.coordinateTransformations:
            if transform.type == "scale" and transform.scale is not None:
                if len(transform.scale) != len(axes):
                    raise GradcamoError(
                        f"{path} declares {len(axes)} axes and a scale of {len(transform.scale)} "
                        "numbers: correct its metadata"
                    )
                scale = [a * b for a, b in zip(scale, transform.scale, strict=True)]
                declared = True
    sizes = {letter: to_um(step, unit) for (letter, unit), step in zip(axes, scale, strict=True)}
    return {axis: size for axis, size in sizes.items() if declared and size and axis in "ZYX"}
