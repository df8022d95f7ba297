"""Whitening of profiles on control cells."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd

from gradcamo.errors import GradcamoError
from gradcamo.profiles.doses import find_control

# Smallest over largest eigenvalue: below it lies what float32 profiles lose by rounding.
_SINGULAR = 1e-14
ROWS = 1 << 16  # whitened at a time: a million profiles in float64 would take 10 GB a copy
FEW_CONTROLS = 10  # per feature; fewer make a covariance shaky


@dataclass(frozen=True, eq=False)
class Whitening:
    """A map of profiles after which the control cells vary alike in all directions.

    Parameters
    ----------
    mean : ndarray
        (d,), of the controls.
    matrix : ndarray
        (d, d), symmetric: profiles x become (x − mean) matrix.
    epsilon : float
        Share of the mean variance that was added to every direction.

    Examples
    --------
    >>> import gradcamo as gc
    >>> import numpy as np
    >>> controls = np.random.default_rng(0).normal(size=(500, 2)) * [1, 100]
    >>> whiten = gc.Whitening.fit(controls)
    >>> np.cov(whiten(controls).T, bias=True).round(6).tolist() == np.eye(2).tolist()
    True
    """

    mean: np.ndarray
    matrix: np.ndarray
    epsilon: float = 0.0

    @classmethod
    def fit(cls, controls: np.ndarray, epsilon: float = 0.0) -> Whitening:
        """Fit on control cells: W = (Σ + ε·tr(Σ)/d · I)^(−1/2), Σ = XᵀX/N of the centred profiles.

        Parameters
        ----------
        controls : array
            (N, d), one row a cell.
        epsilon : float
            Share of the mean variance that is added to every direction. With 0 the whitened
            controls have covariance I; that takes more controls than features.

        Returns
        -------
        Whitening

        Raises
        ------
        GradcamoError
            If there are too few controls, features that do not vary on their own while epsilon is
            0, or values that are not finite.
        """
        controls = _finite(controls)
        n, d = controls.shape
        if not 0 <= epsilon < np.inf:
            raise GradcamoError(f"epsilon is 0 or a small positive number, got {epsilon}")
        if not n or not d or (n <= d and epsilon == 0):
            raise GradcamoError(
                f"there are {n} control cells for {d} features, no more controls than features: "
                "use epsilon > 0 (such as 0.01) or more controls"
            )
        mean = controls.mean(0)
        # Eigenvectors and eigenvalues s²/N of Σ, from X = QR: squaring X would halve the digits.
        _, s, vectors = np.linalg.svd(np.linalg.qr(controls - mean, mode="r"))
        variance = np.zeros(d)
        variance[: len(s)] = s**2 / n
        variance += epsilon * variance.mean()
        directions = int((variance > _SINGULAR * variance.max()).sum())
        if directions < d:
            raise GradcamoError(
                f"{n} control cells vary in {directions} of {d} directions only (some features are "
                "constant or follow from others): use epsilon > 0 (such as 0.01)"
            )
        matrix = (vectors.T / np.sqrt(variance)) @ vectors
        return cls(mean, (matrix + matrix.T) / 2, float(epsilon))

    def __call__(self, profiles: np.ndarray) -> np.ndarray:
        """Whitened profiles, (n, d) to (n, d) in float64.

        Raises
        ------
        GradcamoError
            If they have another number of features or values that are not finite.
        """
        profiles = _finite(profiles)
        if profiles.shape[1] != len(self.mean):
            raise GradcamoError(
                f"the whitening was fitted to {len(self.mean)} features, these profiles have "
                f"{profiles.shape[1]}: fit it on controls of the same layer"
            )
        return (profiles - self.mean) @ self.matrix


def whiten_on(
    profiles: np.ndarray, controls: np.ndarray, epsilon: float | None = None
) -> tuple[np.ndarray, str]:
    """Profiles whitened on some of them, and a caution where these are few.

    Parameters
    ----------
    profiles : (N, d)
    controls : (N,) bool
        Which of them to whiten on.
    epsilon : float, optional
        As in `Whitening.fit`. Default: 0, or 0.01 where there are no more controls than features.

    Returns
    -------
    (N, d) float32, and the caution or empty text

    Raises
    ------
    GradcamoError
        If there are fewer than two controls, and as `Whitening.fit`.
    """
    n, features = int(np.sum(controls)), profiles.shape[1]
    if n < 2:
        raise GradcamoError(f"there are {n} control cells, whitening takes two or more")
    if epsilon is None:
        epsilon = 0.0 if n > features else 0.01
    caution = ""
    if n < FEW_CONTROLS * features:
        caution = f"few controls: {n} control cells for {features} features"
        caution += f", whitened with epsilon {epsilon:g}" if epsilon else ""
        caution += "; directions that they hardly fill may be noise"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the caution says it
        white = Whitening.fit(profiles[controls], epsilon=epsilon)
    whitened = np.empty(profiles.shape, np.float32)
    for start in range(0, len(profiles), ROWS):
        whitened[start : start + ROWS] = white(profiles[start : start + ROWS])
    return whitened, caution


def whiten_stack(table: pd.DataFrame, profiles: np.ndarray) -> tuple[np.ndarray, str]:
    """Profiles of one stack whitened on its controls, or on all its cells where it has none.

    Parameters
    ----------
    table : DataFrame of N cells
        Its column ``treatment``, where there is one, may tell controls from others.
    profiles : (N, d)

    Returns
    -------
    (N, d) float32, and what was done in words

    Raises
    ------
    GradcamoError
        As `whiten_on`.
    """
    known = table["treatment"].astype(str) if "treatment" in table else pd.Series(dtype=str)
    control = find_control(known)
    if control is not None and known.nunique() > 1:
        chosen, on = (known == control).to_numpy(), f"the cells of {control}"
    else:
        chosen, on = np.ones(len(profiles), bool), "all cells: the controls are not known here"
    values, caution = whiten_on(profiles, chosen)
    few = f" ({caution.replace('control cells', 'cells').replace('controls', 'cells')})"
    return values, f"whitened on {on}{few if caution else ''}"


def _finite(profiles: np.ndarray) -> np.ndarray:
    profiles = np.asarray(profiles, np.float64)
    if profiles.ndim != 2:
        raise GradcamoError(f"profiles are (cells, features), got shape {profiles.shape}")
    bad = np.flatnonzero(~np.isfinite(profiles).all(1))
    if len(bad):
        raise GradcamoError(
            f"{len(bad)} of {len(profiles)} profiles are not finite (rows "
            f"{', '.join(map(str, bad[:8]))}{' …' if len(bad) > 8 else ''}): leave these cells "
            "out; partial cells have no profile"
        )
    return profiles
