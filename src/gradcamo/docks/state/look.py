"""How heatmaps are drawn."""

from __future__ import annotations

from dataclasses import dataclass, replace

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

    def toggled(self) -> Look:
        """The same, hidden or shown."""
        return replace(self, shown=not self.shown)
