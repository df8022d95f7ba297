"""One stack of a plate, read beside the window and shown in place of what was open."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradcamo.display import contrast_limits
from gradcamo.docks.canvas.layers import go_to, show_labels, show_stack

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np
    from napari.components import ViewerModel
    from napari.layers import Layer

    from gradcamo.docks.state.session import Session
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
    from gradcamo.files.labels import read_labels
    from gradcamo.files.stacks import read_stack

    stack = read_stack(image).in_memory()
    path = Path(labels) if isinstance(labels, (str, Path)) and str(labels) else None
    limits = [contrast_limits(channel) for channel in stack.data]
    return Site(stack, limits, None if path is None else read_labels(path), path)


def show_site(session: Session, viewer: ViewerModel | None, site: Site) -> None:
    """Show a stack and its labels; the layers of the one before are removed."""
    if viewer is None:
        return
    labels = session.labels_layer
    session.set_labels(None)
    show_in_place(session, viewer, site.stack, site.limits, [labels] if labels else [])
    if site.labels is not None:
        like = next(iter(session.channel_layers.values()))
        session.set_labels(show_labels(viewer, site.labels, like, path=site.labels_path))


def show_in_place(
    session: Session,
    viewer: ViewerModel,
    stack: ZStack,
    limits: Sequence[tuple[float, float]],
    others: Iterable[Layer] = (),
) -> None:
    """Show a stack in the place of the one before, whose layers are removed, and these others."""
    ours = [layer for layer in viewer.layers if "gradcamo" in layer.metadata]
    before = [*session.channel_layers.values(), *others, *ours]
    session.channel_layers = {}  # the stack goes when the next one comes, not with its layers
    for layer in before:
        if layer in viewer.layers:
            viewer.layers.remove(layer)
    session.set_stack(stack, show_stack(viewer, stack, limits))
    first = next(iter(session.channel_layers.values()))
    go_to(viewer, first, [size // 2 for size in stack.shape[1:]], centre=False)
    viewer.reset_view()
