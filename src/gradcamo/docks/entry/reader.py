"""File > Open and drag and drop: OME-TIFF and OME-Zarr as one layer per channel, or as labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gradcamo.display import channel_layers, contrast_limits, placement_of
from gradcamo.docks.canvas.sites import named_labels

LayerData = tuple[Any, dict[str, Any], str]


def get_reader(path: str | Sequence[str]) -> Callable[[Any], list[LayerData]] | None:
    """The reader for one path; several paths are left to others."""
    return read_layers if isinstance(path, str) else None


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
