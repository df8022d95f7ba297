"""The donor bank: crops as they were read, of cells from training wells."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcamo.causal.bank_file import ARRAYS, FORMAT, reading_bank, write_bank
from gradcamo.causal.lot import Lot, Origin, Source, draw
from gradcamo.datatypes import Spacing
from gradcamo.errors import GradcamoError, GradcamoWarning
from gradcamo.files.landing import to_json
from gradcamo.files.wells import well_name
from gradcamo.profiles.doses import find_control
from gradcamo.words import joined

if TYPE_CHECKING:
    from gradcamo.networks.checkpoint import Checkpoint


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
        checkpoint: Checkpoint | str | Path,
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
        checkpoint : Checkpoint or path
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
            If stacks differ in type or, where crops hold all planes, in planes, have one plane for
            a 3D network, lack a channel, hold NaN, or have no whole cell of any class; if there is
            no such control.

        Warns
        -----
        GradcamoWarning
            If ``per_class`` had to fall for the crops to stay below `LARGEST`, not below `FEWEST`;
            if all donors of a class come from one image.
        """
        from gradcamo.networks.resolve import as_checkpoint

        lot = draw(stacks, as_checkpoint(checkpoint, "a donor bank"), per_class, seed)
        bank = cls._of(lot, control, per_class, seed)
        for caution in few_images(bank):
            warnings.warn(caution, GradcamoWarning, stacklevel=2)
        return bank

    @classmethod
    def _of(
        cls,
        lot: Lot,
        control: str | None,
        per_class: int,
        seed: int,
    ) -> DonorBank:
        """The bank of what was drawn, in an order that does not depend on that of the stacks."""
        control = find_control(sorted(lot.cells)) if control is None else control
        if control and control not in lot.cells:
            raise GradcamoError(
                f"the donor bank has the classes {', '.join(sorted(lot.cells))}, not {control!r}: "
                "name the control among them (--control)"
            )
        cells = [(name, one) for name, heap in lot.cells.items() for one in heap]
        cells.sort(key=lambda c: (c[0], lot.origins[c[1].origin].content, c[1].cell.label))
        known = sorted(set(lot.origins))
        number = {origin: n for n, origin in enumerate(known)}
        return cls(
            voxels=np.stack([np.moveaxis(one.cell.image, 0, -1) for _, one in cells]),
            kinds=np.stack([one.cell.kinds for _, one in cells]),
            labels=np.array([one.cell.label for _, one in cells], np.int64),
            classes=tuple(name for name, _ in cells),
            origin=np.array([number[lot.origins[one.origin]] for _, one in cells], np.int64),
            stacks=tuple(known),
            channels=lot.first.channels,
            control=control or "",
            spacing_um=lot.first.spacing_um,
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
        for name in ARRAYS:
            said.update(np.ascontiguousarray(getattr(self, name)).data)
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
        arrays = {name: getattr(self, name) for name in ARRAYS}
        write_bank(path, self._about(), arrays)

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
        with reading_bank(path) as (about, arrays):
            bank = cls(
                **arrays,
                classes=tuple(about["classes"]),
                stacks=tuple(Origin(**origin) for origin in about["stacks"]),
                channels=tuple(about["channels"]),
                control=about["control"],
                spacing_um=about["spacing_um"] and tuple(about["spacing_um"]),
                recipe=about["recipe"],
            )
            bank._check()
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
    if not alone:
        return []
    return [
        f"all donors of {joined(alone)} come from one image{' each' * (len(alone) > 1)}, and "
        "donors from two are needed before a cell can be asked: name more training images of each "
        "treatment (gradcamo donors)"
    ]
