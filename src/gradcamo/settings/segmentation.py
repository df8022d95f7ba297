"""How cells are found."""

from __future__ import annotations

from pydantic import Field

from gradcamo.settings.base import Device, Settings


class SegmentSettings(Settings):
    """Cellpose, plane by plane, stitched along z (the reference settings).

    Examples
    --------
    >>> import gradcamo as gc
    >>> gc.SegmentSettings(model="bundled", diameter=40).stitch_threshold
    0.05
    """

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
        le=10_000,
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
    min_size: int = Field(
        30, ge=1, le=1_000_000_000, description="smallest mask in one plane, in pixels"
    )
    anisotropy: float = Field(
        1.71,
        gt=0,
        le=1000,
        description="z step over pixel size; recorded, without effect while stitching",
    )
    batch_size: int = Field(8, ge=1, le=4096, description="tiles that pass the network at a time")
    device: Device = "auto"
