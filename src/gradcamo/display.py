"""How a Z-stack is shown: a colour for every stain, contrast, and layers that lie in µm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from gradcamo.datatypes import Spacing, ZStack

# what a stain's name contains -> the colour it is usually shown in, and whether it is shown first
STAINS = (
    (("hoechst", "dapi", "dna", "nucle", "h2b", "draq"), "bop blue", True),
    (("phalloidin", "actin", "agp"), "bop orange", True),
    (("concanavalin", "conca", "er"), "green", False),
    (("syto", "rna"), "yellow", False),
    (("wga", "wheat", "golgi", "membrane", "agglutinin"), "cyan", False),
    (("mito",), "magenta", False),
)
OTHERS = ("gray", "green", "magenta", "cyan", "yellow", "red")


def colours_of(channels: Sequence[str]) -> list[tuple[str, bool]]:
    """A colour map's name per channel, and whether the channel is shown at first."""
    found: list[tuple[str, bool] | None] = [None] * len(channels)
    for number, name in enumerate(channels):
        words = name.lower().replace("_", " ").replace("-", " ")
        for keys, colour, shown in STAINS:
            if any(key in words if len(key) > 2 else key in words.split() for key in keys):
                found[number] = (colour, shown)
                break
    spare = iter(OTHERS * (1 + len(channels) // len(OTHERS)))
    colours = [hit or (next(spare), len(channels) < 4) for hit in found]
    if len(channels) < 4 or not any(shown for _, shown in colours):
        colours = [(colour, number < 3) for number, (colour, _) in enumerate(colours)]
    return colours


def contrast_limits(channel: Any) -> tuple[float, float]:
    """The 1st and 99.8th percentile of a channel's middle plane, for display only.

    A plane without finite intensities is passed over for the next one to the middle.
    """
    middle = channel.shape[0] // 2
    for z in sorted(range(channel.shape[0]), key=lambda z: abs(z - middle)):
        plane = np.asarray(channel[z])[::2, ::2]
        seen = plane[np.isfinite(plane)]
        if seen.size:
            low, high = np.percentile(seen, (1.0, 99.8))
            return (float(low), float(high)) if high > low else (float(low), float(low) + 1)
    return 0.0, 1.0


def channel_layers(
    stack: ZStack, limits: Sequence[tuple[float, float]]
) -> list[tuple[Any, dict[str, Any]]]:
    """Data and keyword arguments of one image layer per channel."""
    placed = placement_of(stack.spacing_um)
    return [
        (
            stack.data[number],
            {
                "name": name,
                "colormap": colour,
                "blending": "additive",
                "visible": shown,
                "contrast_limits": limits[number],
                "metadata": {"source": stack.source},
                **placed,
            },
        )
        for number, (name, (colour, shown)) in enumerate(
            zip(stack.channels, colours_of(stack.channels), strict=True)
        )
    ]


def placement_of(spacing_um: Spacing | None) -> dict[str, Any]:
    """Scale, units and names of the axes; where a step is not known, the finest of the others."""
    steps = spacing_um or (None,) * 3
    finest = min((step for step in steps if step is not None), default=1.0)
    return {
        "scale": tuple(finest if step is None else step for step in steps),
        "units": tuple("pixel" if step is None else "um" for step in steps),
        "axis_labels": ("z", "y", "x"),
    }
