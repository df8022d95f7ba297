"""A permutation null per cell: would another cell's mask, or another cell's map, score as high?

A network that always looks at the middle of its input scores well wherever cells lie in the middle
of their crops. So a cell's score is compared with what its map scores on the masks of other cells,
and with what the maps of other cells score on its mask. Crops are centred on their cells, so the
masks of other crops are already where they belong.
"""

from __future__ import annotations

import numpy as np

from gradcamo.errors import GradcamoError

_ROWS = 256  # cells compared with all others at a time
_TIE = 1e-5  # relative: scores closer than float32 arithmetic tells apart are equal


def permutation_p_values(
    maps: np.ndarray, own: np.ndarray, full: np.ndarray, permutations: int, seed: int = 0
) -> np.ndarray:
    """How often chance does as well: p = (1 + number of null scores >= the own) / (1 + n).

    Parameters
    ----------
    maps : (N, *grid)
        Coarse localization maps.
    own : (N, *grid)
        Each cell's mask projected on that grid, U'm (`gradcamo.cells.overlap.footprints`).
    full : (*grid)
        The whole crop projected, U'1.
    permutations : int
        Null scores drawn for each cell without replacement from the 2 (N - 1) there are: its map
        on the other masks, the other maps on its mask. Where there are fewer, n is all of them.
    seed : int

    Returns
    -------
    (N,) float64; NaN for an empty map, and where there is no other cell.

    Raises
    ------
    GradcamoError
        If shapes do not fit.
    """
    if maps.shape != own.shape or full.shape != maps.shape[1:] or permutations < 1:
        raise GradcamoError(
            f"maps {maps.shape}, masks {own.shape} and crop {full.shape} do not fit for "
            f"{permutations} permutations: expected (N, *grid), (N, *grid), (*grid) and 1 or more"
        )
    n = len(maps)
    masks = own.reshape(n, -1)
    totals = maps.reshape(n, -1) @ full.ravel()
    evidence = totals > 0
    shares = maps.reshape(n, -1) / np.where(evidence, totals, 1)[:, None]
    generator = np.random.default_rng(seed)
    p = np.full(n, np.nan)
    for first in range(0, n, _ROWS):
        rows = np.arange(first, min(first + _ROWS, n))
        null = np.concatenate([shares[rows] @ masks.T, masks[rows] @ shares.T], axis=1)
        score = null[np.arange(len(rows)), rows]
        usable = np.broadcast_to(np.concatenate([np.ones(n, bool), evidence]), null.shape).copy()
        usable[np.arange(len(rows)), rows] = usable[np.arange(len(rows)), n + rows] = False
        lots = np.where(usable, generator.random(null.shape), np.inf)
        if permutations < lots.shape[1]:
            bound = np.partition(lots, permutations - 1, axis=1)[:, permutations - 1 : permutations]
            usable &= lots <= bound
        drawn = usable.sum(1)
        as_good = (usable & (null >= score[:, None] * (1 - _TIE))).sum(1)
        p[rows] = np.where(evidence[rows] & (drawn > 0), (1 + as_good) / (1 + drawn), np.nan)
    return p


def q_values(p: np.ndarray) -> np.ndarray:
    """Benjamini-Hochberg adjusted p-values, (N,); NaN stays NaN and does not count as a test."""
    from scipy.stats import false_discovery_control

    q = np.full(len(p), np.nan)
    tested = np.isfinite(p)
    if tested.any():
        q[tested] = false_discovery_control(p[tested])
    return q
