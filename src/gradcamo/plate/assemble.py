"""From the stacks that landed to one table, whitened profiles, a map and a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from gradcamo.auditing.causal_cautions import exposure_cautions
from gradcamo.auditing.cautions import facts_of_stacks, with_cautions
from gradcamo.cells.table import fails, passes, scored, whole
from gradcamo.columns import ONLY_COLUMNS
from gradcamo.errors import GradcamoError
from gradcamo.files.beside_csv import keep_changed, recipe_path
from gradcamo.files.landing import landing, landing_together
from gradcamo.files.store import read_profiles, write_table
from gradcamo.plate.folder import PlateFolder, stack_name
from gradcamo.plate.splits import splits_of
from gradcamo.profiles.cutoffs import cost_of_cutoffs, well_correlation
from gradcamo.profiles.doses import find_control
from gradcamo.profiles.embed import sample_rows, umap_layout
from gradcamo.profiles.neighbours import neighbour_accuracy
from gradcamo.profiles.nested_variance import variance_explained


@dataclass(frozen=True, eq=False)
class PlateProfiles:
    """All cells of a plate, in the order of its rows, then of their labels.

    ``table`` (N rows) has every cell, ``profiles`` and ``whitened`` (M, d) the M cells at
    ``rows`` that are whole; ``layout`` (N, 2) is NaN where a cell was not laid out;
    ``said`` why profiles were not whitened, or on few controls.
    """

    table: pd.DataFrame
    rows: np.ndarray
    profiles: np.ndarray
    whitened: np.ndarray | None
    layout: np.ndarray
    said: tuple[str, ...]

    @property
    def profiled(self) -> pd.DataFrame:
        """The rows of the table that profiles belong to."""
        return self.table.iloc[self.rows].reset_index(drop=True)


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
    recipe |= {"control": _control(found.table, folder), "facts": [*recipe["facts"], *found.said]}
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


def gather_stacks(
    plate: pd.DataFrame, folder: PlateFolder, landed: Sequence[str]
) -> tuple[pd.DataFrame, np.ndarray, dict[str, Any]]:
    """Table (N rows), profiles (N, d; NaN for partial cells) and recipe of the stacks that landed.

    Rows carry the plate's columns; a column ``split`` says which wells the network was trained
    on, where that is known (`splits_of`). ``facts`` of the recipe are what the stacks' own recipes
    give rise to say, and the treatments of cells that they lack.
    """
    from gradcamo.files.treatments import treatment_of_cells

    tables, profiles, said, exposures = [], [], [], []
    recipes: list[Mapping[str, Any]] = []
    done = set(landed)
    if (split := splits_of(plate, folder)).any():
        plate = plate.assign(split=split)
    for _, row in plate.iterrows():
        name = stack_name(row)
        if name not in done:
            continue
        stack = read_profiles(folder.cells(name))
        recipes.append(stack.recipe)
        exposures.append((row, stack.recipe.get("causal", {})))
        carried = row.drop(["labels", "cells"], errors="ignore")
        table = stack.table.assign(**carried)
        if own := treatment_of_cells(row):
            table["treatment"] = table["label"].map(own).fillna(row["treatment"])
            if lacking := sorted(set(own) - set(table["label"])):
                said.append(
                    f"{name}: {row['cells']} names {len(lacking)} cells that the labels lack "
                    f"({', '.join(map(str, lacking[:4]))}{' …' * (len(lacking) > 4)})"
                )
        table["pictured"] = _pictured(table["label"], folder.thumbnails(name))
        tables.append(table)
        profiles.append(stack.values)
    cells = pd.concat([table for table in tables if len(table)] or tables, ignore_index=True)
    cells["flagged"] = fails(cells, folder.settings.audit.cutoff)
    if "p_value" in cells:  # a false discovery rate is one of the whole plate
        from gradcamo.cells.null import q_values

        cells["q_value"] = q_values(cells["p_value"].to_numpy())
    of_stack = {"image", "inputs", "spacing_um", "stack", "network_cautions", "cautions"}
    of_stack |= {"pictures", "run"}
    recipe = {name: value for name, value in recipes[0].items() if name not in of_stack}
    if asked := [how for _, how in exposures if how]:  # a field without cells has none
        recipe["causal"] = {k: v for k, v in asked[0].items() if k != "medians"}
        said += exposure_cautions(exposures)
    recipe["settings"] = folder.settings.audit.model_dump()
    recipe["plate"] = folder.settings.model_dump(mode="json", exclude={"audit"})
    recipe["stacks"] = len(done)
    recipe["facts"] = [*facts_of_stacks(recipes), *said]
    recipe["pictures"] = {
        str(row["image"]): str(folder.thumbnails(name).relative_to(folder.out))
        for _, row in plate.iterrows()
        if (name := stack_name(row)) in done
    }
    recipe["input_files"] = [str(image) for image in plate["image"]]
    return cells, np.concatenate(profiles), recipe


def profile_plate(table: pd.DataFrame, profiles: np.ndarray, folder: PlateFolder) -> PlateProfiles:
    """Whiten on the controls and lay the cells out."""
    settings = folder.settings
    rows = np.flatnonzero(np.isfinite(profiles).all(1)) if profiles.shape[1] else np.empty(0, int)
    values = profiles[rows]
    whitened, said = _whiten(table.iloc[rows], values, folder)
    layout = np.full((len(table), 2), np.nan, np.float32)
    pictured = np.flatnonzero(table["pictured"].to_numpy(bool)[rows])
    chosen = sample_rows(len(rows), settings.umap_cells, settings.seed, pictured)
    if len(chosen) >= 4:
        best = values if whitened is None else whitened
        layout[rows[chosen]] = umap_layout(best[chosen], settings.seed)
    return PlateProfiles(table, rows, values, whitened, layout, tuple(said))


def measure(found: PlateProfiles, folder: PlateFolder) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The table of confounding, one figure a row, and the cost of cut-offs.

    Cells without a treatment are left out where others have one.
    """
    settings = folder.settings
    table = found.table
    if (named := (found.profiled["treatment"] != "").to_numpy()).any() and not named.all():
        table = table[table["treatment"] != ""]
        whitened = None if found.whitened is None else found.whitened[named]
        found = replace(
            found, rows=found.rows[named], profiles=found.profiles[named], whitened=whitened
        )
    profiled = found.profiled
    seen = scored(profiled).to_numpy()
    passing = passes(profiled, settings.audit.cutoff).to_numpy()
    kinds = {"profiles": found.profiles}
    if found.whitened is not None:
        kinds["whitened profiles"] = found.whitened
    parts = []
    scores = profiled.loc[seen, "grad_camo"].to_numpy()
    values = {"grad_camo": (profiled[seen], scores)}
    values |= {k: (profiled, v) for k, v in kinds.items()}
    for of, (cells, value) in values.items():
        if len(cells) > 1:
            part = variance_explained(cells, value, seed=settings.seed)
            part = part.rename(columns={"level": "question", "share": "value", "units": "dealt"})
            parts.append(part.assign(measure="variance", of=of, cells="all"))
    for of, value in kinds.items():
        if len(profiled) > 1:
            part = neighbour_accuracy(profiled, value, passing, settings.neighbours, settings.seed)
            part = part.rename(columns={"accuracy": "value"})
            parts.append(part.assign(measure="neighbours", of=of))
    names = ["measure", "of", "cells", "question", "value", "chance", "p", "error", "groups"]
    names += ["per_class", "dealt"]
    records = [record for part in parts for record in part.to_dict("records")]
    confounding = pd.DataFrame(records, columns=names)
    best = found.profiles if found.whitened is None else found.whitened
    correlation = well_correlation(profiled, best) if len(profiled) > 1 else float("nan")
    costs = cost_of_cutoffs(table, correlation, _control(found.table, folder))
    return confounding, costs.assign(well_correlation=correlation)


def _control(table: pd.DataFrame, folder: PlateFolder) -> str | None:
    wanted = folder.settings.control
    return wanted if wanted is not None else find_control(table["treatment"].astype(str))


def _whiten(
    profiled: pd.DataFrame, values: np.ndarray, folder: PlateFolder
) -> tuple[np.ndarray | None, list[str]]:
    from gradcamo.profiles.whiten import whiten_on

    control = _control(profiled, folder)
    if control is None:
        return None, [
            "no treatment is known to be the control (use --control): profiles were not whitened, "
            "and no treatment could be compared with it"
        ]
    chosen = (profiled["treatment"] == control).to_numpy()
    if (
        "split" in profiled
        and (trained := chosen & (profiled["split"] == "train").to_numpy()).any()
    ):
        chosen = trained
    n = int(chosen.sum())
    if n < 2:
        return None, [f"there are {n} whole control cells: profiles were not whitened"]
    try:
        whitened, caution = whiten_on(values, chosen, folder.settings.whitening_epsilon)
    except GradcamoError as error:  # scores do not hang on it
        return None, [f"profiles were not whitened: {error}"]
    return whitened, [caution] if caution else []


def _pictured(labels: pd.Series, thumbnails: Path) -> pd.Series:
    """Which cells of a stack have a picture."""
    if not thumbnails.is_file():  # a stack without whole cells has none
        return labels.isin([])
    return labels.isin(pd.read_parquet(thumbnails, columns=["label"])["label"])


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
