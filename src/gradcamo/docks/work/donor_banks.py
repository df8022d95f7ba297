"""The donors that cells of the open stack are swapped with: found, read or made when needed."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradcamo.errors import GradcamoError

if TYPE_CHECKING:
    from gradcamo.causal.bank import DonorBank
    from gradcamo.docks.state.session import Session
    from gradcamo.networks.checkpoint import Checkpoint

Told = Callable[[str, int, int], None]
"""Called with what is being done, so many, of so many."""


class DonorBanks:
    """Keeps the bank that was used last; a checkpoint's own lies beside it, if none is chosen."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._chosen: Path | None = None
        self._kept: tuple[Any, weakref.ref[Checkpoint] | None, DonorBank] | None = None
        session.checkpoint_changed.connect(self._forget)

    @property
    def name(self) -> str:
        """What the donors are, in a few words; empty where there are none yet."""
        if self._chosen is not None:
            return self._chosen.name
        beside = self._beside()
        if beside is not None and beside.is_file():
            return beside.name
        return "of the built-in plate" if _is_bundled(self._session.checkpoint) else ""

    def choose(self, path: Path | None) -> None:
        """Take donors from this bank; None for the one that lies beside the checkpoint."""
        self._chosen = path

    def home(self) -> Path:
        """Where a bank that is made for the present checkpoint is kept.

        Raises
        ------
        GradcamoError
            If the checkpoint is not in a file.
        """
        if (beside := self._beside()) is None:
            raise GradcamoError(
                "the network is not in a file, beside which its donor bank would be kept: save it "
                "(gc.Checkpoint.save) and open that file"
            )
        return beside

    def finder(self) -> Callable[[Told], DonorBank]:
        """What finds the donors of the present checkpoint, in any thread."""
        chosen, beside, checkpoint = self._chosen, self._beside(), self._session.checkpoint

        def find(told: Told) -> DonorBank:
            from gradcamo.causal.bank import DonorBank

            bank_path = chosen or beside
            if chosen is None and (beside is None or not beside.is_file()):
                bank_path = None
            key = (bank_path, bank_path and bank_path.stat().st_mtime_ns)
            if self._kept is not None:
                kept, owner, bank = self._kept
                if kept == key and (None if owner is None else owner()) is checkpoint:
                    return bank
            if bank_path is not None:
                told(f"reading the donors of {bank_path.name}", 0, 0)
                bank = DonorBank.load(bank_path)
            elif _is_bundled(checkpoint):
                bank = _bundled(told)
            else:
                raise GradcamoError(
                    "there are no donors for this network yet: make them from the plate that it "
                    "was trained on, or open a bank (Donors, in the step Explain); 'gradcamo "
                    "train' writes one beside each checkpoint, 'gradcamo donors' makes one"
                )
            self._kept = key, None if checkpoint is None else weakref.ref(checkpoint), bank
            return bank

        return find

    def maker(self, plate: Path) -> Callable[[Told], Path]:
        """What makes a bank of a plate's training wells for the present checkpoint.

        Raises
        ------
        GradcamoError
            If there is no checkpoint in a file.
        """
        home, checkpoint = self.home(), self._session.checkpoint
        if checkpoint is None:
            raise GradcamoError("open a network first: donors are cut to the crops that it takes")

        def make(told: Told) -> Path:
            from gradcamo.training.plate_donors import plate_donors

            def progress(done: int, total: int) -> None:
                told("stacks that donors are cut from", done, total)

            bank = plate_donors(plate, checkpoint, progress=progress)
            told("writing the donors", 0, 0)
            bank.save(home)
            return home

        return make

    def _beside(self) -> Path | None:
        path = self._session.checkpoint_path
        if path is None:
            return None
        from gradcamo.causal.bank_file import bank_beside

        return bank_beside(path)

    def _forget(self) -> None:
        self._chosen = self._kept = None


def _is_bundled(checkpoint: Checkpoint | None) -> bool:
    from gradcamo.networks.resolve import is_bundled

    return is_bundled(checkpoint)


def _bundled(told: Told) -> DonorBank:
    from gradcamo.samples.bundled_donors import bundled_bank

    def progress(done: int, total: int) -> None:
        told("stacks made that donors are cut from, this once", done, total)

    told("reading the donors of the built-in plate", 0, 0)
    return bundled_bank(progress)
