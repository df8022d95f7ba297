"""The Lightning side of a training: one step, and what happens around it.

Imported only where a training starts: Lightning takes seconds to import.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import lightning as L
import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import Callback, Checkpoint, EarlyStopping
from torch import Tensor, nn

from gradcamo.landing import landing
from gradcamo.preprocess import resize, standardise
from gradcamo.progress import EpochResult, TrainingProgress
from gradcamo.settings import TrainSettings


class Stopped(Exception):
    """The user asked the training to end."""


class Fitting(L.LightningModule):
    """Cross entropy of one network on crops rescaled to [0, 1]."""

    def __init__(
        self,
        network: nn.Module,
        mean: Sequence[float],
        std: Sequence[float],
        settings: TrainSettings,
    ) -> None:
        super().__init__()
        self.network, self.mean, self.std, self.settings = network, mean, std, settings

    def forward(self, images: Tensor) -> Tensor:
        size = self.settings.input_size
        return self.network(resize(standardise(images, self.mean, self.std), size))

    def on_train_epoch_start(self) -> None:
        # dropout follows from seed and epoch, so that a resumed training is the same training
        torch.manual_seed(self.settings.seed * 100_003 + self.current_epoch + self.global_rank)

    def training_step(self, batch: Sequence[Tensor], index: int) -> Tensor:
        return self._step("train", batch)

    def validation_step(self, batch: Sequence[Tensor], index: int) -> None:
        self._step("validation", batch)

    def _step(self, split: str, batch: Sequence[Tensor]) -> Tensor:
        images, targets = batch[:2]
        logits = self(images)
        loss = F.cross_entropy(logits, targets)
        right = (logits.detach().argmax(1) == targets).float().mean()
        parts = {f"{split}_loss": loss.detach(), f"{split}_accuracy": right}
        self.log_dict(parts, on_step=False, on_epoch=True, sync_dist=True, batch_size=len(targets))
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.network.parameters(), lr=self.settings.learning_rate)


class Keeper(Callback):
    """Keeps the weights of the epoch with the lowest validation loss, and the history."""

    def __init__(self) -> None:
        self.history: list[EpochResult] = []
        self.best: dict[str, Tensor] | None = None
        self.best_epoch = -1

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        seen = {k: float(v) for k, v in trainer.callback_metrics.items()}
        result = EpochResult(
            epoch=trainer.current_epoch + 1,
            **{k: seen[k] for k in EpochResult._fields if k in seen},
        )
        if not self.history or result.validation_loss < min(
            e.validation_loss for e in self.history
        ):
            state = module.network.state_dict()
            self.best = {k: v.detach().cpu().clone() for k, v in state.items()}
            self.best_epoch = result.epoch
        self.history.append(result)

    def state_dict(self) -> dict[str, Any]:
        history = [e._asdict() for e in self.history]
        return {"history": history, "best": self.best, "best_epoch": self.best_epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.history = [EpochResult(**e) for e in state["history"]]
        self.best, self.best_epoch = state["best"], state["best_epoch"]


class StateFile(Checkpoint):
    """Writes all that a resumed training needs after every epoch, whole or not at all."""

    def __init__(self, path: Path, about: dict[str, Any]) -> None:
        self.path, self.about = path, about

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        with landing(self.path) as scratch:
            trainer.save_checkpoint(scratch)

    def on_save_checkpoint(
        self, trainer: L.Trainer, module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint["gradcamo"] = copy.deepcopy(self.about)


class Reporter(Callback):
    """Tells how far the training is after every batch, and ends it when asked to."""

    def __init__(
        self,
        keeper: Keeper,
        progress: Callable[[TrainingProgress], None],
        stop: Callable[[], bool],
    ) -> None:
        self.keeper, self.progress, self.stop = keeper, progress, stop

    def on_train_batch_end(
        self, trainer: L.Trainer, module: Any, outputs: Any, batch: Any, index: int
    ) -> None:
        total = int(trainer.num_training_batches)
        self._tell(trainer, "training", index + 1, total, float(outputs["loss"].detach()))

    def on_validation_batch_end(
        self, trainer: L.Trainer, module: Any, outputs: Any, batch: Any, index: int, *_: Any
    ) -> None:
        self._tell(trainer, "validation", index + 1, int(trainer.num_val_batches[0]), None)

    def on_train_epoch_end(self, trainer: L.Trainer, module: Any) -> None:
        total = int(trainer.num_training_batches)
        self._tell(trainer, "training", total, total, None)

    def _tell(
        self, trainer: L.Trainer, stage: str, done: int, total: int, loss: float | None
    ) -> None:
        self.progress(
            TrainingProgress(
                stage=stage,
                done=done,
                total=total,
                epoch=trainer.current_epoch + 1,
                epochs=int(trainer.max_epochs or 0),
                loss=loss,
                history=tuple(self.keeper.history),
            )
        )
        if self.stop():
            raise Stopped


def early_stopping(settings: TrainSettings) -> EarlyStopping:
    return EarlyStopping(
        "validation_loss", patience=settings.patience, check_on_train_epoch_end=True
    )
