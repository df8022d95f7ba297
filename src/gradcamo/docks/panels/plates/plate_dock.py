"""Plate: rows × columns of wells; a double click opens a site."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QPainter, QPen
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QFileDialog,
    QHeaderView,
    QPushButton,
    QStyle,
    QStyledItemDelegate,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

from gradcamo.docks.panels.plates.audit_row import AuditRow
from gradcamo.docks.panels.plates.found_plate import FoundPlate
from gradcamo.docks.panels.plates.palette import PALETTE
from gradcamo.docks.parts.dock import Dock
from gradcamo.docks.parts.drops import TakesDrops
from gradcamo.docks.parts.path_line import PathLine
from gradcamo.docks.parts.preferences import PLATES, ask_path
from gradcamo.docks.parts.steps import scrolling_column
from gradcamo.docks.parts.tint import GOOD, LINE, fill, legible
from gradcamo.docks.parts.widgets import line_of
from gradcamo.docks.window import window_of
from gradcamo.files.wells import well_place
from gradcamo.words import counted

if TYPE_CHECKING:
    import napari
    import pandas as pd


class WellDelegate(QStyledItemDelegate):
    """Rings the chosen well, whose treatment keeps its colour."""

    def paint(self, painter: QPainter, option: Any, index: Any) -> None:
        chosen = bool(option.state & QStyle.StateFlag.State_Selected)
        option.state &= ~QStyle.StateFlag.State_Selected
        super().paint(painter, option, index)
        if chosen:
            painter.setPen(QPen(QColor(legible(LINE, self)), 2))
            painter.drawRect(option.rect.adjusted(1, 1, -1, -1))


class PlateDock(TakesDrops, Dock):
    """Find a site on the plate and open it with its labels."""

    def __init__(self, napari_viewer: napari.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        window = window_of(napari_viewer)
        self.plate = window.on_disk
        self.audit = AuditRow(window)
        self.open = QPushButton("Open table…")
        self.open.setToolTip("a table with the columns image, labels, plate, well, site, treatment")
        self.folder = QPushButton("Folder…")
        self.folder.setToolTip("a folder of stacks, which is recognised, or an OME-Zarr plate")
        self.path = PathLine("or type the path of a folder or table")
        self.path.setToolTip("a folder, an OME-Zarr plate, or a table of stacks")
        self.found = FoundPlate(self.plate)
        self.plates = QComboBox()
        self.plates.setToolTip("the plate to show")
        self.site = QComboBox()
        self.site.setToolTip("the site that a double click on a well opens")
        self.wells = QTableWidget()
        self.wells.setItemDelegate(WellDelegate(self.wells))
        self.wells.setMinimumHeight(190)
        self.wells.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.wells.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.wells.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self.wells.setToolTip("double-click a well to open it")
        self._wells: dict[tuple[int, int], list[Any]] = {}  # one well may have two names
        self.message.say("Open a plate to browse its wells.")
        self.setAcceptDrops(True)
        box = scrolling_column(self)
        box.addLayout(line_of(self.open, self.folder, self.path, widest=self.path))
        box.addWidget(self.found)
        box.addLayout(line_of(self.plates, self.site))
        box.addWidget(self.wells, 1)
        box.addWidget(self.message)
        box.addWidget(self.audit)

        self.open.clicked.connect(self._choose)
        self.folder.clicked.connect(self._choose_folder)
        self.path.entered.connect(self.load)
        self.plates.activated.connect(self._draw)
        self.wells.currentCellChanged.connect(self._on_well)
        self.wells.cellActivated.connect(self._open_well)
        self.plate.changed.connect(self._on_plate)
        self._on_plate()

    def take(self, paths: list[Path]) -> None:
        """Read the folder, or the table of stacks, that was dropped."""
        self.load(paths[0])

    def load(self, path: str | Path) -> None:
        """Read a plate in the background."""
        with self.telling():
            self.plate.read(path)

    def open_site(self, row: pd.Series) -> None:
        """Read one stack of the plate, and its labels where it has some."""
        with self.telling():
            self.plate.open_site(row)

    def _on_plate(self) -> None:
        table, before = self.plate.table, self.plates.currentText()
        for part in (self.plates, self.site, self.wells):
            part.setEnabled(table is not None)
        self.path.setText(str(self.plate.path or ""))
        self.plates.clear()
        if table is None:
            self.wells.clear()
            self.wells.setRowCount(0)
            self.message.setVisible(self.plate.path is None)
            return
        self.plates.addItems(list(dict.fromkeys(table["plate"].astype(str))))
        self.plates.setCurrentIndex(max(0, self.plates.findText(before)))
        self._draw()

    def _draw(self, *_: Any) -> None:
        wells = self._rows().drop_duplicates("well")
        places = {well: well_place(well) or (str(well), 0) for well in wells["well"]}
        rows = sorted({row for row, _ in places.values()}, key=lambda row: (len(row), row))
        columns = sorted({column for _, column in places.values()})
        self._wells = {}
        stacks = self._rows()["well"].value_counts()
        treatments = list(dict.fromkeys(wells["treatment"].astype(str)))
        self.wells.clear()
        self.wells.setRowCount(len(rows))
        self.wells.setColumnCount(len(columns))
        self.wells.setVerticalHeaderLabels(rows)
        self.wells.setHorizontalHeaderLabels([f"{n:02d}" if n else "" for n in columns])
        for well in wells.to_dict("records"):
            treatment = str(well["treatment"])
            sites = counted(int(stacks[well["well"]]), "site")
            item = QTableWidgetItem(treatment or sites)
            item.setTextAlignment(Qt.AlignmentFlag.AlignCenter)
            fill(item, PALETTE[treatments.index(treatment) % len(PALETTE)])
            item.setToolTip(f"{well['well']}: {treatment or 'no treatment'}, {sites}")
            letter, number = places[well["well"]]
            place = rows.index(letter), columns.index(number)
            self._wells.setdefault(place, []).append(well["well"])
            self.wells.setItem(*place, item)
        self.wells.setCurrentCell(*next(iter(self._wells)))
        self._on_well(self.wells.currentRow(), self.wells.currentColumn())
        self.message.say(
            f"{counted(len(wells), 'well')}, {counted(len(self._rows()), 'stack')}", GOOD
        )

    def _rows(self) -> pd.DataFrame:
        table = self.plate.table
        assert table is not None, "its rows are asked for once it is read"
        return table[table["plate"].astype(str) == self.plates.currentText()]

    def _sites(self, row: int, column: int) -> pd.DataFrame:
        rows = self._rows()
        return rows[rows["well"].isin(self._wells.get((row, column), []))]

    def _on_well(self, row: int, column: int, *_: int) -> None:
        if row < 0 or column < 0 or self.plate.table is None:
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

    def _choose(self) -> None:
        path = ask_path(self, "Open a plate", filters=PLATES)
        if path:
            self.load(path)

    def _choose_folder(self) -> None:
        path = ask_path(self, "Open the folder of a plate", QFileDialog.getExistingDirectory)
        if path:
            self.load(path)
