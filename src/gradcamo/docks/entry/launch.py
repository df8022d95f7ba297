"""A napari window with the workbench open and a stack, labels and a checkpoint loaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import napari


def open_window(
    image: str | Path | Mapping[str, str] | None = None,
    labels: str | Path | None = None,
    checkpoint: str | Path | None = None,
    audit: bool = False,
    run: bool = False,
) -> napari.Viewer:
    """Open napari with the Grad-CAMO workbench.

    Parameters
    ----------
    image, labels, checkpoint : paths of what to load, all optional; ``image`` may be a row of a
        plate
    audit : score all cells at once, in the background
    run : come back only when the window is closed

    Raises
    ------
    GradcamoError
        If something cannot be read, or labels and image do not fit; no window is opened.
    """
    import napari

    from gradcamo.docks.canvas.sites import read_site
    from gradcamo.docks.window import window_of
    from gradcamo.files.labels import read_labels
    from gradcamo.files.misfits import refuse_misfit
    from gradcamo.networks.checkpoint import Checkpoint
    from gradcamo.settings import AuditSettings

    site = None if image is None else read_site(image, labels)
    if site is not None and site.labels is not None:
        refuse_misfit(site.labels.shape, site.stack, labels)
    alone = read_labels(labels) if site is None and labels else None
    network = None if checkpoint is None else Checkpoint.load(checkpoint)
    viewer = napari.Viewer(title="Grad-CAMO")
    viewer.window.add_plugin_dock_widget("napari-gradcamo", "Grad-CAMO")
    window = window_of(viewer)
    if site is not None:
        window.sites.show(site)
    elif alone is not None:
        window.sites.show_labels(alone, path=labels)
    if checkpoint is not None:
        window.session.set_checkpoint(network, Path(checkpoint).name)
    if audit:
        window.audits.start(AuditSettings())
    if run:
        napari.run()
    return viewer
