"""Causal attention of the open stack: of the cell that is looked at, and of many."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal
from superqt.utils import qthrottled

from gradcamo.docks.parts.widgets import notify
from gradcamo.docks.parts.worker import Job
from gradcamo.docks.work.causal_steps import (
    Ask,
    Audited,
    Stopped,
    Teller,
    Told,
    asker,
    left_on_cancel,
    until_stopped,
)
from gradcamo.errors import GradcamoError
from gradcamo.settings import AuditSettings, SwapSettings

if TYPE_CHECKING:
    from gradcamo.causal.swapped import SwappedCrops
    from gradcamo.docks.state.session import Session
    from gradcamo.docks.work.donor_banks import DonorBanks
    from gradcamo.docks.work.found_cells import FoundCells


class Swapping(QObject):
    """Swaps regions of cells in the background and brings what their predictions owe to each.

    The cell that is looked at is asked with one draw first, then with as many as are set; another
    cell that is chosen ends that.
    """

    told = Signal(str, int, int)  # what is done, so many, of so many
    made = Signal(str)  # the path of a donor bank
    left = Signal()  # the stack was left; what was found so far is still there

    def __init__(self, session: Session, found: FoundCells, banks: DonorBanks) -> None:
        super().__init__()
        self.session, self.found, self.banks = session, found, banks
        self.settings = SwapSettings()
        self.job = session.swapping
        self._tell = Teller(self.job)
        self._wanted = 0  # the cell that is looked at and asked about
        self._many = self._left = False
        self.job.stepped.connect(self._on_step)
        self.job.failed.connect(self._on_failed)
        self.job.ended.connect(self._on_ended)
        session.cell_changed.connect(self._on_cell)
        session.leaving.connect(self._leave)
        session.checkpoint_changed.connect(self._leave)
        session.auditing.began.connect(self._stop_looking)

    @property
    def looking(self) -> int:
        """The cell that is asked about while it is looked at, 0 for none."""
        return self._wanted

    @property
    def asks_many(self) -> bool:
        """Whether many cells are asked, or donors are made: nothing else begins meanwhile."""
        return self.job.running and self._many

    def lacks(self, label: int) -> bool:
        """Whether a cell was not asked yet with as many draws as are set."""
        return self.session.results.causal.draws_of(label) < self.settings.draws

    def look(self, label: int) -> None:
        """Ask this cell: a preview first, refined while it is looked at.

        Raises
        ------
        GradcamoError
            If something is missing, an audit runs, or cells were scored with another network.
        """
        if self.asks_many:
            raise GradcamoError("other cells are asked now: wait for them or cancel it first")
        settings = self._ready()
        self._wanted = label  # which ends what is asked of another
        if self.job.running:
            return  # donors are made ready for any cell, and this one is asked when that has ended
        self._many = self._left = False
        of = self._cells(settings)

        def steps() -> Iterator[Any]:
            ask = of()
            for draws in dict.fromkeys((1, self.settings.draws)):
                yield from ask([label], draws, lambda: self._wanted != label)

        self.job.start(until_stopped(steps))

    def start(self, only: Iterable[int] | None = None) -> None:
        """Ask cells, all whole ones or these; those without a score are scored first.

        Raises
        ------
        GradcamoError
            As `look`; if cells are being asked.
        """
        settings = self._ready()
        of = self._cells(settings)
        wanted = None if only is None else {int(label) for label in only}
        scored = set(self.session.results.table["label"].tolist()) - self.session.results.stale
        asked = {label for label in scored if not self.lacks(label)}
        stack, _, checkpoint = self.session.needed()
        version, find = self.session.version, self.found.finder(settings)

        def steps() -> Iterator[Any]:
            from gradcamo.auditing.recipe import audit_recipe
            from gradcamo.auditing.stack import audit_crops

            crops = find()
            there = set(crops.table["label"].tolist())
            chosen = there if wanted is None else there & wanted
            if missing := sorted(chosen - scored):
                self._tell("scoring cells first", 0, 0)
                for batch in audit_crops(crops, checkpoint, settings, missing):
                    recipe = audit_recipe(stack, checkpoint, settings)
                    yield Audited(batch, version, recipe, settings)
                    self._tell("cells scored", batch.done, batch.total)
            if left := sorted(chosen - asked):
                yield from of()(left, self.settings.draws, lambda: False)

        self._begin_many(steps)

    def make_bank(self, plate: str | Path) -> None:
        """Make donors of a plate's training wells, beside the checkpoint, and take them.

        Raises
        ------
        GradcamoError
            If the checkpoint is not in a file, or cells are being asked.
        """
        make = self.banks.maker(Path(plate))

        def steps() -> Iterator[Any]:
            yield left_on_cancel(make, self._tell)

        self._begin_many(steps)

    def swapper(self, audit: AuditSettings, job: Job) -> Callable[[int], SwappedCrops]:
        """What swaps the regions of a cell once, for a look at it, in the thread of this job.

        Raises
        ------
        GradcamoError
            If stack, labels or network are missing.
        """
        _, _, checkpoint = self.session.needed()
        find, find_bank, swap = self.found.finder(audit), self.banks.finder(), self.settings

        def make(label: int) -> SwappedCrops:
            from gradcamo.auditing.causal import causal_settings
            from gradcamo.causal.swapped import swapped_crops

            def told(*_: Any) -> None:
                if job.cancelling:
                    raise Stopped

            bank = find_bank(told)
            how = causal_settings(swap, audit)
            return swapped_crops(find(), label, checkpoint, bank, how, told, told)

        return make

    def _begin_many(self, steps: Callable[[], Iterator[Any]]) -> None:
        if self.job.running:
            raise GradcamoError("cells are being asked: wait for them or cancel it first")
        self._many, self._left, self._wanted = True, False, 0
        self.job.start(until_stopped(steps))

    def _ready(self) -> AuditSettings:
        session = self.session
        session.needed()
        if session.auditing.running:
            raise GradcamoError("cells are being scored: wait for them or cancel it first")
        settings = session.next_settings
        session.refuse_to_mix(settings)
        return settings

    def _cells(self, audit: AuditSettings) -> Callable[[], Ask]:
        """What finds donors and cells, in any thread, and gives what asks some of them."""
        session, swap = self.session, self.settings
        _, _, checkpoint = session.needed()
        find, find_bank, version = self.found.finder(audit), self.banks.finder(), session.version

        def prepare() -> Ask:
            bank = left_on_cancel(find_bank, self._tell)
            return asker(bank, find(), checkpoint, swap, audit, version, self._tell)

        return prepare

    def _on_step(self, item: Any) -> None:
        session = self.session
        if isinstance(item, Told):
            self.told.emit(*item)
        elif isinstance(item, Path):
            self.banks.choose(item)
            self.made.emit(str(item))
        elif item.version != session.version:  # of labels as they were, or of another stack
            self.job.abandon()
        elif isinstance(item, Audited):
            results = session.results
            if not results.recipe:
                results.recipe, session.audit_settings = item.recipe, item.settings
            results.audited = True
            results.add(item.batch)
            self._tell_soon()
        else:
            session.results.add_causal(item.batch.table, item.recipe)
            if self._many:
                self._tell_soon()
            else:
                if not self.lacks(self._wanted):
                    self._wanted = 0
                session.results_changed.emit()

    @qthrottled(timeout=300, leading=False)  # a table that is redrawn more often cannot be read
    def _tell_soon(self) -> None:
        self.session.results_changed.emit()

    def _on_failed(self, error: Exception) -> None:
        self._wanted = 0
        notify(error)

    def _on_ended(self, complete: bool) -> None:
        self._tell_soon.cancel()
        many, self._many = self._many, False
        if many:
            self.session.results_changed.emit()
        wanted, self._wanted = self._wanted, 0
        if wanted and (complete or self._left) and self.lacks(wanted):
            try:
                self.look(wanted)  # asked for when the work was about to end
            except GradcamoError as error:
                notify(error)

    def _on_cell(self, label: int, chooser: str) -> None:
        if self._wanted and label != self._wanted:
            self._wanted = 0

    def _stop_looking(self) -> None:
        self._wanted = 0
        if self.job.running and not self._many:
            self._left = True
            self.job.cancel()

    def _leave(self) -> None:
        self._wanted = 0
        if self.job.running:
            if self._many:
                self.left.emit()
            self._left = True
            self.job.abandon()
