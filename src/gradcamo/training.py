"""A plate becomes a checkpoint: wells left out, augmented crops, the best weights kept."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.utils.data import DataLoader

from gradcamo.checkpoint import Checkpoint
from gradcamo.dataset import CellDataset, EpochOrder, channel_statistics, index_cells
from gradcamo.errors import GradcamoError
from gradcamo.geometry import default_layer, describe_layers
from gradcamo.memory import keep_buffers
from gradcamo.networks import efficientnet3d
from gradcamo.preprocess import choose_device
from gradcamo.progress import TrainingProgress
from gradcamo.settings import TrainSettings
from gradcamo.split import (
    SPLITS,
    TRAIN,
    VALIDATION,
    check_classes,
    hold_out_validation,
    leave_wells_out,
)
from gradcamo.training_report import describe_cells, describe_results, report_text, write_report
from gradcamo.training_state import TrainingState

Progress = Callable[[TrainingProgress], None]


def train(
    plate_csv: str | Path,
    settings: TrainSettings | None = None,
    progress: Progress | None = None,
    stop: Callable[[], bool] | None = None,
    state_file: str | Path | None = None,
    resume: bool = False,
) -> Checkpoint:
    """Train a network to tell the treatments of a plate apart, leaving wells out.

    Parameters
    ----------
    plate_csv : path
        Table of stacks as `read_plate` takes it, with label images.
    settings : TrainSettings
    progress : callable, optional
        Called with a `TrainingProgress` after every batch.
    stop : callable, optional
        Asked after every batch; once it returns True the training ends and the best weights so
        far are kept.
    state_file : path, optional
        Where the state after each epoch is kept, for resuming.
    resume : bool
        Go on from the state file, if there is one: on a CPU the same as a training that was never
        interrupted.

    Returns
    -------
    Checkpoint
        The weights of the epoch with the lowest validation loss. Its recipe says split, wells,
        cells, accuracies, confusion, epochs, seed, settings and software.

    Raises
    ------
    GradcamoError
        If the plate cannot be trained on (what is missing is named), or the training was stopped
        before its first epoch ended.
    """
    settings = settings or TrainSettings()
    tell, stopped = progress or _silent, stop or (lambda: False)
    keep_buffers()
    plate_csv = Path(plate_csv)
    cells, classes = _cells(plate_csv, settings, tell, stopped)
    channels, spacing_um = cells.attrs["channels"], cells.attrs["spacing_um"]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        network = efficientnet3d(settings.network, len(channels), len(classes), settings.width)
        layer = _layer(network, settings, len(channels))
        learning = cells[cells["split"] == TRAIN]
        momentum = _batch_norm_momentum(settings, len(learning) // settings.batch_size)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm3d):
                module.momentum = momentum
        plain = CellDataset(learning, classes, settings)
        mean, std = channel_statistics(plain, _stage(tell, stopped, "statistics"))
        loaders = (
            _loader(learning, classes, settings, True),
            _loader(cells[cells["split"] == VALIDATION], classes, settings),
        )
        keep = None
        if state_file is not None:
            keep = TrainingState(Path(state_file), settings, cells, resume)
        fitted = _fit(network, (mean, std), settings, loaders, tell, stopped, keep)
    checkpoint = Checkpoint(
        network=network,
        classes=classes,
        channels=channels,
        channel_mean=mean,
        channel_std=std,
        crop=settings.crop,
        input_size=settings.input_size,
        layer=layer,
        spacing_um=spacing_um,
        architecture={
            "name": settings.network,
            "in_channels": len(channels),
            "num_classes": len(classes),
            "width": settings.width,
        },
        recipe={
            "software": f"napari-gradcamo {version('napari-gradcamo')}, torch {torch.__version__}",
            "data": _provenance(plate_csv),
            "settings": settings.model_dump(mode="json"),
            "batch_norm_momentum": momentum,
            **describe_cells(cells, classes),
            **fitted,
        },
    )
    predicted = None
    if fitted["ended"] != "stopped":
        predicted = _classify(checkpoint, cells, classes, settings, tell, stopped)
    checkpoint.recipe.update(describe_results(cells, classes, predicted))  # type: ignore[attr-defined]
    return checkpoint


def train_and_save(
    plate_csv: str | Path,
    out: str | Path,
    settings: TrainSettings | None = None,
    say: Callable[[str], Any] = print,
    progress: Progress | None = None,
    stop: Callable[[], bool] | None = None,
    resume: bool = False,
) -> Checkpoint:
    """`train`, then write the checkpoint and, beside it, its report (JSON, text and picture).

    While the training runs, ``OUT.state`` holds what ``resume`` needs; it is removed at the end.
    """
    out = Path(out)
    state_file = out.with_name(out.name + ".state")
    checkpoint = train(plate_csv, settings, progress, stop, state_file, resume)
    checkpoint.save(out)
    write_report(checkpoint.recipe, out)
    if checkpoint.recipe["ended"] != "stopped":
        state_file.unlink(missing_ok=True)
    say(report_text(checkpoint.recipe))
    return checkpoint


def _silent(event: TrainingProgress) -> None:
    pass


class _StoppedEarly(GradcamoError):
    """Stopped before there was anything to keep."""


def _stage(tell: Progress, stopped: Callable[[], bool], name: str) -> Callable[[int, int], None]:
    def report(done: int, total: int) -> None:
        tell(TrainingProgress(name, done, total))
        if stopped():
            raise _StoppedEarly(
                "the training was stopped before its first epoch ended: there is nothing to keep"
            )

    return report


def _cells(
    plate_csv: Path, settings: TrainSettings, tell: Progress, stopped: Callable[[], bool]
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The cells that take part, with their split, and the classes."""
    from gradcamo.plates import read_plate

    plate = leave_wells_out(read_plate(plate_csv), settings)
    cells = index_cells(plate, settings, _stage(tell, stopped, "reading"))
    attrs = cells.attrs
    classes = check_classes(cells)
    cells = hold_out_validation(cells, settings)
    cells.attrs = attrs
    n = {split: int((cells["split"] == split).sum()) for split in SPLITS}
    if n[TRAIN] < settings.batch_size or not n[VALIDATION]:
        raise GradcamoError(
            f"the training wells hold {n[TRAIN]} whole cells ({n[VALIDATION]} more for "
            f"validation), a batch takes {settings.batch_size}: add stacks or lower --batch-size"
        )
    return cells, classes


def _layer(network: nn.Module, settings: TrainSettings, channels: int) -> str:
    shape = (channels, *settings.input_size)
    if settings.layer is None:
        return default_layer(network, shape)
    known = describe_layers(network, shape)
    if settings.layer not in known:
        raise GradcamoError(
            f"the network has no layer {settings.layer!r}: choose from {', '.join(known)}"
        )
    return settings.layer


def _batch_norm_momentum(settings: TrainSettings, steps: int) -> float:
    """As set, else fast enough that the statistics settle within an epoch of that many steps."""
    if settings.batch_norm_momentum is not None:
        return settings.batch_norm_momentum
    return float(np.clip(5 / max(steps, 1), 0.01, 0.1))


def _loader(
    cells: pd.DataFrame, classes: Sequence[str], settings: TrainSettings, training: bool = False
) -> DataLoader:
    return DataLoader(
        CellDataset(cells, classes, settings, augmented=training),
        batch_size=settings.batch_size,
        sampler=EpochOrder(len(cells), settings.seed) if training else None,
        drop_last=training,  # BatchNorm cannot learn from one cell
        num_workers=settings.workers,
        persistent_workers=settings.workers > 0,
        generator=torch.Generator().manual_seed(settings.seed),
    )


def _fit(
    network: nn.Module,
    statistics: tuple[Sequence[float], Sequence[float]],
    settings: TrainSettings,
    loaders: tuple[DataLoader, DataLoader],
    tell: Progress,
    stopped: Callable[[], bool],
    keep: TrainingState | None,
) -> dict[str, Any]:
    """Fit in place and keep the best weights; how it went, for the recipe."""
    import lightning as L

    from gradcamo.fitting import Fitting, Keeper, Reporter, StateFile, Stopped, early_stopping

    keeper = Keeper()
    callbacks: list[Any] = [keeper, early_stopping(settings), Reporter(keeper, tell, stopped)]
    if keep is not None:
        callbacks.append(StateFile(keep.path, keep.about))
    with _quiet():
        trainer = L.Trainer(
            accelerator={"cuda": "gpu"}.get(settings.device, settings.device),
            devices=settings.devices,
            precision=settings.precision,
            accumulate_grad_batches=settings.accumulate,
            max_epochs=settings.epochs,
            callbacks=callbacks,
            logger=False,
            enable_checkpointing=keep is not None,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        ended = "stopped"
        with contextlib.suppress(Stopped):
            trainer.fit(
                Fitting(network, *statistics, settings),
                *loaders,
                ckpt_path=keep.path if keep is not None and keep.going_on else None,
                weights_only=True,
            )
            early = len(keeper.history) < settings.epochs
            ended = "early: no better validation loss" if early else "all epochs"
    if keeper.best is None:
        raise _StoppedEarly(
            "the training was stopped before its first epoch ended: there is nothing to keep"
        )
    network.cpu().load_state_dict(keeper.best)
    history = [epoch._asdict() for epoch in keeper.history]
    return {"ended": ended, "best_epoch": keeper.best_epoch, "history": history}


def _classify(
    checkpoint: Checkpoint,
    cells: pd.DataFrame,
    classes: Sequence[str],
    settings: TrainSettings,
    tell: Progress,
    stopped: Callable[[], bool],
) -> np.ndarray | None:
    """The class predicted for every cell, without augmentation; None if stopped."""
    where = choose_device(settings.device)
    network = checkpoint.network.to(where).eval()
    loader = _loader(cells, classes, settings)
    predicted = []
    with torch.inference_mode():
        for done, (images, *_) in enumerate(loader):
            tell(TrainingProgress("testing", done, len(loader)))
            if stopped():
                return None
            predicted.append(network(checkpoint.prepare(images, where)).argmax(1).cpu().numpy())
    network.cpu()
    return np.concatenate(predicted)


def _provenance(plate_csv: Path) -> dict[str, Any]:
    """Which plate it was, and the design of a built-in one."""
    import json

    data: dict[str, Any] = {"plate": plate_csv.name}
    if plate_csv.is_file():
        data["sha256"] = sha256(plate_csv.read_bytes()).hexdigest()
    design = plate_csv.with_name("design.json")
    if design.is_file():
        data["design"] = json.loads(design.read_text())
    return data


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
