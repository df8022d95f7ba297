"""Layers that are open already, whoever opened them, and which of them make up one stack."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from gradcamo.errors import GradcamoError
from gradcamo.files.titles import stack_title

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image


def open_images(viewer: ViewerModel) -> list[Image]:
    """The image layers that may be channels of a stack, in the order of the layer list."""
    from napari.layers import Image

    return [
        layer
        for layer in viewer.layers
        if isinstance(layer, Image) and "gradcamo" not in layer.metadata and not layer.rgb
    ]


def chosen_images(viewer: ViewerModel) -> list[Image]:
    """Those that are selected, if these are several; else all."""
    images = open_images(viewer)
    selected = [layer for layer in images if layer in viewer.layers.selection]
    return selected if len(selected) > 1 else images


def stacks_in(images: Sequence[Image]) -> list[list[Image]]:
    """Channels of one stack: neighbours in the list, from one source, with different names."""
    groups: list[list[Image]] = [[*images[:1]]] if images else []
    for before, layer in pairwise(images):
        names = {plain_name(other.name) for other in groups[-1]}
        alike = before.data.shape == layer.data.shape and source_of(before) == source_of(layer)
        if alike and plain_name(layer.name) not in names:
            groups[-1].append(layer)
        else:
            groups.append([layer])
    return groups


def of_one_stack(images: Sequence[Image]) -> Sequence[Image]:
    """The same layers, if they may be one stack: of one file, or each of a file of its own.

    Raises
    ------
    GradcamoError
        If some files have several layers and there are others, or if one is there twice.
    """
    files = Counter(source_of(layer) for layer in images)
    twice = len({plain_name(layer.name) for layer in images}) < len(images)
    if (len(files) > 1 or twice) and max(files.values()) > 1:
        told = ", ".join(f"{n} of {stack_title(file or 'no file')}" for file, n in files.items())
        raise GradcamoError(
            f"these layers are of several stacks ({told}): select those of one in the layer list"
        )
    return images


def file_of(images: Sequence[Image]) -> str | None:
    """The one file that another reader made these layers of."""
    paths = {layer.source.path for layer in images}
    foreign = all("source" not in layer.metadata for layer in images)
    return paths.pop() if foreign and len(paths) == 1 else None


def is_ours(layer: Any) -> bool:
    """Whether our reader made a layer of a file, or our samples did."""
    return "source" in layer.metadata


def source_of(layer: Any) -> str:
    """Where a layer is from; empty where nobody knows."""
    return str(layer.metadata.get("source") or layer.source.path or "")


def name_of(stack: Sequence[Image]) -> str:
    """How a stack of open layers is called: by well and site, where a table said them."""
    first = stack[0]
    return first.metadata.get("title") or stack_title(source_of(first)) or plain_name(first.name)


def path_of(layer: Any) -> str | None:
    """The file of a layer of labels, where it has one."""
    return layer.metadata.get("path") or layer.source.path


def plain_name(name: str) -> str:
    """A layer's name without the number that napari adds to the second of that name."""
    return re.sub(r" \[\d+\]$", "", name)


def may_hold_cells(layer: Any) -> bool:
    """Whether a layer is one of labels (Z, Y, X), and not one that shows what was found."""
    from napari.layers import Labels

    return isinstance(layer, Labels) and layer.ndim == 3 and "gradcamo" not in layer.metadata
