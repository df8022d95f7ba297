"""Is a plate of planted_truth.py what it says it is, and what does light tell where?

`counts` looks into every crop that is used. `probes` trains linear classifiers on simple sums of
the light of each region: what they can tell, a network can read there, wherever it was planted.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from planted_kinds import PLAIN, Plate
from scipy import ndimage as ndi

from gradcamo.causal.regions import BACKGROUND, NEIGHBOUR, OWN, RawCell, raw_cells
from gradcamo.cells.crops import CellCrops, inside, padded
from gradcamo.files.labels import read_labels
from gradcamo.files.plates import read_plate
from gradcamo.files.stacks import read_stack
from gradcamo.samples.planting import TREATED, UNTREATED, has_background

GUARD_UM = 3.0
"""Left out on both sides of where regions meet: optics carry light across."""
FEWEST = 30
"""Voxels of a region that can be summed up."""
KINDS = {"own": OWN, "neighbour": NEIGHBOUR, "background": BACKGROUND}
PERCENTILES = (5, 25, 50, 75, 95)
LEARNT_FROM = PLAIN.train_columns[0]


class Seen(NamedTuple):
    """A used cell of a plate: its class, what was planted in its crop, and sums of the light there
    by region, guard band and intensities (None where there is too little of the region)."""

    treatment: str
    column: str
    own: bool
    neighbour: bool
    background: bool
    light: dict[tuple[str, float, str], np.ndarray | None]
    outlines: np.ndarray


def look(plate: Plate, csv: Path) -> Iterator[Seen]:
    """Every cell that takes part."""
    clouds = {
        (well, site): has_background(design, well, site)
        for design in plate.designs
        for well in design.wells
        for site in range(1, design.sites + 1)
    }
    for _, row in read_plate(csv).iterrows():
        stack, labels = read_stack(row["image"]), read_labels(row["labels"])
        truth = pd.read_csv(row["cells"], keep_default_na=False).set_index("label")
        deep = ndi.distance_transform_edt(~edges(labels), sampling=stack.spacing_um) > GUARD_UM
        crops = CellCrops(stack, labels, PLAIN.crop)
        ids = crops.table["label"].to_numpy()
        used = [i for i in np.flatnonzero(crops.scorable) if truth.loc[ids[i], "treatment"]]
        for i, cell in zip(used, raw_cells(crops, used), strict=True):
            start = crops.start(i)
            seen = np.setdiff1d(inside(labels, start, crops.window), [0, cell.label])
            far = padded(inside(deep, start, crops.window), start, crops.window)
            yield Seen(
                treatment=truth.loc[cell.label, "treatment"],
                column=row["well"][1:],
                own=bool(truth.loc[cell.label, "own"]),
                neighbour=bool(truth.loc[seen, "own"].any()),
                background=clouds[row["well"], int(row["site"])],
                light=lights(cell, far),
                outlines=outlines(cell.kinds),
            )


def lights(cell: RawCell, far: np.ndarray) -> dict[tuple[str, float, str], np.ndarray | None]:
    """Sums of each region's light, as it was read and as the crop is rescaled."""
    whole = cell.image[:, cell.kinds > 0]
    low, high = whole.min(1), whole.max(1)
    found: dict[tuple[str, float, str], np.ndarray | None] = {}
    for region, kind in KINDS.items():
        for guard in (0.0, GUARD_UM):
            mask = (cell.kinds == kind) & (far if guard else True)
            sums = light(cell.image, mask) if mask.sum() >= FEWEST else None
            found[region, guard, "read"] = sums
            found[region, guard, "rescaled"] = None if sums is None else rescaled(sums, low, high)
    return found


def edges(labels: np.ndarray) -> np.ndarray:
    """Voxels that touch another label, (Z, Y, X) bool."""
    found = np.zeros(labels.shape, bool)
    for axis in range(3):
        ahead, behind = (np.moveaxis(labels, axis, 0)[part] for part in (np.s_[1:], np.s_[:-1]))
        view = np.moveaxis(found, axis, 0)
        view[1:] |= ahead != behind
        view[:-1] |= ahead != behind
    return found


def counts(name: str, plate: Plate, cells: list[Seen]) -> dict[str, object]:
    """Cells of each class with something planted in each region.

    Raises
    ------
    RuntimeError
        If the plate is not what it says: a signal in a region that has none, or the other class.
    """
    found = {
        f"{treatment}_{what}": sum(c.treatment == treatment and getattr(c, what) for c in cells)
        if what != "cells"
        else sum(c.treatment == treatment for c in cells)
        for treatment in (TREATED, UNTREATED)
        for what in ("cells", "own", "neighbour", "background")
    }
    by_lot = {design.background for design in plate.designs} == {"shuffled"}
    for where in KINDS:
        treated, untreated = (found[f"{name}_{where}"] for name in (TREATED, UNTREATED))
        if where == "background" and by_lot:
            good = all(
                0.2 < found[f"{t}_{where}"] / found[f"{t}_cells"] < 0.8
                for t in (TREATED, UNTREATED)
            )
        else:
            expected = found["treated_cells"] if where in plate.signal else 0
            good = (treated, untreated) == (expected, 0)
        if not good:
            raise RuntimeError(f"the plate {name} is not what it says: {found}")
    return {"plate": name, "says": plate.says, **found}


def probes(name: str, cells: list[Seen]) -> list[dict[str, object]]:
    """How well light alone tells held-out cells, by region.

    Sums of a region's light are taken as it was read and as crops are rescaled, with and without a
    band of `GUARD_UM` where it meets others. ``outlines`` are the regions' volumes and heights, no
    light at all. Column 02 is learnt, column 03 told.
    """
    treated = np.array([c.treatment == TREATED for c in cells])
    learnt = np.array([c.column == LEARNT_FROM for c in cells])
    rows = []
    for region, guard, how in cells[0].light:
        sums = [c.light[region, guard, how] for c in cells]
        has = np.flatnonzero([values is not None for values in sums])
        told = probe(np.array([sums[i] for i in has]), treated[has], learnt[has])
        rows.append({"region": region, "guard_um": guard, "intensities": how, **told})
    told = probe(np.array([c.outlines for c in cells]), treated, learnt)
    rows.append({"region": "outlines", "guard_um": 0.0, "intensities": "none", **told})
    return [{"plate": name, **row} for row in rows]


def light(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Sums of a region's light: (C, 8) mean, SD, five percentiles, root of the gradient's energy.

    Parameters
    ----------
    image : (C, Z, Y, X)
    mask : (Z, Y, X) bool
    """
    values = np.sort(image[:, mask], axis=1, kind="stable")  # 16 bits are counted, not compared
    ranks = np.rint(np.array(PERCENTILES) / 100 * (values.shape[1] - 1)).astype(int)
    energy = np.zeros(len(image))
    for axis in range(3):
        sides = [np.moveaxis(mask, axis, 0)[part] for part in (np.s_[1:], np.s_[:-1])]
        pairs = sides[0] & sides[1]
        ahead, behind = (
            np.moveaxis(image, axis + 1, 1)[:, part][:, pairs] for part in (np.s_[1:], np.s_[:-1])
        )
        steps = ahead.astype(np.float64) - behind
        energy += (steps**2).mean(1) if steps.size else 0
    spread = values.std(1, dtype=np.float64)
    parts = [values.mean(1), spread, *values[:, ranks].T.astype(np.float64)]
    return np.stack([*parts, energy**0.5], axis=1)


def rescaled(sums: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The same sums of a crop as a network sees it, each channel (C,) from 0 to 1."""
    places = np.array([1, 0, *(1 for _ in PERCENTILES), 0])  # spreads have no zero that moves
    span = np.maximum(high.astype(float) - low, 1)
    return (sums - low[:, None] * places) / span[:, None]


def outlines(kinds: np.ndarray) -> np.ndarray:
    """Volumes of the three regions, and in which planes the own cell and all cells lie."""
    volumes = [(kinds == kind).mean() for kind in KINDS.values()]
    own, any_cell = kinds == OWN, (kinds == OWN) | (kinds == NEIGHBOUR)
    heights = [mask.sum((1, 2)) / max(mask.sum(), 1) for mask in (own, any_cell)]
    return np.concatenate([volumes, *heights])


def probe(values: np.ndarray, treated: np.ndarray, learnt: np.ndarray) -> dict[str, float]:
    """Balanced accuracy of logistic regression on cells that it did not learn from.

    Parameters
    ----------
    values : (n, ...) sums
    treated : (n,) bool, the class
    learnt : (n,) bool, whether a cell is learnt from; the others are told
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    values = values.reshape(len(values), -1)
    found = {"learnt": int(learnt.sum()), "told": int((~learnt).sum())}
    if min(len(set(treated[learnt])), len(set(treated[~learnt])), 2) < 2:
        return {"balanced_accuracy": float("nan"), **found}
    linear = LogisticRegression(max_iter=5000, class_weight="balanced")
    model = make_pipeline(StandardScaler(), linear).fit(values[learnt], treated[learnt])
    told = balanced_accuracy_score(treated[~learnt], model.predict(values[~learnt]))
    return {"balanced_accuracy": float(told), **found}
