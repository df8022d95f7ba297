"""The cell table as a Qt model: keyed by label, sorted and filtered by NumPy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt
from qtpy.QtGui import QBrush, QColor, QFont

from gradcamo.columns import CAUSAL_COLUMNS, CAUSAL_SHARES, KNOWN, SHARES, meaning, title
from gradcamo.docks.panels.cells.shown_columns import ShownColumns
from gradcamo.docks.parts.tint import FAINT, WARN, highlight, legible
from gradcamo.words import number

if TYPE_CHECKING:
    import pandas as pd

ROOT = QModelIndex()
Index = QModelIndex | QPersistentModelIndex

BARS = {"grad_camo": SHARES, "causal_own": CAUSAL_SHARES}
"""Columns whose number is drawn with a bar of these shares."""


class CellTableModel(QAbstractTableModel):
    """Rows of a table that holds one cell per row, in the order and selection that is shown."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._table: pd.DataFrame | None = None  # a dock that opens empty need not import pandas
        self._labels = np.zeros(0, np.int64)
        self._columns: list[str] = ["label"]
        self.shown_columns = ShownColumns()
        self._keep = np.ones(0, bool)
        self._order = np.zeros(0, np.intp)  # shown row -> row of the table
        self._place: dict[int, int] = {}  # label -> row of the table
        self._shown_at = np.zeros(0, np.intp)  # row of the table -> shown row, -1 where hidden
        self._values: dict[str, np.ndarray] = {}  # columns as arrays: pandas is slow cell by cell
        self.marked: set[int] = set()  # drawn as selected
        self._sorting: tuple[str, bool] = ("grad_camo", True)  # the worst first
        self.stale: set[int] = set()  # labels whose scores are older than their voxels
        self.writer: Any = None  # called with (label, column, value) when a cell is edited
        self.picture: Any = None  # called with a label, for the first column

    def set_table(self, table: pd.DataFrame, keep: np.ndarray | None = None) -> None:
        """Show another table; ``keep`` (bool, one per row) hides rows."""
        self.beginResetModel()
        self._table, self._values = table, {}
        self._labels = table["label"].to_numpy()
        self._place = dict(zip(self._labels.tolist(), range(len(table)), strict=True))
        self._keep = np.ones(len(table), bool) if keep is None else np.asarray(keep, bool)
        self._columns = self.shown_columns.of(table)
        self._arrange()
        self.endResetModel()

    def set_filter(self, keep: np.ndarray) -> None:
        """Show these rows of the table only."""
        self.beginResetModel()
        self._keep = np.asarray(keep, bool)
        self._arrange()
        self.endResetModel()

    def set_columns(self, columns: Sequence[str]) -> None:
        """Show these columns; what this table lacks stays hidden or added for others."""
        self.beginResetModel()
        self.shown_columns.choose(columns, self._table)
        self._columns = self.shown_columns.of(self._table)
        self.endResetModel()

    def refresh(self, table: pd.DataFrame) -> None:
        """Values changed (flags, notes) while rows and columns stay; the order stays too."""
        self._table, self._values = table, {}
        self._repaint()

    def mark_rows(self, labels: Iterable[int]) -> None:
        """Draw these rows as selected; Qt's own selection is slow for thousands of them."""
        marked = set(labels)
        if marked != self.marked:
            self.marked = marked
            self._repaint()

    @property
    def empty(self) -> bool:
        """Whether there are no cells, shown or hidden."""
        return not len(self._labels)

    @property
    def columns(self) -> list[str]:
        """The columns shown."""
        return list(self._columns)

    @property
    def sorting(self) -> tuple[str, bool]:
        """The column that rows are sorted by, and whether it ascends."""
        return self._sorting

    def shown(self) -> pd.DataFrame:
        """The table as it is seen: rows, order and columns."""
        return self._rows().iloc[self._order][self._columns]

    def _rows(self) -> pd.DataFrame:
        assert self._table is not None, "a table is set before its rows are asked for"
        return self._table

    def show_picture(self, label: int) -> None:
        """The picture of this cell has changed."""
        row = self.row_of(label)
        if row is not None:
            where = self.index(row, 0)
            self.dataChanged.emit(where, where, [Qt.ItemDataRole.DecorationRole])

    def label_at(self, row: int) -> int:
        """The label of a shown row."""
        return int(self._labels[self._order[row]])

    def labels(self) -> np.ndarray:
        """The labels shown, from top to bottom."""
        return self._labels[self._order]

    def row_of(self, label: int) -> int | None:
        """The shown row of a label, None where it is hidden or unknown."""
        place = self._place.get(int(label))
        row = -1 if place is None else int(self._shown_at[place])
        return None if row < 0 else row

    def rows_of(self, labels: Iterable[int]) -> np.ndarray:
        """The shown rows of labels, ascending; those that are hidden or unknown are left out."""
        places = [place for label in labels if (place := self._place.get(label)) is not None]
        rows = self._shown_at[places]
        return np.sort(rows[rows >= 0])

    # -- what Qt asks for ------------------------------------------------------------------

    def rowCount(self, parent: Index = ROOT) -> int:
        return 0 if parent.isValid() else len(self._order)

    def columnCount(self, parent: Index = ROOT) -> int:
        return 0 if parent.isValid() else len(self._columns)

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        if not 0 <= column < len(self._columns):
            return
        self.beginResetModel()
        self._sorting = (self._columns[column], order == Qt.SortOrder.AscendingOrder)
        self._arrange()
        self.endResetModel()

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = 0) -> Any:
        if orientation != Qt.Orientation.Horizontal or section >= len(self._columns):
            return None
        name = self._columns[section]
        if role == Qt.ItemDataRole.DisplayRole:
            return title(name)
        if role == Qt.ItemDataRole.ToolTipRole:
            return f"{name}: {meaning(name)}" if name in KNOWN else name
        return None

    def value(self, index: Index) -> Any:
        """The table's own value behind a shown cell."""
        return self._column(self._columns[index.column()])[self._order[index.row()]]

    def shares(self, index: Index) -> list[float] | None:
        """Shares of own cell, neighbours and background, at the columns of `BARS`."""
        names = BARS.get(self._columns[index.column()])
        if names is None:
            return None
        row = self._order[index.row()]
        return [float(self._column(name)[row]) for name in names]

    def data(self, index: Index, role: int = 0) -> Any:
        if not index.isValid():
            return None
        name = self._columns[index.column()]
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.EditRole):
            value = self.value(index)
            return "" if name == "flagged" else written(name, value)
        if role == Qt.ItemDataRole.CheckStateRole and name == "flagged":
            return Qt.CheckState.Checked if self.value(index) else Qt.CheckState.Unchecked
        if role == Qt.ItemDataRole.DecorationRole and index.column() == 0 and self.picture:
            return self.picture(self.label_at(index.row()))
        if role == Qt.ItemDataRole.TextAlignmentRole:
            kind = self._column(name).dtype.kind
            side = Qt.AlignmentFlag.AlignRight if kind in "uif" else Qt.AlignmentFlag.AlignLeft
            return side | Qt.AlignmentFlag.AlignVCenter
        if role == Qt.ItemDataRole.ForegroundRole:
            return self._ink(index)
        if self.stale and self.label_at(index.row()) in self.stale:
            if role == Qt.ItemDataRole.FontRole:
                font = QFont()
                font.setItalic(True)
                return font
            if role == Qt.ItemDataRole.ToolTipRole:
                return "the labels in its crop were edited since it was scored: audit it again"
        if role == Qt.ItemDataRole.BackgroundRole and self.marked:
            chosen = self.label_at(index.row()) in self.marked
            return QBrush(highlight(self)) if chosen else None
        return None

    def flags(self, index: Index) -> Qt.ItemFlag:
        flags = super().flags(index)
        name = self._columns[index.column()] if index.isValid() else ""
        if name == "flagged":
            return flags | Qt.ItemFlag.ItemIsUserCheckable
        if name == "note":
            return flags | Qt.ItemFlag.ItemIsEditable
        return flags

    def setData(self, index: Index, value: Any, role: int = 0) -> bool:
        if self.writer is None or not index.isValid():
            return False
        name, label = self._columns[index.column()], self.label_at(index.row())
        if name == "flagged" and role == Qt.ItemDataRole.CheckStateRole:
            self.writer(label, name, Qt.CheckState(value) == Qt.CheckState.Checked)
            return True
        if name == "note" and role == Qt.ItemDataRole.EditRole:
            self.writer(label, name, str(value))
            return True
        return False

    # --------------------------------------------------------------------------------------

    def _ink(self, index: Index) -> QBrush | None:
        row = self._order[index.row()]
        label = self.label_at(index.row())
        if label in self.marked:  # as Qt draws what is selected
            return None
        if label in self.stale:
            return QBrush(QColor(legible(FAINT, self)))
        if "touches_border" in self._rows() and self._column("touches_border")[row]:
            return QBrush(QColor(legible(FAINT, self)))
        if self._columns[index.column()] == "grad_camo" and self._column("flagged")[row]:
            return QBrush(QColor(legible(WARN, self)))
        return None

    def _arrange(self) -> None:
        name, ascending = self._sorting
        if name not in self._rows():
            name = "label"
        kept = np.flatnonzero(self._keep)
        order = kept[sorted_order(self._rows()[name].iloc[kept], ascending)]
        self._order = order
        self._shown_at = np.full(len(self._labels), -1, np.intp)
        self._shown_at[order] = np.arange(len(order))

    def _repaint(self) -> None:
        if self.rowCount():
            last = self.index(self.rowCount() - 1, self.columnCount() - 1)
            self.dataChanged.emit(self.index(0, 0), last)

    def _column(self, name: str) -> np.ndarray:
        if name not in self._values:
            self._values[name] = self._rows()[name].to_numpy()
        return self._values[name]


def sorted_order(values: pd.Series, ascending: bool) -> np.ndarray:
    """Row order of a column, stable, missing values always last."""
    import pandas as pd

    if values.dtype.kind in "uifb" and not isinstance(values.dtype, pd.BooleanDtype):
        keys = values.to_numpy()
    else:
        try:
            keys, _ = pd.factorize(values, sort=True)  # -1 where missing
        except TypeError:  # of several kinds
            keys, _ = pd.factorize(values.astype(str).where(values.notna()), sort=True)
        keys = np.where(keys < 0, np.nan, keys)
    if not ascending:
        keys = -keys.astype(float)
    return np.argsort(keys, kind="stable")


def written(name: str, value: Any) -> str:
    """A value as the table shows it."""
    import pandas as pd

    if pd.isna(value):
        return "–"
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no" if name in CAUSAL_COLUMNS else ""
    if isinstance(value, (float, np.floating)):
        return number(float(value), 0 if name.endswith("_um3") else 3)
    return str(value)
