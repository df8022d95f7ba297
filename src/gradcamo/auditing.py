"""One stack: every cell explained and scored, row by row."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from gradcamo.crops import CellCrops
from gradcamo.errors import GradcamoError
from gradcamo.settings import AuditSettings
from gradcamo.types import ZStack

if TYPE_CHECKING:
    from gradcamo.checkpoint import Checkpoint
    from gradcamo.infer import Explained
    from gradcamo.overlap import Placement

COLUMNS = (
    *("image", "label", "predicted", "confidence", "layer", "alignment"),
    *("grad_camo", "neighbour_share", "background_share", "chance", "ceiling", "attainable"),
    *("cell_in_crop", "touches_border", "volume_um3"),
    *("centroid_z", "centroid_y", "centroid_x", "flagged"),
)


@dataclass(frozen=True, eq=False)
class AuditBatch:
    """Some cells of a stack, audited.

    ``table`` has n rows; ``profiles`` (n, C'), coarse ``maps`` (n, *grid) and ``starts`` (n, 3),
    the crops' first voxel in the stack, belong to them row by row. Partial cells come as a batch
    of their own that has rows alone. ``placement`` says where the grid lies in the crop (None:
    the published way); ``done`` of ``total`` cells are audited.
    """

    table: pd.DataFrame
    profiles: np.ndarray
    maps: np.ndarray
    starts: np.ndarray
    placement: Placement | None
    done: int
    total: int


def audit(
    stack: ZStack,
    labels: Any,
    checkpoint: Checkpoint,
    settings: AuditSettings | None = None,
    only: Collection[int] | None = None,
) -> pd.DataFrame:
    """Score every cell of a stack: one row a cell, in ascending label.

    Parameters
    ----------
    stack : ZStack
    labels : integer array, (Z, Y, X)
    checkpoint : Checkpoint
    settings : AuditSettings
    only : labels to audit; all by default

    Returns
    -------
    DataFrame with the columns `COLUMNS`; ``attrs["recipe"]`` says how it was made. Cells that
    touch the y or x border are partial: they have a row, but no score.

    Raises
    ------
    GradcamoError
        If stack, labels and checkpoint do not fit, there are no cells, or a channel holds NaN.
    """
    settings = settings or AuditSettings()
    table, _ = gather(audit_batches(stack, labels, checkpoint, settings, only))
    table.attrs["recipe"] = audit_recipe(stack, checkpoint, settings)
    return table


def gather(batches: Iterable[AuditBatch]) -> tuple[pd.DataFrame, np.ndarray]:
    """Rows and profiles of all batches in ascending label; partial cells have NaN profiles."""
    seen = list(batches)
    width = max((batch.profiles.shape[1] for batch in seen if batch.profiles.ndim == 2), default=0)
    profiles = [
        batch.profiles
        if batch.profiles.ndim == 2
        else np.full((len(batch.table), width), np.nan, np.float32)
        for batch in seen
    ]
    table = pd.concat([batch.table for batch in seen], ignore_index=True)
    order = table["label"].argsort(kind="stable").to_numpy()
    return table.iloc[order].reset_index(drop=True), np.concatenate(profiles)[order]


def audit_batches(
    stack: ZStack,
    labels: Any,
    checkpoint: Checkpoint,
    settings: AuditSettings | None = None,
    only: Collection[int] | None = None,
) -> Iterator[AuditBatch]:
    """The same as `audit`, batch by batch, with profiles and maps. Checks come before the first."""
    settings = settings or AuditSettings()
    layer = settings.layer or checkpoint.layer
    if layer not in checkpoint.layers:
        raise GradcamoError(
            f"the checkpoint has no layer {layer!r}: choose from {', '.join(checkpoint.layers)}"
        )
    stack = _fitting(stack, checkpoint, settings)
    crops = CellCrops(stack, labels, checkpoint.crop)
    chosen = _choose(crops, only, stack)
    target = _target(checkpoint, settings)
    partial = crops.table["touches_border"].to_numpy()
    return _run(
        crops,
        checkpoint,
        settings,
        layer,
        target,
        chosen[partial[chosen]],
        chosen[~partial[chosen]],
    )


def _run(
    crops: CellCrops,
    checkpoint: Checkpoint,
    settings: AuditSettings,
    layer: str,
    target: int | None,
    partial: np.ndarray,
    whole: np.ndarray,
) -> Iterator[AuditBatch]:
    from gradcamo.infer import explain

    total, done = len(partial) + len(whole), len(partial)
    none = np.empty((0,))
    if done:
        table = _table(crops, partial, layer, settings)
        yield AuditBatch(table, none, none, none, None, done, total)
    cells = (crops[i] for i in whole)
    batches = explain(
        cells,
        checkpoint,
        (layer,),
        target,
        settings.alignment,
        settings.batch_size,
        settings.device,
    )
    for (seen,) in batches:
        rows = whole[done - len(partial) :][: len(seen.labels)]
        done += len(rows)
        yield AuditBatch(
            _table(crops, rows, layer, settings, seen, checkpoint.classes),
            seen.profiles,
            seen.maps,
            np.array([crops.start(i) for i in rows]),
            seen.placement,
            done,
            total,
        )


def _table(
    crops: CellCrops,
    rows: np.ndarray,
    layer: str,
    settings: AuditSettings,
    seen: Explained | None = None,
    classes: tuple[str, ...] = (),
) -> pd.DataFrame:
    table = crops.table.iloc[rows].reset_index(drop=True)
    table["image"] = crops.stack.source
    table["layer"], table["alignment"] = layer, settings.alignment
    if seen is None:
        table["predicted"], table["flagged"] = pd.Series([None] * len(rows), dtype="str"), False
    else:
        best = seen.probabilities.argmax(1)
        table["predicted"] = pd.Series([classes[k] for k in best], dtype="str")
        table["confidence"] = seen.probabilities[np.arange(len(rows)), best]
        for column, values in seen.shares.items():
            table[column] = values
        # an empty map is no evidence for the cell, so it does not pass
        table["flagged"] = ~(table["grad_camo"] >= settings.cutoff)
    return table.reindex(columns=COLUMNS)


def _fitting(stack: ZStack, checkpoint: Checkpoint, settings: AuditSettings) -> ZStack:
    wanted = settings.channels or checkpoint.channels
    names = ", ".join(checkpoint.channels)
    expected = f"the checkpoint expects {len(checkpoint.channels)} channels ({names})"
    if len(wanted) != len(checkpoint.channels):
        raise GradcamoError(f"{expected}, --channels names {len(wanted)}: name one for each")
    if any(name not in stack.channels for name in wanted):
        raise GradcamoError(
            f"{expected}, {stack.source or 'the stack'} has {len(stack.channels)} "
            f"({', '.join(stack.channels)}): choose which to use with --channels"
        )
    if len(checkpoint.input_size) == 3 and stack.shape[1] == 1:
        raise GradcamoError(
            f"the checkpoint is a 3D network, {stack.source or 'the image'} has one plane: "
            "open a Z-stack, or use a 2D network"
        )
    if len(checkpoint.input_size) == 2 and stack.shape[1] > 1:
        raise GradcamoError(
            f"the checkpoint is a 2D network, {stack.source or 'the stack'} has "
            f"{stack.shape[1]} planes: project it, or use a 3D network"
        )
    if stack.spacing_um and checkpoint.spacing_um:
        ratio = np.divide(stack.spacing_um, checkpoint.spacing_um)
        if np.abs(np.log(ratio)).max() > np.log(1.05):
            warnings.warn(
                f"the stack's voxels are {stack.spacing_um} µm, the checkpoint was trained on "
                f"{checkpoint.spacing_um} µm: cells look larger or smaller to it than they are",
                stacklevel=3,
            )
    return stack.select(wanted).in_memory()


def _choose(crops: CellCrops, only: Collection[int] | None, stack: ZStack) -> np.ndarray:
    if not len(crops):
        raise GradcamoError(
            f"the labels of {stack.source or 'the stack'} hold no cells: segment it again, with "
            "another diameter or model"
        )
    if only is None:
        return np.arange(len(crops))
    ids = crops.table["label"].to_numpy()
    if missing := sorted(set(only) - set(ids.tolist())):
        raise GradcamoError(f"the labels hold no cell {missing[0]} ({len(missing)} are missing)")
    return np.flatnonzero(np.isin(ids, list(only)))


def _target(checkpoint: Checkpoint, settings: AuditSettings) -> int | None:
    if settings.target is None:
        return None
    if settings.target not in checkpoint.classes:
        raise GradcamoError(
            f"the checkpoint knows the treatments {', '.join(checkpoint.classes)}, "
            f"not {settings.target!r}: choose one of them"
        )
    return checkpoint.classes.index(settings.target)


def audit_recipe(stack: ZStack, checkpoint: Checkpoint, settings: AuditSettings) -> dict[str, Any]:
    """How a table was made, for the file that keeps it."""
    return {
        "software": f"napari-gradcamo {version('napari-gradcamo')}",
        "checkpoint": checkpoint.hash,
        "classes": list(checkpoint.classes),
        "channels": list(settings.channels or checkpoint.channels),
        "channel_mean": list(checkpoint.channel_mean),
        "channel_std": list(checkpoint.channel_std),
        "crop": checkpoint.crop.model_dump(),
        "input_size": list(checkpoint.input_size),
        "spacing_um": stack.spacing_um and list(stack.spacing_um),
        "image": stack.source,
        "settings": settings.model_dump() | {"layer": settings.layer or checkpoint.layer},
    }
