"""A plate becomes a checkpoint: wells left out, augmented crops, the best weights kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from gradcamo.errors import GradcamoError
from gradcamo.networks.checkpoint import Checkpoint
from gradcamo.networks.efficientnet import efficientnet3d
from gradcamo.networks.geometry import default_layer, describe_layers
from gradcamo.networks.memory import keep_buffers
from gradcamo.networks.preprocess import choose_device
from gradcamo.networks.replay import forget_recordings
from gradcamo.networks.threads import in_threads
from gradcamo.progress import TrainingProgress, Watch
from gradcamo.settings import TrainSettings
from gradcamo.training.cell_index import training_cells
from gradcamo.training.dataset import averaging_loader, channel_statistics, loader
from gradcamo.training.regularise import Regulariser
from gradcamo.training.report import (
    describe_cells,
    describe_layer_scores,
    describe_results,
)
from gradcamo.training.split import TRAIN, VALIDATION
from gradcamo.training.state import TrainingState


def train(
    plate_csv: str | Path,
    settings: TrainSettings | None = None,
    progress: Callable[[TrainingProgress], None] | None = None,
    stop: Callable[[], bool] | None = None,
    state_file: str | Path | None = None,
    resume: bool = False,
) -> Checkpoint:
    """Train a network to tell the treatments of a plate apart, leaving wells out.

    Parameters
    ----------
    plate_csv : path
        Table of stacks as `read_plate` takes it, with label images.
    settings : TrainSettings, optional
        Network, crop, wells and epochs; those of the paper by default.
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

    Examples
    --------
    A network far too small, for one epoch:

    >>> import gradcamo as gc
    >>> settings = gc.TrainSettings(
    ...     width=0.1,
    ...     input_size=(64, 64, 64),
    ...     crop=gc.CropSettings(size_yx=(64, 64)),
    ...     layer="block_4",
    ...     epochs=1,
    ... )
    >>> checkpoint = gc.train("plate/plate.csv", settings)
    >>> checkpoint.classes
    ('control', '40.00x')
    """
    settings = settings or TrainSettings()
    watch = Watch(progress, stop)
    keep_buffers()
    cells, classes = training_cells(plate_csv, settings, watch.stage("reading"))
    state = state_file and TrainingState(Path(state_file), settings, cells, resume)
    noted: dict[str, Any] = state.about if state else {}
    with torch.random.fork_rng(devices=[]), in_threads(noted.get("threads", 0)) as threads:
        noted["threads"] = threads
        network, layer = _network(settings, cells.attrs["channels"], classes)
        statistics = channel_statistics(
            cells[cells["split"] == TRAIN], settings, watch.stage("statistics")
        )
        settings, fitted = _fit(
            network, layer, statistics, cells, classes, settings, watch, state or None
        )
        checkpoint = Checkpoint(
            network=network,
            classes=classes,
            channels=cells.attrs["channels"],
            channel_mean=statistics[0],
            channel_std=statistics[1],
            crop=settings.crop,
            input_size=settings.input_size,
            layer=layer,
            spacing_um=cells.attrs["spacing_um"],
            architecture={
                "name": settings.network,
                "in_channels": len(cells.attrs["channels"]),
                "num_classes": len(classes),
                "width": settings.width,
            },
        )
        described = describe_cells(cells, classes)
        recipe: dict[str, Any] = {
            "software": f"napari-gradcamo {version('napari-gradcamo')}, torch {torch.__version__}",
            "data": _provenance(Path(plate_csv)),
            "settings": settings.model_dump(mode="json"),
            "threads": threads,
            **fitted,
            **described,
            "notes": [*described["notes"], *fitted["notes"]],
        }
        predicted = None
        if fitted["ended"] != "stopped":
            predicted = _classify(checkpoint, cells, settings, watch)
        recipe |= describe_results(cells, classes, predicted)
        if predicted is not None and settings.regularise_weight:
            recipe |= _layer_scores(checkpoint, cells, settings, watch)
        return replace(checkpoint, recipe=recipe)


def _network(
    settings: TrainSettings, channels: Sequence[str], classes: Sequence[str]
) -> tuple[nn.Module, str]:
    """The untrained network, always the same for a seed, and the layer to explain."""
    torch.manual_seed(settings.seed)
    network = efficientnet3d(settings.network, len(channels), len(classes), settings.width)
    # no treatment is favoured at first: random logits took short trainings epochs to unlearn
    nn.init.zeros_(network.get_submodule("_fc").get_parameter("weight"))
    shape = (len(channels), *settings.input_size)
    layer = settings.layer or default_layer(network, shape)
    known = describe_layers(network, shape)
    for name in (layer, *settings.regularise_layers):
        if name not in known:
            raise GradcamoError(
                f"the network has no layer {name!r}: choose from {', '.join(known)}"
            )
    return network, layer


def _fit(
    network: nn.Module,
    layer: str,
    statistics: tuple[tuple[float, ...], tuple[float, ...]],
    cells: pd.DataFrame,
    classes: Sequence[str],
    settings: TrainSettings,
    watch: Watch,
    state: TrainingState | None,
) -> tuple[TrainSettings, dict[str, Any]]:
    """Fit in place, in smaller batches where the GPU's memory demands it."""
    from gradcamo.training.fitting import fit

    notes: list[str] = []
    start = {key: value.clone() for key, value in network.state_dict().items()}
    regulariser = _regulariser(network, settings, layer)
    learning, deciding = cells[cells["split"] == TRAIN], cells[cells["split"] == VALIDATION]
    forget_recordings()  # training needs the memory more
    while True:
        loaders = (
            loader(learning, classes, settings, training=True),
            loader(deciding, classes, settings),
        )
        averaged = averaging_loader(learning, classes, settings)
        try:
            fitted = fit(
                network, statistics, settings, loaders, averaged, watch, regulariser, state
            )
            return settings, {**fitted, "notes": notes}
        except torch.OutOfMemoryError as error:
            if settings.batch_size < 4:
                raise GradcamoError(
                    "the GPU's memory does not hold two cells: use a smaller --input-size, a "
                    "narrower --width, or --device cpu"
                ) from error
        torch.cuda.empty_cache()
        network.cpu().load_state_dict(start)
        settings = settings.model_copy(
            update={
                "batch_size": settings.batch_size // 2,
                "accumulate": settings.accumulate * 2,
            }
        )
        note = (
            f"out of GPU memory: going on with batches of {settings.batch_size}, "
            f"{settings.accumulate} of which make a step"
        )
        notes.append(note)
        watch.tell(TrainingProgress("training", 0, len(learning), note=note))


def _regulariser(network: nn.Module, settings: TrainSettings, layer: str) -> Regulariser | None:
    if not settings.regularise_weight:
        return None
    channels = network._conv_stem.in_channels  # type: ignore[union-attr]
    known = describe_layers(network, (channels, *settings.input_size))  # type: ignore[arg-type]
    return Regulariser(
        network,
        {name: known[name] for name in settings.regularise_layers or (layer,)},
        settings.input_size,
        settings.regularise_weight,
        settings.regularise_alignment,
        settings.regularise_form,
    )


def _classify(
    checkpoint: Checkpoint, cells: pd.DataFrame, settings: TrainSettings, watch: Watch
) -> np.ndarray | None:
    """The class predicted for every cell, without augmentation; None if stopped."""
    where = choose_device(settings.device)
    batches = loader(cells, checkpoint.classes, settings)
    predicted = []
    for done, (images, *_) in enumerate(batches):
        watch.tell(TrainingProgress("testing", done, len(batches)))
        if watch.stopped():
            return None
        predicted.append(checkpoint.logits(images, where).argmax(1).cpu().numpy())
    return np.concatenate(predicted)


def _layer_scores(
    checkpoint: Checkpoint, cells: pd.DataFrame, settings: TrainSettings, watch: Watch
) -> dict[str, Any]:
    """Grad-CAMO of every layer on validation cells: does it follow where it was not asked to?"""
    from gradcamo.training.explain_cells import explain_cells

    deciding = cells[cells["split"] == VALIDATION].reset_index(drop=True)
    table, _ = explain_cells(
        deciding,
        checkpoint,
        tuple(checkpoint.layers),
        settings.regularise_alignment,
        settings.batch_size,
        settings.device,
        lambda done, total: watch.tell(TrainingProgress("scoring", done, total)),
    )
    return describe_layer_scores(table, settings.regularise_layers or (checkpoint.layer,))


def _provenance(plate_csv: Path) -> dict[str, Any]:
    """Which plate it was, and the design of a built-in one."""
    data: dict[str, Any] = {"plate": plate_csv.name}
    if plate_csv.is_file():
        data["sha256"] = sha256(plate_csv.read_bytes()).hexdigest()
    design = plate_csv.with_name("design.json")
    if design.is_file():
        data["design"] = json.loads(design.read_text(encoding="utf-8"))
    return data
