"""The line above the cell table: what it holds, a filter, columns, export, keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QInputDialog,
    QLabel,
    QLineEdit,
    QMenu,
    QToolButton,
    QWidget,
    QWidgetAction,
)

from gradcamo.columns import KNOWN, meaning, title
from gradcamo.docks.canvas.keys import KEYS
from gradcamo.docks.parts.preferences import keep, recall
from gradcamo.docks.parts.tint import BAD, style
from gradcamo.docks.parts.widgets import Message
from gradcamo.errors import GradcamoError

if TYPE_CHECKING:
    import pandas as pd

MOST_LISTED = 80  # columns of a menu
TABLES = "Tables (*.csv *.parquet *.h5ad)"
BUTTON = """
QToolButton { padding: 3px 8px; }
QToolButton:checked { background: #4560c9; color: #ffffff; }
QToolButton::menu-indicator { image: none; }
"""


class CellsToolbar(QWidget):
    """Asks; the dock does."""

    filter_changed = Signal()
    columns_chosen = Signal(list)
    pictures_wanted = Signal(bool)
    export_wanted = Signal()
    flags_wanted = Signal(str)  # path

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.state = Message()
        self.filter = QLineEdit()
        self.filter.setPlaceholderText('filter, e.g.  grad_camo < 0.25 and predicted == "control"')
        self.filter.setClearButtonEnabled(True)
        self.filter.setToolTip(
            "shows the rows for which this holds. Columns are called as in the file: the tooltip "
            "of a column's header says how. Text stands in quotes; and, or, not join comparisons:\n"
            'well == "D03" and grad_camo < 0.25\n"mitosis" in note or not flagged\n'
            "grad_camo is None"
        )
        self.pictures = QToolButton()
        self.pictures.setText("Pictures")
        self.pictures.setToolTip("show the middle plane of each cell with its heatmap")
        self.pictures.setCheckable(True)
        self.pictures.setChecked(bool(recall("pictures", True)))
        self.pictures.setStyleSheet(BUTTON)
        self.columns = _menu_button("Columns", "choose the columns to show")
        self.file = _menu_button("File", "write cells as the table shows them, read flags back")
        self.keys = _menu_button("?", "keys for the table and the canvas")
        self.keys.setText("?")
        self.help = QLabel(help_text())
        self.help.setStyleSheet("padding: 10px;")
        popover = QWidgetAction(self.keys)
        popover.setDefaultWidget(self.help)
        self.keys.menu().addAction(popover)
        self.file.menu().addAction("Export…").triggered.connect(self.export_wanted)
        self.file.menu().addAction("Read flags and notes…").triggered.connect(self._on_read)
        line = QHBoxLayout(self)
        line.setContentsMargins(0, 0, 0, 0)
        line.addWidget(self.state, 2)
        line.addWidget(self.filter, 3)
        for button in (self.pictures, self.columns, self.file, self.keys):
            line.addWidget(button)
        self.filter.textChanged.connect(self._on_filter)
        self.pictures.toggled.connect(self._on_pictures)
        self.columns.menu().triggered.connect(self._on_column)
        self._shown: list[str] = []
        self._there: list[str] = []

    def kept(self, table: pd.DataFrame) -> np.ndarray | None:
        """Rows that the filter lets pass; None without a filter that can be understood."""
        text = self.filter.text().strip()
        style(self.filter, "")
        if not text or not len(table):
            return None
        from gradcamo.profiles.conditions import rows_where

        try:
            return rows_where(table, text)
        except GradcamoError as error:  # half a filter, while it is typed
            style(self.filter, f"QLineEdit {{ border: 1px solid {BAD}; }}")
            self.state.say(f"filter: {error}", BAD)
            return None

    def list_columns(self, columns: Sequence[str], shown: Sequence[str]) -> None:
        """Offer these columns, with those that are shown ticked."""
        self._shown, self._there = list(shown), list(columns)
        menu = self.columns.menu()
        menu.clear()
        wide = len(columns) > MOST_LISTED
        listed = [name for name in columns if name in KNOWN or name in shown] if wide else columns
        if wide:
            menu.addAction(f"one of {len(columns):,} columns…").triggered.connect(self._on_any)
        for name in listed:
            action = menu.addAction(title(name))
            action.setData(name)
            action.setCheckable(True)
            action.setChecked(name in shown)
            action.setToolTip(meaning(name, name))

    def _on_pictures(self, shown: bool) -> None:
        keep("pictures", shown)
        self.pictures_wanted.emit(shown)

    def _on_filter(self) -> None:
        self.filter_changed.emit()

    def _on_any(self) -> None:
        others = [name for name in self._there if name not in self._shown]
        name, chosen = QInputDialog.getItem(self, "Columns", "Show the column", others)
        if chosen and name in others:
            self._shown.append(name)
            self.columns_chosen.emit(self._shown)
            self.list_columns(self._there, self._shown)

    def _on_column(self, action: Any) -> None:
        name = action.data()
        if name is None:
            return
        if action.isChecked():
            self._shown.append(name)
        elif name in self._shown:
            self._shown.remove(name)
        self.columns_chosen.emit(self._shown)

    def _on_read(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Read flags and notes", "", TABLES)
        if path:
            self.flags_wanted.emit(path)


def help_text() -> str:
    """The keys and clicks that choose, flag and show cells."""
    rows = [(key, what) for key, what, _ in KEYS]
    rows += [
        ("click", "choose the cell, on the canvas or in the table"),
        ("Shift + click", "choose several on the canvas; in the table also Ctrl"),
        ("double-click", "write a note"),
    ]
    lines = (
        f"<tr><td align='right'><b>{key}</b>&nbsp;&nbsp;</td><td>{what}</td></tr>"
        for key, what in rows
    )
    return f"<b>The same on the canvas and in the table</b><table>{''.join(lines)}</table>"


def _menu_button(title: str, tip: str) -> QToolButton:
    button = QToolButton()
    button.setText(f"{title} ▾")
    button.setToolTip(tip)
    button.setMenu(QMenu(button))
    button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
    button.setStyleSheet(BUTTON)
    return button
