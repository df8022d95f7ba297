"""Microscopes' own formats, read by bioio where it and the plugin for the format are installed."""

from __future__ import annotations

from pathlib import Path
from threading import Lock

from gradcamo.errors import GradcamoError
from gradcamo.files.rawimage import RawImage

PLUGINS = {
    ".czi": "bioio-czi",
    ".nd2": "bioio-nd2",
    ".lif": "bioio-lif",
    ".dv": "bioio-dv",
    ".r3d": "bioio-dv",
    ".sldy": "bioio-sldy",
    ".ims": "bioio-bioformats",
    ".oib": "bioio-bioformats",
    ".oif": "bioio-bioformats",
    ".vsi": "bioio-bioformats",
    ".zip": "bioio-ome-zarr",
}
"""The package that reads each ending; none is a dependency, and bioio-czi is GPL."""
_ONE = Lock()


def read_vendor(path: Path) -> RawImage:
    """The image of a file in a microscope's own format, read by Dask when needed.

    Raises
    ------
    GradcamoError
        If bioio or the plugin is not installed, the file is damaged, or holds several images.
    """
    try:
        from bioio import BioImage
        from bioio_base.exceptions import UnsupportedFileFormatError
    except ImportError as error:
        raise _lacking(path, "bioio ") from error
    try:
        with _ONE:  # not every plugin knows of threads
            image = BioImage(path)
            scenes = image.scenes
            data, axes = image.dask_data, image.dims.order
            sizes, channels = image.physical_pixel_sizes, image.channel_names
    except UnsupportedFileFormatError as error:
        raise _lacking(path, "") from error
    except Exception as error:  # whatever a damaged file makes a plugin stumble over
        raise GradcamoError(
            f"{path} cannot be read by bioio ({error}): it is damaged or another kind of file; "
            "open it in its own software, or export OME-TIFF"
        ) from error
    if len(scenes) > 1:
        raise GradcamoError(
            f"{path} holds {len(scenes)} images ({', '.join(map(str, scenes[:6]))}"
            f"{' …' if len(scenes) > 6 else ''}), one was expected: export each on its own"
        )
    spacing = {axis: float(size) for axis in "ZYX" if (size := getattr(sizes, axis, None))}
    return RawImage(data, axes, tuple(channels or ()), spacing)


def _lacking(path: Path, bioio: str) -> GradcamoError:
    plugin = PLUGINS.get(path.suffix.lower(), "a plugin of bioio for it")
    return GradcamoError(
        f"{path} is in a format of its own ({path.suffix}): install what reads it with "
        f"'pip install {bioio}{plugin}', or export OME-TIFF"
    )
