"""Cells whose regions hold one intensity each, and a network that says what they add up to.

Every cell has a tile of 16 x 16 px: a square of its own, a ring that is another cell, background.
The first plane is dark and the last one bright everywhere, so that all limits stay the same.
"""

import numpy as np
import torch
from torch import nn

from gradcamo import Checkpoint, CropSettings, DonorBank, ZStack

TILE = 16
OWN = np.zeros((TILE, TILE), bool)
OWN[5:11, 5:11] = True
RING = np.zeros((TILE, TILE), bool)
RING[1:15, 1:15] = True
RING[2:14, 2:14] = False

CONTROL, TREATED = (200, 200, 200), (800, 800, 800)


def tiles(values, ring=True, source="tiles.tif", hot=None):
    """A stack of cells 1 … n with (own, neighbour, background) in thousandths, and its labels.

    ``hot`` is the intensity of one voxel of each tile's background.
    """
    n = len(values)
    data = np.zeros((1, 3, TILE, TILE * n), np.uint16)
    labels = np.zeros((3, TILE, TILE * n), np.int32)
    data[:, 2] = 1000
    for i, (own, neighbour, background) in enumerate(values):
        here = np.full((TILE, TILE), background)
        here[OWN] = own
        if ring:
            here[RING] = neighbour
        place = (slice(None), slice(TILE * i, TILE * (i + 1)))
        data[0, 1][place] = here
        if hot is not None:
            data[0, 0, 0, TILE * i + 3] = hot
        for plane in labels:
            plane[place][OWN] = i + 1
            if ring:
                plane[place][RING] = 1001 + i
    return ZStack(data, ("DNA",), (1.0, 1.0, 1.0), source), labels


class Known(nn.Module):
    """Logits that are a function of the mean intensity of each region, in [0, 1]."""

    def __init__(self, logits):
        super().__init__()
        self.logits = logits

    def forward(self, x):
        plane = x[:, 0, 1]
        own, ring = torch.from_numpy(OWN), torch.from_numpy(RING)
        return self.logits(
            plane[:, own].mean(1), plane[:, ring].mean(1), plane[:, ~(own | ring)].mean(1)
        )


def known(function, classes=("control", "treated")):
    """A checkpoint whose second logit is a function of three intensities, the first 0."""

    def logits(o, u, b):
        z = function(o, u, b)
        return z if z.ndim == 2 else torch.stack([torch.zeros_like(z), z], 1)

    return plain(Known(logits), classes, size=(3, TILE, TILE))


def plain(network, classes, size, channels=("DNA",), crop=(TILE, TILE)):
    """A network of one's own that sees crops rescaled, and no more."""
    n = len(channels)
    return Checkpoint(
        network,
        tuple(classes),
        tuple(channels),
        (0.0,) * n,
        (1.0,) * n,
        CropSettings(size_yx=crop),
        tuple(size),
        "none",
    )


def bank_of(checkpoint, kinds=None, per_well=2, ring=True, hot=None, **keywords):
    """Two wells of each class, the cells of each alike."""
    kinds = kinds or {"control": CONTROL, "treated": TREATED}
    wells = []
    for k, (name, values) in enumerate(kinds.items()):
        for well in range(2):
            # a trace of the well in one voxel keeps stacks apart
            stack, labels = tiles(
                [values] * per_well, ring, f"{name}{well}.tif", (hot or {}).get(name)
            )
            stack.data[0, 0, 0, 0] = 0 if well else 1
            stack.data[0, 0, 15, 15] = 10 * k
            cells = {i + 1: name for i in range(per_well)}
            wells.append((stack, labels, cells, "P", f"{'ABCDEFG'[k]}0{well + 2}"))
    return DonorBank.cut(wells, checkpoint, **keywords)
