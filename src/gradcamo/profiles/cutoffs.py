"""What a cut-off costs: cells, wells and statistical power, treatment by treatment."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from gradcamo.cells.table import passes, whole
from gradcamo.profiles.doses import in_dose_order

CUTOFFS = (0.0, 0.1, 0.2, 0.25, 0.3, 0.4, 0.5)
POWER, ALPHA = 0.8, 0.05


def well_correlation(table: pd.DataFrame, profiles: np.ndarray) -> float:
    """Intraclass correlation of cells of one well, from the mean squares of a nested design.

    ``(MSB - MSW) / (MSB + (n0 - 1) MSW)`` with wells within treatments as groups and squares
    summed over the features; at least 0, and NaN where no treatment has two wells.

    Parameters
    ----------
    table : DataFrame, one row per cell
        With ``plate, well, treatment``.
    profiles : (N, d)
    """
    well = pd.factorize(table[["plate", "well", "treatment"]].astype(str).agg("\x1f".join, axis=1))[
        0
    ]
    treatment = pd.factorize(table["treatment"].astype(str))[0]
    frame = pd.DataFrame(np.asarray(profiles, np.float64))
    own, above = frame.groupby(well).transform("mean"), frame.groupby(treatment).transform("mean")
    between = float(((own - above) ** 2).to_numpy().sum())
    within = float(((frame - own) ** 2).to_numpy().sum())
    sizes = np.bincount(well)
    wells, treatments, n = len(sizes), treatment.max() + 1, len(frame)
    if wells <= treatments or n <= wells:
        return float("nan")
    n0 = (n - (sizes**2).sum() / n) / (wells - 1)
    msb, msw = between / (wells - treatments), within / (n - wells)
    return max(0.0, (msb - msw) / (msb + (n0 - 1) * msw)) if msb + msw > 0 else 0.0


def effective_cells(cells_per_well: Sequence[int] | np.ndarray, correlation: float) -> float:
    """Independent cells that the cells of several wells are worth: sum of n / (1 + (n - 1) ICC)."""
    n = np.asarray(cells_per_well, float)
    return float((n / (1 + (n - 1).clip(0) * correlation)).sum())


def power(effect: float, n1: float, n2: float, df: float) -> float:
    """Power of a two-sided t test at 5 %, effect in standard deviations between cells."""
    from scipy import stats

    if min(n1, n2) <= 0 or df < 1:
        return float("nan")
    limit = stats.t.ppf(1 - ALPHA / 2, df)
    shift = effect / np.sqrt(1 / n1 + 1 / n2)
    # the noncentral t distribution, averaged over the estimate of the deviation: SciPy's own
    # gives NaN far out
    spread = np.sqrt(stats.chi2.ppf((np.arange(2000) + 0.5) / 2000, df) / df)
    tails = stats.norm.cdf(shift - limit * spread) + stats.norm.cdf(-shift - limit * spread)
    return float(tails.mean())


def smallest_effect(n1: float, n2: float, df: float) -> float:
    """The effect that a two-sided t test at 5 % finds with a power of 80 %."""
    from scipy.optimize import brentq

    if min(n1, n2) <= 0 or df < 1:
        return float("nan")
    scale = np.sqrt(1 / n1 + 1 / n2)
    return float(brentq(lambda effect: power(effect, n1, n2, df) - POWER, 0, 1000 * scale))


def passing(groups: pd.Series, passes: np.ndarray) -> pd.DataFrame:
    """How many cells of each group pass.

    Parameters
    ----------
    groups : Series, one row per cell
        Treatments or the like.
    passes : bool array, one per cell

    Returns
    -------
    DataFrame with ``cells`` and ``passing``, indexed by group: the control first, then by dose.
    """
    codes, names = pd.factorize(groups.fillna("").astype(str))
    counts = pd.DataFrame(
        {
            "cells": np.bincount(codes, minlength=len(names)),
            "passing": np.bincount(codes[np.asarray(passes, bool)], minlength=len(names)),
        },
        index=pd.Index(names),
    )
    return counts.reindex([*in_dose_order(sorted(names)), *(n for n in names if not n)])


def cost_of_cutoffs(
    table: pd.DataFrame,
    correlation: float,
    control: str | None,
    cutoffs: Sequence[float] = CUTOFFS,
) -> pd.DataFrame:
    """Cells, wells and power that each cut-off leaves of each treatment.

    Parameters
    ----------
    table : DataFrame, one row per cell
        With ``plate, well, treatment, grad_camo``; shares are of those that are whole.
    correlation : of cells of one well, see `well_correlation`
    control : the treatment that others are compared with, if any
    cutoffs : scores from which cells pass

    Returns
    -------
    DataFrame with ``treatment, cutoff, cells, share, wells, effective_cells`` and, against the
    control, ``smallest_effect`` (in standard deviations between cells, found with 80 % power at
    5 %, degrees of freedom from wells) and ``power`` (left for the effect that is found with 80 %
    before any cut-off).
    """
    table = table[whole(table)]
    rows = []
    icc = correlation if np.isfinite(correlation) else 0.0
    before: dict[str, float] = {}
    for cutoff in (None, *cutoffs):  # the first is what the others are compared with
        kept = table if cutoff is None else table[passes(table, cutoff)]
        wells = {
            name: cells.groupby(["plate", "well"]).size().to_numpy()
            for name, cells in kept.groupby("treatment")
        }
        none = np.empty(0, int)
        n_control = effective_cells(wells.get(control or "", none), icc)
        for name in in_dose_order(table["treatment"]):
            mine = wells.get(name, none)
            n, all_cells = effective_cells(mine, icc), int((table["treatment"] == name).sum())
            df = len(mine) + len(wells.get(control or "", none)) - 2
            effect = left = np.nan
            if control is not None and name != control:
                effect = smallest_effect(n, n_control, df)
                before.setdefault(name, effect)
                left = power(before[name], n, n_control, df)
            rows.append(
                (name, cutoff, int(mine.sum()), mine.sum() / all_cells, len(mine), n, effect, left)
            )
    names = ["treatment", "cutoff", "cells", "share", "wells"]
    names += ["effective_cells", "smallest_effect", "power"]
    return pd.DataFrame(rows[len(rows) // (1 + len(cutoffs)) :], columns=names)
