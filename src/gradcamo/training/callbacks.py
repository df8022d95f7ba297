"""What happens around the steps of a training: keep the best, save, tell, end.

Imported only where a training starts: Lightning takes seconds to import.
"""

from __future__ import annotations

import copy
from math import inf, isfinite
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback, Checkpoint, EarlyStopping
from torch import Tensor, nn
from torch.utils.data import DataLoader

from gradcamo.files.landing import landing
from gradcamo.files.seal import blank_zip_seal
from gradcamo.progress import EpochResult, TrainingProgress, Watch
from gradcamo.training.state import TrainingState


class Stopped(Exception):
    """The user asked the training to end."""


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
        losses = [e.validation_loss for e in self.history if isfinite(e.validation_loss)]
        if isfinite(result.validation_loss) and result.validation_loss < min(losses, default=inf):
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


class BatchNormAverages(Callback):
    """Averages BatchNorm's statistics over training cells anew before each validation.

    Running averages are of weights that have changed since. While those still change fast, the
    network in evaluation would be another than the one that learns (Wu and Johnson, "Rethinking
    Batch in BatchNorm", 2021, section 3).
    """

    def __init__(self, cells: DataLoader, watch: Watch) -> None:
        self.cells, self.watch = cells, watch

    def on_validation_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        norms = [m for m in module.modules() if isinstance(m, nn.BatchNorm3d)]
        momentum = [norm.momentum for norm in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a plain average
            norm.train()
        try:
            with trainer.precision_plugin.forward_context():
                for images, *_ in self.cells:
                    module(images.to(module.device))
                    if self.watch.stopped():
                        raise Stopped
        finally:
            for norm, before in zip(norms, momentum, strict=True):
                norm.momentum = before
                norm.eval()


class NoBetter(EarlyStopping):
    """Ends the training after ``patience`` epochs without a better validation loss."""

    def __init__(self, patience: int) -> None:
        super().__init__("validation_loss", patience=patience, check_on_train_epoch_end=True)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict({**state, "patience": self.patience})

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        # one that was killed between its last epoch and the test is not to learn any further
        trainer.should_stop = self.wait_count >= self.patience


class StateFile(Checkpoint):
    """Writes all that a resumed training needs after every epoch, whole or not at all."""

    def __init__(self, state: TrainingState) -> None:
        self.state = state

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if not trainer.is_global_zero:  # all take part, one writes
            trainer.save_checkpoint(self.state.path)
            return
        with landing(self.state.path) as scratch:
            trainer.save_checkpoint(scratch)
            blank_zip_seal(scratch)

    def on_save_checkpoint(
        self, trainer: L.Trainer, module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint["gradcamo"] = copy.deepcopy(self.state.about)


class Reporter(Callback):
    """Tells how far the training is after every batch, and ends it when asked to."""

    def __init__(self, keeper: Keeper, watch: Watch) -> None:
        self.keeper, self.watch = keeper, watch

    def on_train_batch_end(
        self, trainer: L.Trainer, module: Any, outputs: Any, batch: Any, index: int
    ) -> None:
        self._tell(trainer, "training", index + 1, float(outputs["loss"].detach()))

    def on_validation_batch_end(
        self, trainer: L.Trainer, module: Any, outputs: Any, batch: Any, index: int, *_: Any
    ) -> None:
        self._tell(trainer, "validation", index + 1, None)

    def _tell(self, trainer: L.Trainer, stage: str, done: int, loss: float | None) -> None:
        if trainer.is_global_zero:  # of several processes that train together one tells
            self.watch.tell(self._progress(trainer, stage, done, loss))
        if self.watch.stopped():
            raise Stopped

    def _progress(
        self, trainer: L.Trainer, stage: str, done: int, loss: float | None
    ) -> TrainingProgress:
        learning, deciding = int(trainer.num_training_batches), int(trainer.num_val_batches[0])
        epochs = int(trainer.max_epochs or 0)
        before = trainer.current_epoch * (learning + deciding)
        return TrainingProgress(
            stage=stage,
            done=done,
            total=learning if stage == "training" else deciding,
            epoch=trainer.current_epoch + 1,
            epochs=epochs,
            loss=loss,
            history=tuple(self.keeper.history),
            batches_done=before + done + (learning if stage == "validation" else 0),
            batches=epochs * (learning + deciding),
        )
