"""How a cell is cut from its stack."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field

from gradcamo.settings.base import Rescale, Settings, positive


class CropSettings(Settings):
    """The window cut around every cell, and how its intensities are rescaled."""

    size_yx: Annotated[tuple[int, int], AfterValidator(positive)] = Field(
        (128, 128), description="height and width of the window around each cell, in pixels"
    )
    rescale: Rescale = Field(
        "min-max",
        description="min-max: each channel of a crop from its darkest to its brightest voxel, as "
        "in the paper; percentile: from its 0.1th to its 99.9th percentile, which single hot "
        "voxels do not move",
    )

    def described(self) -> dict[str, Any]:
        """As checkpoints keep it: min-max goes without saying, as before there was a choice."""
        return self.model_dump(exclude={"rescale"} if self.rescale == "min-max" else None)
