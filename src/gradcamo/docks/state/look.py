"""How heatmaps are drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari.layers import Image
    from napari.utils.colormaps import Colormap

# perceptually even, and read the same with any kind of colour vision
COLORMAPS = ("inferno", "magma", "viridis", "cividis", "gray")
RENDERINGS = {"attenuated_mip": "attenuated maximum", "mip": "maximum", "translucent": "volume"}


@dataclass(frozen=True)
class Look:
    """What the user chose about heatmaps.

    ``hide_below`` is a share of the map's maximum; ``only_cell`` hides what lies outside the cell.
    """

    shown: bool = True
    colormap: str = "inferno"
    opacity: float = 0.85
    hide_below: float = 0.0
    only_cell: bool = False
    crop_outline: bool = False
    cell_outline: bool = True
    rendering: str = "attenuated_mip"

    def apply(self, layer: Image) -> None:
        """Draw a heatmap layer so."""
        layer.colormap = hiding(self.colormap, self.hide_below)
        layer.opacity = self.opacity
        layer.visible = self.shown
        layer.rendering = self.rendering
        box = layer.bounding_box
        box.points, box.line_color, box.line_thickness = False, "white", 1
        box.visible = self.crop_outline

    def keywords(self) -> dict[str, Any]:
        """The same for a layer that is about to be made."""
        return {
            "colormap": hiding(self.colormap, self.hide_below),
            "opacity": self.opacity,
            "visible": self.shown,
            "rendering": self.rendering,
        }


def hiding(name: str, below: float) -> Colormap | str:
    """A colour map that is clear below a share of its range; colours keep their meaning."""
    if below <= 0:
        return name
    from napari.utils.colormaps import Colormap, ensure_colormap

    steps = np.linspace(0, 1, 256)
    colours = np.array(ensure_colormap(name).map(steps))
    colours[steps < below] = 0
    return Colormap(colours, name=f"{name}, {below:.0%} and more")
