"""Every layer scored in one pass: where is attention on the cell, and what does it still know?"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from gradcamo.auditing.agreement import agreement_by_layer
from gradcamo.auditing.cautions import layer_cautions, rank_cautions
from gradcamo.auditing.matching import refuse_other_spellings
from gradcamo.columns import SCORES
from gradcamo.errors import GradcamoError
from gradcamo.networks.checkpoint import Checkpoint
from gradcamo.networks.resolve import as_checkpoint
from gradcamo.settings import LabelReadSettings, LayerAuditSettings, TrainSettings
from gradcamo.training.cell_index import index_cells
from gradcamo.training.explain_cells import ExplainedCells
from gradcamo.training.split import TEST, leave_wells_out


class LayerAudit(NamedTuple):
    """``summary`` has one row per layer, ``cells`` one per held-out cell and layer."""

    summary: pd.DataFrame
    cells: pd.DataFrame


class LayerAuditStep(NamedTuple):
    """``done`` of ``total`` cells are explained; the last step brings the ``result``."""

    done: int
    total: int
    result: LayerAudit | None = None


def layer_audit(
    plate_csv: str | Path,
    checkpoint: Checkpoint | str | Path,
    settings: LayerAuditSettings | None = None,
) -> LayerAudit:
    """Score every layer of a checkpoint on the held-out wells of a plate.

    Parameters
    ----------
    plate_csv : path
        The plate is split as the checkpoint's training did, else by the default rule or the
        column ``split``.
    checkpoint : Checkpoint or path
    settings : LayerAuditSettings

    Returns
    -------
    LayerAudit
        ``summary``: layer, channels, grid, cells, mean and sd of grad_camo and attainable, mean
        shares, chance and ceiling, ``empty`` (share of cells without positive evidence),
        ``probe_accuracy``: how many held-out cells a logistic regression classifies correctly that
        was trained on the layer's profiles of the training wells, and ``largest_class``: how many
        are right if the commonest treatment is always said; ``alignment`` and ``gradients``.

    Raises
    ------
    GradcamoError
        If the plate has no held-out wells, or does not fit the checkpoint.
    """
    *_, last = layer_audit_steps(plate_csv, checkpoint, settings)
    assert last.result is not None
    return last.result


def layer_audit_steps(
    plate_csv: str | Path,
    checkpoint: Checkpoint | str | Path,
    settings: LayerAuditSettings | None = None,
) -> Iterator[LayerAuditStep]:
    """`layer_audit` batch by batch, in one pass over the cells."""
    checkpoint = as_checkpoint(checkpoint, "an audit of layers")
    settings = settings or LayerAuditSettings()
    names = tuple(dict.fromkeys(settings.layers or checkpoint.layers))
    cells = _cells(plate_csv, checkpoint, settings)
    held_out = (cells["split"] == TEST).to_numpy()
    scores = ExplainedCells(checkpoint, names, settings.alignment, settings.gradients)
    for done in scores.explain(cells, settings.batch_size, settings.device):
        yield LayerAuditStep(done, len(cells))
    scored = scores.table(cells)
    scored = scored[np.tile(held_out, len(names))]
    largest = cells.loc[held_out, "treatment"].value_counts(normalize=True).iloc[0]
    rows = [
        _summary(name, checkpoint, scored[scored["layer"] == name])
        | {
            "probe_accuracy": _probe(scores.profiles(name), cells["treatment"], held_out),
            "largest_class": largest,
            "alignment": settings.alignment,
            "gradients": settings.gradients,
        }
        for name in names
    ]
    recipe = _recipe(plate_csv, checkpoint, settings, names)
    scored.attrs = {"recipe": recipe | {"cautions": layer_cautions(scored, recipe)}}
    result = LayerAudit(pd.DataFrame(rows), scored)
    yield LayerAuditStep(len(cells), len(cells), result)


def with_agreement(audit: LayerAudit, asked: pd.DataFrame | None) -> LayerAudit:
    """The same, held against cells that were asked causally.

    Parameters
    ----------
    asked : DataFrame
        Cells with the causal columns, such as those of a plate's folder; None where there are none.

    Returns
    -------
    LayerAudit
        Its ``summary`` has `agreement_by_layer`, too: ``causal_rho``, Spearman's rank correlation
        of Grad-CAMO with ``causal_own``, and ``causal_cells``; its cautions name the layers whose
        scores rank cells otherwise. Unchanged where no layer has 30 such cells.
    """
    told = None if asked is None else agreement_by_layer(audit.cells, asked)
    if told is None or told["causal_rho"].isna().all():
        return audit
    summary = audit.summary.drop(columns=told.columns, errors="ignore").join(told, on="layer")
    recipe, cells = audit.cells.attrs["recipe"], audit.cells.copy(deep=False)
    said = [*recipe["cautions"], *rank_cautions(told)]
    cells.attrs = {"recipe": recipe | {"cautions": list(dict.fromkeys(said))}}
    return LayerAudit(summary, cells)


def _cells(plate_csv: str | Path, checkpoint: Checkpoint, told: LabelReadSettings) -> pd.DataFrame:
    """The whole cells of the checkpoint's classes, training and held-out wells."""
    from gradcamo.files.misfits import refuse_misfits
    from gradcamo.files.plates import read_plate
    from gradcamo.files.told import as_told

    trained_with = TrainSettings.recorded(checkpoint.recipe)
    settings = trained_with.model_copy(update={"crop": checkpoint.crop})
    plate = as_told(as_told(read_plate(plate_csv), settings), told)  # what is told now wins
    refuse_other_spellings(plate, checkpoint, plate_csv)
    plate = leave_wells_out(plate, settings)
    refuse_misfits(plate)
    cells = index_cells(plate, settings)
    if cells.attrs["channels"] != checkpoint.channels:
        raise GradcamoError(
            f"the checkpoint expects the channels {', '.join(checkpoint.channels)}, the plate has "
            f"{', '.join(cells.attrs['channels'])}"
        )
    known = cells["treatment"].isin(checkpoint.classes)
    if not (known & (cells["split"] == TEST)).any():
        raise GradcamoError(
            "the plate has no held-out wells of the checkpoint's treatments "
            f"({', '.join(checkpoint.classes)}) to score layers on: set test in a column split, "
            "or use the plate that it was trained on"
        )
    return cells[known].reset_index(drop=True)


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


def _recipe(
    plate_csv: str | Path,
    checkpoint: Checkpoint,
    settings: LayerAuditSettings,
    layers: tuple[str, ...],
) -> dict[str, Any]:
    return {
        "software": f"napari-gradcamo {version('napari-gradcamo')}",
        "plate": Path(plate_csv).name,
        "checkpoint": checkpoint.hash,
        "classes": list(checkpoint.classes),
        "grids": {name: list(checkpoint.layers[name].grid) for name in layers},
        "settings": settings.model_dump(mode="json"),
    }
