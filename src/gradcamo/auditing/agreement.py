"""Whether maps that lie on the cell are those whose predictions depend on it, by rank."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gradcamo.cells.table import scored, told_causally
from gradcamo.settings import CautionSettings
from gradcamo.words import counted, number

if TYPE_CHECKING:
    import pandas as pd

ENOUGH = 30
"""Cells from which a rank correlation is told."""
HARDLY = 0.05
"""Standard deviation of the own share below which it hardly varies: ranks of equals are noise."""
_NEEDED = ["image", "label", "predicted", "causal_effect", "causal_own"]


class Agreement(NamedTuple):
    """Of Grad-CAMO with the causal share of the own cell, over ``cells`` that have both.

    ``rho`` is Spearman's rank correlation, NaN where cells are few or the causal share hardly
    varies; ``said`` puts it in words.
    """

    rho: float
    cells: int
    said: str


def agreement(table: pd.DataFrame) -> Agreement:
    """Whether maps that lie on the cell are those whose predictions depend on it.

    Parameters
    ----------
    table : DataFrame
        Cells with ``grad_camo`` and the causal columns.
    """
    both = table[told_causally(table) & scored(table)]
    n, maps, owed = len(both), both["grad_camo"], both["causal_own"]
    if n < ENOUGH:
        few = f"{counted(n, 'cell')} with both: a rank correlation needs {ENOUGH}."
        return Agreement(np.nan, n, few)
    rho = float(maps.rank().corr(owed.rank()))
    means = (
        f"on average maps put {maps.mean():.2f} on the cell, predictions owe {number(owed.mean())}"
    )
    said = f"Spearman's ρ = {number(rho)} over {n:,} cells; {means} to it."
    if owed.std() >= HARDLY:
        return Agreement(rho, n, said)
    said += (
        f" The causal share hardly varies (standard deviation {owed.std():.2f}): a rank "
        "correlation says little here."
    )
    return Agreement(np.nan, n, said)


def agreement_by_layer(layers: pd.DataFrame, asked: pd.DataFrame) -> pd.DataFrame:
    """`agreement` at each layer, over cells that another table asked causally.

    Nothing is known where different networks made the two tables.

    Parameters
    ----------
    layers : DataFrame
        Cells of an audit of layers: ``layer, image, label, predicted, grad_camo``.
    asked : DataFrame
        Cells with ``image``, ``label``, ``predicted`` and the causal columns.

    Returns
    -------
    DataFrame by ``layer``: ``causal_rho``, NaN where nothing is known, and ``causal_cells``.
    """
    import pandas as pd

    names = pd.Index(dict.fromkeys(layers["layer"]), name="layer")
    told = pd.DataFrame({"causal_rho": np.nan, "causal_cells": 0}, names)
    keys, networks = _NEEDED[:3], {_network(layers), _network(asked)} - {None}
    if len(networks) > 1 or not (set(keys) <= set(layers) and set(_NEEDED) <= set(asked)):
        return told
    both = layers.drop(columns=_NEEDED[3:], errors="ignore")
    both = both.merge(asked[_NEEDED].drop_duplicates(keys), on=keys)
    for layer, cells in both.groupby("layer", sort=False):
        told.loc[layer] = agreement(cells)[:2]
    return told.astype({"causal_cells": "int64"})


def ranks_otherwise(rho: float, limits: CautionSettings | None = None) -> bool:
    """Whether a layer's ``causal_rho`` is known, and too low for its scores to rank cells."""
    return bool(rho < (limits or CautionSettings()).agreement)  # never of NaN


def asked_in(folder: str | Path) -> pd.DataFrame | None:
    """The cells of a plate's folder that were asked causally; None where none were.

    Raises
    ------
    GradcamoError
        If the table cannot be read.
    """
    from gradcamo.files.store import TABLE_SUFFIXES, read_table

    for suffix in TABLE_SUFFIXES:
        if (path := Path(folder) / f"cells{suffix}").is_file():
            table = read_table(path)
            return table if set(_NEEDED) <= set(table) else None
    return None


def _network(table: pd.DataFrame) -> Any:
    return table.attrs.get("recipe", {}).get("checkpoint")
