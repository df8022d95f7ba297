"""Every setting, said once: its default, its bounds and its help.

Command-line flags, dock rows, checkpoints and recipes all read these models.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

Alignment = Literal["paper", "receptive-field"]
Gradients = Literal["averaged", "local"]
Rescale = Literal["min-max", "percentile"]
Outputs = Literal["classes", "independent"]


def _sizes(values: tuple[int, ...]) -> tuple[int, ...]:
    if min(values) < 1:
        raise ValueError("each size should be 1 or more")
    return values


def _range(values: tuple[float, float]) -> tuple[float, float]:
    low, high = values
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise ValueError("the first should be the smaller of two finite numbers")
    return values


def _powers(values: tuple[float, float]) -> tuple[float, float]:
    if not values[0] > 0:
        raise ValueError("powers should be greater than 0")
    return _range(values)


def _lengths(value: Any) -> Any:
    """Three lengths from ``0.6,0.35,0.35``; ``?`` stands for one that is not known."""
    if not isinstance(value, str):
        return value
    parts = value.replace(",", " ").split()
    if len(parts) != 3:
        raise ValueError("a voxel size is three lengths z,y,x in µm, such as 0.6,0.35,0.35")
    return tuple(None if part == "?" else part for part in parts)


class Settings(BaseModel):
    """A stage's settings: validated, frozen, nothing unknown."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def recorded(cls, recipe: Mapping[str, Any]) -> Self:
        """What a recipe says, perhaps another version's: settings unknown today are left out.

        Parameters
        ----------
        recipe : mapping
            The recipe of a checkpoint or a table; these settings are its ``settings``.
        """
        kept = recipe.get("settings", {})
        return cls(**{name: kept[name] for name in cls.model_fields if name in kept})


class ReadSettings(Settings):
    """What image files do not say about themselves."""

    axes: str | None = Field(
        None, description="order of each file's axes, such as CZYX, where it is not declared"
    )
    channel_names: tuple[str, ...] = Field(
        (), description="names of the channels in order, or old=new for those to rename"
    )
    spacing: Annotated[
        tuple[float | None, float | None, float | None] | None, BeforeValidator(_lengths)
    ] = Field(None, description="voxel size z,y,x in µm; ? for a length that is not known")


class LabelReadSettings(ReadSettings):
    """What label images do not say about themselves, either."""

    labels_axes: str | None = Field(
        None, description="order of the axes of label images (default: planes, rows, columns)"
    )
    labels_stitch: float = Field(
        0.05,
        ge=0,
        le=1,
        description="overlap (IoU) at which masks of one plane each become one cell along z; 0: "
        "they have the same numbers in all planes",
    )
    labels_coarser: bool = Field(
        False, description="enlarge label images of a coarser level to the stack's size"
    )
    connected: bool = Field(
        False,
        description="label images are masks, one number for all cells: each connected piece "
        "becomes a cell",
    )


class FolderSettings(LabelReadSettings):
    """How the stacks of a plate are found in a folder."""

    pattern: str | None = Field(
        None,
        description="how the files of a folder are named, such as "
        "'{well}_s{site}_z{z}_{channel}.tif' (default: the layout is recognised)",
    )
    labels: str | None = Field(
        None,
        description="names of the label images in that folder, such as "
        "'{well}_s{site}_labels.tif', or which labels of an OME-Zarr plate to use",
    )
    layout: str | None = Field(
        None, description="CSV of well, treatment for a folder or an OME-Zarr plate"
    )
    well_column: str | None = Field(
        None, description="column of the layout that holds wells (default: by its usual names)"
    )
    treatment_column: str | None = Field(
        None, description="column of the layout that holds treatments (default: likewise)"
    )


class CropSettings(Settings):
    """The window cut around every cell, and how its intensities are rescaled."""

    size_yx: Annotated[tuple[int, int], AfterValidator(_sizes)] = Field(
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


class SegmentSettings(Settings):
    """Cellpose, plane by plane, stitched along z (the reference settings)."""

    model: str | None = Field(
        None,
        description="a Cellpose model's name, 'bundled' for the weights that come with this "
        "package, or the path of your own weights (default: cyto, as in the paper; under Cellpose "
        "4, which has none, its newest general model)",
    )
    cytoplasm: str | None = Field(
        None, description="channel that fills the cells (default: found by its name)"
    )
    nucleus: str | None = Field(
        None, description="channel that shows the nuclei (default: found by its name)"
    )
    diameter: float | None = Field(
        None,
        gt=0,
        description="expected diameter of a cell in pixels (default: what the model was trained "
        "on; 30 for cyto)",
    )
    flow_threshold: float = Field(
        0.75, ge=0, le=3, description="largest flow error of a mask; higher keeps more cells"
    )
    cellprob_threshold: float = Field(
        0.0,
        ge=-6,
        le=6,
        description="smallest cell probability (a logit); lower makes cells larger",
    )
    stitch_threshold: float = Field(
        0.05,
        gt=0,
        le=1,
        description="overlap (IoU) at which masks of neighbouring planes become one cell",
    )
    min_size: int = Field(30, ge=1, description="smallest mask in one plane, in pixels")
    anisotropy: float = Field(
        1.71, gt=0, description="z step over pixel size; recorded, without effect while stitching"
    )
    batch_size: int = Field(8, ge=1, description="tiles that pass the network at a time")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1 or mps")


class TrainSettings(LabelReadSettings):
    """Cross entropy on the cells of the training wells (the reference settings)."""

    network: str = Field("efficientnet-b0", description="efficientnet-b0 … efficientnet-b7")
    width: float = Field(1.0, gt=0, le=4, description="factor on the number of filters")
    input_size: Annotated[tuple[int, int, int], AfterValidator(_sizes)] = Field(
        (64, 224, 224), description="planes, rows and columns that the network sees; 64 at least"
    )
    crop: CropSettings = CropSettings()
    layer: str | None = Field(
        None, description="layer to explain (default: the deepest with 6 voxels along y and x)"
    )
    train_columns: tuple[str, ...] = Field(
        ("02",), description="plate columns whose wells are trained on"
    )
    test_columns: tuple[str, ...] = Field(
        ("03",), description="plate columns whose wells are held out for the test"
    )
    validation_share: float = Field(
        0.15, gt=0, lt=1, description="share of the training cells that decides when to stop"
    )
    epochs: int = Field(10, ge=1, description="passes over the training cells, at most")
    patience: int = Field(
        3, ge=1, description="epochs without a better validation loss before training stops"
    )
    learning_rate: float = Field(3e-4, gt=0, description="of the Adam optimizer")
    batch_size: int = Field(8, ge=2, description="cells per training step")
    flip_probability: float = Field(
        0.5, ge=0, le=1, description="chance of mirroring y, and of mirroring x; z never"
    )
    brightness_probability: float = Field(
        0.5, ge=0, le=1, description="chance of adding one constant to all intensities"
    )
    brightness_range: Annotated[tuple[float, float], AfterValidator(_range)] = Field(
        (0.5, 1.25), description="range of the constant added"
    )
    gamma_probability: float = Field(
        0.5, ge=0, le=1, description="chance of raising intensities to a power"
    )
    gamma_range: Annotated[tuple[float, float], AfterValidator(_powers)] = Field(
        (0.5, 1.5), description="range of the power"
    )
    regularise_weight: float = Field(
        0.0,
        ge=0,
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
        description="training cells over which BatchNorm's statistics are averaged anew before "
        "each validation",
    )
    accumulate: int = Field(
        1, ge=1, description="batches whose gradients make one step, where a large one does not fit"
    )
    precision: Literal["32-true", "16-mixed", "bf16-mixed"] = Field(
        "32-true", description="of the arithmetic; mixed is faster on GPUs that support it"
    )
    workers: int = Field(0, ge=0, description="processes that cut crops beside the training")
    seed: int = Field(0, ge=0, description="of weights, split, order and augmentation")
    device: str = Field("auto", description="auto, cpu, cuda or mps")
    devices: int = Field(1, ge=1, description="GPUs that share the training")


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
    input_size: Annotated[tuple[int, int, int], AfterValidator(_sizes)] = Field(
        (64, 224, 224), description="planes, rows and columns that crops are resized to"
    )
    crop: CropSettings = CropSettings()
    layer: str | None = Field(
        None, description="layer to explain (default: the deepest with 6 voxels along y and x)"
    )
    spacing_um: tuple[float, float, float] | None = Field(
        None, description="voxel size of the training stacks in µm (z, y, x), where it is known"
    )
    network: str | None = Field(
        None, description="efficientnet-b0 … efficientnet-b7 (default: read off the weights)"
    )
    width: float | None = Field(
        None, gt=0, le=4, description="factor on the number of filters (default: likewise)"
    )


class AuditSettings(Settings):
    """How cells are explained and scored."""

    layer: str | None = Field(
        None, description="layer to explain (default: the one the checkpoint names)"
    )
    alignment: Alignment = Field(
        "paper",
        description="paper: maps are upsampled plainly; receptive-field: drawn where the layer "
        "really looks",
    )
    gradients: Gradients = Field(
        "averaged",
        description="averaged: over the layer's grid, as in Grad-CAM; local: each voxel's own, as "
        "in HiResCAM, which tells better where early layers found their evidence",
    )
    target: str | None = Field(
        None, description="treatment whose evidence is mapped (default: the predicted one)"
    )
    channels: tuple[str, ...] | None = Field(
        None,
        description="the stack's channels to use, in the order of the checkpoint's "
        "(default: those of the same name)",
    )
    cutoff: float = Field(0.25, ge=0, le=1, description="cells scoring less are flagged")
    permutations: int = Field(
        0,
        ge=0,
        description="other cells' masks and maps that each cell is compared with, for p_value and "
        "q_value; 0: none",
    )
    seed: int = Field(0, ge=0, description="of the permutations")
    batch_size: int | None = Field(
        None,
        ge=1,
        description="cells that pass the network at a time (default: 8, on a GPU 32; halved until "
        "they fit)",
    )
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1 or mps")


class CausalSettings(Settings):
    """How regions are swapped, to see what a prediction owes to each."""

    draws: int = Field(
        4,
        ge=1,
        description="draws of donors from each of the two pools; 8 for weak phenotypes, 1 as a "
        "preview without errors",
    )
    seed: int = Field(0, ge=0, description="of the draws")
    target: str | None = Field(
        None, description="treatment that is explained (default: the predicted one)"
    )
    reference: str | None = Field(
        None,
        description="treatment that the control is told from (default: the one that the network "
        "tells from it best)",
    )
    limits: bool = Field(
        True,
        description="two more passes a draw, for how much goes through the minimum and maximum "
        "that crops are rescaled to",
    )
    batch_size: int | None = Field(
        None,
        ge=1,
        description="crops that pass the network at a time (default: 8, on a GPU 32; halved until "
        "they fit)",
    )
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1 or mps")


class SwapSettings(Settings):
    """Whether an audit asks causally too, by swapping regions for donors'."""

    causal: bool = Field(
        False,
        description="swap regions for other cells' to see what each prediction owes to them; some "
        "60 more passes a cell",
    )
    draws: int = Field(
        4, ge=1, description="draws of donors from each of the two pools; 8 for weak phenotypes"
    )
    reference: str | None = Field(
        None, description="treatment that the control is told from (default: the farthest)"
    )
    donors: str | None = Field(
        None, description="donor bank to take them from (default: the one beside the checkpoint)"
    )


class DonorSettings(LabelReadSettings):
    """Which cells of a plate stand in for others."""

    per_class: int = Field(32, ge=3, description="cells of each treatment, at most")
    control: str | None = Field(
        None, description="treatment that others are told from (default: found by its name)"
    )
    train_columns: tuple[str, ...] = Field(
        (), description="plate columns to take cells from (default: those trained on)"
    )
    seed: int = Field(0, ge=0, description="of the lot")


class LayerAuditSettings(LabelReadSettings):
    """How every layer of a network is scored on the held-out wells of a plate."""

    layers: tuple[str, ...] = Field((), description="layers to score (default: all)")
    alignment: Alignment = Field("paper", description="where maps are drawn, as in an audit")
    gradients: Gradients = Field("averaged", description="as in an audit")
    batch_size: int | None = Field(
        None,
        ge=1,
        description="cells that pass the network at a time (default: 8, on a GPU 32; halved until "
        "they fit)",
    )
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1 or mps")


class PlateSettings(FolderSettings, SwapSettings):
    """Many stacks: what to do with each, and what to make of all."""

    audit: AuditSettings = AuditSettings()
    segment: SegmentSettings = SegmentSettings()
    causal_cells: int = Field(
        50, ge=0, description="cells of each well that are asked causally, drawn by lot; 0: all"
    )
    control: str | None = Field(
        None, description="treatment that profiles are whitened on (default: found by its name)"
    )
    whitening_epsilon: float | None = Field(
        None,
        ge=0,
        description="share of the mean variance added to every direction before whitening "
        "(default: 0, or 0.01 where controls are fewer than features)",
    )
    umap_cells: int = Field(
        20_000, ge=0, description="cells laid out by UMAP, drawn by lot from larger plates; 0: none"
    )
    neighbours: int = Field(
        10, ge=1, description="nearest profiles that vote for a cell's well, site and treatment"
    )
    thumbnails: int = Field(
        48, ge=0, description="pictures kept per stack, from its best to its worst cell"
    )
    retries: int = Field(1, ge=0, description="further attempts at a stack that failed")
    workers: int = Field(
        0, ge=0, description="local processes (default 0: as cores, GPUs and memory allow)"
    )
    seed: int = Field(0, ge=0, description="of sampling and UMAP")


class CautionSettings(Settings):
    """When a table of scores is said to mean less than it seems (`auditing.cautions`)."""

    confidence: float = Field(
        0.1,
        ge=0,
        le=1,
        description="where all cells are called one class: median confidence above guessing below "
        "which that is said",
    )
    ceiling: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="share of a cell's ceiling within which a cut-off can hardly be reached",
    )
    unreachable: float = Field(
        0.1, ge=0, le=1, description="share of cells whose cut-off is that high, above which to say"
    )
    at_chance: float = Field(
        0.5, ge=0, le=1, description="share of scored cells at or below chance, above which to say"
    )
    mean_above_chance: float = Field(
        1.5, ge=1, description="mean score over mean chance below which that is said"
    )
    filled: float = Field(
        0.2, ge=0, le=1, description="mean share of their crops that cells fill, above which to say"
    )
    unscored: float = Field(
        0.1, ge=0, le=1, description="share of whole cells without a score, above which to say"
    )
    voxel_size: float = Field(
        0.1, ge=0, description="difference from the training's voxel size, above which to say"
    )
    grid: int = Field(6, ge=1, description="voxels along y and x below which a grid is coarse")
    in_crop: float = Field(
        0.5, ge=0, le=1, description="share of a cell in its own crop below which it is named"
    )
    hot_crops: float = Field(
        0.05,
        ge=0,
        le=1,
        description="share of a channel's crops with hot voxels, above which to say",
    )
