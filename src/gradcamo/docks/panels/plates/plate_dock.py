"""Plate: rows × columns of wells; a double click opens a site."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QHeaderView,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from gradcamo.docks.canvas.sites import Site, read_site
from gradcamo.docks.panels.plates.palette import PALETTE
from gradcamo.docks.parts.dock import Dock
from gradcamo.docks.parts.tint import GOOD
from gradcamo.docks.parts.widgets import Message
from gradcamo.docks.parts.worker import Job
from gradcamo.docks.window import window_of
from gradcamo.files.wells import well_place

if TYPE_CHECKING:
    import napari
    import pandas as pd


class PlateDock(Dock):
    """Find a site on the plate and open it with its labels."""

    def __init__(self, napari_viewer: napari.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        window = window_of(napari_viewer)
        self._door = window.sites
        self.job = Job(self)
        self.plate: pd.DataFrame | None = None
        self.open = QPushButton("Open plate…")
        self.open.setToolTip("a CSV with the columns image, labels, plate, well, site, treatment")
        self.plates = QComboBox()
        self.plates.setToolTip("the plate to show")
        self.site = QComboBox()
        self.site.setToolTip("the site that a double click on a well opens")
        self.wells = QTableWidget()
        self.wells.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.wells.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.wells.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self.wells.setToolTip("double-click a well to open it")
        self.message = Message("Open a plate to browse its wells.")
        line = QHBoxLayout()
        for part in (self.open, self.plates, self.site):
            line.addWidget(part)
        box = QVBoxLayout(self)
        box.addLayout(line)
        box.addWidget(self.wells, 1)
        box.addWidget(self.message)

        self.open.clicked.connect(self._choose)
        self.plates.activated.connect(self._draw)
        self.wells.currentCellChanged.connect(self._on_well)
        self.wells.cellDoubleClicked.connect(self._open_well)
        self.job.stepped.connect(self._on_read)
        self.job.failed.connect(self.message.fail)

    def load(self, path: str | Path) -> None:
        """Read a plate in the background."""

        def steps() -> Iterator[Any]:
            from gradcamo.files.plates import read_plate

            yield read_plate(path)

        with self.telling():
            self.run(self.job, steps, f"reading {Path(path).name} …")

    def open_site(self, row: pd.Series) -> None:
        """Read one stack of the plate, and its labels where it has some."""

        def steps() -> Iterator[Any]:
            yield row, read_site(row, row.get("labels"))

        with self.telling():
            self.run(self.job, steps, f"opening {row['well']} site {row['site']} …")

    def _on_read(self, item: Any) -> None:
        if isinstance(item, tuple):
            self._show(*item)
        else:
            self.plate = item
            self.plates.clear()
            self.plates.addItems(list(dict.fromkeys(item["plate"].astype(str))))
            self._draw()

    def _draw(self, *_: Any) -> None:
        wells = self._rows().drop_duplicates("well")
        places = {well: well_place(well) or (str(well), 0) for well in wells["well"]}
        rows = sorted({row for row, _ in places.values()}, key=lambda row: (len(row), row))
        columns = sorted({column for _, column in places.values()})
        self._wells: dict[tuple[int, int], list[Any]] = {}  # one well may have two names
        treatments = list(dict.fromkeys(wells["treatment"].astype(str)))
        self.wells.clear()
        self.wells.setRowCount(len(rows))
        self.wells.setColumnCount(len(columns))
        self.wells.setVerticalHeaderLabels(rows)
        self.wells.setHorizontalHeaderLabels([f"{n:02d}" if n else "" for n in columns])
        for well in wells.to_dict("records"):
            treatment = str(well["treatment"])
            item = QTableWidgetItem(treatment)
            item.setTextAlignment(Qt.AlignmentFlag.AlignCenter)
            item.setForeground(QColor(PALETTE[treatments.index(treatment) % len(PALETTE)]))
            item.setToolTip(f"{well['well']}: {treatment}")
            letter, number = places[well["well"]]
            place = rows.index(letter), columns.index(number)
            self._wells.setdefault(place, []).append(well["well"])
            self.wells.setItem(*place, item)
        self.wells.setCurrentCell(*next(iter(self._wells)))
        self._on_well(self.wells.currentRow(), self.wells.currentColumn())
        self.message.say(f"{len(wells)} wells, {len(self._rows())} stacks", GOOD)

    def _rows(self) -> pd.DataFrame:
        plate = self.plate
        assert plate is not None, "its rows are asked for once it is read"
        return plate[plate["plate"].astype(str) == self.plates.currentText()]

    def _sites(self, row: int, column: int) -> pd.DataFrame:
        rows = self._rows()
        return rows[rows["well"].isin(self._wells.get((row, column), []))]

    def _on_well(self, row: int, column: int, *_: int) -> None:
        if row < 0 or column < 0 or self.plate is None:
            return
        before = self.site.currentText()
        self.site.clear()
        self.site.addItems([f"site {site}" for site in self._sites(row, column)["site"]])
        if self.site.findText(before) >= 0:
            self.site.setCurrentText(before)

    def _open_well(self, row: int, column: int) -> None:
        sites = self._sites(row, column)
        if len(sites):
            self.open_site(sites.iloc[max(0, self.site.currentIndex())])

    def _show(self, row: pd.Series, site: Site) -> None:
        with self.telling():
            self._door.show(site)
            self.message.say(f"{row['well']} site {row['site']}: {row['treatment']}", GOOD)

    def _choose(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Open a plate", "", "Plates (*.csv)")
        if path:
            self.load(path)
