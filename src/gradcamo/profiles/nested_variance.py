"""How much of the variance of scores and profiles lies between treatments, wells and sites.

Wells are the units. A treatment's effect is judged against the differences between wells, a
well's against those between its sites, a site's against those between its cells.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from gradcamo.profiles.units import units_of

LEVELS = ("treatment", "well", "site")
_DEALT = {"treatment": "wells", "well": "sites", "site": "cells"}
MOST_CELLS = 10_000


def variance_explained(
    table: pd.DataFrame, values: np.ndarray, permutations: int = 199, seed: int = 0
) -> pd.DataFrame:
    """Share of the variance that lies between treatments, wells, sites and cells.

    Sums of squares of the nested design: treatments; wells of a treatment; sites of a well; cells
    of a site. Every well weighs the same, and so does every site of a well, however many cells it
    has. For profiles the squares are summed over the features.

    Parameters
    ----------
    table : DataFrame, one row per cell
        With ``plate, well, site, treatment``.
    values : (N,) scores or (N, d) profiles, finite
    permutations : how often chance is tried
    seed : int

    Returns
    -------
    DataFrame with a row per level: ``level``, ``share`` (the shares sum to 1), ``chance`` (the
    mean share when the units below are dealt out anew within the units above: wells among
    treatments, sites among the wells of a treatment, cells among the sites of a well), ``p`` (how
    often chance did as well) and ``units`` (what was dealt out).
    """
    units = units_of(table)
    values = np.asarray(values, np.float64).reshape(len(units), -1)
    rows = np.sort(np.random.default_rng(seed).permutation(len(units))[:MOST_CELLS])
    units, values = units.iloc[rows].reset_index(drop=True), values[rows]
    levels = _levels(units, values - values.mean(0))
    rest = levels["site"].total() - levels["site"].squares()
    squares = {level: levels[level].squares() for level in LEVELS}
    total = sum(squares.values()) + rest
    out: list[tuple[str, float, float, float, str]] = []
    for level in LEVELS:
        rng = np.random.default_rng(seed)
        dealt = np.array(
            [levels[level].squares(levels[level].deal(rng)) for _ in range(permutations)]
        )
        as_good = np.count_nonzero(dealt >= squares[level] - 1e-9 * total)
        p = (1 + as_good) / (1 + permutations)
        share, chance = np.array([squares[level], dealt.mean()]) / (total or np.nan)
        out.append((level, share, chance, p, _DEALT[level]))
    out.append(("cell", rest / (total or np.nan), np.nan, np.nan, ""))
    return pd.DataFrame(out, columns=["level", "share", "chance", "p", "units"])


@dataclass(frozen=True, eq=False)
class _Level:
    """Units dealt out to groups within parents: values (n, d), weights, codes of both (n,)."""

    values: np.ndarray
    weights: np.ndarray
    groups: np.ndarray
    parents: np.ndarray

    def squares(self, order: np.ndarray | None = None) -> float:
        """Sum of squares between the groups of a parent; ``order`` deals the units out anew."""
        order = np.arange(len(self.values)) if order is None else order
        return self._between(self.groups, order) - self._between(self.parents, order)

    def total(self) -> float:
        """Sum of squares around the parents' means: of groups and within groups."""
        whole = float((self.weights[:, None] * self.values**2).sum())
        return whole - self._between(self.parents, np.arange(len(self.values)))

    def means(self) -> np.ndarray:
        """Weighted mean of each group, (groups, d)."""
        return self._sums(self.groups, np.arange(len(self.values))) / self._weight(self.groups)

    def deal(self, rng: np.random.Generator) -> np.ndarray:
        """An order that moves units only within their parent."""
        order = np.empty(len(self.parents), int)
        order[np.argsort(self.parents, kind="stable")] = np.lexsort(
            (rng.random(len(self.parents)), self.parents)
        )
        return order

    def _between(self, codes: np.ndarray, order: np.ndarray) -> float:
        return float((self._sums(codes, order) ** 2 / self._weight(codes)).sum())

    def _sums(self, codes: np.ndarray, order: np.ndarray) -> np.ndarray:
        from scipy.sparse import csr_array

        shape = (codes.max() + 1, len(codes))
        sums: np.ndarray = csr_array((self.weights, (codes, order)), shape) @ self.values
        return sums

    def _weight(self, codes: np.ndarray) -> np.ndarray:
        return np.bincount(codes, self.weights)[:, None]


def _levels(units: pd.DataFrame, values: np.ndarray) -> dict[str, _Level]:
    """The nested design from below: cells in sites, sites in wells, wells in treatments."""
    codes = {level: pd.factorize(units[level], sort=True)[0] for level in LEVELS}
    codes["all"] = np.zeros(len(units), int)
    first = np.unique(codes["site"], return_index=True)[1]
    of_site = {name: code[first] for name, code in codes.items()}
    site_weight = 1 / np.bincount(of_site["well"])[of_site["well"]]
    weight = (site_weight / np.bincount(codes["site"]))[codes["site"]]
    site = _Level(values, weight, codes["site"], codes["well"])
    well = _Level(site.means(), site_weight, of_site["well"], of_site["treatment"])
    first = np.unique(of_site["well"], return_index=True)[1]
    treatment = of_site["treatment"][first]
    ones = np.ones(len(first))
    top = _Level(well.means(), ones, treatment, np.zeros(len(first), int))
    return {"site": site, "well": well, "treatment": top}
