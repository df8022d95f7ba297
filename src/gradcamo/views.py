"""One plane of one cell with its heatmap: what galleries and thumbnails show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np

from gradcamo.colours import NEIGHBOURS, OWN
from gradcamo.datatypes import CellCrop, ZStack

HEAT = "inferno"


@dataclass(frozen=True, eq=False)
class CellView:
    """One plane of a cell: all (Y, X).

    ``image`` is grey in [0, 1]; ``cam`` is the localization map with its hottest voxel at 1;
    ``own`` and ``others`` are the masks of the cell and of its neighbours.
    """

    image: np.ndarray
    cam: np.ndarray
    own: np.ndarray
    others: np.ndarray
    title: str = ""


def cell_view(crop: CellCrop, cam: np.ndarray, title: str = "") -> CellView:
    """The plane through the middle of a cell.

    Parameters
    ----------
    crop : CellCrop
        Shows the mean of its channels, bright enough to see the dim ones.
    cam : (Z, Y, X), or (Y, X) of a 2D network
        The localization map on the crop's own grid.
    title : str
    """
    own = crop.labels == crop.label
    planes = np.flatnonzero(own.any((1, 2)))
    z = int(planes[len(planes) // 2]) if len(planes) else own.shape[0] // 2
    image = crop.image[:, z].mean(0)
    bright = float(np.quantile(image, 0.998)) or 1.0
    plane = cam[z] if cam.ndim == 3 else cam
    return CellView(
        image=(image / bright).clip(0, 1),
        cam=plane / (float(cam.max()) or 1.0),
        own=own[z],
        others=(crop.labels[z] != 0) & ~own[z],
        title=title,
    )


def overlay(view: CellView, heat: float = 0.85, outlines: bool = True) -> np.ndarray:
    """The plane with its heatmap, hotter where more opaque, and outlines: (Y, X, 3) in [0, 1]."""
    import matplotlib
    from matplotlib.colors import to_rgb

    opacity = (heat * view.cam)[..., None]
    colours = matplotlib.colormaps[HEAT](0.25 + 0.75 * view.cam)[..., :3]
    picture = view.image[..., None] * (1 - opacity) + colours * opacity
    for mask, colour in ((view.others, NEIGHBOURS), (view.own, OWN)) if outlines else ():
        picture[outline_of(mask)] = to_rgb(colour)
    return picture


def thumbnail(view: CellView, size: int = 96) -> bytes:
    """The overlay as a JPEG of at most ``size`` pixels a side, for reports."""
    from PIL import Image

    picture = Image.fromarray((overlay(view) * 255).round().astype(np.uint8))
    picture.thumbnail((size, size), Image.Resampling.LANCZOS)
    file = BytesIO()
    picture.save(file, "JPEG", quality=80)
    return file.getvalue()


def outline_of(mask: np.ndarray) -> np.ndarray:
    """The outermost voxels of a mask."""
    from scipy.ndimage import binary_erosion

    return mask & ~binary_erosion(mask, border_value=1)


def plane_view(
    stack: ZStack,
    labels: Any,
    label: int,
    plane: int,
    start: Sequence[int],
    size_yx: tuple[int, int],
    cam: np.ndarray | None = None,
) -> CellView:
    """One plane of a cell, of which alone is read; `cell_view` looks at the whole crop.

    Parameters
    ----------
    stack : ZStack
    labels : integer array, (Z, Y, X)
    label : int
    plane : int
    start : the window's first voxel (z, y, x), which may be negative
    size_yx : the window's height and width
    cam : (Z, Y, X), optional
        The localization map on the window's own grid.
    """
    from gradcamo.cells.crops import inside, padded
    from gradcamo.cells.rescaling import rescale

    first, *yx = start
    part = inside(stack.data[:, plane], yx, size_yx)
    scaled = rescale(part, stack.channels.__getitem__, stack.source, plane=plane)
    image = padded(scaled, yx, size_yx)
    found = padded(inside(labels[plane], yx, size_yx), yx, size_yx)
    mean = image.mean(0)
    heat = np.zeros(size_yx, np.float32)
    if cam is not None and 0 <= plane - first < len(cam):
        heat = cam[plane - first]
    top = 1.0 if cam is None else float(cam.max()) or 1.0
    own = found == label
    return CellView(
        image=(mean / (float(np.quantile(mean, 0.998)) or 1.0)).clip(0, 1),
        cam=heat / top,
        own=own,
        others=(found != 0) & ~own,
    )
