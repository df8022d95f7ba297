"""Whatever file or folder an image lies in, opened."""

from __future__ import annotations

from pathlib import Path

from gradcamo.errors import GradcamoError
from gradcamo.files.rawimage import RawImage
from gradcamo.files.vendors import PLUGINS, read_vendor


def open_image(path: str | Path) -> RawImage:
    """An image as its file declares it, without reading its voxels.

    Raises
    ------
    GradcamoError
        If there is none, or it is damaged or of another kind.
    """
    path = Path(path)
    if not path.exists():
        raise GradcamoError(f"there is no image {path}: check the path")
    if not (path.is_file() or path.is_dir()):  # opening a pipe may wait for ever
        raise GradcamoError(f"{path} is a pipe, a socket or a device: name a file")
    if path.is_dir():
        if strange := [at for at in path.glob("*") if not (at.is_file() or at.is_dir())]:
            raise GradcamoError(f"{strange[0]} is neither a file nor a folder: remove it")
        from gradcamo.files.omezarr import read_omezarr

        return read_omezarr(path)
    if path.suffix.lower() in (".npy", ".png"):
        from gradcamo.files.arrays import read_npy, read_png

        return read_npy(path) if path.suffix.lower() == ".npy" else read_png(path)
    if path.suffix.lower() in PLUGINS:
        return read_vendor(path)
    from gradcamo.files.tiffs import read_tiff

    return read_tiff(path)


def is_plate(path: str | Path) -> bool:
    """Whether a path is a plate rather than an image: a table, a folder, an OME-Zarr plate."""
    from gradcamo.files.omezarr import is_zarr, ome_metadata

    path = Path(path)
    if path.is_dir() and is_zarr(path):
        return ome_metadata(path).plate is not None
    return path.is_dir() or path.suffix.lower() in (".csv", ".parquet", ".pq")
