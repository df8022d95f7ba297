"""How heatmaps are drawn."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gradcamo.settings import Settings

RENDERINGS = {"attenuated_mip": "attenuated maximum", "mip": "maximum", "translucent": "volume"}


class Look(Settings):
    """What the user chose about heatmaps."""

    shown: bool = Field(True, description="the Grad-CAM of the cell that is looked at (key H)")
    # perceptually even, and read the same with any kind of colour vision
    colormap: Literal["inferno", "magma", "viridis", "cividis", "gray"] = Field(
        "inferno", description="colours of the heatmap; all read the same to everybody"
    )
    opacity: float = Field(0.85, ge=0.05, le=1, description="opacity of the heatmap")
    hide_below: float = Field(
        0.0,
        ge=0,
        le=0.95,
        description="hides what is weaker than this share of the map's maximum; scores do not "
        "change",
    )
    rendering: Literal["attenuated_mip", "mip", "translucent"] = Field(
        "attenuated_mip", description="how the heatmap is drawn in 3D"
    )
    crop_outline: bool = Field(False, description="a box around what the network saw of this cell")
    cell_outline: bool = Field(True, description="a white line around the cell, in 2D")
    only_cell: bool = Field(
        False, description="hides the map outside the cell; scores do not change"
    )

    def toggled(self) -> Look:
        """The same, hidden or shown."""
        return self.model_copy(update={"shown": not self.shown})
