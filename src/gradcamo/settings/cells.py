"""How a cell is cut from its stack."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from gradcamo.settings.base import Rescale, Settings, positive


class CropSettings(Settings):
    """The window cut around every cell, and how its intensities are rescaled.

    Examples
    --------
    >>> import gradcamo as gc
    >>> gc.CropSettings(size_yx=(96, 96), planes=16).window(planes=40)
    (16, 96, 96)
    """

    size_yx: Annotated[tuple[int, int], AfterValidator(positive)] = Field(
        (128, 128), description="height and width of the window around each cell, in pixels"
    )
    planes: int | None = Field(
        None,
        ge=1,
        le=100_000,
        description="planes of the window, around the middle of each cell (default: all planes of "
        "the stack, as in the paper)",
    )
    rescale: Rescale = Field(
        "min-max",
        description="min-max: each channel of a crop from its darkest to its brightest voxel, as "
        "in the paper; percentile: from its 0.1th to its 99.9th percentile, which single hot "
        "voxels do not move",
    )

    @classmethod
    def window_of(cls, recipe: Mapping[str, Any], planes: int) -> tuple[int, int, int]:
        """The window that an audit's recipe tells of, see `window`."""
        return cls.recorded({"settings": recipe["crop"]}).window(planes)

    def window(self, planes: int) -> tuple[int, int, int]:
        """Size of the window (z, y, x) in a stack of so many planes."""
        return (self.planes or planes, *self.size_yx)

    def described(self) -> dict[str, Any]:
        """As checkpoints keep it: what the paper does goes without saying, as before there was a
        choice."""
        return self.model_dump(exclude_defaults=True) | {"size_yx": self.size_yx}
