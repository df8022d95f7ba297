"""How cells and layers are scored, and when that is said to mean little."""

from __future__ import annotations

from pydantic import Field

from gradcamo.settings.base import Alignment, BatchSize, Device, Gradients, Seed, Settings
from gradcamo.settings.files import LabelReadSettings


class AuditSettings(Settings):
    """How cells are explained and scored.

    Examples
    --------
    >>> import gradcamo as gc
    >>> settings = gc.AuditSettings(layer="block_4", gradients="local", permutations=1000)
    >>> settings.cutoff
    0.25
    """

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
        le=100_000,
        description="other cells' masks and maps that each cell is compared with, for p_value and "
        "q_value; 0: none",
    )
    seed: Seed = Field(0, description="of the permutations")
    batch_size: BatchSize = None
    device: Device = "auto"


class LayerAuditSettings(LabelReadSettings):
    """How every layer of a network is scored on the held-out wells of a plate."""

    layers: tuple[str, ...] = Field((), description="layers to score (default: all)")
    alignment: Alignment = Field("paper", description="where maps are drawn, as in an audit")
    gradients: Gradients = Field(
        "local",
        description="as in an audit; local by default, which tells honest networks from cheats "
        "better where the truth was planted",
    )
    batch_size: BatchSize = None
    device: Device = "auto"


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
        1.5, ge=1, le=100, description="mean score over mean chance below which that is said"
    )
    filled: float = Field(
        0.2, ge=0, le=1, description="mean share of their crops that cells fill, above which to say"
    )
    unscored: float = Field(
        0.1, ge=0, le=1, description="share of whole cells without a score, above which to say"
    )
    voxel_size: float = Field(
        0.1,
        ge=0,
        le=10,
        description="difference from the training's voxel size, above which to say",
    )
    grid: int = Field(
        6, ge=1, le=1000, description="voxels along y and x below which a grid is coarse"
    )
    in_crop: float = Field(
        0.5, ge=0, le=1, description="share of a cell in its own crop below which it is named"
    )
    hot_crops: float = Field(
        0.05,
        ge=0,
        le=1,
        description="share of a channel's crops with hot voxels, above which to say",
    )
    asked: float = Field(
        0.1,
        ge=0,
        le=1,
        description="share of the cells asked causally that may exceed what follows in silence",
    )
    unfilled: float = Field(
        0.05, ge=0, le=1, description="share of a cell that no donor covered in its place"
    )
    against: float = Field(
        0.2, ge=0, le=1, description="share of the evidence that speaks against the class"
    )
    swap: float = Field(
        0.5,
        ge=0,
        le=100,
        description="what swapping for the own class's contents changes, over the effect",
    )
    through_limits: float = Field(
        0.25,
        ge=0,
        le=1,
        description="share that goes through the limits to which crops are rescaled",
    )
    agreement: float = Field(
        0.5,
        ge=-1,
        le=1,
        description="rank correlation of Grad-CAMO with the causal share of the own cell below "
        "which a layer is said to rank cells otherwise",
    )
    exposure: float = Field(
        0.1,
        ge=0,
        le=100,
        description="relative difference of the controls' median intensity from that of donors of "
        "other plates, above which to say",
    )
