"""Heatmaps of cells as OME-TIFF, one file a cell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gradcamo.files.landing import landing, to_json
from gradcamo.files.seal import TIFF_TAG
from gradcamo.files.stacks import ome_spacing


def write_maps(
    folder: str | Path,
    labels: Iterable[int],
    maps: Iterable[np.ndarray],
    starts_zyx: Iterable[Sequence[int]],
    spacing_um: Sequence[float | None] | None = None,
    about: Mapping[str, Any] | None = None,
) -> list[Path]:
    """Write heatmaps of cells as float32 OME-TIFF, one ``LABEL.ome.tif`` per cell.

    Parameters
    ----------
    folder : path
        One folder per stack.
    labels, maps, starts_zyx : iterables of the same length
        Label, map (Z, Y, X) on the crop's grid, and the crop's first voxel (z, y, x) in the stack,
        which goes with the label into the image's description as JSON.
    spacing_um : (z, y, x), optional
        Voxel size in µm.
    about : mapping, optional
        What else the description says: image, layer, alignment, gradients, checkpoint.

    Raises
    ------
    GradcamoError
        If a file cannot be written.
    """
    import tifffile

    written = []
    for label, cam, start in zip(labels, maps, starts_zyx, strict=True):
        about_cell = {"label": int(label), "start_zyx": [int(s) for s in start], **(about or {})}
        metadata = {"axes": "ZYX", "Description": to_json(about_cell), **ome_spacing(spacing_um)}
        with landing(Path(folder) / f"{int(label)}.ome.tif") as scratch:
            tifffile.imwrite(
                scratch,
                np.asarray(cam, np.float32),
                ome=True,
                compression="zlib",
                photometric="minisblack",
                metadata=metadata,
                extratags=[TIFF_TAG],
            )
        written.append(Path(folder) / f"{int(label)}.ome.tif")
    return written
