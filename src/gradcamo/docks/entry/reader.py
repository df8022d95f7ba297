"""File > Open and drag and drop: OME-TIFF and OME-Zarr as one layer per channel, or as labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gradcamo.display import channel_layers, contrast_limits, placement_of
from gradcamo.docks.canvas.sites import named_labels
from gradcamo.errors import GradcamoError
from gradcamo.files.images import is_plate

LayerData = tuple[Any, dict[str, Any], str]
NOTHING: list[Any] = [(None,)]
"""napari's word for: read, and there is no layer."""


def get_reader(path: str | Sequence[str]) -> Callable[[Any], list[Any]] | None:
    """The reader for one path; several paths are left to others."""
    if not isinstance(path, str):
        return None
    return read_plate_folder if Path(path).is_dir() and is_plate(path) else read_layers


def read_plate_folder(path: str) -> list[Any]:
    """Let the window that is open find the stacks in a folder; there are no layers yet.

    Raises
    ------
    GradcamoError
        If no window is open.
    """
    import napari

    from gradcamo.docks.panels.plates.plate_dock import PlateDock
    from gradcamo.docks.panels.steps.load import LoadDock
    from gradcamo.docks.panels.steps.workbench import Workbench, open_docks
    from gradcamo.docks.window import window_of

    viewer = napari.current_viewer()
    if viewer is None:
        raise GradcamoError(
            f"{path} is the folder of a plate, whose stacks are opened one by one in a window: "
            "open napari first, or one of its stacks"
        )
    if not any(isinstance(dock, Workbench | LoadDock | PlateDock) for dock in open_docks(viewer)):
        viewer.window.add_plugin_dock_widget("napari-gradcamo", "Grad-CAMO")
    window_of(viewer).on_disk.read(path)
    return NOTHING


def get_table_reader(path: str | Sequence[str]) -> Callable[[Any], list[Any]] | None:
    """The reader for one table of single cells, whose images are then listed in a dock."""
    from gradcamo.files.single_cells.cells import is_single_cells

    return list_images if isinstance(path, str) and is_single_cells(path) else None


def list_images(path: str) -> list[Any]:
    """List the images of a table of single cells in the window that is open; it has no layers."""
    import napari

    from gradcamo.docks.panels.plates.single_cells_dock import show_single_cells

    viewer = napari.current_viewer()
    if viewer is not None:
        show_single_cells(viewer).load(path)
    return NOTHING


def read_layers(path: str) -> list[LayerData]:
    """Layer data of every channel of a Z-stack, or of a label image that is named as one."""
    from gradcamo.files.labels import read_labels
    from gradcamo.files.stacks import read_stack

    stack = read_stack(path)
    whole = np.dtype(stack.data.dtype).kind in "uib"
    if whole and stack.shape[0] == 1 and named_labels(path):
        about = {"name": Path(path).name.split(".")[0], "metadata": {"path": path}}
        keywords = {**about, "opacity": 0.45, **placement_of(stack.spacing_um)}
        return [(read_labels(path), keywords, "labels")]
    limits = [contrast_limits(channel) for channel in stack.data]
    return [(data, keywords, "image") for data, keywords in channel_layers(stack, limits)]
