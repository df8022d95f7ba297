"""The sites of a plate, one a row; a double click opens one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QLineEdit,
    QTableWidget,
    QTableWidgetItem,
    QToolButton,
    QWidget,
)

from gradcamo.docks.parts.widgets import notify, without_numbers
from gradcamo.errors import GradcamoError
from gradcamo.files.titles import stack_title

if TYPE_CHECKING:
    from gradcamo.docks.work.plate_on_disk import PlateOnDisk

HEIGHT = 150
COLUMNS = ("Well", "Site", "Image", "Treatment")
IMAGE, TREATMENT = 2, 3


class SiteList(QTableWidget):
    """Well, site, image and treatment of every stack; hidden where there is no plate.

    ``filter`` is a line whose words a site has to have somewhere to be listed.
    """

    def __init__(self, plate: PlateOnDisk, parent: QWidget | None = None) -> None:
        super().__init__(0, len(COLUMNS), parent)
        self._plate = plate
        self._texts: list[str] = []
        self.filter = QLineEdit()
        self.filter.setPlaceholderText("filter sites by well, treatment or name")
        self.filter.setToolTip(
            "sites that have all these words, in any order; numbers as a whole: 2 is not in 12"
        )
        self.filter.setClearButtonEnabled(True)
        for clear in self.filter.findChildren(QToolButton):
            clear.setToolTip("list all sites again")
        self.setHorizontalHeaderLabels(COLUMNS)
        without_numbers(self)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setToolTip("double-click a site to open it")
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(IMAGE, QHeaderView.ResizeMode.Stretch)
        self.verticalHeader().setDefaultSectionSize(22)
        self.setFixedHeight(HEIGHT)
        self.cellActivated.connect(self._open)
        self.filter.textChanged.connect(self._show_rows)
        plate.changed.connect(self._list)
        self._list()

    def _list(self) -> None:
        table = self._plate.table
        for part in (self, self.filter):
            part.setVisible(table is not None)
        rows = [] if table is None else table.to_dict("records")
        self._texts = []
        self.setRowCount(len(rows))
        for number, row in enumerate(rows):
            image, treatment = str(row["image"]), str(row["treatment"])
            texts = (str(row["well"]), str(row["site"]), stack_title(image), treatment)
            for column, text in enumerate(texts):
                item = QTableWidgetItem(text)
                item.setToolTip(image)
                self.setItem(number, column, item)
            self._texts.append(" ".join([*texts, stack_title(image, row)]).casefold())
        self.setColumnHidden(TREATMENT, not any(row["treatment"] for row in rows))
        self._show_rows()

    def _show_rows(self) -> None:
        words = [_found(word) for word in self.filter.text().casefold().split()]
        self.setUpdatesEnabled(False)
        for number, text in enumerate(self._texts):
            self.setRowHidden(number, not all(word.search(text) for word in words))
        self.setUpdatesEnabled(True)

    def _open(self, row: int, _: int) -> None:
        if self._plate.table is None:
            return
        try:
            self._plate.open_site(self._plate.table.iloc[row])
        except GradcamoError as error:
            notify(error)


def _found(word: str) -> re.Pattern[str]:
    """What finds a word in a row: a part of it, a number as a whole."""
    text = re.escape(word)
    return re.compile(rf"(?<!\d){text}(?!\d)" if word.isdecimal() else text)
