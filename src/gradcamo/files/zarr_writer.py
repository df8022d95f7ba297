"""Z-stacks and labels as OME-Zarr 0.5, whole or not at all."""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from gradcamo.datatypes import Spacing, ZStack
from gradcamo.errors import GradcamoError
from gradcamo.files.titles import plain_title
from gradcamo.files.wells import well_place

VERSION = "0.5"
_CHUNK_ZYX = (16, 256, 256)


@contextmanager
def landing_folder(path: str | Path) -> Iterator[Path]:
    """A scratch folder beside ``path`` that takes its place once all is in it.

    Raises
    ------
    GradcamoError
        If something stands at ``path``, or the folder cannot be written.
    """
    path = Path(path)
    if path.exists():
        raise GradcamoError(f"{path} is there already: name another place, or remove it")
    scratch = path.with_name(f".{secrets.token_hex(4)}-{path.name}")
    try:
        scratch.mkdir(parents=True)
        yield scratch
        scratch.rename(path)
    except OSError as error:
        raise GradcamoError(
            f"{path} could not be written ({error.strerror or error}): make room or choose another "
            "place"
        ) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def write_zarr(path: str | Path, stack: ZStack, labels: np.ndarray | None = None) -> None:
    """Write a Z-stack, and its labels (Z, Y, X) as ``labels/cells``, as an OME-Zarr image.

    Raises
    ------
    GradcamoError
        If something stands there, or it cannot be written.
    """
    with landing_folder(path) as scratch:
        write_image(scratch, stack, labels)


def write_image(folder: Path, stack: ZStack, labels: np.ndarray | None = None) -> None:
    """`write_zarr` into an empty folder."""
    import zarr

    image = zarr.create_group(folder, zarr_format=3, overwrite=True)
    _write_level(image, stack.data, stack.spacing_um)
    channels = [{"label": name, "active": True} for name in stack.channels]
    about: dict[str, Any] = {
        **_multiscales("CZYX", stack.spacing_um, plain_title(stack.source)),
        "omero": {"channels": channels},
    }
    image.attrs["ome"] = about
    if labels is not None:
        group = image.create_group("labels")
        group.attrs["ome"] = {"version": VERSION, "labels": ["cells"]}
        cells = group.create_group("cells")
        _write_level(cells, labels, stack.spacing_um)
        cells.attrs["ome"] = {
            **_multiscales("ZYX", stack.spacing_um, "cells"),
            "image-label": {"source": {"image": "../../"}},
        }


def _write_level(group: Any, data: Any, spacing_um: Spacing | None) -> None:
    """Slab by slab, so that a stack larger than memory passes; each chunk with a checksum.

    The checksum is zstd's own, which is part of its frames: whoever reads zstd reads it.
    """
    from zarr.codecs import ZstdCodec

    shape = tuple(data.shape)
    chunks = (*(1,) * (len(shape) - 3), *map(min, _CHUNK_ZYX, shape[-3:]))
    names = ["c", "z", "y", "x"][-len(shape) :]
    array = group.create_array(
        "0",
        shape=shape,
        chunks=chunks,
        dtype=np.dtype(data.dtype),
        dimension_names=names,
        compressors=ZstdCodec(checksum=True),
        config={"write_empty_chunks": True},  # a chunk that is absent is one that was lost
    )
    for lead in np.ndindex(shape[:-3]):
        for z in range(0, shape[-3], chunks[-3]):
            part = (*lead, slice(z, z + chunks[-3]))
            array[part] = np.asarray(data[part])


def _multiscales(axes: str, spacing_um: Spacing | None, name: str) -> dict[str, Any]:
    """Axes with their units, where the voxel size is known; a scale of 1 stands for unknown."""
    known = dict(zip("ZYX", spacing_um or (None,) * 3, strict=True))
    described: list[dict[str, str]] = []
    for axis in axes:
        entry = {"name": axis.lower(), "type": "channel" if axis == "C" else "space"}
        described.append(entry | ({"unit": "micrometer"} if known.get(axis) else {}))
    scale = [known.get(axis) or 1.0 for axis in axes]
    level = {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": scale}]}
    return {
        "version": VERSION,
        "multiscales": [{"name": name, "axes": described, "datasets": [level]}],
    }


def write_plate_metadata(folder: Path, name: str, fields: Mapping[str, Sequence[str]]) -> None:
    """What makes a folder of fields ``row/column/field`` an OME-Zarr plate.

    Parameters
    ----------
    folder : path
    name : of the plate
    fields : names of fields by well, as in ``{"B/2": ["0", "1"]}``
    """
    import zarr

    plate = zarr.create_group(folder, zarr_format=3, overwrite=False)
    wells = [tuple(path.split("/")) for path in fields]
    rows, columns = (list(dict.fromkeys(parts)) for parts in zip(*wells, strict=True))
    plate.attrs["ome"] = {
        "version": VERSION,
        "plate": {
            "name": name,
            "rows": [{"name": row} for row in rows],
            "columns": [{"name": column} for column in columns],
            "wells": [
                {
                    "path": f"{row}/{column}",
                    "rowIndex": rows.index(row),
                    "columnIndex": columns.index(column),
                }
                for row, column in wells
            ],
            "field_count": max(map(len, fields.values())),
        },
    }
    for path, names in fields.items():
        row, column = path.split("/")
        plate.require_group(row)
        well = plate.require_group(f"{row}/{column}")
        well.attrs["ome"] = {
            "version": VERSION,
            "well": {"images": [{"path": field} for field in names]},
        }


def well_path(well: str, taken: Sequence[str]) -> str:
    """Row and column of a well as a path of letters and digits: ``B02`` is ``B/02``."""
    place = well_place(well)
    if place:
        return f"{place[0]}/{place[1]:02d}"
    letters = re.sub(r"[^A-Za-z]", "", well) or "X"
    path = f"{letters}/{re.sub(r'[^0-9]', '', well) or '0'}x"
    while path in taken:
        path += "x"
    return path
