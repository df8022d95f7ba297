"""What the first cells tell of a network that others built: does it return logits, and does a
cell get the same ones alone, among others, and each time?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from gradcamo.errors import GradcamoError, warn
from gradcamo.networks.outputs import ends_unbounded

B = TypeVar("B")

FIRST_CELLS = 8
"""How many cells' outputs are looked at, where there are as many."""
SUM_TO_ONE = 1e-4
SAME = 1e-5
"""By how much a score, or a logit on the scale of the largest, may differ by rounding."""
SAME_ROUNDED = 5e-2
"""The same for networks that compute in half precision."""


def _inside(z: np.ndarray) -> str:
    """What made these outputs (n, K) of logits, empty for nothing."""
    for name, p in (("softmax", z), ("log-softmax", np.exp(np.minimum(z, 1)))):
        if z.shape[1] > 1 and (p >= 0).all() and (abs(p.sum(1) - 1) <= SUM_TO_ONE).all():
            return name
    return ""


class Trial:
    """What was found out about a network at some layers; asked once, and again of more cells.

    ``one_by_one`` says that its cells see each other and must come alone, ``cautions`` what is to
    be said wherever its scores are.
    """

    def __init__(self, network: nn.Module, layers: Sequence[str], dtype: torch.dtype) -> None:
        self.network, self.layers = network, tuple(layers)
        self.tolerance = SAME if torch.finfo(dtype).eps <= torch.finfo().eps else SAME_ROUNDED
        self.one_by_one, self.cautions = False, list[str]()
        self._repeats = self._among_others = False
        self._looked_at = 0
        self._shape: tuple[int, ...] = ()

    def alone(self, work: Callable[..., Any], x: Tensor, owners: Tensor, batch_size: int) -> bool:
        """Whether cells must come one by one, from the first of a batch; a mirrored one joins it
        where there is no other.

        Parameters
        ----------
        work : what gives logits and views of a batch
        x, owners : the batch, prepared

        Raises
        ------
        GradcamoError
            If the cell gets other numbers each time.
        """
        self._shape = (1, *x.shape[1:])
        together = batch_size > 1 and not self._among_others
        if self.one_by_one or (self._repeats and not together):
            return self.one_by_one
        first, again = (self._numbers(work(x[:1], owners[:1])) for _ in range(2))
        if difference := self._difference(first, again):
            raise GradcamoError(
                f"the network gives the same cell other numbers each time ({difference}): some of "
                "it is random in eval mode too, and no score of it could be repeated. Switch that "
                "off there, as in F.dropout(x, training=self.training)"
            )
        self._repeats = True
        if together:
            if len(x) == 1:
                x, owners = (torch.cat((part, part.flip(-1))) for part in (x, owners))
            try:
                among = self._numbers(work(x[:2], owners[:2]))
                difference = self._difference(first, among)
            except GradcamoError as error:  # alone it was possible
                difference = str(error)
            self._among_others = True
            if difference:
                self.one_by_one = True
                self._say(
                    "the network gives a cell other numbers among other cells than alone "
                    f"({difference}): cells are scored one at a time"
                )
        return self.one_by_one

    def _numbers(self, found: tuple[Tensor, Any, Sequence[Any]]) -> tuple[np.ndarray, np.ndarray]:
        """Logits (K,) and scores (layers,) of the first cell."""
        logits, _, views = found
        scores = [float(view.shares[0, 0]) for view in views]
        return logits[0].double().cpu().numpy(), np.array(scores)

    def _difference(self, one: tuple[np.ndarray, ...], other: tuple[np.ndarray, ...]) -> str:
        """In words; empty for what rounding does."""
        for i, (a, b) in enumerate(zip(one, other, strict=True)):
            scale = 1.0 if i else max(1.0, float(np.abs(a).max()))
            apart = ~np.isclose(a, b, rtol=0, atol=self.tolerance * scale, equal_nan=True)
            if apart.any():
                k = int(apart.argmax())
                what = f"Grad-CAMO at {self.layers[k]}" if i else f"logit {k}"
                return f"{what} {a[k]:.6g} and {b[k]:.6g}"
        return ""

    def judged(self, batches: Iterator[B], logits_of: Callable[[B], np.ndarray]) -> Iterator[B]:
        """The same batches; as long as outputs look like those of softmax they are held back.

        Parameters
        ----------
        batches : of cells
        logits_of : what finds a batch's logits (n, K)

        Raises
        ------
        GradcamoError
            If the first cells' outputs all do: softmax is inside.
        """
        held: list[B] = []
        z = np.empty((0, 0))
        inside = ""
        for batch in batches:
            held.append(batch)
            if self._looked_at < FIRST_CELLS:
                found = logits_of(batch).astype(np.float64)
                z = np.concatenate((z.reshape(-1, found.shape[1]), found))
                inside = _inside(z)
                if len(z) >= FIRST_CELLS:
                    self._judge(z, inside)
            if not inside:
                yield from held
                held = []
        if self._looked_at < FIRST_CELLS and len(z):
            self._judge(z, inside)

    def _judge(self, z: np.ndarray, inside: str) -> None:
        if inside:
            raise GradcamoError(
                f"the network's outputs are probabilities: they sum to 1 in all of the first "
                f"{len(z)} cells, so {inside} is inside. Maps and confidence are made of what goes "
                f"into it: {self._cure()}"
            )
        # of one cell it tells little
        look_alike = ((z >= 0) & (z <= 1)).all() and len(z) > max(1, self._looked_at)
        if look_alike and not ends_unbounded(self.network, self._shape):
            self._say(
                f"the network's outputs lie between 0 and 1 in all of the first {len(z)} cells and "
                "look like probabilities: where a sigmoid is inside, take it out, since maps and "
                "confidence are made of what goes into it"
            )
        self._looked_at = max(self._looked_at, len(z))

    def _cure(self) -> str:
        last = [
            name
            for name, module in self.network.named_modules()
            if isinstance(module, nn.Softmax | nn.LogSoftmax)
        ]
        if not last:
            return "return the logits from the network's forward"
        return f"network.set_submodule({last[-1]!r}, torch.nn.Identity()) takes it out"

    def _say(self, caution: str) -> None:
        if caution not in self.cautions:
            self.cautions.append(caution)
            warn(caution, stacklevel=3)
