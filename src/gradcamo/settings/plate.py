"""What is done to many stacks."""

from __future__ import annotations

from pydantic import Field

from gradcamo.settings.auditing import AuditSettings
from gradcamo.settings.base import Seed
from gradcamo.settings.causal import SwapSettings
from gradcamo.settings.files import FolderSettings
from gradcamo.settings.segmentation import SegmentSettings


class PlateSettings(FolderSettings, SwapSettings):
    """Many stacks: what to do with each, and what to make of all.

    Examples
    --------
    >>> import gradcamo as gc
    >>> settings = gc.PlateSettings(audit=gc.AuditSettings(layer="block_4"), control="DMSO")
    >>> settings.audit.layer, settings.segment.model
    ('block_4', None)
    """

    audit: AuditSettings = AuditSettings()
    segment: SegmentSettings = SegmentSettings()
    causal_cells: int = Field(
        50,
        ge=0,
        le=10_000_000,
        description="cells of each well that are asked causally, drawn by lot; 0: all",
    )
    held_out: tuple[str, ...] = Field(
        (),
        description="wells, plate columns or plates that the network was not trained on, such as "
        "D03, 03 (default: as the plate's column split says, else as the checkpoint remembers)",
    )
    control: str | None = Field(
        None, description="treatment that profiles are whitened on (default: found by its name)"
    )
    whitening_epsilon: float | None = Field(
        None,
        ge=0,
        le=1e6,
        description="share of the mean variance added to every direction before whitening "
        "(default: 0, or 0.01 where controls are fewer than features)",
    )
    umap_cells: int = Field(
        20_000,
        ge=0,
        le=10_000_000,
        description="cells laid out by UMAP, drawn by lot from larger plates; 0: none",
    )
    neighbours: int = Field(
        10,
        ge=1,
        le=10_000,
        description="nearest profiles that vote for a cell's well, site and treatment",
    )
    thumbnails: int = Field(
        48, ge=0, le=100_000, description="pictures kept per stack, from its best to its worst cell"
    )
    retries: int = Field(1, ge=0, le=100, description="further attempts at a stack that failed")
    workers: int = Field(
        0, ge=0, le=1024, description="local processes (default 0: as cores, GPUs and memory allow)"
    )
    seed: Seed = Field(0, description="of sampling and UMAP")
