"""Forward passes in batches that fill the device."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np
import torch
from torch import OutOfMemoryError, Tensor

from gradcamo.causal.inputs import Inputs, Mix
from gradcamo.causal.question import Question
from gradcamo.errors import GradcamoError
from gradcamo.networks.checkpoint import Checkpoint
from gradcamo.networks.efficientnet import precision
from gradcamo.networks.memory import keep_buffers, smaller_batch
from gradcamo.networks.outputs import logits_of
from gradcamo.networks.rounding import unrounded
from gradcamo.networks.sharing import frozen
from gradcamo.networks.trial import Trial


def scores(
    mixes: Iterable[Mix],
    inputs: Inputs,
    question: Question,
    batch_size: int,
) -> Iterator[np.ndarray]:
    """What the network says of each input, (K,) float64, in their order.

    A batch that does not fit the device's memory is halved, and so are those that follow. Of a
    network that others built, first inputs tell whether it returns logits and whether cells see
    each other (`Trial`).

    Raises
    ------
    GradcamoError
        If the network does not give as many logits as there are classes, it is random in eval
        mode, or softmax is inside.
    """
    trial = question.checkpoint.trial()
    seen = _logits(mixes, inputs, question.checkpoint, batch_size, trial)
    for found in seen if trial is None else trial.judged(seen, lambda logits: logits):
        yield from question.scores(found)


def _logits(
    mixes: Iterable[Mix],
    inputs: Inputs,
    checkpoint: Checkpoint,
    batch_size: int,
    trial: Trial | None,
) -> Iterator[np.ndarray]:
    keep_buffers()

    def work(x: Tensor, _: Tensor) -> tuple[Tensor, None, tuple[()]]:
        return torch.from_numpy(batch_logits(x, checkpoint, inputs.device)), None, ()

    coming = iter(mixes)
    batch_size = 1 if trial and trial.one_by_one else batch_size
    room: Tensor | None = None
    while True:
        try:  # before inputs are made, which are large and come but once
            room = inputs.room(batch_size) if room is None else room[:batch_size]
        except OutOfMemoryError:
            batch_size = smaller_batch(batch_size, "cell")
            continue
        x = inputs.batch(islice(coming, batch_size), room)
        if not len(x):
            return
        while len(x):
            part = x[:batch_size]
            try:
                if trial and trial.alone(work, part, part, batch_size) and len(part) > 1:
                    batch_size = 1
                    continue
                found = batch_logits(part, checkpoint, inputs.device)
            except OutOfMemoryError:
                batch_size = smaller_batch(len(part), "cell")
                continue
            yield found
            x = x[len(part) :]


def batch_logits(x: Tensor, checkpoint: Checkpoint, device: torch.device) -> np.ndarray:
    """Logits of a batch, (n, K) float64."""
    network = checkpoint.on(device)
    with frozen(network), unrounded(), torch.inference_mode():
        logits = logits_of(network(x.to(precision(network))), len(x))
    found: np.ndarray = logits.double().cpu().numpy()
    if not np.isfinite(found).all():
        raise GradcamoError("the network returned NaN or infinite logits: check its weights")
    return found
