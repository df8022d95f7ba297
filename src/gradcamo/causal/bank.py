"""The donor bank: crops as they were read, of cells from training wells."""

from __future__ import annotations

import json
import warnings
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from heapq import heappop, heappush
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gradcamo.causal.regions import RawCell, raw_cell
from gradcamo.cells.crops import CellCrops
from gradcamo.datatypes import Spacing, ZStack
from gradcamo.errors import GradcamoError, GradcamoWarning
from gradcamo.files.landing import landing, to_json
from gradcamo.files.seal import blank_zip_seal, check_seal
from gradcamo.files.wells import well_name
from gradcamo.profiles.doses import find_control
from gradcamo.settings import CropSettings
from gradcamo.words import joined

if TYPE_CHECKING:
    from gradcamo.networks.checkpoint import Checkpoint

FORMAT = "gradcamo-donors-1"
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


@dataclass(frozen=True, eq=False)
class DonorBank:
    """Crops of whole cells of training wells, as they were read.

    Parameters
    ----------
    voxels : ndarray
        (n, Z, Y, X, C), intensities as they were read, 0 outside the stack.
    kinds : ndarray
        (n, Z, Y, X) uint8, whose each voxel is (`gradcamo.causal.regions`).
    labels : ndarray
        (n,), each cell's label in its stack.
    classes : tuple of str
        (n,), each cell's treatment.
    origin : ndarray
        (n,), the number of its stack among ``stacks``.
    stacks : tuple of Origin
        Where they come from.
    channels : tuple of str
        Stains, in the order of the voxels' last axis.
    control : str
        The control among the classes, "" where there is none.
    spacing_um : tuple of float, optional
        Voxel size (z, y, x) in µm, where it is known.
    recipe : mapping, optional
        How the bank was made.

    Examples
    --------
    >>> import gradcamo as gc
    >>> bank = gc.DonorBank.load("donors.npz")
    >>> bank.control, sorted(set(bank.classes)), bank.voxels.shape[1:]
    ('control', ['40.00x', 'control'], (9, 64, 64, 6))
    """

    voxels: np.ndarray
    kinds: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    origin: np.ndarray
    stacks: tuple[Origin, ...]
    channels: tuple[str, ...]
    control: str
    spacing_um: Spacing | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def cut(
        cls,
        stacks: Iterable[Source],
        checkpoint: Checkpoint,
        control: str | None = None,
        per_class: int = 32,
        seed: int = 0,
    ) -> DonorBank:
        """Draw whole cells of each class by lot, spread over the stacks.

        Parameters
        ----------
        stacks : iterable of tuple
            (stack, labels, {label: class, …}, plate, well) of training wells only; they are read
            one after the other. Cells that are not named, or whose class is empty, are left out.
        checkpoint : Checkpoint
            Says channels and crop; its network is not asked.
        control : str, optional
            The control among the classes; found by its name by default, "" for none.
        per_class : int
            Cells of each class, at most.
        seed : int
            Of the lot.

        Returns
        -------
        DonorBank

        Raises
        ------
        GradcamoError
            If stacks differ in type or, where crops hold all planes, in planes, lack a channel,
            hold NaN, or have no whole cell of any class; if there is no such control.

        Warns
        -----
        GradcamoWarning
            If ``per_class`` had to fall for the crops to stay below `LARGEST`, not below `FEWEST`;
            if all donors of a class come from one image.
        """
        lot: dict[str, list[_Drawn]] = {}
        origins: list[Origin] = []
        first: ZStack | None = None
        room = per_class
        for stack, labels, named, plate, well in stacks:
            stack = stack.select(checkpoint.channels).in_memory()
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
                stacklevel=2,
            )
        bank = cls._of(drawn, origins, first, control, per_class, seed)
        for caution in few_images(bank):
            warnings.warn(caution, GradcamoWarning, stacklevel=2)
        return bank

    @classmethod
    def _of(
        cls,
        drawn: Mapping[str, list[_Drawn]],
        origins: Sequence[Origin],
        first: ZStack,
        control: str | None,
        per_class: int,
        seed: int,
    ) -> DonorBank:
        """The bank of what was drawn, in an order that does not depend on that of the stacks."""
        control = find_control(sorted(drawn)) if control is None else control
        if control and control not in drawn:
            raise GradcamoError(
                f"the donor bank has the classes {', '.join(sorted(drawn))}, not {control!r}: "
                "name the control among them (--control)"
            )
        cells = [(name, one) for name, heap in drawn.items() for one in heap]
        cells.sort(key=lambda c: (c[0], origins[c[1].origin].content, c[1].cell.label))
        known = sorted(set(origins))
        number = {origin: n for n, origin in enumerate(known)}
        return cls(
            voxels=np.stack([np.moveaxis(one.cell.image, 0, -1) for _, one in cells]),
            kinds=np.stack([one.cell.kinds for _, one in cells]),
            labels=np.array([one.cell.label for _, one in cells], np.int64),
            classes=tuple(name for name, _ in cells),
            origin=np.array([number[origins[one.origin]] for _, one in cells], np.int64),
            stacks=tuple(known),
            channels=first.channels,
            control=control or "",
            spacing_um=first.spacing_um,
            recipe={
                "software": f"napari-gradcamo {version('napari-gradcamo')}",
                "per_class": per_class,
                "seed": seed,
            },
        )

    @property
    def nbytes(self) -> int:
        """Bytes of the crops in memory."""
        return int(self.voxels.nbytes)

    @cached_property
    def hash(self) -> str:
        """SHA-256 of crops and all that is said about them."""
        said = sha256(self._about().encode())
        for array in (self.voxels, self.kinds, self.labels, self.origin):
            said.update(np.ascontiguousarray(array).data)
        return said.hexdigest()

    @cached_property
    def control_medians(self) -> list[float] | None:
        """Median intensity of each channel over the control's donors; None without a control."""
        chosen = [i for i, name in enumerate(self.classes) if name == self.control]
        if not chosen:
            return None
        medians = [np.median(self.voxels[i][self.kinds[i] > 0][::7], axis=0) for i in chosen]
        return [float(value) for value in np.median(medians, axis=0)]

    def well_of(self, content: str) -> tuple[str, str] | None:
        """Plate and well of the stack with these intensities, None where it is not here."""
        return next(((s.plate, s.well) for s in self.stacks if s.content == content), None)

    def same_well(self, plate: str, well: str) -> np.ndarray:
        """Whether each donor comes from that well, (n,) bool."""
        here = [s.plate == plate and well_name(s.well) == well_name(well) for s in self.stacks]
        return np.array(here, bool)[self.origin]

    def same_image(self, content: str) -> np.ndarray:
        """Whether each donor comes from a stack with these intensities, (n,) bool."""
        return np.array([s.content == content for s in self.stacks], bool)[self.origin]

    def check_fits(
        self, checkpoint: Checkpoint, classes: Sequence[str], window: tuple[int, int, int]
    ) -> None:
        """Refuse to stand in for cells of another kind.

        Parameters
        ----------
        checkpoint : Checkpoint
        classes : those that its network tells apart
        window : size (z, y, x) of the crops at hand

        Raises
        ------
        GradcamoError
            If crop, planes or channels differ, or they share no class.
        """
        again = "make a bank for it (gradcamo donors)"
        if self.channels != checkpoint.channels:
            raise GradcamoError(
                f"the donors have the channels {', '.join(self.channels)}, the network expects "
                f"{', '.join(checkpoint.channels)} in this order: {again}"
            )
        ours, theirs = (" × ".join(map(str, size[-2:])) for size in (self.kinds.shape, window))
        if ours != theirs:
            raise GradcamoError(
                f"the donors' crops have {ours} px, the network's {theirs}: {again}"
            )
        if self.kinds.shape[1] != window[0]:
            of_stack = checkpoint.crop.planes is None
            raise GradcamoError(
                f"the donors have {self.kinds.shape[1]} planes, the "
                f"{'stack' if of_stack else 'crops of the network'} {window[0]}: "
                + ("make a bank of stacks with as many (gradcamo donors)" if of_stack else again)
            )
        if not set(classes) & set(self.classes):
            raise GradcamoError(
                f"the donors are of {', '.join(sorted(set(self.classes)))}, the network tells "
                f"{', '.join(classes)} apart: {again}"
            )

    def __str__(self) -> str:
        counts = {name: self.classes.count(name) for name in dict.fromkeys(self.classes)}
        wells = {(s.plate, s.well) for s in self.stacks}
        return (
            f"{len(self.classes)} donors of {len(wells)} wells ("
            + ", ".join(f"{name}: {n}" for name, n in counts.items())
            + f"), {self.nbytes / 1e6:,.0f} MB"
        )

    def _about(self) -> str:
        return to_json(
            {
                "format": FORMAT,
                "classes": self.classes,
                "stacks": [origin._asdict() for origin in self.stacks],
                "channels": self.channels,
                "control": self.control,
                "spacing_um": self.spacing_um,
                "recipe": self.recipe,
            }
        )

    def save(self, path: str | Path) -> None:
        """Write the bank as one compressed ``.npz``, whole or not at all.

        Parameters
        ----------
        path : path
            Ends in ``.npz``.

        Raises
        ------
        GradcamoError
            If the file cannot be written.
        """
        with landing(path) as scratch:
            with scratch.open("wb") as file:
                np.savez_compressed(
                    file,
                    about=np.array(self._about()),
                    voxels=self.voxels,
                    kinds=self.kinds,
                    labels=self.labels,
                    origin=self.origin,
                )
            blank_zip_seal(scratch)

    @classmethod
    def load(cls, path: str | Path) -> DonorBank:
        """Read a bank; nothing is unpickled.

        Parameters
        ----------
        path : path
            A file of `save`.

        Returns
        -------
        DonorBank

        Raises
        ------
        GradcamoError
            If the file is missing, damaged, or no donor bank.
        """
        path = Path(path)
        if not path.is_file():
            raise GradcamoError(
                f"there is no donor bank {path}: 'gradcamo donors' makes one for a checkpoint, "
                "--donors names one that lies elsewhere"
            )
        check_seal(path)
        try:
            with np.load(path, allow_pickle=False) as file:
                about = json.loads(str(file["about"]))
                if about["format"] != FORMAT:
                    raise ValueError(f"its format is {about['format']}")
                bank = cls(
                    voxels=file["voxels"],
                    kinds=file["kinds"],
                    labels=file["labels"],
                    classes=tuple(about["classes"]),
                    origin=file["origin"],
                    stacks=tuple(Origin(**origin) for origin in about["stacks"]),
                    channels=tuple(about["channels"]),
                    control=about["control"],
                    spacing_um=about["spacing_um"] and tuple(about["spacing_um"]),
                    recipe=about["recipe"],
                )
            bank._check()
        except (OSError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
            raise GradcamoError(
                f"{path} is no donor bank, or a damaged or newer one ({error}): make it again "
                "with 'gradcamo donors'"
            ) from error
        return bank

    def _check(self) -> None:
        n = len(self.classes)
        shapes = [self.voxels.shape[:4], self.kinds.shape]
        ranks_fit = self.voxels.ndim == 5 and self.voxels.shape[4] == len(self.channels)
        if not ranks_fit or shapes[0] != shapes[1] or shapes[0][0] != n or not n:
            raise ValueError(f"crops {self.voxels.shape} and kinds {self.kinds.shape} do not fit")
        if self.labels.shape != (n,) or self.origin.shape != (n,) or self.kinds.max() > 3:
            raise ValueError("cells and their crops do not fit")
        if not (self.origin.min() >= 0 and self.origin.max() < len(self.stacks)):
            raise ValueError("cells come from stacks that are not named")


def few_images(bank: DonorBank) -> list[str]:
    """What to say of classes whose donors all come from one image; nothing of others."""
    images: dict[str, set[int]] = {}
    for name, origin in zip(bank.classes, bank.origin.tolist(), strict=True):
        images.setdefault(name, set()).add(origin)
    alone = [name for name, numbers in images.items() if len(numbers) == 1]
    return [
        f"all donors of {joined(alone)} come from one image{' each' * (len(alone) > 1)}, and "
        "donors from two are needed before a cell can be asked: name more training images of each "
        "treatment (gradcamo donors)"
        for _ in alone[:1]
    ]


def bank_beside(checkpoint_file: str | Path) -> Path:
    """Where the donor bank of a checkpoint lies: ``model.donors.npz`` beside it."""
    return Path(checkpoint_file).with_suffix(".donors.npz")


class _Drawn(NamedTuple):
    """A cell in the lot; the first of a heap is the one that is left out next."""

    worst_first: tuple[float, float]
    cell: RawCell
    origin: int

    def __lt__(self, other: Any) -> bool:
        return self.worst_first < other.worst_first


def _enter(
    heap: list[_Drawn], key: tuple[int, float], room: int, crops: CellCrops, i: int, origin: int
) -> None:
    """Cut a cell and keep it, if it is among the first: each stack's first, then its second …"""
    turn = (-float(key[0]), -key[1])
    if len(heap) < room or turn > heap[0].worst_first:
        heappush(heap, _Drawn(turn, raw_cell(crops, i), origin))
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


def content_hash(stack: ZStack) -> str:
    """SHA-256 of a stack's intensities: the same whatever the file is called."""
    said = sha256(f"{stack.shape} {np.dtype(stack.data.dtype).str}".encode())
    for channel in range(stack.shape[0]):
        for z in range(stack.shape[1]):
            said.update(np.ascontiguousarray(stack.data[channel, z]).data)
    return said.hexdigest()


def _numbers(digest: str) -> list[int]:
    return np.frombuffer(bytes.fromhex(digest), np.uint32).tolist()
