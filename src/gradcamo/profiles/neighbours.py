"""What a cell's nearest profiles tell of it beside its treatment: its well, its site."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd

from gradcamo.profiles.units import units_of

MOST_PER_CLASS = 200
FEWEST_PER_CLASS = 10
DRAWS, DRAWN = 10, 4_000  # at most so many times, and so many cells in all


def neighbour_accuracy(
    table: pd.DataFrame,
    profiles: np.ndarray,
    passing: np.ndarray,
    neighbours: int = 10,
    seed: int = 0,
) -> pd.DataFrame:
    """How well a cell's nearest profiles tell its site, its well and its treatment.

    Site is asked within each well, well within each treatment, so that neither can be told from
    the treatment; treatment is asked of cells of other wells. All classes give equally many cells,
    the same number before and after filtering, so that the figures compare. Cells are drawn
    several times where they are few. Where too few pass to compare, all cells are asked alone.

    Parameters
    ----------
    table : DataFrame, one row per cell
        With ``plate, well, site, treatment``.
    profiles : (N, d)
    passing : (N,) bool
        Which cells a filter by score keeps.
    neighbours : how many vote
    seed : of drawing cells

    Returns
    -------
    DataFrame with ``question`` (site, well, treatment), ``cells`` (all, passing), ``accuracy``
    (mean over groups), ``chance``, ``error`` (standard error over the groups; NaN for one group),
    ``groups`` (wells, treatments, or 1) and ``per_class`` (median number of cells drawn).
    """
    units = units_of(table)
    questions = {
        "site": (units["site"], units["well"]),
        "well": (units["well"], units["treatment"]),
        "treatment": (units["treatment"], pd.Series("", units.index)),
    }
    rows = []
    for question in questions:
        classes, groups = questions[question]
        wells = units["well"] if question == "treatment" else None
        ask = partial(_by_group, profiles, classes, groups, wells, neighbours, seed)
        found = ask(passing)
        if not found["all"]:  # too few pass to compare
            found = {"all": ask(np.ones(len(table), bool))["all"]}
        for kind, seen in found.items():
            if not seen:
                continue
            accuracy, chance, n_cells = np.array(seen).T
            error = accuracy.std(ddof=1) / np.sqrt(len(seen)) if len(seen) > 1 else np.nan
            means = accuracy.mean(), chance.mean(), error
            rows.append((question, kind, *means, len(seen), int(np.median(n_cells))))
    names = ["question", "cells", "accuracy", "chance", "error", "groups", "per_class"]
    return pd.DataFrame(rows, columns=names)


def _by_group(
    profiles: np.ndarray,
    classes: pd.Series,
    groups: pd.Series,
    wells: pd.Series | None,
    neighbours: int,
    seed: int,
    passing: np.ndarray,
) -> dict[str, list[tuple[float, float, int]]]:
    """Group by group, how often classes are told by all cells and by those that pass.

    With accuracy, chance, and how many cells of a class were drawn; groups of which not both are
    known are left out. Where ``wells`` are given, other wells vote.
    """
    found: dict[str, list[tuple[float, float, int]]] = {"all": [], "passing": []}
    for _, group in classes.groupby(groups):
        kept = group[passing[group.index]]
        n = int(kept.value_counts().reindex(group.unique(), fill_value=0).min())
        n = min(n, MOST_PER_CLASS)
        if group.nunique() < 2 or n < FEWEST_PER_CLASS:
            continue
        told: dict[str, Told] = {"all": [], "passing": []}
        for kind, chosen in (("all", group), ("passing", kept)):
            rng = np.random.default_rng(seed)
            for _ in range(max(1, min(DRAWS, DRAWN // (n * group.nunique())))):
                drawn = np.concatenate(
                    [rng.permutation(cells.index)[:n] for _, cells in chosen.groupby(chosen)]
                )
                told[kind] += (
                    _told(profiles[drawn], classes[drawn], neighbours, rng)
                    if wells is None
                    else _told_elsewhere(
                        profiles[drawn], classes[drawn], wells[drawn].to_numpy(), neighbours, rng
                    )
                )
        if all(told.values()):  # what is not known of both does not compare
            for kind, cells_told in told.items():
                found[kind].append((*np.mean(cells_told, axis=0), n))
    return found


Told = list[tuple[float, float]]
"""Cell by cell, whether its class was told, and how often chance would."""


def _told(
    profiles: np.ndarray, classes: pd.Series, neighbours: int, rng: np.random.Generator
) -> Told:
    """Among all other cells, of which each class offers equally many: all but one."""
    names, codes = np.unique(classes, return_inverse=True)
    lots = [rng.choice(np.flatnonzero(codes == k), len(codes)) for k in range(len(names))]
    absent = np.stack(lots, axis=1)
    absent[np.arange(len(codes)), codes] = np.arange(len(codes))  # no cell votes for itself
    right = _vote(profiles, codes, profiles, codes, neighbours, absent)
    return [(float(told), 1 / len(names)) for told in right]


def _told_elsewhere(
    profiles: np.ndarray,
    classes: pd.Series,
    wells: np.ndarray,
    neighbours: int,
    rng: np.random.Generator,
) -> Told:
    """Among cells of other wells, of which each class offers equally many.

    Without its own well a class would offer fewer than the others and be told less often than by
    chance. A class with no other well is not asked.
    """
    names, codes = np.unique(classes, return_inverse=True)
    told: Told = []
    for well in np.unique(wells):
        pool = np.flatnonzero(wells != well)
        sizes = np.bincount(codes[pool], minlength=len(names))
        offered = np.flatnonzero(sizes)
        asked = np.flatnonzero((wells == well) & np.isin(codes, offered))
        if len(offered) < 2:
            continue
        n = sizes[offered].min()
        pool = np.concatenate([rng.permutation(pool[codes[pool] == k])[:n] for k in offered])
        right = _vote(profiles[asked], codes[asked], profiles[pool], codes[pool], neighbours)
        told += [(float(one), 1 / len(offered)) for one in right]
    return told


def _vote(
    asked: np.ndarray,
    classes: np.ndarray,
    pool: np.ndarray,
    pool_classes: np.ndarray,
    neighbours: int,
    absent: np.ndarray | None = None,
) -> np.ndarray:
    """Whether the nearest cells of a pool are mostly of a cell's own class, (N,) bool.

    ``absent`` (N, M) are those of the pool that do not vote.
    """
    from scipy.spatial.distance import cdist

    k = min(neighbours, len(pool) - (0 if absent is None else absent.shape[1]))
    right = np.zeros(len(asked), bool)
    for rows in np.array_split(np.arange(len(asked)), max(1, len(asked) // 500)):
        distance = cdist(asked[rows], pool)
        if absent is not None:
            np.put_along_axis(distance, absent[rows], np.inf, axis=1)
        nearest = np.argsort(distance, axis=1, kind="stable")[:, :k]
        votes = np.zeros((len(rows), pool_classes.max() + 1))
        for rank in range(k):  # of classes with as many votes the nearer one wins
            own = pool_classes[nearest[:, rank]]
            np.add.at(votes, (np.arange(len(rows)), own), 1 + 1e-6 * (k - rank))
        right[rows] = votes.argmax(1) == classes[rows]
    return right
