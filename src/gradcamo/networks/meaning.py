"""What logits mean: a class each, two classes by the sign of one, or labels of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from gradcamo.errors import GradcamoError
from gradcamo.settings import Outputs


class Reading(NamedTuple):
    """What n cells are taken for: ``probabilities`` (n, K), names and their ``confidence`` (n,)."""

    probabilities: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray


def per_class(logits: Tensor) -> Tensor:
    """A score for each class, (N, K). One logit z stands for two, with scores -z and z.

    Parameters
    ----------
    logits : (N, K), or (N, 1)
    """
    return torch.cat((-logits, logits), 1) if logits.shape[1] == 1 else logits


def read(logits: Tensor, target: Tensor, classes: Sequence[str], outputs: Outputs) -> Reading:
    """What cells are taken for.

    Parameters
    ----------
    logits : (n, K), or (n, 1) for two classes: the second where it is above 0
    target : (n,), the classes that are explained
    classes : their K names
    outputs : whether the logits are those of classes, of which a cell has one, or independent: then
        the target alone is asked for, and a cell without it is called "not" so
    """
    rows = np.arange(len(logits))
    exclusive = outputs == "classes" and logits.shape[1] > 1
    scores = per_class(logits)
    probabilities = (scores.softmax(1) if exclusive else scores.sigmoid()).numpy()
    if outputs == "classes":
        best = scores.argmax(1).numpy()
        names = np.array([classes[k] for k in best], object)
        return Reading(probabilities, names, probabilities[rows, best])
    asked = target.numpy()
    there = logits.numpy()[rows, asked] > 0
    names = np.array([classes[k] for k in asked], object)
    p = probabilities[rows, asked]
    return Reading(probabilities, np.where(there, names, "not " + names), np.where(there, p, 1 - p))


def check_target(target: object, classes: Sequence[str], outputs: Outputs) -> None:
    """Refuse to take one of several independent labels for the predicted one.

    Raises
    ------
    GradcamoError
    """
    if target is None and outputs == "independent":
        raise GradcamoError(
            "the network's labels are independent of each other, so none is the predicted one: "
            f"name the one to explain, AuditSettings(target=…), of {', '.join(classes)}"
        )


def check_classes(n_logits: int, classes: Sequence[str], outputs: Outputs) -> None:
    """Refuse names that do not fit the logits.

    Raises
    ------
    GradcamoError
        Saying how many names are expected, and in which order.
    """
    named = f"{len(classes)} class{'es' * (len(classes) != 1)} ({', '.join(classes)})"
    if outputs == "independent" and n_logits == 1:
        raise GradcamoError(
            "the network gives one logit, which is not independent of any other: leave outputs at "
            "'classes' and name two, the one below 0 first: classes=('not mitotic', 'mitotic')"
        )
    if outputs == "classes" and n_logits == 1 and len(classes) != 2:
        raise GradcamoError(
            f"the network gives one logit for {named}: it tells two classes apart, name both, the "
            "one below 0 first: classes=('control', 'treated')"
        )
    if n_logits != 1 and n_logits != len(classes):
        raise GradcamoError(
            f"the network gives {n_logits} logits for {named}: name one class per logit"
        )
