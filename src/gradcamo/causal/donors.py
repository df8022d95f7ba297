"""A bank as one network sees it: what it makes of each donor, and which may stand in for a cell."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from gradcamo.causal.bank import DonorBank, few_images
from gradcamo.causal.inputs import Inputs, as_rows, case_on, intensities
from gradcamo.causal.passes import scores
from gradcamo.causal.question import Question
from gradcamo.networks.infer import usual_batch_size
from gradcamo.networks.preprocess import choose_device
from gradcamo.settings import CausalSettings
from gradcamo.words import counted

FEWEST_CELLS, FEWEST_IMAGES = 3, 2
"""Of a pool."""


class Place(NamedTuple):
    """Where a cell comes from: hash of its stack's intensities, plate and well, if known."""

    content: str
    plate: str | None = None
    well: str | None = None


class Donors:
    """The donors of a bank, asked once of a network.

    Attributes
    ----------
    classes : those of the network, a column of ``scores`` each
    scores : (n, K) float64, the network's logits of the donors' own crops
    usable : (n,) bool, called correctly; all of a class of which fewer than three are
    kinds : (n, Z, Y, X) uint8, on the CPU; ``on_device`` is its copy where the network works
    cautions : what should be said
    """

    def __init__(
        self,
        bank: DonorBank,
        question: Question,
        device: torch.device,
        batch_size: int,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        self.bank, self.device = bank, device
        self.classes = question.classes
        self.kinds = torch.from_numpy(bank.kinds)
        self.on_device = self.kinds.to(device)
        self._rows = as_rows(bank.voxels).to(device)
        self._n_voxels = int(np.prod(bank.kinds.shape[1:]))
        self.inputs = Inputs(question.checkpoint, bank.kinds.shape[1:], device)
        self.scores = self._asked(question, batch_size, progress)
        number = {name: k for k, name in enumerate(self.classes)}
        self._number = np.array([number.get(name, -1) for name in bank.classes])
        right = self.scores.argmax(1) == self._number
        self.usable, self.cautions = right.copy(), few_images(bank)
        for k, name in enumerate(self.classes):
            of_class = self._number == k
            if of_class.any() and right[of_class].sum() < FEWEST_CELLS:
                self.usable |= of_class
                self.cautions.append(
                    f"the network calls {right[of_class].sum()} of {of_class.sum()} donors of "
                    f"{name} correctly: all of them stand in"
                )

    def _asked(
        self, question: Question, batch_size: int, progress: Callable[[int, int], None]
    ) -> np.ndarray:
        n = len(self.bank.classes)
        found = []

        def crops():  # type: ignore[no-untyped-def]
            for i in range(n):
                rows = self._rows[i * self._n_voxels : (i + 1) * self._n_voxels]
                values = intensities(rows, self.bank.voxels.dtype)
                yield case_on(self.inputs, values, self.on_device[i]).real()

        for z in scores(crops(), self.inputs, question, batch_size):
            found.append(z)
            progress(len(found), n)
        return np.stack(found)

    def voxels(self, source: Tensor) -> Tensor:
        """The intensities of voxels of all donors, numbered through, (V, C)."""
        return intensities(self._rows.index_select(0, source.clamp(min=0)), self.bank.voxels.dtype)

    def reference(self, k: int, scores: np.ndarray, named: int | None) -> int:
        """The class r that class k is told from.

        The control for a treatment. For the control the treatment that is ``named``, by default
        the one whose donors have the largest mean z_t - z_control. Without a control the one
        ``named``, by default the cell's runner-up: the highest of its ``scores`` (K,) but k's.
        """
        if len(self.classes) == 2:
            return 1 - k
        control = self.classes.index(self.bank.control) if self.bank.control in self.classes else -1
        if control >= 0 and k != control:
            return control
        if named is not None and named != k:
            return named
        if control >= 0:
            means = {
                t: (
                    self.scores[self._number == t, t] - self.scores[self._number == t, control]
                ).mean()
                for t in range(len(self.classes))
                if t != control and (self._number == t).any()
            }
            if means:
                return max(means, key=lambda t: float(means[t]))
        others = scores.copy()
        others[k] = -np.inf
        return int(others.argmax())

    def pool(self, k: int, place: Place) -> np.ndarray | str:
        """Donors of class k for a cell from that place, or why there are too few."""
        name, of_class = self.classes[k], self._number == k
        if not of_class.any():
            return f"the bank has no donors of {name}"
        same = self.bank.same_image(place.content)
        if place.plate is not None and place.well is not None:
            same |= self.bank.same_well(place.plate, place.well)
        if not (of_class & ~same).any():
            return f"there is no other training well of {name}"
        chosen = np.flatnonzero(of_class & self.usable & ~same)
        images = len(set(self.bank.origin[chosen].tolist()))
        if len(chosen) < FEWEST_CELLS or images < FEWEST_IMAGES:
            return (
                f"too few donors of {name} are left: {len(chosen)} from {counted(images, 'image')} "
                f"where {FEWEST_CELLS} from {FEWEST_IMAGES} are needed"
            )
        return chosen


def donors_for(
    bank: DonorBank,
    question: Question,
    settings: CausalSettings,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Donors:
    """The donors of a bank for a network, on its device; asked once, the last ones are kept."""
    device = choose_device(settings.device)
    batch_size = settings.batch_size or usual_batch_size(device)
    key = (id(bank), device, question.label)
    kept = question.checkpoint.donors
    made: Donors | None = kept.get(key)
    if made is None:
        asked = question._replace(explained=None, reference=None)
        made = Donors(bank, asked, device, batch_size, progress)
        kept.clear()
        kept[key] = made
    return made
