"""The game of one cell: eight coalitions of regions in each draw of two pools of donors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import NamedTuple

import numpy as np
import torch

from gradcamo.causal.donors import Donors, Place
from gradcamo.causal.fill import Pair, draw_pairs, fill, symmetries, turned
from gradcamo.causal.inputs import Case, Mix, as_rows, case_on, intensities
from gradcamo.causal.passes import scores
from gradcamo.causal.question import Question
from gradcamo.causal.regions import EVERYONE, OWN, PLAYERS, RawCell
from gradcamo.causal.shares import Margins
from gradcamo.networks.infer import usual_batch_size
from gradcamo.settings import CausalSettings

CONTRAST, SAME = range(2)


class Played(NamedTuple):
    """One cell's game.

    ``scores`` (K,) are the network's logits of the crop as it is; ``k`` is the class that is
    explained, ``r`` its reference. ``logits`` (2, D, 8, K) are those of each pool (contrast, same),
    draw and coalition, ``limited`` (D, 2, K) those within changed limits, NaN where they were not
    asked for. ``pairs`` are the donors drawn of each pool. Where there is no game, ``reason`` says
    why and ``margins`` is None.
    """

    cell: RawCell
    scores: np.ndarray
    k: int
    r: int
    reason: str = ""
    margins: Margins | None = None
    logits: np.ndarray | None = None
    limited: np.ndarray | None = None
    unfilled_own: float = np.nan
    pairs: tuple[list[list[Pair]], list[list[Pair]]] = ([], [])


class Asked(NamedTuple):
    """A cell that comes to the game, and where from."""

    cell: RawCell
    place: Place


def play(
    cells: Iterable[Asked],
    donors: Donors,
    question: Question,
    settings: CausalSettings,
    between: Callable[[], None] = lambda: None,
) -> Iterator[Played]:
    """The games of cells, in their order.

    Parameters
    ----------
    cells : whole, with voxels of their own
    donors : Donors
    question : Question
    settings : CausalSettings
    between : called before each crop that passes; an exception that it raises ends the games
    """

    def told(mix: Mix) -> Mix:
        between()
        return mix

    coming = iter(cells)
    batch_size = settings.batch_size or usual_batch_size(donors.device)
    how = (donors.inputs, question, batch_size)
    while group := list(islice(coming, batch_size)):
        # a cell laid out takes many times its crop: one is at a time, twice
        real = scores((told(case_of(donors, asked.cell).real()) for asked in group), *how)
        plans = [
            _plan(donors, question, settings, asked, z)
            for asked, z in zip(group, list(real), strict=True)
        ]
        group.clear()
        ready = [plan for plan in plans if isinstance(plan, _Plan)]
        mixes = chain.from_iterable(plan.mixes(donors) for plan in ready)
        answers = scores(map(told, mixes), *how)
        for plan in plans:
            yield plan if isinstance(plan, Played) else plan.played(answers)


def case_of(donors: Donors, cell: RawCell) -> Case:
    """A cell laid out where the network works."""
    rows = as_rows(np.moveaxis(cell.image, 0, -1)).to(donors.device)
    kinds = torch.from_numpy(cell.kinds).to(donors.device)
    return case_on(donors.inputs, intensities(rows, cell.image.dtype), kinds)


def drawn_pairs(
    donors: Donors, cell: RawCell, pool: Sequence[int], entropy: Sequence[int]
) -> list[Pair] | str:
    """One draw's pairs from a pool, or which region none of its donors has where the cell does."""
    own = torch.from_numpy(cell.kinds)
    found = draw_pairs(
        np.random.default_rng([*cell.entropy, *entropy]),
        pool,
        symmetries(cell.kinds.shape[1:]),
        [kind for kind in range(1, 4) if bool((own == kind).any())],
        lambda pair, kind: bool(
            ((turned(donors.kinds[pair.donor], pair.symmetry) == kind) & (own == kind)).any()
        ),
    )
    if isinstance(found, int):
        what = {"own": "own voxels", "neighbour": "neighbours", "background": "background"}
        return f"no donor of its pool has {what[PLAYERS[found - 1]]} where the cell has"
    return found


def composites(donors: Donors, cell: RawCell, pairs: Sequence[Pair]) -> np.ndarray:
    """What a draw makes of a cell: the intensities of all eight coalitions, (8, C, Z, Y, X)."""
    kinds = torch.from_numpy(cell.kinds).to(donors.device)
    found = fill(kinds, donors.on_device, pairs, cell.spacing)
    filled = donors.voxels(found.source).T.cpu().numpy().reshape(cell.image.shape)
    kept = [np.isin(cell.kinds, [0, *(p + 1 for p in range(3) if s >> p & 1)]) for s in range(8)]
    return np.stack([np.where(own, cell.image, filled) for own in kept])


class _Plan(NamedTuple):
    """A cell, its classes, and the pairs of each draw of both pools."""

    asked: Asked
    present: int
    scores: np.ndarray
    k: int
    r: int
    real: float
    pairs: tuple[list[list[Pair]], list[list[Pair]]]
    with_limits: bool
    unfilled: list[float]

    @property
    def coalitions(self) -> list[int]:
        """Those that differ; players without voxels change nothing."""
        present = self.present
        return [s for s in range(EVERYONE) if s & ~present == 0 and s != present]

    def mixes(self, donors: Donors) -> Iterator[Mix]:
        """Every composite of the game, draw by draw."""
        case = case_of(donors, self.asked.cell)
        for pool, draws in enumerate(self.pairs):
            for pairs in draws:
                yield from self._draw(case, donors, pairs, self.with_limits and pool == CONTRAST)

    def _draw(self, case: Case, donors: Donors, pairs: list[Pair], limited: bool) -> Iterator[Mix]:
        kinds = case.kinds.view(donors.inputs.shape)
        found = fill(kinds, donors.on_device, pairs, self.asked.cell.spacing)
        own = case.kinds == OWN
        self.unfilled.append(float(found.nearest[own].float().mean()))
        return case.swapped(donors.voxels(found.source), self.coalitions, limited)

    def played(self, answers: Iterator[np.ndarray]) -> Played:
        """The game, once the network has said its part."""
        n_draws, n_classes = len(self.pairs[0]), len(self.scores)
        logits = np.empty((2, n_draws, 8, n_classes))
        limited = np.full((n_draws, 2, n_classes), np.nan)
        present = self.present
        for pool in (CONTRAST, SAME):
            for d in range(n_draws):
                said = {present: self.scores}
                for coalition in self.coalitions:
                    said[coalition] = next(answers)
                logits[pool, d] = [said[s & present] for s in range(8)]
                if self.with_limits and pool == CONTRAST:
                    limited[d] = [next(answers), next(answers)]
        m = logits[..., self.k] - logits[..., self.r]
        within = limited[..., self.k] - limited[..., self.r]
        return Played(
            self.asked.cell,
            self.scores,
            self.k,
            self.r,
            margins=Margins(m[CONTRAST], m[SAME], within, self.real),
            logits=logits,
            limited=limited,
            unfilled_own=float(np.mean(self.unfilled)),
            pairs=self.pairs,
        )


def _plan(
    donors: Donors,
    question: Question,
    settings: CausalSettings,
    asked: Asked,
    z: np.ndarray,
) -> _Plan | Played:
    """What a cell's game takes; or why there is none."""
    k = int(z.argmax()) if question.explained is None else question.explained
    r = donors.reference(k, z, question.reference)
    pools = [donors.pool(c, asked.place) for c in (r, k)]
    pairs: tuple[list[list[Pair]], list[list[Pair]]] = ([], [])
    for n, pool in enumerate(pools):
        if isinstance(pool, str):
            return Played(asked.cell, z, k, r, pool)
        if n == CONTRAST:
            real = float((donors.scores[pool, k] - donors.scores[pool, r]).mean())
        for d in range(settings.draws):
            found = drawn_pairs(donors, asked.cell, pool.tolist(), (settings.seed, n, d))
            if isinstance(found, str):
                return Played(asked.cell, z, k, r, found)
            pairs[n].append(found)
    limits = settings.limits and settings.draws > 1
    return _Plan(asked, asked.cell.present, z, k, r, real, pairs, limits, [])
