"""A network made ready beside the window."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gradcamo.docks.canvas.colouring import warm_up

if TYPE_CHECKING:
    from gradcamo.networks.checkpoint import Checkpoint


def ready(checkpoint: Checkpoint) -> Checkpoint:
    """Work out beside the window what the window reads, and what the first click would wait for."""
    from gradcamo.datatypes import CellCrop
    from gradcamo.networks.infer import explain

    shape = checkpoint.crop.window(1)
    blank = np.zeros((len(checkpoint.channels), *shape), np.float32)
    crop = CellCrop(1, (0, 0, 0), False, lambda: blank, lambda: np.ones(shape, np.int32))
    list(explain([crop], checkpoint, (checkpoint.layer,)))
    warm_up(np.dtype(np.int32))
    _ = checkpoint.layers, checkpoint.hash
    return checkpoint
