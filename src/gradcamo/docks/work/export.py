"""Which cells go to a file, and what is written of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcamo.auditing.cautions import with_cautions
from gradcamo.cells.table import passes, whole
from gradcamo.errors import GradcamoError
from gradcamo.settings import CropSettings

if TYPE_CHECKING:
    import pandas as pd

    from gradcamo.docks.state.session import Session

FILES = "CSV (*.csv);;Parquet (*.parquet);;AnnData (*.h5ad)"
IMAGES = "OME-TIFF (*.ome.tif)"
CHOICES = ("all", "visible", "selected", "passing", "flagged", "unflagged")
KINDS = {  # what, title, explanation
    "table": ("Table", "scores, flags and notes; AnnData holds the profiles too"),
    "labels": ("Label image", "these cells alone, under their numbers, as OME-TIFF"),
    "volume": (
        "Heatmaps, one image",
        "in the frame of the stack, as OME-TIFF: each map from 0 to 1, the larger value where "
        "crops overlap",
    ),
    "maps": ("Heatmaps, one file per cell", "as OME-TIFF with the network's own values"),
}
KEYS = ("image", "label")  # a cell cannot be told without them
PLACE = ("plate", "well", "site")


@dataclass(frozen=True)
class Request:
    """Which cells (``CHOICES``), what of them (``KINDS``), and how a table is written."""

    which: str = "all"
    what: str = "table"
    columns: Sequence[str] | None = None  # None: all
    cytomining: bool = False


def chosen(session: Session, which: str) -> pd.DataFrame:
    """The rows of `CHOICES`, in the order that the table of cells shows.

    Raises
    ------
    GradcamoError
        If there are none.
    """
    table = session.results.table
    if not len(table):
        raise GradcamoError("there are no scores to export: audit the cells first")
    order = session.order[np.isin(session.order, table.index)]  # the table may be closed since
    if len(order):
        hidden = np.setdiff1d(table["label"], order)
        table = table.loc[order if which == "visible" else [*order, *hidden]]
    if which == "flagged":
        table = table[table["flagged"]]
    elif which == "unflagged":
        table = table[whole(table) & ~table["flagged"]]
    elif which == "passing":
        table = table[passes(table, session.results.cutoff)]
    elif which == "selected":
        table = table[table["label"].isin(session.selection)]
    if not len(table):
        raise GradcamoError(f"no cell is {which}: nothing was written")
    return table


def prepare(session: Session, request: Request, path: str | Path) -> Callable[[], str]:
    """What writes the cells, in any thread, and says what was written.

    Raises
    ------
    GradcamoError
        If there is nothing to write.
    """
    table = chosen(session, request.which).reset_index(drop=True)
    if request.what == "table":
        return _table(session, request, table, path)
    if session.labels_layer is None:
        raise GradcamoError("the labels layer was removed: open the labels again to export images")
    labels, spacing = session.labels_layer.data, session.stack and session.stack.spacing_um
    if request.what == "labels":
        return _labels(labels, table["label"].tolist(), spacing, path)
    return _maps(session, request, table, labels.shape, spacing, path)


def _recipe(session: Session) -> dict[str, Any]:
    """How the scores were made, with the cautions of all of them: they go with every part."""
    recipe = session.recipe()
    return with_cautions(session.results.table, recipe) if recipe else {}


def _said(recipe: dict[str, Any]) -> str:
    cautions = recipe.get("cautions", ())
    return f". Mind: {'; '.join(cautions)}" if cautions else ""


def _table(
    session: Session, request: Request, table: pd.DataFrame, path: str | Path
) -> Callable[[], str]:
    path, before = Path(path), len(table)
    recipe, profiles = _recipe(session), None
    if path.suffix.lower() == ".h5ad" or request.cytomining:
        table, profiles = session.results.with_profiles(table)
    if request.columns is not None:
        always = (*PLACE, *KEYS, "flagged") if request.cytomining else KEYS
        columns = [*(k for k in always if k not in request.columns), *request.columns]
        table = table[[name for name in columns if name in table]]

    def write() -> str:
        from gradcamo.files.export import write_cytomining
        from gradcamo.files.store import write_table

        write_as = write_cytomining if request.cytomining else write_table
        write_as(table, path, recipe, profiles)
        left = before - len(table)
        without = f"; {left:,} without a profile were left out" if left else ""
        return f"{len(table):,} cells written to {path}{without}{_said(recipe)}"

    return write


def _labels(labels: Any, keep: list[int], spacing: Any, path: str | Path) -> Callable[[], str]:
    def write() -> str:
        from gradcamo.auditing.cell_images import only_labels
        from gradcamo.files.labels import write_labels

        image = only_labels(labels, keep)
        write_labels(path, image, spacing)
        there = np.intersect1d(image, keep)
        lost = f"; {len(keep) - len(there)} are no longer in the image" * (len(there) < len(keep))
        return f"labels of {len(there):,} cells written to {path}{lost}"

    return write


def _maps(
    session: Session,
    request: Request,
    table: pd.DataFrame,
    shape: tuple[int, ...],
    spacing: Any,
    path: str | Path,
) -> Callable[[], str]:
    results, recipe = session.results, _recipe(session)
    found = {n: cam for n in table["label"].tolist() if (cam := results.cam(n)) is not None}
    if not found:
        raise GradcamoError("none of these cells has a heatmap here: audit them first")
    cams = [cam for cam, _ in found.values()]
    starts = [start.tolist() for _, start in found.values()]
    placements = [results.placement_of(label) for label in found]
    crop = CropSettings.window_of(recipe, shape[0])
    left = len(table) - len(found)
    without = f"; {left:,} without a heatmap were left out" if left else ""
    about = {"recipe": recipe}

    def write() -> str:
        from gradcamo.auditing.cell_images import (
            VOLUME_NOTE,
            fine_maps,
            heatmap_volume,
            write_volume,
        )
        from gradcamo.files.heatmaps import write_maps

        maps = fine_maps(cams, crop, placements)
        if request.what == "maps":
            write_maps(path, list(found), maps, starts, spacing, about)
        else:
            volume = heatmap_volume(shape, maps, starts)
            write_volume(path, volume, spacing, {"values": VOLUME_NOTE, **about})
        return f"heatmaps of {len(found):,} cells written to {path}{without}{_said(recipe)}"

    return write
