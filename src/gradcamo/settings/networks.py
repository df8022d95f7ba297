"""What published weights leave open."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from gradcamo.settings.base import DeepestLayer, InputSize, Settings
from gradcamo.settings.cells import CropSettings

_Length = Annotated[float, Field(gt=0, le=1000)]


class ImportSettings(Settings):
    """What published weights do not say about themselves."""

    classes: tuple[str, ...] = Field(
        (), description="treatments, in the order of the network's outputs (default: 0, 1, …)"
    )
    channels: tuple[str, ...] = Field(
        (), description="stains, in the order of the network's inputs (default: channel 0, …)"
    )
    channel_mean: tuple[float, ...] = Field(
        (),
        description="mean of each channel over the training crops, rescaled to [0, 1] (default: "
        "0, for a network trained on rescaled crops as they are)",
    )
    channel_std: tuple[float, ...] = Field(
        (), description="standard deviation of each channel, likewise (default: 1)"
    )
    input_size: InputSize = Field(
        (64, 224, 224), description="planes, rows and columns that crops are resized to"
    )
    crop: CropSettings = CropSettings()
    layer: DeepestLayer = None
    spacing_um: tuple[_Length, _Length, _Length] | None = Field(
        None, description="voxel size of the training stacks in µm (z, y, x), where it is known"
    )
    network: str | None = Field(
        None, description="efficientnet-b0 … efficientnet-b7 (default: read off the weights)"
    )
    width: float | None = Field(
        None, gt=0, le=4, description="factor on the number of filters (default: likewise)"
    )
