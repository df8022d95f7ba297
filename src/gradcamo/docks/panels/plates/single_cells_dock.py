"""Single cells: the images of a table that another tool made; open one, flag, write back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QFileDialog,
    QHeaderView,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from gradcamo.docks.parts.dock import Dock
from gradcamo.docks.parts.drops import TakesDrops
from gradcamo.docks.parts.tint import FAINT, GOOD, WARN
from gradcamo.docks.parts.widgets import Message, line_of
from gradcamo.docks.window import window_of

if TYPE_CHECKING:
    import napari

NAME = "Single cells (Grad-CAMO)"  # as napari calls it when it is opened from the Plugins menu
TABLES = "Tables of single cells (*.parquet *.pq *.csv *.csv.gz *.tsv *.txt)"
COLUMNS = {
    "name": "image",
    "plate": "plate",
    "well": "well",
    "site": "site",
    "cells": "cells",
    "found": "files",
}


class SingleCellsDock(TakesDrops, Dock):
    """Lists the images of the table; a double click opens one."""

    def __init__(self, napari_viewer: napari.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.browser = window_of(napari_viewer).single_cells
        self.open = QPushButton("Open table…")
        self.open.setToolTip(
            "a table of single cells by CytoTable, CellProfiler, coSMicQC or Grad-CAMO: Parquet "
            "or CSV; dropping it here works, too"
        )
        self.labels = QPushButton("Labels…")
        self.labels.setToolTip("the folder of the label images, called as their images are")
        self.images = QPushButton("Images…")
        self.images.setToolTip("the folder in, or below, which the images lie now")
        self.write_back = QPushButton("Write back…")
        self.write_back.setToolTip(
            "write the table again with flags, notes and scores in columns of their own; all else "
            "stays as it is"
        )
        self.recognised = Message("Open a table of single cells to see its images.")
        self.list = QTableWidget(0, len(COLUMNS))
        self.list.setHorizontalHeaderLabels(list(COLUMNS.values()))
        self.list.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.list.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.list.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.list.verticalHeader().hide()
        header = self.list.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.list.setToolTip("double-click an image to open it")
        self.setAcceptDrops(True)
        box = QVBoxLayout(self)
        box.addLayout(line_of(self.open, self.labels, self.images, self.write_back))
        box.addWidget(self.recognised)
        box.addWidget(self.list, 1)
        box.addWidget(self.message)

        browser = self.browser
        self.open.clicked.connect(self._choose)
        self.labels.clicked.connect(self._choose_labels)
        self.images.clicked.connect(self._choose_images)
        self.write_back.clicked.connect(self._choose_out)
        self.list.cellActivated.connect(self._open_image)
        browser.changed.connect(self._on_changed)
        browser.moved.connect(self._on_moved)
        browser.said.connect(self._on_said)
        browser.warned.connect(self._on_warned)
        browser.failed.connect(self.message.fail)
        for job in (browser.reading, browser.opening, browser.writing):
            job.began.connect(self._enable)
            job.ended.connect(self._enable)
        self._on_changed()
        self._on_moved()

    def take(self, paths: list[Path]) -> None:
        """Open the table that was dropped."""
        self.load(paths[0])

    def load(self, path: str | Path, **how: Any) -> None:
        """Read a table in the background."""
        with self.telling():
            self.browser.open(path, **how)

    def _open_image(self, row: int, _: int = 0) -> None:
        with self.telling():
            self.browser.open_image(row)

    def _on_changed(self) -> None:
        cells = self.browser.cells
        if cells is not None:
            self.recognised.say(cells.recognised)
            table = cells.images.assign(found=_found(cells.images))
            table["name"] = [Path(name.replace("\\", "/")).name for name in table["name"]]
            self.list.setRowCount(len(table))
            for row, image in enumerate(table.to_dict("records")):
                for column, name in enumerate(COLUMNS):
                    self.list.setItem(row, column, _item(image[name], cells.images["name"][row]))
        self._enable()

    def _on_moved(self) -> None:
        here = self.browser.here
        for row in range(self.list.rowCount()):
            for column in range(self.list.columnCount()):
                if (item := self.list.item(row, column)) is not None:
                    font = item.font()
                    font.setBold(row == here)
                    item.setFont(font)
        if here >= 0:
            self.list.selectRow(here)

    def _on_said(self, text: str) -> None:
        done = "written to" in text or "joined to" in text
        self.message.say(text, GOOD if done else FAINT)

    def _on_warned(self, text: str) -> None:
        self.message.say(text, WARN)

    def _enable(self, *_: Any) -> None:
        browser, there = self.browser, self.browser.cells is not None
        busy = browser.reading.running or browser.writing.running
        self.open.setEnabled(not busy)
        for button in (self.labels, self.images, self.write_back):
            button.setEnabled(there and not busy)
        self.list.setEnabled(not browser.opening.running)

    def _choose(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Open a table of single cells", "", TABLES)
        if path:
            self.load(path)

    def _choose_labels(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Folder of the label images")
        if folder:
            with self.telling():
                self.browser.open_again(labels=folder)

    def _choose_images(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Folder of the images")
        if folder:
            with self.telling():
                self.browser.open_again(images=folder)

    def _choose_out(self) -> None:
        cells = self.browser.cells
        if cells is None:
            return
        name, dot, ending = cells.path.name.partition(".")
        wanted = str(cells.path.with_name(f"{name}_checked{dot}{ending}"))
        path, _ = QFileDialog.getSaveFileName(self, "Write the table back", wanted, TABLES)
        if path:
            with self.telling():
                self.browser.write(path, overwrite=True)  # the dialog asked


def show_single_cells(viewer: napari.Viewer) -> SingleCellsDock:
    """The dock, opened where it is not yet."""
    for widget in viewer.window.dock_widgets.values():
        if isinstance(widget, SingleCellsDock):
            return widget
    dock = SingleCellsDock(viewer)
    viewer.window.add_dock_widget(dock, name=NAME, area="right", tabify=True)
    return dock


def _found(images: Any) -> list[str]:
    """What was found of each image, in words."""
    return [
        "image and labels" if a and b else "image" if a else "labels" if b else "not found"
        for a, b in zip(images["image"], images["labels"], strict=True)
    ]


def _item(value: Any, tip: str) -> QTableWidgetItem:
    item = QTableWidgetItem(str(value))
    item.setToolTip(tip)
    if isinstance(value, int):
        item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
    return item
