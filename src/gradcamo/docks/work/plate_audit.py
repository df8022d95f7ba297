"""The plate on disk, audited stack by stack beside the window."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from gradcamo.docks.parts.worker import Job
from gradcamo.errors import GradcamoError
from gradcamo.settings import PlateSettings

if TYPE_CHECKING:
    from gradcamo.docks.state.session import Session
    from gradcamo.docks.work.plate_browser import PlateBrowser
    from gradcamo.docks.work.plate_on_disk import PlateOnDisk


class PlateAudit(QObject):
    """Does what ``gradcamo plate`` does, with the network and the settings of the window.

    Its results are opened for the docks that look at plates.
    """

    progressed = Signal(object)  # PlateProgress
    finished = Signal(object)  # PlateSummary

    def __init__(self, session: Session, plate: PlateOnDisk, browser: PlateBrowser) -> None:
        super().__init__()
        self.session, self._plate, self._browser = session, plate, browser
        self.job = Job(session)
        self.job.stepped.connect(self._on_step)

    def lacking(self) -> str:
        """What has to be there before."""
        if self._plate.table is None:
            return "a plate"
        return "a network (step Model)" if self.session.checkpoint is None else ""

    def start(self, out: str | Path, scheduler: str | None = None, **others: Any) -> None:
        """Audit every stack into a folder of results; a run that was stopped goes on there.

        ``others`` are further fields of `PlateSettings`.

        Raises
        ------
        GradcamoError
            If the plate or a network is missing, or another run goes on.
        """
        table, checkpoint = self._plate.table, self.session.checkpoint
        if table is None or checkpoint is None:
            raise GradcamoError(f"to audit a plate, open {self.lacking()} first")
        how = {"audit": self.session.next_settings, "segment": self.session.segmentation}
        settings = PlateSettings(**how, **others)

        def steps() -> Iterator[Any]:
            from gradcamo.plate.run import plate_steps

            yield (yield from plate_steps(table, checkpoint, out, settings, scheduler))

        self.job.start(steps)

    def _on_step(self, item: Any) -> None:
        from gradcamo.plate.run_summary import PlateSummary

        if not isinstance(item, PlateSummary):
            self.progressed.emit(item)
            return
        self.finished.emit(item)
        if item.cells:
            self._browser.open(item.out)
