"""Chosen cells as images in the frame of their stack: labels and heatmaps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from gradcamo.cells.upsampling import Placement

VOLUME_NOTE = (
    "Grad-CAM of each cell divided by its largest value, on the cell's crop; the larger value "
    "where crops overlap; 0 outside all crops"
)


def only_labels(labels: Any, keep: Iterable[int]) -> np.ndarray:
    """Labels (Z, Y, X) with these cells alone, under the numbers that they have."""
    chosen = np.fromiter(keep, np.int64)
    planes = (np.asarray(plane) for plane in labels)
    return np.stack([np.where(np.isin(plane, chosen), plane, 0) for plane in planes])


def fine_maps(
    cams: Iterable[np.ndarray], shape: tuple[int, ...], placements: Iterable[Placement | None]
) -> Iterator[np.ndarray]:
    """Coarse maps on their crops' own grid, one by one, each (Z, Y, X) = ``shape``."""
    from gradcamo.cells.upsampling import fine_map

    for cam, placement in zip(cams, placements, strict=True):
        yield np.broadcast_to(fine_map(cam, shape, placement), shape)


def heatmap_volume(
    shape: tuple[int, ...], maps: Iterable[np.ndarray], starts_zyx: Iterable[Sequence[int]]
) -> np.ndarray:
    """All maps in one volume in the stack's frame, see `VOLUME_NOTE`.

    Parameters
    ----------
    shape : of the stack, (Z, Y, X)
    maps : of the cells, on their crops' own grids
    starts_zyx : first voxel of each crop, may be negative

    Returns
    -------
    (Z, Y, X) float32 in [0, 1]
    """
    volume = np.zeros(shape, np.float32)
    for cam, start in zip(maps, starts_zyx, strict=True):
        low = [max(0, -int(s)) for s in start]
        ends = zip(start, cam.shape, shape, strict=True)
        high = [min(n, whole - int(s)) for s, n, whole in ends]
        part = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        place = tuple(
            slice(int(s) + a, int(s) + b) for s, a, b in zip(start, low, high, strict=True)
        )
        top = float(cam.max()) or 1.0
        np.maximum(volume[place], cam[part] / top, out=volume[place])
    return volume


def write_volume(
    path: str | Path,
    volume: np.ndarray,
    spacing_um: Sequence[float | None] | None = None,
    about: Mapping[str, Any] | None = None,
) -> None:
    """Write a volume (Z, Y, X) as float32 OME-TIFF, whole or not at all.

    Raises
    ------
    GradcamoError
        If the file cannot be written.
    """
    import tifffile

    from gradcamo.files.landing import landing, to_json
    from gradcamo.files.stacks import ome_spacing

    metadata = {"axes": "ZYX", "Description": to_json(about or {}), **ome_spacing(spacing_um)}
    with landing(path) as scratch:
        tifffile.imwrite(
            scratch,
            volume.astype(np.float32, copy=False),
            ome=True,
            compression="zlib",
            photometric="minisblack",
            metadata=metadata,
        )
