"""How a table was made: all that decides its scores, for the file that keeps it."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from gradcamo.columns import KNOWN_AS
from gradcamo.datatypes import ZStack
from gradcamo.settings import AuditSettings

if TYPE_CHECKING:
    from gradcamo.networks.checkpoint import Checkpoint


def audit_recipe(stack: ZStack, checkpoint: Checkpoint, settings: AuditSettings) -> dict[str, Any]:
    """How a table was made, for the file that keeps it.

    ``network_cautions`` are those that the network's first cells gave rise to: they are known once
    some were scored.
    """
    layer = settings.layer or checkpoint.layer
    return {
        "software": f"napari-gradcamo {version('napari-gradcamo')}",
        "checkpoint": checkpoint.hash,
        "classes": list(checkpoint.classes),
        "outputs": checkpoint.outputs,
        "network_cautions": checkpoint.cautions(layer),
        "channels": list(settings.channels or checkpoint.channels),
        "trained_channels": list(checkpoint.channels),
        "channel_mean": list(checkpoint.channel_mean),
        "channel_std": list(checkpoint.channel_std),
        "crop": checkpoint.crop.model_dump(),
        "input_size": list(checkpoint.input_size),
        "spacing_um": stack.spacing_um and list(stack.spacing_um),
        "trained_spacing_um": checkpoint.spacing_um and list(checkpoint.spacing_um),
        "grid": list(checkpoint.info(settings.layer or checkpoint.layer).grid),
        "stack": _facts_of(stack, settings.channels or checkpoint.channels),
        "image": stack.source,
        "settings": settings.model_dump() | {"layer": layer},
        "known_as": dict(KNOWN_AS),
    }


def _facts_of(stack: ZStack, channels: Sequence[str]) -> dict[str, Any]:
    """What the pixels of these channels lack, which no score shows."""
    there = tuple(name for name in channels if name in stack.channels)
    stack = stack.select(there) if there else stack
    return {
        "constant_channels": list(stack.constant_channels),
        "absent_chunks": {name: list(counts) for name, counts in stack.absent_chunks.items()},
    }
