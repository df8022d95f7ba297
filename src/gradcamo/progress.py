"""What a training tells while it runs."""

from __future__ import annotations

from typing import NamedTuple


class EpochResult(NamedTuple):
    """One epoch (from 1 on): mean losses, and shares of cells that were classified correctly."""

    epoch: int
    train_loss: float
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float


class TrainingProgress(NamedTuple):
    """How far a training is.

    ``stage`` is reading, statistics, training, validation or testing; ``done`` of ``total`` steps
    of it are done (batches while training). ``loss`` is the last batch's, ``history`` holds the
    epochs that ended.
    """

    stage: str
    done: int
    total: int
    epoch: int = 0
    epochs: int = 0
    loss: float | None = None
    history: tuple[EpochResult, ...] = ()
