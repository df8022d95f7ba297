"""Which cells become donors: drawn by lot, as many of each class, spread over the stacks."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from gradcamo.causal.regions import RawCell, raw_cell
from gradcamo.cells.crops import CellCrops, refuse_depth
from gradcamo.cells.windows import held
from gradcamo.datatypes import ZStack
from gradcamo.errors import GradcamoError, GradcamoWarning
from gradcamo.mapped import slabs
from gradcamo.settings import CropSettings

if TYPE_CHECKING:
    from gradcamo.networks.checkpoint import Checkpoint

LARGEST = 800_000_000
"""Bytes of crops, before they are compressed."""
FEWEST = 12
"""Cells of a class that are kept even where that is more than `LARGEST`."""

Source = tuple[ZStack, Any, Mapping[int, str], str, str]


class Origin(NamedTuple):
    """A stack that donors come from; ``content`` is the hash of its intensities."""

    content: str
    plate: str
    well: str
    source: str


class Drawn(NamedTuple):
    """A cell in the lot; the first of a heap is the one that is left out next."""

    worst_first: tuple[float, float]
    cell: RawCell
    origin: int

    def __lt__(self, other: Any) -> bool:
        return self.worst_first < other.worst_first


@dataclass(frozen=True, eq=False)
class Lot:
    """The cells that were drawn, by class; the stacks they come from; the first of these."""

    cells: Mapping[str, list[Drawn]]
    origins: list[Origin]
    first: ZStack


def draw(stacks: Iterable[Source], checkpoint: Checkpoint, per_class: int, seed: int) -> Lot:
    """Draw whole cells of each class, the same ones in whatever order the stacks come.

    Raises
    ------
    GradcamoError
        As `DonorBank.cut`.

    Warns
    -----
    GradcamoWarning
        If ``per_class`` had to fall for the crops to stay below `LARGEST`, not below `FEWEST`.
    """
    lot: dict[str, list[Drawn]] = {}
    origins: list[Origin] = []
    first: ZStack | None = None
    room = per_class
    for stack, labels, named, plate, well in stacks:
        refuse_depth(stack, checkpoint.crop, checkpoint.input_size)
        stack = held(stack.select(checkpoint.channels))
        first = first or stack
        _check_alike(stack, first, checkpoint.crop)
        crops = CellCrops(stack, labels, checkpoint.crop)
        content = content_hash(stack)
        origins.append(Origin(content, str(plate), str(well), stack.source))
        lot |= {name: [] for name in named.values() if name and name not in lot}
        room = _room(per_class, len(lot), first, crops.window)
        rng = np.random.default_rng([seed, *_numbers(content)])
        ranks, ids = dict.fromkeys(lot, 0), crops.table["label"].to_numpy()
        for i in rng.permutation(np.flatnonzero(crops.scorable)):
            name = named.get(int(ids[i]), "")
            if name:
                key = (ranks[name], float(rng.random()))
                ranks[name] += 1
                _enter(lot[name], key, room, crops, int(i), len(origins) - 1)
    drawn = {name: cells for name, cells in lot.items() if cells}
    if first is None or not drawn:
        raise GradcamoError(
            "none of the stacks for the donor bank holds a whole cell with a treatment: name "
            "stacks of training wells and their cells' treatments"
        )
    for cells in drawn.values():
        while len(cells) > room:
            heappop(cells)
    if room < per_class:
        warnings.warn(
            f"{room} instead of {per_class} donors a class are kept, so that the bank stays "
            f"near {LARGEST // 1_000_000} MB",
            GradcamoWarning,
            stacklevel=3,
        )
    return Lot(drawn, origins, first)


def _enter(
    heap: list[Drawn], key: tuple[int, float], room: int, crops: CellCrops, i: int, origin: int
) -> None:
    """Cut a cell and keep it, if it is among the first: each stack's first, then its second …"""
    turn = (-float(key[0]), -key[1])
    if len(heap) < room or turn > heap[0].worst_first:
        heappush(heap, Drawn(turn, raw_cell(crops, i), origin))
        while len(heap) > room:
            heappop(heap)


def _room(per_class: int, classes: int, stack: ZStack, window: tuple[int, int, int]) -> int:
    crop = stack.shape[0] * int(np.prod(window)) * np.dtype(stack.data.dtype).itemsize
    return min(per_class, max(FEWEST, LARGEST // (crop * max(1, classes))))


def _check_alike(stack: ZStack, first: ZStack, crop: CropSettings) -> None:
    planes = crop.planes is None and stack.shape[1] != first.shape[1]
    if planes or stack.data.dtype != first.data.dtype:
        raise GradcamoError(
            f"{first.source} has {first.shape[1]} planes of {first.data.dtype}, {stack.source} "
            f"{stack.shape[1]} of {stack.data.dtype}: donors of one bank need the same"
        )


def content_hash(stack: ZStack, dtype: np.dtype | None = None) -> str:
    """SHA-256 of a stack's intensities, read once: the same whatever the file is called.

    With a ``dtype``, such as a bank's, as if they were stored in it.
    """
    kind = np.dtype(stack.data.dtype if dtype is None else dtype)
    known = _KNOWN.setdefault(stack, {})
    if kind not in known:
        said = sha256(f"{stack.shape} {kind.str}".encode())
        with np.errstate(invalid="ignore"):  # what the type does not hold is another stack's
            for channel in range(stack.shape[0]):
                for slab in slabs(stack.data[channel]):
                    said.update(np.ascontiguousarray(slab, kind).data)
        known[kind] = said.hexdigest()
    return known[kind]


_KNOWN: WeakKeyDictionary[ZStack, dict[np.dtype, str]] = WeakKeyDictionary()


def _numbers(digest: str) -> list[int]:
    return np.frombuffer(bytes.fromhex(digest), np.uint32).tolist()
