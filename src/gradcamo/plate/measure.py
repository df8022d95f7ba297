"""What a plate's profiles show: whitened, laid out, and measured for confounding and cut-offs."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from gradcamo.cells.table import passes, scored
from gradcamo.errors import GradcamoError
from gradcamo.plate.folder import PlateFolder
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
    costs = cost_of_cutoffs(table, correlation, control_of(found.table, folder))
    return confounding, costs.assign(well_correlation=correlation)


def control_of(table: pd.DataFrame, folder: PlateFolder) -> str | None:
    """The control among the treatments: as the settings name it, else found by its name."""
    wanted = folder.settings.control
    return wanted if wanted is not None else find_control(table["treatment"].astype(str))


def _whiten(
    profiled: pd.DataFrame, values: np.ndarray, folder: PlateFolder
) -> tuple[np.ndarray | None, list[str]]:
    from gradcamo.profiles.whiten import whiten_on

    control = control_of(profiled, folder)
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
    except GradcamoError as error:  # scores do not depend on it
        return None, [f"profiles were not whitened: {error}"]
    return whitened, [caution] if caution else []
