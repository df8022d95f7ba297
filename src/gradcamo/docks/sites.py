"""One stack of a plate, read beside the window and shown in place of what was open."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradcamo.docks.layers import contrast_limits, show_labels, show_stack

if TYPE_CHECKING:
    import numpy as np

    from gradcamo.docks.session import Session
    from gradcamo.types import ZStack


@dataclass(frozen=True, eq=False)
class Site:
    """A stack in memory, the intensities to show it between, and its labels where it has some."""

    stack: ZStack
    limits: list[tuple[float, float]]
    labels: np.ndarray | None
    labels_path: Path | None


def read_site(image: str | Path, labels: Any = None) -> Site:
    """Read a stack and its labels; neither an empty path nor NaN names labels."""
    from gradcamo.files.stacks import read_labels, read_stack

    stack = read_stack(image).in_memory()
    path = Path(labels) if isinstance(labels, (str, Path)) and str(labels) else None
    limits = [contrast_limits(channel) for channel in stack.data]
    return Site(stack, limits, None if path is None else read_labels(path), path)


def show_site(session: Session, site: Site) -> None:
    """Show a stack and its labels; the layers of the one before are removed."""
    viewer = session.viewer
    if viewer is None:
        return
    before = [*session.channel_layers.values(), session.labels_layer]
    session.set_labels(None)
    session.set_stack(site.stack, show_stack(viewer, site.stack, site.limits))
    for layer in before:
        if layer is not None and layer in viewer.layers:
            viewer.layers.remove(layer)
    for name, layer in session.channel_layers.items():
        layer.name = name  # which the layers before had taken
    for layer in [layer for layer in viewer.layers if "gradcamo" in layer.metadata]:
        viewer.layers.remove(layer)  # the heatmap and outline of a cell that is gone
    if site.labels is not None:
        like = next(iter(session.channel_layers.values()))
        session.set_labels(show_labels(viewer, site.labels, like, path=site.labels_path))
    viewer.dims.set_current_step(0, site.stack.shape[1] // 2)
    viewer.reset_view()
