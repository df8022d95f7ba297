"""NumPy arrays and pictures (PNG) as images."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gradcamo.errors import GradcamoError
from gradcamo.files.rawimage import RawImage

_PICKLE = (
    "holds pickled Python objects, which can run any code and are never opened. Of Cellpose's "
    "_seg.npy export the masks: File > Save masks as PNG/tif in its window, or "
    "np.save('masks.npy', masks), or cellpose.io.save_masks(…, png=True)"
)


def read_npy(path: Path) -> RawImage:
    """An array that NumPy saved, memory-mapped; its axes are not declared, but for the last two.

    Raises
    ------
    GradcamoError
        If the file is damaged, or holds pickled objects.
    """
    with path.open("rb") as file:
        magic = file.read(6)
    if magic[:1] == b"\x80":
        raise GradcamoError(f"{path} {_PICKLE}")
    try:
        data = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        if "object" in str(error).lower() or "pickle" in str(error).lower():
            raise GradcamoError(f"{path} {_PICKLE}") from error
        raise _damaged(path, error) from error
    except (OSError, EOFError) as error:
        raise _damaged(path, error) from error
    if not isinstance(data, np.ndarray) or data.ndim < 2:
        raise GradcamoError(f"{path} holds no image: an array of (Y, X) or more is expected")
    if not data.size:
        raise GradcamoError(f"{path} has no voxels (shape {data.shape}): save it again")
    return RawImage(data, "?" * (data.ndim - 2) + "YX")


def read_png(path: Path) -> RawImage:
    """A picture of one plane; of one with a palette its numbers.

    Raises
    ------
    GradcamoError
        If it is damaged.
    """
    from PIL import Image

    try:
        with Image.open(path) as picture:
            data = np.asarray(picture)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise _damaged(path, error) from error
    return RawImage(data, "YX" if data.ndim == 2 else "YXS")


def _damaged(path: Path, error: Exception) -> GradcamoError:
    return GradcamoError(f"{path} cannot be read ({error}): it is damaged; save it again")
