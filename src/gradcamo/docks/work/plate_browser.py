"""The results of a plate beside the open stack, shared by the docks that look at them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from gradcamo.docks.canvas.layer_origins import path_of
from gradcamo.docks.canvas.sites import Sites, read_site
from gradcamo.docks.parts.widgets import notify
from gradcamo.docks.parts.worker import Job
from gradcamo.files.kept import Kept
from gradcamo.files.titles import stack_title

if TYPE_CHECKING:
    import pandas as pd

    from gradcamo.docks.state.results import Results
    from gradcamo.docks.state.session import Session
    from gradcamo.plate.reading import PlateResults


class PlateBrowser(QObject):
    """Reads a folder of results; opens the stack of any of its cells with scores and network."""

    changed = Signal()  # other results were read
    moved = Signal()  # another stack is open, of this plate or not
    said = Signal(str)

    def __init__(self, session: Session, sites: Sites, looking: Job) -> None:
        super().__init__()
        self.session, self._sites = session, sites
        self._looking = looking  # for what was kept with the labels
        self.results: PlateResults | None = None
        self.here = ""  # the image of the open stack, where it is one of the plate's
        self._labels: dict[str, str] = {}
        self._coming: tuple[str, int, PlateResults] | None = None
        self.reading = Job(session)
        self.opening = Job(session)
        self.reading.stepped.connect(self._on_read)
        self.reading.failed.connect(self._on_failed)
        self.opening.stepped.connect(self._on_opened)
        self.opening.failed.connect(notify)
        session.labels_changed.connect(self._locate)
        looking.ended.connect(self._restore)

    def open(self, folder: str | Path) -> None:
        """Read results in the background.

        Raises
        ------
        GradcamoError
            If others are being read.
        """

        def steps() -> Iterator[Any]:
            from gradcamo.plate.reading import read_results

            results = read_results(folder)
            images = results.stacks["image"]
            yield results, {str(results.labels_of(image)): image for image in images}

        self.reading.start(steps)
        self.said.emit(f"reading {Path(folder).name} …")

    def _on_failed(self, error: Exception) -> None:
        notify(error)
        self.said.emit(str(error))

    def open_cell(self, row: int) -> None:
        """Open the stack of a cell, given by its row in the results, and choose the cell.

        Raises
        ------
        GradcamoError
            If another stack is being opened.
        """
        results = self.results
        if results is None:
            return
        cell: Any = results.cells.loc[row]
        image, label = str(cell["image"]), int(cell["label"])
        path = next(path for path, of in self._labels.items() if of == image)
        known = self.session.checkpoint

        def steps() -> Iterator[Any]:
            from gradcamo.networks.checkpoint import Checkpoint
            from gradcamo.plate.folder import load_named

            checkpoint = known
            if checkpoint is None or checkpoint.hash != results.recipe["checkpoint"]:
                checkpoint = load_named(results.checkpoint, Checkpoint.load, "network")
                _ = checkpoint.layers, checkpoint.hash  # worked out here, read by the window
            yield image, label, read_site(cell, path), checkpoint, results

        self.opening.start(steps)
        self.said.emit(f"opening {stack_title(image, cell)} …")

    def _on_read(self, item: tuple) -> None:
        self.results, self._labels = item
        self.said.emit("")
        self._locate()
        self.changed.emit()

    def _locate(self) -> None:
        layer = self.session.labels_layer
        path = "" if layer is None else str(path_of(layer) or "")
        self.here = self._labels.get(path, "")
        self.moved.emit()

    def _on_opened(self, item: tuple) -> None:
        image, label, site, checkpoint, results = item
        session = self.session
        if checkpoint is not session.checkpoint:
            session.set_checkpoint(checkpoint, results.checkpoint.stem, results.checkpoint)
        self._coming = image, label, results
        self._sites.show(site)
        if not self._looking.running:
            self._restore()

    def _restore(self, _: bool = True) -> None:
        # after the autosave looked: flags and notes that were kept with these labels stay
        if self._coming is None:
            return
        (image, label, results), self._coming = self._coming, None
        session = self.session
        before, table = session.results, results.audited(image)
        cutoff = before.cutoff if before.marks else results.cutoff
        arrays = before.arrays()() if _same_audit(before, table) else {}
        session.restore(Kept(table, arrays, {"cutoff": cutoff}))
        session.choose(label, "plate")
        self.said.emit("")


def _same_audit(before: Results, table: pd.DataFrame) -> bool:
    """Whether maps that are there were made by the network and at the layer of these scores."""
    if before.recipe.get("checkpoint") != table.attrs["recipe"]["checkpoint"]:
        return False
    return set(before.table["layer"]) <= set(table["layer"])
