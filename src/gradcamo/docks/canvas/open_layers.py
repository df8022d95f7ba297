"""Image layers that are open already, whoever opened them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradcamo.errors import GradcamoError

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


def of_one_stack(images: Sequence[Image]) -> Sequence[Image]:
    """The same layers, if they may be one stack: of one file, or each of a file of its own.

    Raises
    ------
    GradcamoError
        If some files have several layers and there are others.
    """
    files = Counter(layer.metadata.get("source") or layer.source.path for layer in images)
    if len(files) > 1 and max(files.values()) > 1:
        told = ", ".join(f"{n} of {Path(file or 'no file').name}" for file, n in files.items())
        raise GradcamoError(
            f"these layers are of several stacks ({told}): select those of one in the layer list"
        )
    return images


def may_hold_cells(layer: Any) -> bool:
    """Whether a layer is one of labels (Z, Y, X), and not one that shows what was found."""
    from napari.layers import Labels

    return isinstance(layer, Labels) and layer.ndim == 3 and "gradcamo" not in layer.metadata


def file_of(images: Sequence[Image]) -> str | None:
    """The one file that another reader made these layers of."""
    paths = {layer.source.path for layer in images}
    foreign = all("source" not in layer.metadata for layer in images)
    return paths.pop() if foreign and len(paths) == 1 else None
