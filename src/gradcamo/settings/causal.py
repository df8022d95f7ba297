"""How regions are swapped for other cells'."""

from __future__ import annotations

from pydantic import Field

from gradcamo.settings.base import BatchSize, Device, Draws, Reference, Seed, Settings
from gradcamo.settings.files import LabelReadSettings


class CausalSettings(Settings):
    """How regions are swapped, to see what a prediction owes to each.

    Examples
    --------
    >>> import gradcamo as gc
    >>> gc.CausalSettings(draws=8, target="40.00x").draws
    8
    """

    draws: Draws = 4
    seed: Seed = Field(0, description="of the draws")
    target: str | None = Field(
        None, description="treatment that is explained (default: the predicted one)"
    )
    reference: Reference = None
    limits: bool = Field(
        True,
        description="two more passes a draw, for how much goes through the minimum and maximum "
        "that crops are rescaled to",
    )
    batch_size: BatchSize = None
    device: Device = "auto"


class SwapSettings(Settings):
    """Whether an audit asks causally too, by swapping regions for donors'."""

    causal: bool = Field(
        False,
        description="swap regions for other cells' to see what each prediction owes to them; some "
        "60 more passes a cell",
    )
    draws: Draws = 4
    reference: Reference = None
    donors: str | None = Field(
        None, description="donor bank to take them from (default: the one beside the checkpoint)"
    )


class DonorSettings(LabelReadSettings):
    """Which cells of a plate stand in for others."""

    per_class: int = Field(32, ge=3, le=10_000, description="cells of each treatment, at most")
    control: str | None = Field(
        None, description="treatment that others are told from (default: found by its name)"
    )
    train_columns: tuple[str, ...] = Field(
        (), description="plate columns to take cells from (default: those trained on)"
    )
    seed: Seed = Field(0, description="of the lot")
