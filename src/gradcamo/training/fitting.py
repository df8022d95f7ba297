"""The Lightning side of a training: one step, and what happens around it.

Imported only where a training starts: Lightning takes seconds to import.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import lightning as L
import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn
from torch.utils.data import DataLoader

from gradcamo.errors import GradcamoError
from gradcamo.networks.preprocess import resize, standardise
from gradcamo.progress import StoppedEarly, Watch
from gradcamo.settings import TrainSettings
from gradcamo.training.callbacks import (
    BatchNormAverages,
    Keeper,
    NoBetter,
    Reporter,
    StateFile,
    Stopped,
)
from gradcamo.training.regularise import STEEPEST, Regulariser, apart
from gradcamo.training.state import TrainingState


class Fitting(L.LightningModule):
    """Cross entropy of one network on crops rescaled to [0, 1]."""

    def __init__(
        self,
        network: nn.Module,
        mean: Sequence[float],
        std: Sequence[float],
        settings: TrainSettings,
        regulariser: Regulariser | None = None,
    ) -> None:
        super().__init__()
        self.network, self.mean, self.std, self.settings = network, mean, std, settings
        self.regulariser = regulariser

    def forward(self, images: Tensor) -> Tensor:
        x = resize(standardise(images, self.mean, self.std), self.settings.input_size)
        if x.device.type == "cpu":  # a quarter faster there
            x = x.contiguous(memory_format=torch.channels_last_3d)
        return self.network(x)

    def on_train_epoch_start(self) -> None:
        # dropout follows from seed and epoch, so that a resumed training is the same training
        torch.manual_seed(self.settings.seed * 100_003 + self.current_epoch + self.global_rank)

    def training_step(self, batch: Sequence[Tensor], index: int) -> Tensor:
        if self.regulariser is None:
            return self._step("train", batch, self(batch[0]))
        images, targets, masks = batch
        logits = self(images)
        with apart(self.network), self.regulariser.watching() as seen:
            again = self(images)
        on_cell = self.regulariser.grad_camo(again, targets, masks, seen)
        self.log(
            "train_grad_camo",
            on_cell.detach().mean(),
            on_step=False,
            on_epoch=True,
            sync_dist=True,
            batch_size=len(targets),
        )
        return self._step("train", batch, logits) + self.regulariser.penalty(on_cell)

    def validation_step(self, batch: Sequence[Tensor], index: int) -> None:
        self._step("validation", batch, self(batch[0]))

    def _step(self, split: str, batch: Sequence[Tensor], logits: Tensor) -> Tensor:
        targets = batch[1]
        loss = F.cross_entropy(logits, targets)
        right = (logits.detach().argmax(1) == targets).float().mean()
        parts = {f"{split}_loss": loss.detach(), f"{split}_accuracy": right}
        self.log_dict(parts, on_step=False, on_epoch=True, sync_dist=True, batch_size=len(targets))
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.network.parameters(), lr=self.settings.learning_rate)


def fit(
    network: nn.Module,
    statistics: tuple[Sequence[float], Sequence[float]],
    settings: TrainSettings,
    loaders: tuple[DataLoader, DataLoader],
    averaged: DataLoader,
    watch: Watch,
    regulariser: Regulariser | None = None,
    state: TrainingState | None = None,
) -> dict[str, Any]:
    """Fit a network in place and leave it with its best weights; how it went, for the recipe.

    ``loaders`` give the cells to learn from and those that decide when to stop; over the cells of
    ``averaged`` BatchNorm's statistics are taken.

    Raises
    ------
    StoppedEarly
        If asked to end before the first epoch did.
    GradcamoError
        If the loss never was a number.
    """
    keeper = Keeper()
    callbacks: list[Callback] = [
        keeper,
        BatchNormAverages(averaged, watch),
        Reporter(keeper, watch),
        NoBetter(settings.patience),
    ]
    if state is not None:
        callbacks.append(StateFile(state))
    ended = "stopped"
    with _quiet(), contextlib.suppress(Stopped):
        trainer = L.Trainer(
            accelerator={"cuda": "gpu"}.get(settings.device, settings.device),
            devices=settings.devices,
            precision=settings.precision,
            accumulate_grad_batches=settings.accumulate,
            gradient_clip_val=None if regulariser is None else STEEPEST,
            max_epochs=settings.epochs,
            callbacks=callbacks,
            logger=False,
            enable_checkpointing=state is not None,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,  # EpochOrder shares out the cells itself
        )
        trainer.fit(
            Fitting(network, *statistics, settings, regulariser),
            *loaders,
            ckpt_path=state.path if state is not None and state.going_on else None,
            weights_only=True,
        )
        early = len(keeper.history) < settings.epochs
        ended = "early: no better validation loss" if early else "all epochs"
    if keeper.best is None and keeper.history:
        raise GradcamoError(
            "the loss is not a number from the first epoch on: lower the learning rate, or use "
            "the precision 32-true"
        )
    if keeper.best is None:
        raise StoppedEarly
    network.cpu().load_state_dict(keeper.best)
    return {
        "ended": ended,
        "best_epoch": keeper.best_epoch,
        "history": [epoch._asdict() for epoch in keeper.history],
    }


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Lightning's advice is about its own flags; what users need is in progress and report."""
    names = ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero")
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.WARNING)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning.*")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
