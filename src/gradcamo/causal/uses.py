"""What a network uses: what it calls a cell with one region real and the others of all classes.

The others are filled from every class in equal parts, one class a draw; logits are averaged over
the draws. A region that the network does not use leaves it at chance, 1 / K.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import NamedTuple

import numpy as np
import pandas as pd

from gradcamo.causal.donors import Donors
from gradcamo.causal.fill import Pair, fill
from gradcamo.causal.game import Asked, case_of, drawn_pairs
from gradcamo.causal.inputs import Mix
from gradcamo.causal.passes import scores
from gradcamo.causal.question import Question
from gradcamo.causal.regions import RawCell
from gradcamo.columns import ONLY_COLUMNS
from gradcamo.networks.infer import usual_batch_size
from gradcamo.settings import CausalSettings

KEPT = (1, 2, 4, 0)
"""The coalitions: own, neighbours, background, nothing; in the order of `ONLY_COLUMNS`."""


class Called(NamedTuple):
    """What one cell is called with one region real, (4,) in the order of `KEPT`; empty for regions
    that it does not have, and for all where donors are lacking."""

    label: int
    names: tuple[str, ...]


def calls(
    cells: Iterable[Asked], donors: Donors, question: Question, settings: CausalSettings
) -> Iterator[Called]:
    """What the network calls each cell, in their order: one draw of donors of every class.

    Parameters
    ----------
    cells : whole, with voxels of their own
    donors : Donors
    question : Question
    settings : CausalSettings
    """
    coming = iter(cells)
    batch_size = settings.batch_size or usual_batch_size(donors.device)
    while group := list(islice(coming, batch_size)):
        plans = [(asked, _drawn(donors, asked, settings.seed)) for asked in group]
        answers = scores(
            chain.from_iterable(_mixes(donors, asked, drawn) for asked, drawn in plans),
            donors.inputs,
            question,
            batch_size,
        )
        for asked, drawn in plans:
            kept = _kept(asked.cell)
            means = np.zeros((len(kept), len(donors.classes)))
            for _ in drawn:
                means += [next(answers) / len(drawn) for _ in kept]
            called = dict(zip(kept, means.argmax(1).tolist(), strict=True)) if drawn else {}
            names = (donors.classes[called[s]] if s in called else "" for s in KEPT)
            yield Called(asked.cell.label, tuple(names))


def _kept(cell: RawCell) -> list[int]:
    return [s for s in KEPT if s & cell.present == s]


def _drawn(donors: Donors, asked: Asked, seed: int) -> list[list[Pair]]:
    """Pairs of one draw from each class; none at all where a class has too few donors."""
    drawn = []
    for c in range(len(donors.classes)):
        pool = donors.pool(c, asked.place)
        if isinstance(pool, str):
            return []
        pairs = drawn_pairs(donors, asked.cell, pool.tolist(), (seed, 2, c))
        if isinstance(pairs, str):
            return []
        drawn.append(pairs)
    return drawn


def _mixes(donors: Donors, asked: Asked, drawn: Sequence[list[Pair]]) -> Iterator[Mix]:
    """The composites of a cell, which is laid out while they are made."""
    if not drawn:
        return
    case = case_of(donors, asked.cell)
    kinds = case.kinds.view(donors.inputs.shape)
    for pairs in drawn:
        found = fill(kinds, donors.on_device, pairs, asked.cell.spacing)
        yield from case.swapped(donors.voxels(found.source), _kept(asked.cell))


def uses_table(cells: pd.DataFrame, classes: int) -> pd.DataFrame:
    """How often each treatment is called right with one region real: what the network uses.

    Parameters
    ----------
    cells : DataFrame
        Of held-out wells, with ``treatment``, ``predicted`` and `ONLY_COLUMNS` (empty where a cell
        was not asked).
    classes : K, those that the network tells apart, whichever of them the cells are of

    Returns
    -------
    DataFrame indexed by ``real`` (own, neighbour, background, nothing, all), with the share of
    right calls of each treatment, their mean ``balanced_accuracy``, ``chance`` (1 / K) and
    ``cells``. No rows where no cell was asked.
    """
    asked = cells[(cells["only_nothing"] != "") & (cells["treatment"] != "")]
    treatments = sorted(asked["treatment"].unique())
    rows = {}
    for real, column in zip(
        (*(name.removeprefix("only_") for name in ONLY_COLUMNS), "all"),
        (*ONLY_COLUMNS, "predicted"),
        strict=True,
    ):
        have = asked[asked[column] != ""]
        if have.empty:
            continue
        right = (have[column] == have["treatment"]).groupby(have["treatment"]).mean()
        rows[real] = {
            **right.reindex(treatments).to_dict(),
            "balanced_accuracy": right.mean(),
            "chance": 1 / classes,
            "cells": len(have),
        }
    names = [*treatments, "balanced_accuracy", "chance", "cells"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=names).rename_axis("real")
