"""File > Open and drag and drop: OME-TIFF and OME-Zarr as one layer per channel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gradcamo.display import channel_layers, contrast_limits


def get_reader(path: str | Sequence[str]) -> Callable[[Any], list[tuple]] | None:
    """The reader for one path; several paths are left to others."""
    return read_channels if isinstance(path, str) else None


def read_channels(path: str) -> list[tuple]:
    """Layer data of every channel of a Z-stack."""
    from gradcamo.files.stacks import read_stack

    stack = read_stack(path)
    limits = [contrast_limits(channel) for channel in stack.data]
    return [(data, keywords, "image") for data, keywords in channel_layers(stack, limits)]
