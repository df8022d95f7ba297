"""What one pass over a batch of cells brings at one layer."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gradcamo.cells.upsampling import Placement


class Explained(NamedTuple):
    """One layer's view of a batch of n cells, as arrays.

    ``logits`` as the network gives them, ``probabilities`` (n, K), names of what was ``predicted``
    with their ``confidence`` (n,), ``target`` (n,), ``maps`` (n, *grid) after equation 3,
    ``profiles`` (n, C'), ``shares`` the columns of equation 5, (n,) each. ``own`` (n, *grid) and
    ``full`` (*grid) are the cells' masks and the whole crop projected on the grid.
    """

    layer: str
    labels: list[int]
    logits: np.ndarray
    probabilities: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray
    target: np.ndarray
    maps: np.ndarray
    profiles: np.ndarray
    shares: dict[str, np.ndarray]
    placement: Placement | None
    own: np.ndarray
    full: np.ndarray
