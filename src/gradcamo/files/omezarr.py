"""OME-Zarr images, versions 0.1 to 0.5, at full resolution."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from gradcamo.errors import GradcamoError
from gradcamo.files.door import Door
from gradcamo.files.rawimage import RawImage, to_um
from gradcamo.files.zarr_chunks import WholeChunks, absent_chunks

_BEFORE_AXES = ["t", "c", "z", "y", "x"]  # versions 0.1 and 0.2 fix them


def is_zarr(path: Path) -> bool:
    """Whether a folder is a Zarr group or array."""
    return any((path / name).is_file() for name in ("zarr.json", ".zgroup", ".zattrs", ".zarray"))


def ome_attributes(path: Path) -> dict[str, Any]:
    """What OME-Zarr says about a group (0.5 keeps it under ``ome``, 0.4 on top).

    Raises
    ------
    GradcamoError
        If the folder is not a Zarr group.
    """
    import zarr

    try:
        attributes: dict[str, Any] = zarr.open_group(path, mode="r").attrs.asdict()
    except Exception as error:  # zarr raises many kinds
        raise GradcamoError(
            f"{path} is a folder but no OME-Zarr ({error}): name an image file, or the folder "
            "that ends in .zarr"
        ) from error
    return {**attributes, **attributes.get("ome", {})}


def read_omezarr(path: Path) -> RawImage:
    """An OME-Zarr image's first (full) resolution as a Dask array.

    Raises
    ------
    GradcamoError
        If the folder is no OME-Zarr image, is a plate or holds several images.
    """
    attributes = ome_attributes(path)
    if "plate" in attributes:
        raise GradcamoError(
            f"{path} is a plate of many images: read it with read_plate, or name one field of it, "
            f"such as {path / attributes['plate']['wells'][0]['path'] / '0'}"
        )
    if "multiscales" not in attributes:
        return read_omezarr(_only_child(path, attributes))
    import dask.array as da
    import zarr

    try:
        multiscale = attributes["multiscales"][0]
        level = multiscale["datasets"][0]
        array = zarr.open_array(path / level["path"], mode="r")
    except Exception as error:
        raise GradcamoError(
            f"{path} is an OME-Zarr without its first resolution ({error}): copy it again, whole"
        ) from error
    axes = [_axis(axis) for axis in multiscale.get("axes", _BEFORE_AXES)]
    order = "".join(letter for letter, _ in axes)
    if len(order) != array.ndim or len(set(order)) != array.ndim:
        raise GradcamoError(
            f"{path} declares the axes {order} for an array of shape {array.shape}: correct its "
            "metadata"
        )
    door = Door(WholeChunks(array), str(path), order)
    data = da.from_array(door, chunks=array.chunks, name=False, getitem=_chunk)
    sizes = _voxel_size(axes, multiscale, level)
    names = [channel.get("label") for channel in attributes.get("omero", {}).get("channels", [])]
    lacking = partial(absent_chunks, array)
    return RawImage(data, order, names, sizes, absent=lacking, chunks=array.chunks)


def _chunk(array: Door, index: tuple[slice, ...], *_: Any) -> Any:
    """A whole chunk: with a reader of its own, Dask asks for no part of one."""
    return array[index]


def _only_child(path: Path, attributes: Mapping[str, Any]) -> Path:
    """The image in a bioformats2raw container or the label image in a ``labels`` group."""
    children = [path / name for name in attributes.get("labels", [])]
    if "bioformats2raw.layout" in attributes:
        children = sorted(child for child in path.iterdir() if child.name.isdigit())
    if len(children) == 1:
        return children[0]
    if children:
        raise GradcamoError(f"{path} holds {len(children)} images: name one, such as {children[0]}")
    raise GradcamoError(
        f"{path} is a Zarr group without multiscales metadata, so not an OME-Zarr image: name the "
        "group that holds the image"
    )


def _axis(axis: str | Mapping[str, Any]) -> tuple[str, str | None]:
    """Letter and unit."""
    if isinstance(axis, str):
        return axis.upper()[:1], None
    by_type = {"channel": "C", "time": "T"}.get(str(axis.get("type")))
    return by_type or str(axis["name"]).upper()[:1], axis.get("unit")


def _voxel_size(
    axes: list[tuple[str, str | None]], multiscale: Mapping[str, Any], level: Mapping[str, Any]
) -> dict[str, float]:
    scale = [1.0] * len(axes)
    declared = False
    for owner in (level, multiscale):
        for transform in owner.get("coordinateTransformations", []):
            if transform.get("type") == "scale" and "scale" in transform:
                if len(transform["scale"]) != len(axes):
                    raise GradcamoError(
                        f"an OME-Zarr declares {len(axes)} axes and a scale of "
                        f"{len(transform['scale'])} numbers: correct its metadata"
                    )
                scale = [a * b for a, b in zip(scale, transform["scale"], strict=True)]
                declared = True
    sizes = {letter: to_um(step, unit) for (letter, unit), step in zip(axes, scale, strict=True)}
    return {axis: size for axis, size in sizes.items() if declared and size and axis in "ZYX"}
