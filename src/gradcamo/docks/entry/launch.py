"""A napari window with the workbench open and a stack, labels and a checkpoint loaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradcamo.errors import GradcamoError
from gradcamo.files.images import is_plate

if TYPE_CHECKING:
    import napari
    import numpy as np

    from gradcamo.datatypes import ZStack
    from gradcamo.docks.canvas.sites import Site
    from gradcamo.files.single_cells.cells import SingleCells
    from gradcamo.networks.checkpoint import Checkpoint
    from gradcamo.settings import FolderSettings


def open_window(
    stack: ZStack | str | Path | Mapping[str, Any] | None = None,
    labels: np.ndarray | str | Path | None = None,
    checkpoint: Checkpoint | str | Path | None = None,
    *,
    cells: SingleCells | None = None,
    viewer: napari.Viewer | None = None,
    audit: bool = False,
    run: bool = False,
    told: FolderSettings | None = None,
) -> napari.Viewer:
    """Open napari with the Grad-CAMO workbench and what is given in it.

    Parameters
    ----------
    stack : ZStack, path or row of a plate, optional
        (C, Z, Y, X). Name the channels of an array in ``gc.ZStack(array, channels=(…))``. Or a
        plate, a folder of stacks or a table: its stacks are listed beside the window and opened one
        by one; ``labels`` says how label images in the folder are named.
    labels : array of int or path, optional
        (Z, Y, X), 0 outside cells. Painting in napari changes an array in place. Scores, flags and
        notes are kept, and found again by what the labels hold.
    checkpoint : Checkpoint or path, optional
        The network that is explained; ``"bundled"`` for the small one of this package.
    cells : SingleCells, optional
        A table of single cells, see `read_single_cells`: its images are listed, and opened by a
        double click with its rows joined to their labels.
    viewer : Viewer, optional
        A window that is open already; what it works on makes room.
    audit : bool
        Whether to score all cells at once, in the background.
    run : bool
        Whether to come back only when the window is closed, for scripts.
    told : FolderSettings, optional
        Of a plate: how its files are named, and what they do not say.

    Returns
    -------
    Viewer
        The napari viewer.

    Raises
    ------
    GradcamoError
        If something cannot be read, is no stack or no labels, labels and stack do not fit, or
        ``audit`` lacks one of the three; no window is opened.

    Examples
    --------
    >>> import gradcamo as gc
    >>> image, labels = "plate/images/E02_s1.ome.tif", "plate/labels/E02_s1.ome.tif"
    >>> viewer = gc.open_window(image, labels, "bundled")
    >>> [layer.name for layer in viewer.layers][:2]
    ['Hoechst', 'concanavalin']
    """
    plate = stack if isinstance(stack, str | Path) and is_plate(stack) else None
    if plate is not None and labels is not None:
        told = _with_labels(told, labels)
    site = None if stack is None or plate is not None else _site(stack, labels)
    alone, path = _labels(labels) if stack is None else (None, None)
    network, name = _network(checkpoint)
    if audit and (site is None or site.labels is None or network is None):
        raise GradcamoError("to score all cells, give a stack, its labels and a checkpoint")

    import napari

    from gradcamo.docks.panels.plates.single_cells_dock import show_single_cells
    from gradcamo.docks.window import window_of
    from gradcamo.settings import AuditSettings

    if viewer is None:
        viewer = napari.Viewer(title="Grad-CAMO")
    viewer.window.add_plugin_dock_widget("napari-gradcamo", "Grad-CAMO")
    window = window_of(viewer)
    if plate is not None:
        window.on_disk.read(plate, told)
    elif site is not None:
        window.sites.show(site)
    elif alone is not None:
        window.sites.show_labels(alone, path=path)
    if cells is not None:
        show_single_cells(viewer)
        window.single_cells.show(cells)
    if network is not None:
        path = Path(checkpoint) if isinstance(checkpoint, (str, Path)) else None
        window.session.set_checkpoint(network, name, path)
    if audit:
        window.audits.start(AuditSettings())
    if run:
        napari.run()
    return viewer


def _site(
    stack: ZStack | str | Path | Mapping[str, Any], labels: np.ndarray | str | Path | None
) -> Site:
    from dataclasses import replace

    from gradcamo.datatypes import ZStack, refuse_no_stack
    from gradcamo.docks.canvas.sites import read_site, site_of
    from gradcamo.files.misfits import refuse_misfit

    if not (isinstance(stack, str | Path) or hasattr(stack, "items")):
        refuse_no_stack(stack, "a window")
    if isinstance(stack, ZStack):
        site = site_of(stack)
    else:
        site = read_site(stack, labels if isinstance(labels, str | Path) else None)
    if site.labels is None:
        array, path = _labels(labels)
        site = replace(site, labels=array, path=path)
    if site.labels is not None:
        refuse_misfit(site.labels.shape, site.stack, site.path or "")
    return site


def _with_labels(told: FolderSettings | None, labels: Any) -> FolderSettings:
    from gradcamo.settings import FolderSettings

    if not isinstance(labels, str | Path):
        raise GradcamoError(
            "labels of a plate are given by how they are named in its folder, such as "
            f"'{{well}}_s{{site}}_labels.tif', got {type(labels).__name__}"
        )
    return (told or FolderSettings()).model_copy(update={"labels": str(labels)})


def _labels(labels: np.ndarray | str | Path | None) -> tuple[np.ndarray | None, Path | None]:
    """Labels, and their file where they came from one."""
    from gradcamo.files.labels import read_labels
    from gradcamo.files.masks import refuse_no_labels

    if isinstance(labels, str | Path):
        return (read_labels(labels), Path(labels)) if str(labels) else (None, None)
    if labels is not None:
        refuse_no_labels(labels)
    return labels, None


def _network(checkpoint: Checkpoint | str | Path | None) -> tuple[Checkpoint | None, str]:
    """A network and its name, ready to be shown."""
    if checkpoint is None:
        return None, ""
    name = "from Python"
    if isinstance(checkpoint, str | Path):
        name = Path(checkpoint).name
    from gradcamo.networks.resolve import as_checkpoint

    checkpoint = as_checkpoint(checkpoint, "a window")
    _ = checkpoint.layers, checkpoint.hash  # worked out here, read by the window
    return checkpoint, name
