"""One stack: every cell explained and scored, row by row."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from gradcamo.auditing.cautions import with_cautions
from gradcamo.auditing.matching import chosen_cells, fitting_stack, target_class
from gradcamo.auditing.recipe import audit_recipe
from gradcamo.cells.crops import CellCrops
from gradcamo.cells.table import fails
from gradcamo.columns import CELL_COLUMNS
from gradcamo.datatypes import ZStack
from gradcamo.errors import GradcamoError, each_once, warn
from gradcamo.settings import AuditSettings

if TYPE_CHECKING:
    from gradcamo.cells.upsampling import Placement
    from gradcamo.networks.checkpoint import Checkpoint
    from gradcamo.networks.explained import Explained


@dataclass(frozen=True, eq=False)
class AuditBatch:
    """Some cells of a stack, audited.

    ``table`` has n rows; ``profiles`` (n, C'), coarse ``maps`` (n, *grid) and ``starts`` (n, 3),
    the crops' first voxel in the stack, belong to them row by row. Cells that cannot be scored
    come as a batch of their own that has rows alone. ``placement`` says where the grid lies in the
    crop (None: the published way); ``done`` of ``total`` cells are audited. Where permutations
    were asked for, the last batch brings ``significance`` of all scored cells: ``p_value`` and
    ``q_value``, indexed by label.
    """

    table: pd.DataFrame
    profiles: np.ndarray
    maps: np.ndarray
    starts: np.ndarray
    placement: Placement | None
    done: int
    total: int
    significance: pd.DataFrame | None = None


def audit(
    stack: ZStack,
    labels: Any,
    checkpoint: Checkpoint | str | Path | None = None,
    settings: AuditSettings | None = None,
    only: Collection[int] | None = None,
    **former: Any,
) -> pd.DataFrame:
    """Score every cell of a stack: one row a cell, in ascending label.

    Parameters
    ----------
    stack : ZStack
        (C, Z, Y, X).
    labels : array of int
        (Z, Y, X), 0 outside cells.
    checkpoint : Checkpoint or path
        ``"bundled"`` names the small network of this package; one of your own comes in
        ``Checkpoint.around(network, channels, layer, input_size)``.
    settings : AuditSettings, optional
        Layer, alignment, target and the like.
    only : collection of int, optional
        Labels to audit; all by default.

    Returns
    -------
    DataFrame
        With the columns `CELL_COLUMNS`; ``attrs["recipe"]`` says how it was made and holds its
        ``cautions``, which come as warnings, too. Cells that touch the y or x border are partial:
        they have a row, but no score. So do cells in pieces of which their crop holds none
        (``cell_in_crop`` 0). With ``settings.permutations``, ``p_value`` and ``q_value`` follow.

    Raises
    ------
    GradcamoError
        If stack, labels and checkpoint do not fit, there are no cells, or a channel holds NaN.

    Notes
    -----
    Grad-CAMO is equation 5 of Gopalakrishnan, Ma and Xie (2024), see `attention_shares`.

    Examples
    --------
    >>> import gradcamo as gc
    >>> stack = gc.read_stack("plate/images/E02_s1.ome.tif")
    >>> labels = gc.read_labels("plate/labels/E02_s1.ome.tif")
    >>> cells = gc.audit(stack, labels, "bundled")
    >>> cells[["label", "grad_camo", "chance", "ceiling"]].round(2).head(3)
       label  grad_camo  chance  ceiling
    0      1       0.22    0.19     0.99
    1      2       0.05    0.16     0.99
    2      3       0.25    0.17     0.99
    """
    from gradcamo.networks.resolve import as_checkpoint

    settings = settings or AuditSettings()
    if former:
        raise GradcamoError(
            f"an audit takes a checkpoint, got {', '.join(former)}: name its file or 'bundled', or "
            "bring a network of your own in gc.Checkpoint.around(network, channels, layer, "
            "input_size); another layer of it is gc.AuditSettings(layer=…)"
        )
    checkpoint = as_checkpoint(checkpoint)
    with each_once():  # some are said as soon as they are known
        table, _ = gather(audit_batches(stack, labels, checkpoint, settings, only))
        recipe = with_cautions(table, audit_recipe(stack, checkpoint, settings))
        for caution in recipe["cautions"]:
            warn(caution, stacklevel=2)
    table.attrs["recipe"] = recipe
    return table


def gather(batches: Iterable[AuditBatch]) -> tuple[pd.DataFrame, np.ndarray]:
    """Rows and profiles of all batches in ascending label; profiles of cells without are NaN.

    ``p_value`` and ``q_value`` are added where the batches bring them.
    """
    seen = list(batches)
    width = max((batch.profiles.shape[1] for batch in seen if batch.profiles.ndim == 2), default=0)
    profiles = [
        batch.profiles
        if batch.profiles.ndim == 2
        else np.full((len(batch.table), width), np.nan, np.float32)
        for batch in seen
    ]
    table = pd.concat([batch.table for batch in seen], ignore_index=True)
    for batch in seen:
        if batch.significance is not None:
            table = table.join(batch.significance, on="label")
    order = table["label"].argsort(kind="stable").to_numpy()
    return table.iloc[order].reset_index(drop=True), np.concatenate(profiles)[order]


def audit_batches(
    stack: ZStack,
    labels: Any,
    checkpoint: Checkpoint | str | Path,
    settings: AuditSettings | None = None,
    only: Collection[int] | None = None,
) -> Iterator[AuditBatch]:
    """The same as `audit`, batch by batch, with profiles and maps. Checks come before the first.

    Parameters
    ----------
    stack, labels, checkpoint, settings, only
        As in `audit`.

    Yields
    ------
    AuditBatch
        ``table`` of n cells, ``profiles`` (n, C'), coarse ``maps`` ``(n, *grid)``, ``starts``
        (n, 3) of the crops in voxels (z, y, x); ``done`` of ``total`` cells are audited.

    Raises
    ------
    GradcamoError
        As `audit`.

    Examples
    --------
    >>> import gradcamo as gc
    >>> stack = gc.read_stack("plate/images/E02_s1.ome.tif")
    >>> labels = gc.read_labels("plate/labels/E02_s1.ome.tif")
    >>> for batch in gc.audit_batches(stack, labels, "bundled", only=[1, 2, 3]):
    ...     print(f"{batch.done} of {batch.total}", batch.maps.shape)
    3 of 3 (3, 4, 6, 6)
    """
    from gradcamo.networks.resolve import as_checkpoint

    checkpoint = as_checkpoint(checkpoint)
    return audit_crops(cells_of(stack, labels, checkpoint, settings), checkpoint, settings, only)


def cells_of(
    stack: ZStack, labels: Any, checkpoint: Checkpoint, settings: AuditSettings | None = None
) -> CellCrops:
    """The cells of a stack as a checkpoint takes them: found once, to be audited many times.

    Raises
    ------
    GradcamoError
        If stack, labels and checkpoint do not fit.
    """
    settings = settings or AuditSettings()
    checkpoint.info(settings.layer or checkpoint.layer)
    return CellCrops(fitting_stack(stack, checkpoint, settings), labels, checkpoint.crop)


def audit_crops(
    crops: CellCrops,
    checkpoint: Checkpoint,
    settings: AuditSettings | None = None,
    only: Collection[int] | None = None,
) -> Iterator[AuditBatch]:
    """The same as `audit_batches`, for the cells that `cells_of` found."""
    settings = settings or AuditSettings()
    layer = settings.layer or checkpoint.layer
    checkpoint.info(layer)
    chosen = chosen_cells(crops, only, crops.stack)
    target = target_class(checkpoint, settings)
    scorable = crops.scorable[chosen]
    return _run(crops, checkpoint, settings, layer, target, chosen[~scorable], chosen[scorable])


def _run(
    crops: CellCrops,
    checkpoint: Checkpoint,
    settings: AuditSettings,
    layer: str,
    target: int | None,
    unscored: np.ndarray,
    scored: np.ndarray,
) -> Iterator[AuditBatch]:
    from gradcamo.networks.infer import explain

    total, done = len(unscored) + len(scored), len(unscored)
    none = np.empty((0,))
    if done or not total:
        table = _table(crops, unscored, layer, settings)
        yield AuditBatch(table, none, none, none, None, done, total)
    cells = crops.each(scored)
    batches = explain(
        cells,
        checkpoint,
        (layer,),
        target,
        settings.alignment,
        settings.batch_size,
        settings.device,
        settings.gradients,
    )
    kept: list[Explained] = []
    for (seen,) in batches:
        rows = scored[done - len(unscored) :][: len(seen.labels)]
        done += len(rows)
        if settings.permutations:
            kept.append(seen)
        yield AuditBatch(
            _table(crops, rows, layer, settings, seen),
            seen.profiles,
            seen.maps,
            np.array([crops.start(i) for i in rows]),
            seen.placement,
            done,
            total,
            _significance(kept, settings) if kept and done == total else None,
        )


def _significance(seen: list[Explained], settings: AuditSettings) -> pd.DataFrame:
    """Only coarse maps and masks are kept for it: a stack of 1,000 cells needs a few MB."""
    from gradcamo.cells.null import permutation_p_values, q_values

    p = permutation_p_values(
        np.concatenate([batch.maps for batch in seen]),
        np.concatenate([batch.own for batch in seen]),
        seen[0].full,
        settings.permutations,
        settings.seed,
    )
    labels = [label for batch in seen for label in batch.labels]
    return pd.DataFrame({"p_value": p, "q_value": q_values(p)}, pd.Index(labels, name="label"))


def _table(
    crops: CellCrops,
    rows: np.ndarray,
    layer: str,
    settings: AuditSettings,
    seen: Explained | None = None,
) -> pd.DataFrame:
    columns: dict[str, Any] = {
        str(name): column.to_numpy()[rows] for name, column in crops.table.items()
    }
    columns |= {"image": crops.stack.source, "layer": layer}
    names = np.array(crops.stack.channels)
    hot = [", ".join(names[channels]) for channels in crops.hot[rows]]
    columns["hot_channels"] = pd.Series(hot, dtype="str")
    columns |= {"alignment": settings.alignment, "gradients": settings.gradients}
    if seen is None:
        columns["predicted"] = pd.Series([None] * len(rows), dtype="str")
    else:
        columns["predicted"] = pd.Series(seen.predicted, dtype="str")
        columns["confidence"] = seen.confidence.astype(np.float64)
        columns |= {name: values.astype(np.float64) for name, values in seen.shares.items()}
    table = pd.DataFrame(columns, index=range(len(rows))).reindex(columns=list(CELL_COLUMNS))
    return table.assign(flagged=fails(table, settings.cutoff))
