"""The sites of a plate, one a row; a double click opens one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

from gradcamo.docks.parts.widgets import notify, without_numbers
from gradcamo.errors import GradcamoError

if TYPE_CHECKING:
    from gradcamo.docks.work.plate_on_disk import PlateOnDisk

HEIGHT = 150


class SiteList(QTableWidget):
    """Well, site and image of every stack; hidden where there is no plate."""

    def __init__(self, plate: PlateOnDisk, parent: QWidget | None = None) -> None:
        super().__init__(0, 3, parent)
        self._plate = plate
        self.setHorizontalHeaderLabels(("Well", "Site", "Image"))
        without_numbers(self)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setToolTip("double-click a site to open it")
        self.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.horizontalHeader().setStretchLastSection(True)
        self.verticalHeader().setDefaultSectionSize(22)
        self.setFixedHeight(HEIGHT)
        self.cellActivated.connect(self._open)
        plate.changed.connect(self._list)
        self._list()

    def _list(self) -> None:
        table = self._plate.table
        self.setVisible(table is not None)
        rows = [] if table is None else table[["well", "site", "image"]].values.tolist()
        self.setRowCount(len(rows))
        for number, (well, site, image) in enumerate(rows):
            for column, text in enumerate((well, site, Path(image).name)):
                item = QTableWidgetItem(str(text))
                item.setToolTip(image)
                self.setItem(number, column, item)

    def _open(self, row: int, _: int) -> None:
        if self._plate.table is None:
            return
        try:
            self._plate.open_site(self._plate.table.iloc[row])
        except GradcamoError as error:
            notify(error)
