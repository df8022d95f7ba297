"""A napari window with the workbench open and a stack, labels and a checkpoint loaded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import napari


def open_window(
    image: str | Path | None = None,
    labels: str | Path | None = None,
    checkpoint: str | Path | None = None,
    audit: bool = False,
    run: bool = False,
) -> napari.Viewer:
    """Open napari with the Grad-CAMO workbench.

    Parameters
    ----------
    image, labels, checkpoint : paths of what to load, all optional
    audit : score all cells at once, in the background
    run : come back only when the window is closed
    """
    import napari

    from gradcamo.display import contrast_limits
    from gradcamo.docks.canvas.layers import show_labels, show_stack
    from gradcamo.docks.window import window_of
    from gradcamo.files.labels import read_labels
    from gradcamo.files.stacks import read_stack
    from gradcamo.networks.checkpoint import Checkpoint
    from gradcamo.settings import AuditSettings

    viewer = napari.Viewer(title="Grad-CAMO")
    viewer.window.add_plugin_dock_widget("napari-gradcamo", "Grad-CAMO")
    window = window_of(viewer)
    session = window.session
    if image is not None:
        stack = read_stack(image).in_memory()
        session.set_stack(
            stack, show_stack(viewer, stack, [contrast_limits(channel) for channel in stack.data])
        )
        viewer.dims.set_current_step(0, stack.shape[1] // 2)
    if labels is not None:
        like = next(iter(session.channel_layers.values()), None)
        session.set_labels(show_labels(viewer, read_labels(labels), like))
    if checkpoint is not None:
        session.set_checkpoint(Checkpoint.load(checkpoint), Path(checkpoint).name)
    if audit:
        window.audits.start(AuditSettings())
    if run:
        napari.run()
    return viewer
