"""What is asked of a network: which classes it tells apart, which is explained, and its logits as
a score for each."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gradcamo.errors import GradcamoError
from gradcamo.networks.checkpoint import Checkpoint
from gradcamo.networks.meaning import check_classes, check_target
from gradcamo.settings import CausalSettings

PRESENCE = ("absent", "present")
"""The classes of one of several independent labels, and of a bank for it."""


class Question(NamedTuple):
    """``classes`` the network tells apart, a score each; ``explained`` and ``reference`` are None
    where each cell decides. ``label`` is the logit of an independent label."""

    checkpoint: Checkpoint
    classes: tuple[str, ...]
    explained: int | None = None
    reference: int | None = None
    label: int | None = None

    def scores(self, logits: np.ndarray) -> np.ndarray:
        """A score for each class, (n, K), of logits (n, L): their differences are margins.

        One logit z, and that of an independent label, stands for the scores 0 and z.

        Raises
        ------
        GradcamoError
            If there are not as many logits as classes.
        """
        check_classes(logits.shape[1], self.checkpoint.classes, self.checkpoint.outputs)
        if self.label is not None:
            logits = logits[:, self.label, None]
        return np.pad(logits, ((0, 0), (1, 0))) if logits.shape[1] == 1 else logits


def question(checkpoint: Checkpoint, settings: CausalSettings) -> Question:
    """What the settings ask of a network.

    Raises
    ------
    GradcamoError
        If target or reference are none of its classes, or one and the same; if no target, or a
        reference, is named of independent labels.
    """
    checkpoint.renew()
    classes = checkpoint.classes
    for name in (settings.target, settings.reference):
        if name is not None and name not in classes:
            raise GradcamoError(
                f"the checkpoint knows the treatments {', '.join(classes)}, not {name!r}: choose "
                "one of them"
            )
    if settings.target is not None and settings.target == settings.reference:
        raise GradcamoError(
            f"{settings.target!r} is named as target and as reference: a treatment is told from "
            "another one; name another reference, or none"
        )
    number = {name: k for k, name in enumerate(classes)}
    target = None if settings.target is None else number[settings.target]
    check_target(target, classes, checkpoint.outputs)
    if checkpoint.outputs == "independent":
        if settings.reference is not None:
            raise GradcamoError(
                "the network's labels are independent of each other, so the presence of one is "
                f"told from its absence: leave out the reference {settings.reference!r}"
            )
        return Question(checkpoint, PRESENCE, label=target)
    reference = None if settings.reference is None else number[settings.reference]
    return Question(checkpoint, classes, target, reference)
