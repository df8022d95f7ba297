"""How a plate becomes a network."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from gradcamo.settings.base import Alignment, DeepestLayer, InputSize, Seed, ordered, powers
from gradcamo.settings.cells import CropSettings
from gradcamo.settings.files import LabelReadSettings


class TrainSettings(LabelReadSettings):
    """Cross entropy on the cells of the training wells (the reference settings).

    Examples
    --------
    >>> import gradcamo as gc
    >>> settings = gc.TrainSettings(train_columns=("02", "03"), test_columns=("04",), epochs=20)
    >>> settings.crop.size_yx, settings.input_size
    ((128, 128), (64, 224, 224))
    """

    network: str = Field("efficientnet-b0", description="efficientnet-b0 … efficientnet-b7")
    width: float = Field(1.0, gt=0, le=4, description="factor on the number of filters")
    input_size: InputSize = Field(
        (64, 224, 224), description="planes, rows and columns that the network sees; 64 at least"
    )
    crop: CropSettings = CropSettings()
    layer: DeepestLayer = None
    train_columns: tuple[str, ...] = Field(
        ("02",), description="plate columns whose wells are trained on"
    )
    test_columns: tuple[str, ...] = Field(
        ("03",), description="plate columns whose wells are held out for the test"
    )
    validation_share: float = Field(
        0.15, gt=0, lt=1, description="share of the training cells that decides when to stop"
    )
    epochs: int = Field(10, ge=1, le=100_000, description="passes over the training cells, at most")
    patience: int = Field(
        3,
        ge=1,
        le=100_000,
        description="epochs without a better validation loss before training stops",
    )
    learning_rate: float = Field(3e-4, gt=0, le=10, description="of the Adam optimizer")
    batch_size: int = Field(8, ge=2, le=4096, description="cells per training step")
    flip_probability: float = Field(
        0.5, ge=0, le=1, description="chance of mirroring y, and of mirroring x; z never"
    )
    brightness_probability: float = Field(
        0.5, ge=0, le=1, description="chance of adding one constant to all intensities"
    )
    brightness_range: Annotated[tuple[float, float], AfterValidator(ordered)] = Field(
        (0.5, 1.25), description="range of the constant added"
    )
    gamma_probability: float = Field(
        0.5, ge=0, le=1, description="chance of raising intensities to a power"
    )
    gamma_range: Annotated[tuple[float, float], AfterValidator(powers)] = Field(
        (0.5, 1.5), description="range of the power"
    )
    regularise_weight: float = Field(
        0.0,
        ge=0,
        le=1e6,
        description="λ of loss + λ · (1 - Grad-CAMO): how much attention off the cell costs",
    )
    regularise_form: Literal["linear", "log"] = Field(
        "linear",
        description="linear: 1 - Grad-CAMO; log: -log Grad-CAMO, which pulls hardest at cells "
        "with hardly any attention on them",
    )
    regularise_layers: tuple[str, ...] = Field(
        (), description="layers whose Grad-CAMO enters the loss (default: the one explained)"
    )
    regularise_alignment: Alignment = Field(
        "paper", description="where the maps that enter the loss are drawn, as in an audit"
    )
    batch_norm_cells: int = Field(
        200,
        ge=1,
        le=1_000_000,
        description="training cells over which BatchNorm's statistics are averaged anew before "
        "each validation",
    )
    accumulate: int = Field(
        1,
        ge=1,
        le=10_000,
        description="batches whose gradients make one step, where a large one does not fit",
    )
    precision: Literal["32-true", "16-mixed", "bf16-mixed"] = Field(
        "32-true", description="of the arithmetic; mixed is faster on GPUs that support it"
    )
    workers: int = Field(
        0, ge=0, le=1024, description="processes that cut crops beside the training"
    )
    seed: Seed = Field(0, description="of weights, split, order and augmentation")
    device: str = Field("auto", description="auto, cpu, cuda or mps")
    devices: int = Field(1, ge=1, le=1024, description="GPUs that share the training")
