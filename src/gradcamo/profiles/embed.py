"""Profiles laid out in two dimensions."""

from __future__ import annotations

import warnings

import numpy as np

from gradcamo.errors import GradcamoError


def umap_layout(
    profiles: np.ndarray,
    seed: int = 0,
    neighbours: int = 15,
    min_distance: float = 0.1,
    verbose: bool = False,
) -> np.ndarray:
    """UMAP of profiles (McInnes et al. 2018), the same for the same seed.

    Parameters
    ----------
    profiles : (N, d)
        Usually whitened. Reduced to 50 principal components first where there are more.
    seed : int
    neighbours : cells whose distances are kept around each cell
    min_distance : how tightly cells may be packed
    verbose : print what is being done

    Returns
    -------
    (N, 2) float32

    Raises
    ------
    GradcamoError
        If there are fewer than four cells or values that are not finite.
    """
    profiles = np.asarray(profiles, np.float32)
    if len(profiles) < 4:
        raise GradcamoError(f"a map needs four cells or more, got {len(profiles)}")
    if not np.isfinite(profiles).all():
        raise GradcamoError("profiles hold NaN or infinite values: leave partial cells out")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # n_jobs is 1 because a seed is given, as we want it
        from umap import UMAP

        layout = UMAP(
            n_neighbors=min(neighbours, len(profiles) - 1),
            min_dist=min_distance,
            random_state=seed,
            n_jobs=1,
            # a spectral start needs more cells than dimensions asked for
            init="spectral" if len(profiles) > 10 else "random",
            verbose=verbose,
        ).fit_transform(_principal(profiles, 50))
    return np.asarray(layout, np.float32)


def sample_rows(n: int, most: int, seed: int = 0, first: np.ndarray | None = None) -> np.ndarray:
    """At most ``most`` of n rows, ascending: those of ``first``, then others drawn by lot."""
    if n <= most:
        return np.arange(n)
    drawn = np.random.default_rng(seed).permutation(n)
    if first is not None:
        drawn = np.concatenate([first, drawn[~np.isin(drawn, first)]])
    return np.sort(drawn[:most])


def _principal(profiles: np.ndarray, most: int) -> np.ndarray:
    if profiles.shape[1] <= most or len(profiles) <= most:
        return profiles
    from sklearn.decomposition import PCA

    return np.asarray(PCA(most, svd_solver="covariance_eigh").fit_transform(profiles), np.float32)
