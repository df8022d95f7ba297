"""Gallery: cells with their heatmaps, from the lowest to the highest of any number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QAbstractListModel, QItemSelection, QItemSelectionModel, QSize, Qt
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QHBoxLayout,
    QListView,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from gradcamo.cells.table import whole
from gradcamo.columns import meaning, title
from gradcamo.docks.parts.preferences import keep, recall
from gradcamo.docks.parts.tint import LINE, PAPER, WARN, legible, style
from gradcamo.docks.parts.widgets import Message
from gradcamo.docks.window import window_of
from gradcamo.docks.work.thumbnails import Thumbnails
from gradcamo.words import counted, number

if TYPE_CHECKING:
    import napari
    import pandas as pd

SIZE = 96  # pixels of a picture; three fit beside each other in a dock
AS_TABLE = "as in the table"
FIRST = (
    "grad_camo",
    "attainable",
    "neighbour_share",
    "background_share",
    "causal_own",
    "causal_neighbour",
    "causal_background",
    "confidence",
)
STYLE = f"""
QListView {{ background: {PAPER}; }}
QListView::item {{ padding: 2px; border-radius: 3px; border: 2px solid transparent; }}
QListView::item:selected {{ border: 2px solid {LINE}; }}
"""


class GalleryModel(QAbstractListModel):
    """Cells in an order; a picture is asked for when its cell comes into view."""

    def __init__(self, pictures: Thumbnails, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._pictures = pictures
        self.labels = np.zeros(0, np.int64)
        self._words: list[str] = []
        self._flagged = np.zeros(0, bool)
        self._rows: dict[int, int] = {}
        blank = QPixmap(SIZE, SIZE)
        blank.fill(QColor(127, 127, 127, 40))
        self._blank = QIcon(blank)
        pictures.drawn.connect(self._on_drawn)

    def set_cells(self, table: pd.DataFrame, column: str) -> None:
        """Show these rows, in their order, each with its number of this column."""
        words = [
            f"{label} · {_short(number)}"
            for label, number in zip(table["label"].tolist(), table[column], strict=True)
        ]
        self._reset(table["label"].to_numpy(np.int64), words, table["flagged"].to_numpy(bool))

    def clear(self) -> None:
        """Show no cells."""
        self._reset(np.zeros(0, np.int64), [], np.zeros(0, bool))

    def _reset(self, labels: np.ndarray, words: list[str], flagged: np.ndarray) -> None:
        self.beginResetModel()
        self.labels, self._words, self._flagged = labels, words, flagged
        self._rows = {label: row for row, label in enumerate(self.labels.tolist())}
        self.endResetModel()

    def row_of(self, label: int) -> int | None:
        return self._rows.get(label)

    def rowCount(self, parent: Any = None) -> int:
        return len(self.labels)

    def data(self, index: Any, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        row = index.row()
        if role == Qt.ItemDataRole.DisplayRole:
            return self._words[row]
        if role == Qt.ItemDataRole.DecorationRole:
            return self._pictures.picture(int(self.labels[row])) or self._blank
        if role == Qt.ItemDataRole.ForegroundRole and self._flagged[row]:
            return QColor(legible(WARN, self))
        if role == Qt.ItemDataRole.ToolTipRole:
            return f"cell {self.labels[row]}" + (", flagged" if self._flagged[row] else "")
        return None

    def _on_drawn(self, label: int) -> None:
        row = self._rows.get(label)
        if row is not None:
            self.dataChanged.emit(self.index(row), self.index(row))


class GalleryDock(QWidget):
    """Look at many cells side by side; what is chosen here is chosen everywhere."""

    def __init__(self, napari_viewer: napari.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        window = window_of(napari_viewer)
        self.session = window.session
        self.pictures = Thumbnails(self.session, self, SIZE)
        self.model = GalleryModel(self.pictures, self)
        self._echo = False
        self.view = QListView()
        self.view.setModel(self.model)
        self.view.setViewMode(QListView.ViewMode.IconMode)
        self.view.setResizeMode(QListView.ResizeMode.Adjust)
        self.view.setMovement(QListView.Movement.Static)
        self.view.setUniformItemSizes(True)
        self.view.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.view.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.view.setIconSize(QSize(SIZE, SIZE))
        self.view.setGridSize(QSize(SIZE + 12, SIZE + 30))
        self.view.setMinimumHeight(SIZE + 40)
        style(self.view, STYLE)
        self.view.setToolTip(
            "the middle plane of each cell with its heatmap; click to choose it, with Shift or "
            "Ctrl several. Names of flagged cells are orange"
        )
        self.order = QComboBox()
        self.order.setToolTip("the number that the cells are sorted by")
        self.order.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.order.setMinimumContentsLength(10)
        self.descending = QToolButton()
        self.descending.setCheckable(True)
        self.descending.setText("lowest first")
        self.descending.setToolTip("turn the order round")
        self.message = Message()
        line = QHBoxLayout()
        line.addWidget(self.order, 1)
        line.addWidget(self.descending)
        box = QVBoxLayout(self)
        box.addLayout(line)
        box.addWidget(self.view, 1)
        box.addWidget(self.message)

        self.order.activated.connect(self._on_order)
        self.descending.toggled.connect(self._on_descending)
        self.descending.setChecked(bool(recall("gallery descending", False)))
        self.view.selectionModel().selectionChanged.connect(self._on_chosen)
        session = self.session
        session.results_changed.connect(self._on_results)
        session.flags_changed.connect(self.show_cells)
        session.order_changed.connect(self._on_table)
        session.selection_changed.connect(self._on_selection)
        self._on_results()

    def show_cells(self, *_: Any) -> None:
        """Show the whole cells in the chosen order."""
        results, column = self.session.results, self.order.currentData()
        if column is None or not len(results):
            self.model.clear()
            self.message.say("Audit the cells first: the gallery shows them with their heatmaps.")
            return
        table = results.table
        if column == AS_TABLE:
            table = table.loc[self.session.order[np.isin(self.session.order, table.index)]]
            column = "grad_camo"
        else:
            table = table[whole(table)]
            ascending = not self.descending.isChecked()
            table = table.sort_values(column, ascending=ascending, kind="stable")
        top = self.view.verticalScrollBar().value()
        self.model.set_cells(table, column)
        self.view.verticalScrollBar().setValue(top)
        without = sum(results.cam(label) is None for label in table["label"].tolist())
        said = counted(len(table), "cell") if len(table) else "all cells touch the border"
        if without:
            said += f", {without:,} of them without a heatmap: it comes when the cell is looked at"
        self.message.say(said)
        self._on_selection(self.session.selection)

    def showEvent(self, event: Any) -> None:
        super().showEvent(event)
        self._on_selection(self.session.selection)  # in view, now that there is one

    def _on_results(self) -> None:
        results, before = self.session.results, self.order.currentData()
        names = [name for name in results.columns if results.table[name].dtype.kind == "f"]
        names.sort(key=lambda name: FIRST.index(name) if name in FIRST else len(FIRST))
        self.order.clear()
        for name in names:
            self.order.addItem(f"by {title(name, name.replace('_', ' '))}", name)
            tip = meaning(name, name)
            self.order.setItemData(self.order.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
        if names:
            self.order.addItem(AS_TABLE, AS_TABLE)
        wanted = before or recall("gallery order")
        self.order.setCurrentIndex(max(0, self.order.findData(wanted)) if names else -1)
        self.show_cells()

    def _on_order(self, _: int) -> None:
        keep("gallery order", self.order.currentData())
        self.show_cells()

    def _on_table(self) -> None:
        if self.order.currentData() == AS_TABLE:
            self.show_cells()

    def _on_descending(self, descending: bool) -> None:
        keep("gallery descending", descending)
        self.descending.setText("highest first" if descending else "lowest first")
        self.show_cells()

    def _on_chosen(self, *_: Any) -> None:
        if self._echo:
            return
        chosen = self.view.selectionModel()
        labels = [int(self.model.labels[index.row()]) for index in chosen.selectedIndexes()]
        if not labels:
            return
        current = chosen.currentIndex().row()
        here = int(self.model.labels[current]) if current >= 0 else labels[0]
        self._echo = True
        try:
            self.session.choose(here if here in labels else labels[0], "gallery")
            self.session.select(labels)
        finally:
            self._echo = False

    def _on_selection(self, labels: np.ndarray) -> None:
        if self._echo:
            return
        rows = [row for row in map(self.model.row_of, labels.tolist()) if row is not None]
        chosen = QItemSelection()
        for row in rows:
            chosen.select(self.model.index(row), self.model.index(row))
        how = QItemSelectionModel.SelectionFlag
        self._echo = True
        try:
            self.view.selectionModel().select(chosen, how.ClearAndSelect)
            here = self.model.row_of(self.session.cell)
            if here is not None and here in rows:
                self.view.selectionModel().setCurrentIndex(self.model.index(here), how.NoUpdate)
                self.view.scrollTo(self.model.index(here))
        finally:
            self._echo = False


def _short(value: float) -> str:
    return number(value, 2 if abs(value) < 10 else 0)
