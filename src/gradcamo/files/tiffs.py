"""TIFF, ImageJ hyperstacks and OME-TIFF, read plane by plane."""

from __future__ import annotations

import logging
import math
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import get_ident
from typing import Any
from xml.etree import ElementTree

import numpy as np
import tifffile

from gradcamo.errors import GradcamoError
from gradcamo.files.door import plane_of, reading
from gradcamo.files.rawimage import RawImage, position_um, to_um
from gradcamo.files.xml_records import records_of
from gradcamo.mapped import Native

_MOST_PLANES = 1_000_000
_NATIVE = "<" if sys.byteorder == "little" else ">"


def read_tiff(path: Path) -> RawImage:
    """A TIFF's image, memory-mapped where it lies in one piece, else read by Dask when needed.

    Raises
    ------
    GradcamoError
        If the file is no TIFF, lacks pixels or holds several stacks.
    """
    try:
        with _held_back(tifffile.logger()), tifffile.TiffFile(path) as tif:
            _refuse_truncated(tif, path)
            _refuse_endless(tif, path)
            number = _only_stack(tif, path)
            series = tif.series[number]
            _refuse_missing_pixels(tif, series, path)
            axes = "".join(letter if letter not in "QI" else "?" for letter in series.axes)
            channels, spacing = _described(tif, number)
            z_um = _z_position(tif, number)
            data = _lazy(path, tif, number)
    except GradcamoError:
        raise
    except Exception as error:  # whatever a damaged file makes the parser stumble over
        raise GradcamoError(
            f"{path} cannot be read as a TIFF ({error}): it is damaged or another kind of file; "
            "images are TIFF, OME-TIFF or OME-Zarr"
        ) from error
    return RawImage(data, axes, channels, spacing, z_um)


@contextmanager
def _held_back(logger: logging.Logger) -> Iterator[None]:
    """What the parser logs is passed on at the end, or dropped for the error that is raised."""
    held: list[logging.LogRecord] = []
    mine = get_ident()

    def hold(record: logging.LogRecord) -> bool:
        if record.thread != mine:  # other files are opened at the same time
            return True
        held.append(record)
        return False

    logger.addFilter(hold)
    try:
        yield
    finally:
        logger.removeFilter(hold)
    for record in held:
        logger.handle(record)


def _refuse_truncated(tif: tifffile.TiffFile, path: Path) -> None:
    """A file cut off anywhere: its chain of pages or its description does not end."""
    pages, file = tif.pages, tif.filehandle
    len(pages)  # walks the chain
    file.seek(pages.next_page_offset)
    end = file.read(tif.tiff.offsetsize)
    broken = len(end) < tif.tiff.offsetsize or any(end)
    file.seek(pages.first.offset)
    (declared,) = struct.unpack(tif.tiff.tagnoformat, file.read(tif.tiff.tagnosize))
    undescribed = declared > len(pages.first.tags) and not pages.first.description
    if (broken and not tif.is_ndpi) or undescribed:
        raise _truncated(path)


def _refuse_endless(tif: tifffile.TiffFile, path: Path) -> None:
    """Sizes that the description claims and that would fill memory with names of planes."""
    if not tif.is_ome or not tif.ome_metadata:
        return
    for _, said in records_of(tif.ome_metadata, ("Pixels",), str(path)):
        sizes = [int(said[f"Size{axis}"]) for axis in "ZCT" if said.get(f"Size{axis}")]
        if math.prod(sizes) > _MOST_PLANES:
            raise GradcamoError(
                f"{path} says that it has {math.prod(sizes):,} planes: its description is damaged; "
                "export it again"
            )


def _refuse_missing_pixels(
    tif: tifffile.TiffFile, series: tifffile.TiffPageSeries, path: Path
) -> None:
    if any(page is None for page in series.pages):
        raise GradcamoError(
            f"{path} is one of several files and some of the others are missing: put all files of "
            "the image into one folder"
        )
    for page in series.pages:
        ends = map(sum, zip(page.dataoffsets, page.databytecounts, strict=False))
        if max(ends, default=0) > page.parent.filehandle.size:
            raise _truncated(path)
        if any(not at for at in page.dataoffsets):  # they would be read as zeros
            raise GradcamoError(
                f"{path} lacks pixels of its plane {page.index}: it was left unfinished, or is "
                "damaged; export it again"
            )
    # A stack behind a single page, as ImageJ writes it, is taken for a plane when it is cut.
    declared = 0
    if tif.is_imagej:
        declared = (tif.imagej_metadata or {}).get("images", 1) * series.keyframe.size
    elif tif.is_shaped and len(tif.series) == 1:
        declared = max(math.prod(part.get("shape", ())) for part in tif.shaped_metadata or [{}])
    in_one_piece = series.dataoffset is not None
    end = (series.dataoffset or 0) + series.size * series.dtype.itemsize
    if declared > series.size or (in_one_piece and end > tif.filehandle.size):
        raise _truncated(path)


def _truncated(path: Path) -> GradcamoError:
    return GradcamoError(
        f"{path} is truncated: it ends before its last pixels; copy or export it again"
    )


def _only_stack(tif: tifffile.TiffFile, path: Path) -> int:
    """Which series is the one image of the file, or the only one with more than a plane."""
    if len(tif.series) == 1:
        return 0
    deep = [
        number
        for number, series in enumerate(tif.series)
        if math.prod(n for n, a in zip(series.shape, series.axes, strict=True) if a not in "YXS")
        > 1
    ]
    if len(deep) == 1:
        return deep[0]
    found = "; ".join(f"{series.name} {series.axes} {series.shape}" for series in tif.series[:6])
    raise GradcamoError(
        f"{path} holds {len(tif.series)} images ({found}), one was expected: export the one you "
        "want to a file of its own"
    )


def _lazy(path: Path, tif: tifffile.TiffFile, number: int) -> Any:
    series = tif.series[number]
    mapped = None
    if series.dataoffset is not None:
        kind = series.dtype.newbyteorder(tif.byteorder)
        mapped = tif.filehandle.memmap_array(kind, series.shape, series.dataoffset)
    if mapped is not None and tif.byteorder == _NATIVE:
        return mapped
    import dask.array as da

    if mapped is not None:  # ImageJ writes big-endian: swap bytes when a plane is read
        chunks = (1,) * (series.ndim - 2) + series.shape[-2:]
        return da.from_array(Native(mapped), chunks=chunks, name=False)
    planes = len(series.pages)
    page: tuple[int, ...] = series.shape
    while math.prod(page) * planes > series.size:
        page = page[1:]
    lead = series.shape[: series.ndim - len(page)]
    if math.prod(lead) != planes:
        lead, page = (), series.shape
    return da.map_blocks(
        _read_plane,
        chunks=(*((1,) * n for n in lead), *((n,) for n in page)),
        dtype=series.dtype,
        meta=np.empty((0,) * series.ndim, series.dtype),
        path=str(path),
        series=number,
        lead=lead,
        where=f", series {number}" if len(tif.series) > 1 else "",
        order=series.axes,
    )


def _read_plane(
    path: str,
    series: int,
    lead: tuple[int, ...],
    where: str,
    order: str,
    block_id: tuple[int, ...] = (),
) -> np.ndarray:
    index = int(np.ravel_multi_index(block_id[: len(lead)], lead)) if lead else None
    plane = plane_of(order, block_id[: len(lead)]) or "all of it"
    with reading(lambda: f"{_file_of(path, series, index)}{where}, {plane}"):
        read = tifffile.imread(path, series=series, key=index)
        return read[(np.newaxis,) * len(lead)]


def _file_of(path: str, series: int, index: int | None) -> str:
    """The file that a plane lies in, which may be another one of the same image."""
    with suppress(Exception), tifffile.TiffFile(path) as tif:
        return str(tif.series[series].pages[index or 0].parent.filehandle.path)
    return path


def _described(tif: tifffile.TiffFile, number: int) -> tuple[list[str | None], dict[str, float]]:
    """Channel names and voxel size in µm."""
    if tif.is_ome and tif.ome_metadata:
        return _ome(tif.ome_metadata, number, len(tif.series))
    if tif.is_imagej and tif.imagej_metadata:
        return _imagej(tif.imagej_metadata, tif.series[number])
    if properties := _metaseries(tif):
        unit = properties.get("spatial-calibration-units")
        sizes = {a: to_um(properties.get(f"spatial-calibration-{a.lower()}"), unit) for a in "YX"}
        name = properties.get("_IllumSetting_") or properties.get("wavelength name")
        return [name], {axis: size for axis, size in sizes.items() if size}
    return [], {}


def _metaseries(tif: tifffile.TiffFile) -> dict[str, str]:
    """The properties that MetaMorph and MetaXpress write."""
    text = tif.pages.first.description
    if not text.lstrip().startswith("<MetaData"):
        return {}
    found = [record for _, record in records_of(text, ("prop",), tif.filename)]
    return {record.get("id", ""): record.get("value", "") for record in found}


def _z_position(tif: tifffile.TiffFile, number: int) -> float | None:
    """Where the plane of a file of one plane lies."""
    if len(tif.series[number].pages) != 1:
        return None
    if tif.is_ome and tif.ome_metadata:
        planes = records_of(tif.ome_metadata, ("Plane",), tif.filename)
        if len(planes) != 1 or "PositionZ" not in planes[0][1]:
            return None
        plane = planes[0][1]
        return position_um(plane["PositionZ"], plane.get("PositionZUnit", "µm"))
    return position_um(_metaseries(tif).get("z-position"), "um")


def _ome(xml: str, number: int, count: int) -> tuple[list[str | None], dict[str, float]]:
    images = ElementTree.fromstring(xml).findall("{*}Image")
    pixels = images[number].find("{*}Pixels") if len(images) == count else None
    if pixels is None:
        return [], {}
    names = [
        channel.get("Name") or channel.get("Fluor") for channel in pixels.findall("{*}Channel")
    ]
    sizes = {
        axis: to_um(pixels.get(f"PhysicalSize{axis}"), pixels.get(f"PhysicalSize{axis}Unit", "µm"))
        for axis in "ZYX"
    }
    return names, {axis: size for axis, size in sizes.items() if size}


def _imagej(
    metadata: dict[str, Any], series: tifffile.TiffPageSeries
) -> tuple[list[str | None], dict[str, float]]:
    tags, units = series.keyframe.tags, {"X": metadata.get("unit")}
    units |= {axis: metadata.get(f"{axis.lower()}unit", units["X"]) for axis in "ZY"}
    sizes = {"Z": to_um(metadata.get("spacing"), units["Z"])}
    for axis in "YX":
        pixels, length = tags.valueof(f"{axis}Resolution", (0, 0))
        # As in ImageJ, its own unit counts, not the TIFF's, but for µm in a TIFF that counts
        # pixels per cm: these are per cm.
        per_cm = tags.valueof("ResolutionUnit", 1) == tifffile.RESUNIT.CENTIMETER
        unit = "cm" if per_cm and to_um(1, units[axis]) == 1 else units[axis]
        sizes[axis] = to_um(length / pixels, unit) if pixels else None
    # Slices are labelled in the order C, Z, T: a channel is named where its planes agree.
    count, labels = metadata.get("channels", 1), list(metadata.get("Labels", []))
    complete = len(labels) == metadata.get("images", 1)
    named = [set(labels[c::count]) if complete else set() for c in range(count)]
    names = [
        (lines.pop().splitlines() or [None])[0] if len(lines) == 1 else None for lines in named
    ]
    return names, {axis: size for axis, size in sizes.items() if size}
