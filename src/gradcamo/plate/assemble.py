"""From the stacks that landed to the files that are about the plate as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from gradcamo.auditing.cautions import with_cautions
from gradcamo.cells.table import whole
from gradcamo.columns import ONLY_COLUMNS
from gradcamo.errors import GradcamoError
from gradcamo.files.beside_csv import keep_changed, recipe_path
from gradcamo.files.landing import landing, landing_together
from gradcamo.files.store import write_table
from gradcamo.plate.folder import PlateFolder
from gradcamo.plate.gather import gather_stacks
from gradcamo.plate.measure import PlateProfiles, control_of, measure, profile_plate


class Assembled(NamedTuple):
    """A plate's number of cells, its cautions, and what causal attention came to, if asked.

    ``aside`` are the copies of tables that had changed since they were written.
    """

    cells: int
    cautions: tuple[str, ...]
    causal: str
    aside: tuple[str, ...] = ()


def finish(
    plate: pd.DataFrame,
    folder: PlateFolder,
    landed: Sequence[str],
    failed: Mapping[str, str],
) -> Assembled:
    """Write everything that is about the plate as a whole.

    Raises
    ------
    GradcamoError
        If a file cannot be read or written.
    """
    from gradcamo.auditing.summary import summarise_causal
    from gradcamo.report import write_plate_report

    table, profiles, recipe = gather_stacks(plate, folder, landed)
    found = profile_plate(table, profiles, folder)
    recipe |= {"control": control_of(found.table, folder), "facts": [*recipe["facts"], *found.said]}
    recipe = with_cautions(found.table, recipe)
    kept = [keep_changed(folder.out / f"{name}.csv") for name in ("confounding", "cutoffs", "uses")]
    cells = found.table.assign(umap_1=found.layout[:, 0], umap_2=found.layout[:, 1])
    with landing_together(folder.out, last="report.html") as out:
        write_table(cells, out / "cells.parquet", recipe)
        _write_profiles(found, cells, out / "profiles.h5ad", recipe)
        uses = _write_uses(cells, out, recipe)
        confounding, costs = measure(found, folder)
        write_table(confounding, out / "confounding.csv", recipe)
        write_table(costs, out / "cutoffs.csv", recipe)
        _draw(found.table, out / "figures", folder.settings.audit.cutoff)
        write_plate_report(folder.out, failed, out)
        if uses is None:  # what is there is of a run before, on other wells
            for old in (folder.out / "uses.csv", recipe_path(folder.out / "uses.csv")):
                old.unlink(missing_ok=True)
    causal = summarise_causal(cells, uses) if "causal_effect" in cells else ""
    aside = tuple(path.name for path in kept if path)
    return Assembled(len(table), tuple(recipe["cautions"]), causal, aside)


def _write_uses(
    cells: pd.DataFrame, folder: Path, recipe: Mapping[str, Any]
) -> pd.DataFrame | None:
    """What held-out wells are called with one region real, where they were asked."""
    from gradcamo.causal.uses import uses_table

    if "only_nothing" not in cells:
        return None
    uses = uses_table(cells.fillna(dict.fromkeys(ONLY_COLUMNS, "")), len(recipe["classes"]))
    write_table(uses.reset_index(), folder / "uses.csv", recipe)
    return uses


def _write_profiles(
    found: PlateProfiles, cells: pd.DataFrame, path: Path, recipe: Mapping[str, Any]
) -> None:
    """AnnData of the whole cells: X as activated, a layer ``whitened``, the map in obsm."""
    import h5py
    from anndata.io import write_elem

    profiled = cells.iloc[found.rows].reset_index(drop=True)
    with landing(path) as scratch:
        write_table(profiled, scratch, recipe, found.profiles)
        with h5py.File(scratch, "a") as file:
            if found.whitened is not None:
                write_elem(file["layers"], "whitened", found.whitened)
            write_elem(file["obsm"], "X_umap", found.layout[found.rows])


def _draw(table: pd.DataFrame, folder: Path, cutoff: float) -> None:
    from gradcamo import figures

    pictures = {
        "scores": lambda: figures.scores_by_dose_and_site(table, cutoff),
        "attention": lambda: figures.attention_budget(table),
        "causal": lambda: figures.causal_budget(table),
        "grad_camo_causal": lambda: figures.maps_against_causes(table),
        "confusion": lambda: figures.confusion_matrix(table[whole(table)]),
    }
    for name, draw in pictures.items():
        try:
            figure = draw()
        except GradcamoError:
            continue  # nothing to draw, and the cautions say why
        with landing(folder / f"{name}.png") as scratch:
            figure.savefig(scratch, format="png", dpi=150)
