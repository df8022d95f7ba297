"""A table of single cells that another tool made, beside the image of it that is open."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from gradcamo.docks.canvas.sites import Sites, read_site
from gradcamo.docks.parts.worker import Job
from gradcamo.docks.state.measured import Measured
from gradcamo.docks.work.autosave import Autosave
from gradcamo.docks.work.verdicts import kept_verdicts, marks_of, verdicts
from gradcamo.errors import GradcamoError

if TYPE_CHECKING:
    from gradcamo.docks.state.session import Session
    from gradcamo.files.single_cells.cells import SingleCells


class TableBrowser(QObject):
    """Reads a table, opens its images with their labels and rows, and writes it back."""

    changed = Signal()  # another table was read
    moved = Signal()  # another image of it is open, or none
    said = Signal(str)
    warned = Signal(str)
    failed = Signal(object)

    def __init__(self, session: Session, sites: Sites, autosave: Autosave) -> None:
        super().__init__()
        self.session, self._sites, self._autosave = session, sites, autosave
        self.cells: SingleCells | None = None
        self.here = -1  # the image that is open, where it is one of the table's
        self._layer: Any = None  # of the labels of that image
        self._told: dict[str, Any] | None = None  # marks that wait for those that were kept
        self.reading, self.opening, self.writing = Job(session), Job(session), Job(session)
        self.reading.stepped.connect(self.show)
        self.opening.stepped.connect(self._on_opened)
        self.writing.stepped.connect(self._on_written)
        for job in (self.reading, self.opening, self.writing):
            job.failed.connect(self.failed)
        session.labels_changed.connect(self._locate)
        autosave.looking.ended.connect(self._take_up)

    def open(self, path: str | Path, **how: Any) -> None:
        """Read a table in the background; ``how`` is what `read_single_cells` takes beside it.

        Raises
        ------
        GradcamoError
            If another is being read.
        """

        def steps() -> Iterator[Any]:
            from gradcamo.files.single_cells.cells import read_single_cells

            yield read_single_cells(path, **how)

        self.reading.start(steps)
        self.said.emit(f"reading {Path(path).name} …")

    def open_again(self, **how: str | Path) -> None:
        """Read the same table once more, with images or labels elsewhere.

        Raises
        ------
        GradcamoError
            If there is none, or one is being read.
        """
        if self.cells is None:
            raise GradcamoError("open a table first")
        self.open(self.cells.path, **{**self.cells.how, **how})

    def show(self, cells: SingleCells) -> None:
        """List the images of a table; where it has one, that is opened."""
        self.cells = cells
        self.here = -1
        self.session.set_measured(None)
        self.changed.emit()
        self.moved.emit()
        self.said.emit(cells.recognised)
        if len(cells.images) == 1 and cells.images["labels"][0] and cells.images["image"][0]:
            self.open_image(0)

    def open_image(self, image: int) -> None:
        """Open an image of the table with its labels, and its rows joined to them.

        Raises
        ------
        GradcamoError
            If there is no table, its files were not found, or another image is being opened.
        """
        if self.cells is None:
            raise GradcamoError("open a table first")
        cells, row = self.cells, self.cells.row(image)
        if not row["labels"]:
            raise GradcamoError(
                f"the label image of {cells.images['name'][image]} is not known: say where the "
                "label images lie with Labels… (--labels)"
            )

        def steps() -> Iterator[Any]:
            from gradcamo.files.misfits import refuse_misfit
            from gradcamo.files.single_cells.joining import centres_of, how_joined
            from gradcamo.files.single_cells.writing import read_told

            site = read_site(row, row["labels"])
            assert site.labels is not None
            refuse_misfit(site.labels.shape, site.stack, row["labels"])
            rows, told = cells.cells_of(image), read_told(cells, image)
            said = how_joined(rows, site.labels, cells.columns.centre)
            measured = Measured(cells.path.name, rows, centres_of(site.labels))
            yield cells, image, site, measured, told, said

        self.opening.start(steps)
        self.said.emit(f"opening {cells.images['name'][image]} …")

    def write(self, out: str | Path, overwrite: bool = False) -> None:
        """Write the table with what was flagged, noted and scored in all of its images.

        Raises
        ------
        GradcamoError
            If there is no table, or one is being written.
        """
        if self.cells is None:
            raise GradcamoError("open a table first")
        cells, here, cutoff = self.cells, self.here, self.session.results.cutoff
        found = {here: verdicts(self.session.results)} if here >= 0 else {}

        def steps() -> Iterator[str]:
            from gradcamo.files.single_cells.writing import write_single_cells

            self._autosave.writing.wait()  # flags of the image before may still be on their way
            kept, damaged = kept_verdicts(cells, here, cutoff)
            found.update(kept)
            said = write_single_cells(cells, out, found, overwrite=overwrite)
            looked = f"; flags from {len(found):,} of {len(cells.images):,} images"
            yield "; ".join([said + looked, *damaged])

        self.writing.start(steps)
        self.said.emit(f"writing {Path(out).name} …")

    def _on_written(self, said: str) -> None:
        self.said.emit(said)

    def _on_opened(self, item: tuple) -> None:
        cells, image, site, measured, told, said = item
        if self.cells is None or cells is not self.cells:  # another was opened meanwhile
            return
        session = self.session
        self._told = marks_of(told)
        try:
            self._sites.show(site)
        except GradcamoError as error:
            self._told = None
            self.failed.emit(error)
            return
        self.here, self._layer = image, session.labels_layer
        session.set_measured(measured)
        self.moved.emit()
        row = cells.images.iloc[image]
        name = f"{Path(row['name']).name}: {len(measured.rows):,} rows joined to their labels"
        if said:
            self.warned.emit(f"{name}; {said}")
        else:
            self.said.emit(name)
        if not self._autosave.looking.running:
            self._take_up()

    def _take_up(self, _: bool = True) -> None:
        # after the autosave looked: what was kept with the labels counts more
        if self._autosave.looking.running:  # again, for labels that came meanwhile
            return
        told, self._told = self._told, None
        if told is not None and self.here >= 0:
            self.session.take_up(told)

    def _locate(self) -> None:
        if self.here >= 0 and self.session.labels_layer is not self._layer:
            self.here, self._layer = -1, None
            self.moved.emit()
