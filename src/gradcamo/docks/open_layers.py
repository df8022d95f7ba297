"""Image layers that are open already, whoever opened them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import napari
    from napari.layers import Image


def open_images(viewer: napari.Viewer) -> list[Image]:
    """The image layers that may be channels of a stack: those selected, if these are several."""
    from napari.layers import Image

    images = [
        layer
        for layer in viewer.layers
        if isinstance(layer, Image) and "gradcamo" not in layer.metadata and not layer.rgb
    ]
    selected = [layer for layer in images if layer in viewer.layers.selection]
    return selected if len(selected) > 1 else images


def file_of(images: Sequence[Image]) -> str | None:
    """The one file that another reader made these layers of."""
    paths = {layer.source.path for layer in images}
    foreign = all("source" not in layer.metadata for layer in images)
    return paths.pop() if foreign and len(paths) == 1 else None
