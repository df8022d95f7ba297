"""Every layer scored in one pass: where is attention on the cell, and what does it still know?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from gradcamo.cells.crops import CellCrops
from gradcamo.errors import GradcamoError
from gradcamo.files.landing import landing
from gradcamo.networks.checkpoint import Checkpoint
from gradcamo.settings import Alignment, CropSettings, TrainSettings
from gradcamo.training.cells import index_cells
from gradcamo.training.split import TEST, leave_wells_out
from gradcamo.types import CellCrop

SCORES = (
    *("grad_camo", "neighbour_share", "background_share"),
    *("chance", "ceiling", "attainable"),
)


class LayerAudit(NamedTuple):
    """``summary`` has one row per layer, ``cells`` one per held-out cell and layer."""

    summary: pd.DataFrame
    cells: pd.DataFrame


def layer_audit(
    plate_csv: str | Path,
    checkpoint: Checkpoint,
    layers: Sequence[str] = (),
    alignment: Alignment = "paper",
    batch_size: int = 8,
    device: str = "auto",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> LayerAudit:
    """Score every layer of a checkpoint on the held-out wells of a plate.

    Parameters
    ----------
    plate_csv : path
        The plate is split as the checkpoint's training did, else by the default rule or the
        column ``split``.
    checkpoint : Checkpoint
    layers : names; every layer by default
    alignment : where maps lie on the crop
    progress : called with (cells done, cells in all); an exception that it raises cancels

    Returns
    -------
    LayerAudit
        ``summary``: layer, channels, grid, mean and sd of grad_camo and attainable, mean shares,
        chance and ceiling, ``empty`` (share of cells without positive evidence) and
        ``probe_accuracy``: how many held-out cells a logistic regression classifies correctly that
        was trained on the layer's profiles of the training wells.

    Raises
    ------
    GradcamoError
        If the plate has no held-out wells, or does not fit the checkpoint.
    """
    from gradcamo.files.plates import read_plate

    names = tuple(layers) or tuple(checkpoint.layers)
    settings = TrainSettings(**checkpoint.recipe.get("settings", {})).model_copy(
        update={"crop": checkpoint.crop}
    )
    plate = leave_wells_out(read_plate(plate_csv), settings)
    cells = index_cells(plate, settings)
    cells = cells[cells["treatment"].isin(checkpoint.classes)].reset_index(drop=True)
    if cells.attrs["channels"] != checkpoint.channels:
        raise GradcamoError(
            f"the checkpoint expects the channels {', '.join(checkpoint.channels)}, the plate has "
            f"{', '.join(cells.attrs['channels'])}"
        )
    held_out = (cells["split"] == TEST).to_numpy()
    if not held_out.any():
        raise GradcamoError("the plate has no held-out wells to score layers on")
    scored, profiles = explain_cells(
        cells, checkpoint, names, alignment, batch_size, device, progress
    )
    rows = []
    for name in names:
        seen = scored[(scored["layer"] == name) & np.tile(held_out, len(names))]
        rows.append(
            _summary(name, checkpoint, seen)
            | {"probe_accuracy": _probe(profiles[name], cells["treatment"], held_out)}
        )
    return LayerAudit(pd.DataFrame(rows), scored[np.tile(held_out, len(names))])


def explain_cells(
    cells: pd.DataFrame,
    checkpoint: Checkpoint,
    layers: Sequence[str],
    alignment: Alignment = "paper",
    batch_size: int = 8,
    device: str = "auto",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Scores and profiles of the cells of `index_cells` at several layers, from one pass.

    Returns
    -------
    table : DataFrame
        Layer after layer, within each the rows of ``cells`` in their order, with layer,
        alignment, predicted, confidence and the columns of equation 5.
    profiles : dict of (cells, C') float32
    """
    from gradcamo.networks.infer import explain

    parts: dict[str, list[pd.DataFrame]] = {name: [] for name in layers}
    profiles: dict[str, list[np.ndarray]] = {name: [] for name in layers}
    crops = crops_of(cells, checkpoint.crop)
    done = 0
    for batch in explain(crops, checkpoint, tuple(layers), None, alignment, batch_size, device):
        for seen in batch:
            best = seen.probabilities.argmax(1)
            parts[seen.layer].append(
                pd.DataFrame(
                    {
                        "layer": seen.layer,
                        "alignment": alignment,
                        "predicted": np.array(checkpoint.classes)[best],
                        "confidence": seen.probabilities.max(1),
                        **{name: seen.shares[name] for name in SCORES},
                    }
                )
            )
            profiles[seen.layer].append(seen.profiles)
        done += len(batch[0].labels)
        progress(done, len(cells))
    table = pd.concat([part for name in layers for part in parts[name]], ignore_index=True)
    given = pd.concat([cells] * len(layers), ignore_index=True)
    given = given.drop(columns=["start_y", "start_x", "labels"])
    return (
        pd.concat([given, table], axis=1),
        {name: np.concatenate(found) for name, found in profiles.items()},
    )


def crops_of(cells: pd.DataFrame, settings: CropSettings) -> Iterator[CellCrop]:
    """The crops of cells, stack by stack; rows of one stack stand together."""
    from gradcamo.files.stacks import read_labels, read_stack

    stacks = (cells["image"] != cells["image"].shift()).cumsum()
    for _, group in cells.groupby(stacks, sort=False):
        row = group.iloc[0]
        crops = CellCrops(read_stack(row["image"]), read_labels(row["labels"]), settings)
        place = {label: i for i, label in enumerate(crops.table["label"])}
        for label in group["label"]:
            yield crops[place[label]]


def _summary(name: str, checkpoint: Checkpoint, seen: pd.DataFrame) -> dict[str, Any]:
    info = checkpoint.layers[name]
    return {
        "layer": name,
        "channels": info.channels,
        "grid": " ".join(map(str, info.grid)),
        "cells": len(seen),
        "grad_camo": seen["grad_camo"].mean(),
        "grad_camo_sd": seen["grad_camo"].std(),
        "attainable": seen["attainable"].mean(),
        "attainable_sd": seen["attainable"].std(),
        **{column: seen[column].mean() for column in SCORES[1:5]},
        "empty": seen["grad_camo"].isna().mean(),
    }


def _probe(profiles: np.ndarray, treatment: pd.Series, held_out: np.ndarray) -> float:
    """Held-out accuracy of a linear classifier on profiles of the training wells."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if treatment[~held_out].nunique() < 2:
        return float("nan")
    # strong shrinkage: deep layers have more features than a small plate has cells
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2000))
    probe.fit(profiles[~held_out], treatment[~held_out])
    return float(probe.score(profiles[held_out], treatment[held_out]))


def save_layer_audit(audit: LayerAudit, folder: str | Path) -> list[Path]:
    """Write ``layers.csv`` and ``layers.png``, whole or not at all."""
    from gradcamo.figures import layer_audit as draw

    files = [Path(folder) / "layers.csv", Path(folder) / "layers.png"]
    with landing(files[0]) as scratch:
        audit.summary.to_csv(scratch, index=False)
    with landing(files[1]) as scratch:
        draw(audit.cells).savefig(scratch, dpi=150, format="png")
    return files
