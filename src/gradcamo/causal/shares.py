"""Exact Shapley values of three players, and the columns that are made of them.

For one pool of donors, v(S) is the margin where the players in S keep their own voxels::

    phi_p = 1/3 [v(p) - v(0)] + 1/6 sum_{q != p} [v(pq) - v(q)] + 1/3 [v(N) - v(N without p)]

What is reported is phi(contrast) - phi(same): what swapping itself does cancels.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gradcamo.causal.regions import EVERYONE, PLAYERS
from gradcamo.columns import CAUSAL_SHARES

SAME = 1e-3
"""Logits by which devices may differ: what does not exceed it is no effect."""

_GAINS = np.zeros((3, 8))
for _p in range(3):
    for _s in range(8):
        if not _s >> _p & 1:
            _weight = (1 / 3, 1 / 6, 1 / 3)[_s.bit_count()]
            _GAINS[_p, _s | 1 << _p] += _weight
            _GAINS[_p, _s] -= _weight


class Margins(NamedTuple):
    """What the network said of one cell's coalitions, as margins m = z_k - z_r in logits.

    ``contrast`` and ``same`` are (D, 8), one row a draw of that pool and one column a coalition;
    ``limits`` (D, 2) are nothing real within the crop's own limits, and all real within the
    fill's (NaN where it was not asked for). ``real`` is the mean margin of real crops of the
    contrast pool.
    """

    contrast: np.ndarray
    same: np.ndarray
    limits: np.ndarray
    real: float


def shapley(v: np.ndarray) -> np.ndarray:
    """Shapley values (..., own neighbours background) of games (..., 8).

    Parameters
    ----------
    v : (..., 8)
        The value of each coalition, in the order of its bits: own 1, neighbours 2, background 4.

    Returns
    -------
    (..., 3); they sum to v[..., 7] - v[..., 0].

    Examples
    --------
    >>> shapley(np.array([0, 1, 0, 1, 0, 1, 0, 1.0]))  # all of it is due to the own cell
    array([1., 0., 0.])
    """
    values: np.ndarray = np.asarray(v, np.float64) @ _GAINS.T
    return values


def columns(margins: Margins, predicted: bool) -> dict[str, object]:
    """The columns of one cell.

    Parameters
    ----------
    margins : Margins
    predicted : whether the explained class is the predicted one

    Returns
    -------
    dict of `gradcamo.columns.CAUSAL_COLUMNS` that the game decides; ``causal_answered`` is
    None for a single draw.
    """
    contrast, same = margins.contrast.mean(0), margins.same.mean(0)
    draws = len(margins.contrast)
    phi = shapley(contrast) - shapley(same)
    whole = contrast[EVERYONE]
    effect = same[0] - contrast[0]
    spread = [pool[:, 0].var(ddof=1) if draws > 1 else np.nan for pool in margins[:2]]
    error = float(np.sqrt(sum(spread) / draws))
    answered = bool(effect > max(2 * error, SAME)) and predicted if draws > 1 else None
    shared = (effect > SAME and predicted) if answered is None else answered
    given = np.maximum(phi, 0)
    shares = given / given.sum() if shared and given.any() else np.full(3, np.nan)
    found: dict[str, object] = dict(zip(CAUSAL_SHARES, shares, strict=True))
    size = np.abs(phi).sum()
    found |= {
        "causal_effect": effect,
        "causal_effect_se": error,
        "causal_answered": answered,
        "causal_flips": bool(same[0] > 0 > contrast[0]),
        "causal_against": _ratio(np.maximum(-phi, 0).sum(), size),
        "causal_swap": _ratio(abs(same[0] - whole), effect),
        "causal_limits": _limits(margins.limits.mean(0), whole, contrast[0]),
        "causal_layout": _ratio(contrast[0] - margins.real, same[0] - margins.real),
    }
    for p, player in enumerate(PLAYERS):
        found[f"causal_phi_{player}"] = phi[p]
        found[f"causal_alone_{player}"] = contrast[1 << p] - contrast[0]
        found[f"causal_needed_{player}"] = whole - contrast[EVERYONE ^ 1 << p]
    return found


def _ratio(part: float, of: float) -> float:
    return float(part / of) if of > 0 else np.nan


def _limits(limited: np.ndarray, whole: float, nothing: float) -> float:
    """How much goes through the minimum and maximum to which the crop is rescaled."""
    empty, full = limited
    return _ratio(((empty - nothing) + (whole - full)) / 2, whole - nothing)
