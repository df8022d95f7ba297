"""Whose cells a dock shows: those of the open stack, or of a plate's results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QFileDialog, QWidget

from gradcamo.docks.parts.widgets import notify
from gradcamo.errors import GradcamoError

if TYPE_CHECKING:
    import pandas as pd

    from gradcamo.docks.state.session import Session
    from gradcamo.docks.work.plate_browser import PlateBrowser
    from gradcamo.plate.reading import PlateResults

STACK, PLATE, OPEN = "open stack", "plate", "open"


class CellSource(QComboBox):
    """Offers the open stack, the plate's results once they are read, and to open some."""

    changed = Signal()

    def __init__(
        self, session: Session, plate: PlateBrowser, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._session, self._plate = session, plate
        self.setToolTip(
            "whose cells to show: the open stack's, or those of all stacks of a plate, from the "
            "folder that 'gradcamo plate' wrote"
        )
        self.setMinimumContentsLength(8)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self._wanted = False
        self._fill()
        self._before = STACK
        self.activated.connect(self._on_activated)
        plate.changed.connect(self._on_plate)

    @property
    def plate(self) -> PlateResults | None:
        """The plate's results, if its cells are to be shown."""
        return self._plate.results if self.currentData() == PLATE else None

    @property
    def columns(self) -> list[str]:
        """The columns of the table; none where there are no cells."""
        plate = self.plate
        return self._session.results.columns if plate is None else plate.cells.columns.tolist()

    def table(self) -> pd.DataFrame:
        """The cells: indexed by label for a stack, from 0 for a plate."""
        plate = self.plate
        return self._session.results.table if plate is None else plate.cells

    def open(self, folder: str) -> None:
        """Show the results in this folder once they are read."""
        try:
            self._plate.open(folder)
        except GradcamoError as error:
            notify(error)
        else:
            self._wanted = True

    def _fill(self) -> None:
        self.clear()
        self.addItem("the open stack", STACK)
        results = self._plate.results
        if results is not None:
            self.addItem(f"plate: {results.name}", PLATE)
        self.addItem("open results of a plate…", OPEN)

    def _on_plate(self) -> None:
        self._fill()
        if self._wanted:
            self._before = PLATE
        self._wanted = False
        self.setCurrentIndex(max(0, self.findData(self._before)))
        self.changed.emit()

    def _on_activated(self, _: int) -> None:
        if self.currentData() != OPEN:
            if self.currentData() != self._before:
                self._before = self.currentData()
                self.changed.emit()
            return
        self.setCurrentIndex(self.findData(self._before))
        folder = QFileDialog.getExistingDirectory(self, "Open the results of a plate")
        if folder:
            self.open(folder)
