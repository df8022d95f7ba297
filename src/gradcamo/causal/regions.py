"""The players: a crop as it was read, and to which region each of its voxels belongs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import NamedTuple

import numpy as np

from gradcamo.cells.crops import CellCrops, inside, padded
from gradcamo.cells.rescaling import refuse_unbounded
from gradcamo.datatypes import ZStack

PLAYERS = ("own", "neighbour", "background")
EVERYONE = 7  # a coalition is a sum of bits: own 1, neighbours 2, background 4
OUTSIDE, OWN, NEIGHBOUR, BACKGROUND = range(4)  # player p has kind p + 1


class RawCell(NamedTuple):
    """A cell's window before any rescaling.

    ``image`` is (C, Z, Y, X) as it was read, 0 outside the stack; ``kinds`` (Z, Y, X) uint8 says
    whose each voxel is: `OWN`, `NEIGHBOUR`, `BACKGROUND`, or `OUTSIDE` the stack and nobody's.
    ``spacing`` is the voxel size (z, y, x), in voxels where it is not known.
    """

    label: int
    image: np.ndarray
    kinds: np.ndarray
    spacing: tuple[float, ...] = (1.0, 1.0, 1.0)

    @property
    def present(self) -> int:
        """The coalition of all players that the cell has."""
        return sum(1 << p for p in range(len(PLAYERS)) if (self.kinds == p + 1).any())

    @property
    def volumes(self) -> np.ndarray:
        """Each player's share of the crop's voxels inside the stack, (3,)."""
        counts = np.bincount(self.kinds.ravel(), minlength=4)[1:]
        return counts / counts.sum()

    @property
    def entropy(self) -> list[int]:
        """Numbers that follow from the crop's content and the cell, for its draws."""
        said = sha256(np.ascontiguousarray(self.image).data)
        said.update(np.ascontiguousarray(self.kinds).data)
        said.update(str(self.label).encode())
        return np.frombuffer(said.digest(), np.uint32).tolist()


def raw_cell(crops: CellCrops, i: int) -> RawCell:
    """Cell i of a stack as it was read; see `raw_cells`."""
    return next(raw_cells(crops, [i]))


def raw_cells(crops: CellCrops, rows: Iterable[int]) -> Iterator[RawCell]:
    """Cells of a stack as they were read, one after the other.

    Raises
    ------
    GradcamoError
        If a channel holds NaN or infinite intensities.
    """
    size, stack, ids = crops.window, crops.stack, crops.table["label"].to_numpy()
    for i, image in crops.parts(rows):
        start, label = crops.start(i), int(ids[i])
        refuse_unbounded(image, stack.channels.__getitem__, stack.source, max(start[0], 0))
        labels = inside(crops.labels, start, size)
        kinds = np.where(labels == 0, np.uint8(BACKGROUND), np.uint8(NEIGHBOUR))
        kinds[labels == label] = OWN
        whole = padded(image, start, size), padded(kinds, start, size)
        yield RawCell(label, *whole, _spacing(stack))


def _spacing(stack: ZStack) -> tuple[float, ...]:
    """In voxels, unless all three lengths are known."""
    known = [step for step in stack.spacing_um or () if step is not None]
    return tuple(known) if len(known) == 3 else (1.0, 1.0, 1.0)
