"""The whole chain on the built-in plate: make, segment, audit, draw, report, say what was found."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from gradcamo.samples.design import PlateDesign

SEGMENTED_FOR_REAL = 2
GALLERY_CELLS = 8
DONORS, ASKED_OF_A_DOSE = 12, 4


def run_demo(
    out: Path,
    segment_all: bool = False,
    gui: bool = True,
    say: Callable[[str], Any] = print,
    track: Callable[[Iterable, str, int], Iterator] = lambda steps, what, total: iter(steps),
    design: PlateDesign | None = None,
) -> pd.DataFrame:
    """Make the built-in plate, segment, audit every stack, and write table, pictures and report.

    Parameters
    ----------
    out : folder for the plate, ``cells.csv``, ``heatmaps.png``, ``scores.png`` and ``report.html``
    segment_all : segment every stack with Cellpose; by default two, the generator's own labels
        serve for the rest
    gui : open napari at the end where there is a display
    say, track : how to tell what happens
    design : another built-in plate than the default

    Returns
    -------
    DataFrame, one row a cell with the plate's columns.
    """
    from gradcamo.auditing.cautions import facts_of_stacks, with_cautions
    from gradcamo.files.plates import read_plate
    from gradcamo.files.store import write_table
    from gradcamo.networks.bundled import BUNDLED
    from gradcamo.networks.checkpoint import Checkpoint
    from gradcamo.report import write_report

    plate = read_plate(_make(design, out / "plate", track))
    say(f"plate: {len(plate)} stacks in {out / 'plate'}")
    checkpoint = Checkpoint.load(BUNDLED)

    chosen = _spread(plate, len(plate) if segment_all else SEGMENTED_FOR_REAL)
    agreement: dict[Any, float] = {
        i: _segment(row, out, track) for i, row in plate.loc[chosen].iterrows()
    }
    say(
        f"segmented by Cellpose (bundled weights): {len(agreement)} of {len(plate)} stacks, "
        f"AP@0.5 {np.mean(list(agreement.values())):.2f} against the known cells; "
        + ("" if segment_all else "the other stacks use the known cells (--segment-all: Cellpose)")
    )
    stacks = track(plate.iterrows(), "Auditing", len(plate))
    tables = [_audit(row, _labels_path(row, out, i in agreement), checkpoint) for i, row in stacks]
    cells = pd.concat(tables, ignore_index=True)
    recipes = [table.attrs["recipe"] for table in tables]
    cells.attrs["recipe"] = {**recipes[0], "facts": facts_of_stacks(recipes)}
    cells = _ask_causally(cells, plate, checkpoint, out, agreement, track)
    cells.attrs["recipe"] = recipe = with_cautions(cells, cells.attrs["recipe"])
    write_table(cells, out / "cells.csv")
    _draw(cells, plate, checkpoint, out, agreement)
    say(_findings(cells, checkpoint))
    for caution in recipe["cautions"]:
        say(f"caution: {caution}")
    say(f"table    {out / 'cells.csv'}")
    say(f"pictures {out / 'heatmaps.png'}, {out / 'scores.png'}")
    say(f"report   {write_report(out, out / 'report.html')}, opens in any browser")
    if gui and has_display():
        say("opening napari: click a cell to see where the network looks")
        _open_napari(plate.loc[chosen].iloc[-1], out)
    elif gui:
        say("no display here: on a desktop this ends in napari with everything loaded")
    return cells


def has_display() -> bool:
    """Whether a window can be opened."""
    if sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _make(design: PlateDesign | None, folder: Path, track: Callable) -> Path:
    from gradcamo.samples.design import PlateDesign
    from gradcamo.samples.plate import make_plate

    design = design or PlateDesign()
    total = len(design.wells) * design.sites
    steps = track(range(total), "Making the plate", total)
    path = make_plate(folder, design, lambda done, total: next(steps))
    next(steps, None)  # lets the progress bar end its line
    return path


def _spread(plate: pd.DataFrame, n: int) -> list[int]:
    """n stacks spread over the plate."""
    return [plate.index[i] for i in np.linspace(0, len(plate) - 1, n).round().astype(int)]


def _labels_path(row: pd.Series, out: Path, segmented: bool) -> Path:
    given = Path(row["labels"])
    return out / "labels" / given.name if segmented else given


def _segment(row: pd.Series, out: Path, track: Callable) -> float:
    """Segment one stack for real; its agreement with the known cells."""
    from gradcamo.files.labels import read_labels, write_labels
    from gradcamo.files.stacks import read_stack
    from gradcamo.segmentation.planes import average_precision, segment_planes, stitch
    from gradcamo.settings import SegmentSettings

    settings = SegmentSettings(model="bundled")
    stack = read_stack(row)
    what = f"Segmenting {row['well']} site {row['site']}"
    planes = track(segment_planes(stack, settings), what, stack.shape[1])
    labels = stitch((plane.masks for plane in planes), settings)
    write_labels(_labels_path(row, out, True), labels, stack.spacing_um)
    return average_precision(read_labels(row["labels"]), labels)


def _audit(row: pd.Series, labels: Path, checkpoint: Any) -> pd.DataFrame:
    from gradcamo.auditing.recipe import audit_recipe
    from gradcamo.auditing.stack import audit_batches, gather
    from gradcamo.files.labels import read_labels
    from gradcamo.files.stacks import read_stack
    from gradcamo.settings import AuditSettings

    stack = read_stack(row)
    table, _ = gather(audit_batches(stack, read_labels(labels), checkpoint))
    table = table.assign(**row.drop(["image", "labels"]))
    table.attrs["recipe"] = audit_recipe(stack, checkpoint, AuditSettings())
    return table


def _ask_causally(
    cells: pd.DataFrame,
    plate: pd.DataFrame,
    checkpoint: Any,
    out: Path,
    segmented: Collection[Any],
    track: Callable,
) -> pd.DataFrame:
    """A few cells of each dose asked what predictions depend on; donors are the plate's own."""
    from gradcamo.auditing.causal import ask_causally, causal_settings, drawn_cells, with_causal
    from gradcamo.auditing.stack import cells_of
    from gradcamo.files.labels import read_labels
    from gradcamo.files.stacks import read_stack
    from gradcamo.settings import AuditSettings, DonorSettings, SwapSettings
    from gradcamo.training.plate_donors import plate_donors

    bank = plate_donors(plate, checkpoint, DonorSettings(per_class=DONORS))
    how = causal_settings(SwapSettings(), AuditSettings())
    held_out = plate[~plate["well"].isin(checkpoint.recipe["train_wells"])]
    first = held_out.drop_duplicates("treatment")
    asked, made = [], {}
    for i, row in track(first.iterrows(), "Swapping regions", len(first)):
        labels = read_labels(_labels_path(row, out, i in segmented))
        crops = cells_of(read_stack(row["image"]), labels, checkpoint)
        drawn = drawn_cells(crops, ASKED_OF_A_DOSE, 0)
        found = ask_causally(crops, checkpoint, bank, how, drawn, row["plate"], row["well"])
        of_stack = cells[cells["image"] == crops.stack.source]
        asked.append(with_causal(of_stack, found.table))
        made = found.recipe
    others = cells[~cells["image"].isin([table["image"].iat[0] for table in asked])]
    joined = pd.concat([*asked, with_causal(others, found.table.iloc[:0])]).sort_index()
    recipe = cells.attrs["recipe"]
    facts = [*recipe["facts"], *made.get("cautions", ())]
    joined.attrs = {"recipe": {**recipe, "facts": facts, "causal": made}}
    return joined


def _draw(
    cells: pd.DataFrame, plate: pd.DataFrame, checkpoint: Any, out: Path, segmented: Collection[Any]
) -> None:
    from gradcamo.cells.table import scored
    from gradcamo.figures import heatmap_gallery, save_figure, scores_by_dose_and_site

    save_figure(scores_by_dose_and_site(cells), out / "scores.png")
    ranked = cells[scored(cells)].sort_values("grad_camo", ascending=False)
    shown = ranked.iloc[np.linspace(0, len(ranked) - 1, GALLERY_CELLS).round().astype(int)]
    views = []
    for _, cell in shown.iterrows():
        (i,) = plate.index[(plate["well"] == cell["well"]) & (plate["site"] == cell["site"])]
        labels = _labels_path(plate.loc[i], out, i in segmented)
        views.append(_view(cell, plate.loc[i, "image"], labels, checkpoint))
    save_figure(heatmap_gallery(views), out / "heatmaps.png")


def _view(cell: pd.Series, image: str, labels_path: Path, checkpoint: Any) -> Any:
    """One cell with its heatmap, explained once more."""
    from gradcamo.auditing.stack import audit_batches
    from gradcamo.cells.crops import CellCrops
    from gradcamo.cells.upsampling import fine_map
    from gradcamo.files.labels import read_labels
    from gradcamo.files.stacks import read_stack
    from gradcamo.views import cell_view

    stack, labels = read_stack(image), read_labels(labels_path)
    (seen,) = audit_batches(stack, labels, checkpoint, only=[cell["label"]])
    crops = CellCrops(stack.select(checkpoint.channels), labels, checkpoint.crop)
    crop = crops[int(np.flatnonzero(crops.table["label"] == cell["label"])[0])]
    cam = fine_map(seen.maps[0], crop.labels.shape, seen.placement)
    title = f"{cell['grad_camo']:.2f}  {cell['treatment']} ({cell['well']})"
    return cell_view(crop, cam, title)


def _findings(cells: pd.DataFrame, checkpoint: Any) -> str:
    from gradcamo.auditing.summary import summarise, summarise_causal
    from gradcamo.cells.table import whole
    from gradcamo.settings import AuditSettings

    lines = [summarise(cells, AuditSettings().cutoff)]
    held_out = cells[whole(cells) & cells["well"].isin(checkpoint.recipe["test_wells"])]
    if len(held_out):
        right = (held_out["predicted"] == held_out["treatment"]).mean()
        lines.append(
            f"of {len(held_out)} cells in wells that the network was not trained on, {right:.0%} "
            f"are given their own of {len(checkpoint.classes)} treatments"
        )
    lines.append(summarise_causal(cells))
    return "\n".join(lines)


def _open_napari(row: pd.Series, out: Path) -> None:
    from gradcamo.docks.entry.launch import open_window
    from gradcamo.networks.bundled import BUNDLED

    labels = _labels_path(row, out, True)
    open_window(row["image"], labels, BUNDLED, audit=True, run=True)
