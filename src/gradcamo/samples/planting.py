"""Planted truth: cells, neighbours or background carry the signal, and nothing else does."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import ndimage as ndi

from gradcamo.samples.design import PlateDesign

TREATED, UNTREATED, UNUSED = "treated", "untreated", ""


def choose_treated(
    design: PlateDesign, well: str, labels: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Which cells respond, (n,) bool in the order of their labels 1 … n.

    With the signal in the cell itself, treated cells are whole and so far apart that no crop of
    one shows another; with the signal in a neighbour, about every second cell is treated.
    """
    places = ndi.find_objects(labels)
    if design.signal == "dose":
        return np.ones(len(places), bool)
    treated = np.zeros(len(places), bool)
    if design.signal == "background" or design.treatment(well) == UNTREATED:
        return treated
    if design.signal == "neighbour":
        treated[rng.permutation(len(places))[: max(1, len(places) // 2)]] = True
        return treated
    boxes = _boxes(places)
    windows = _windows(boxes, design.crop_px)
    whole = (boxes[:, 0] > 0).all(1) & (boxes[:, 1] < design.field_px).all(1)
    for cell in rng.permutation(np.flatnonzero(whole)):
        near = _meet(windows[cell], boxes) | _meet(windows, boxes[cell])
        treated[cell] = not (near & treated).any()
    return treated


def cell_treatments(
    design: PlateDesign, well: str, labels: np.ndarray, treated: np.ndarray
) -> pd.DataFrame:
    """Per cell ``label, treatment``; empty where the cell is no clean case of either class.

    Columns besides: ``own`` (the cell responds) and ``neighbour_voxels`` (voxels of other
    responding cells in its crop).
    """
    boxes = _boxes(ndi.find_objects(labels))
    windows = _windows(boxes, design.crop_px)
    strange = np.zeros(len(boxes), int)
    responds = np.concatenate([[False], treated])[labels]
    for cell, ((y0, x0), (y1, x1)) in enumerate(windows):
        view = np.s_[:, max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)]
        strange[cell] = np.sum(responds[view] & (labels[view] != cell + 1))
    match design.signal:
        case "neighbour":
            much = np.median(np.bincount(labels.ravel())[1:]) / 5
            truth = np.where(strange >= much, TREATED, np.where(strange == 0, UNTREATED, UNUSED))
            truth = np.where(treated, UNUSED, truth)
        case "own":
            truth = np.where(treated, TREATED, UNTREATED)
            truth = np.where(strange > 0, UNUSED, truth)
        case "own+background" if design.treatment(well) == TREATED:
            truth = np.where(treated, TREATED, UNUSED)
        case _:
            truth = np.full(len(boxes), design.treatment(well))
    return pd.DataFrame(
        {
            "label": np.arange(1, len(boxes) + 1),
            "treatment": truth,
            "own": treated,
            "neighbour_voxels": strange,
        }
    )


def has_background(design: PlateDesign, well: str, site: int) -> bool:
    """Whether a stack carries the background signal."""
    if "background" not in design.signal or design.background == "removed":
        return False
    if design.background == "paired":
        return design.treatment(well) == TREATED
    lot = np.random.default_rng([design.seed, *well.encode()])
    return bool((lot.permutation(design.sites)[site - 1] + lot.integers(2)) % 2)


def background_pattern(
    design: PlateDesign, labels: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Faint clouds between the cells, the same in all planes: (Z, Y, X) in camera counts.

    They only add light: a crop's darkest voxel, to which all its voxels are rescaled, stays.
    """
    step = design.spacing_um[1]
    white = rng.standard_normal(labels.shape[1:])
    mottle = ndi.gaussian_filter(white, 1.2 / step) - ndi.gaussian_filter(white, 2.4 / step)
    return np.where(
        labels > 0, 0, design.background_contrast * np.maximum(mottle, 0) / mottle.std()
    )


def _boxes(places: list[tuple[slice, ...]]) -> np.ndarray:
    """First and one past the last row and column of every cell, (n, 2, 2)."""
    return np.array([[[y.start, x.start], [y.stop, x.stop]] for _, y, x in places])


def _windows(boxes: np.ndarray, size: int) -> np.ndarray:
    """The same for every cell's crop."""
    centre = (boxes[:, 0] + boxes[:, 1] - 1) / 2
    start = np.floor(centre - (size - 1) / 2 + 0.5).astype(int)
    return np.stack([start, start + size], axis=1)


def _meet(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Whether rectangles (…, 2, 2) overlap."""
    first, last = some[..., 0, :], some[..., 1, :]
    return ((first < others[..., 1, :]) & (others[..., 0, :] < last)).all(-1)
