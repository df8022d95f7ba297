"""The line above the cell table: what it holds, a filter, columns, export, keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLineEdit, QMenu, QToolButton, QWidget

from gradcamo.docks import export
from gradcamo.docks.columns import MEANING, TITLES
from gradcamo.docks.keys import KEYS
from gradcamo.docks.widgets import BAD, Message
from gradcamo.errors import GradcamoError
from gradcamo.profiles.conditions import rows_where

BUTTON = """
QToolButton { padding: 3px 8px; }
QToolButton:checked { background: #4560c9; }
QToolButton::menu-indicator { image: none; }
"""


class CellsToolbar(QWidget):
    """Asks; the dock does."""

    filter_changed = Signal()
    columns_chosen = Signal(list)
    pictures_wanted = Signal(bool)
    export_wanted = Signal(str, str)  # which cells, path

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
        self.pictures.setChecked(True)
        self.pictures.setStyleSheet(BUTTON)
        self.columns = _menu_button("Columns", "choose the columns to show")
        self.export = _menu_button("Export", "write cells as the table shows them")
        self.keys = _menu_button("Keys", "keys for the table and the canvas")
        for which in export.CHOICES:
            self.export.menu().addAction(f"{which} cells…").setData(which)
        for key, what, _ in KEYS:
            self.keys.menu().addAction(f"{key}   {what}").setEnabled(False)
        line = QHBoxLayout(self)
        line.setContentsMargins(0, 0, 0, 0)
        line.addWidget(self.state, 2)
        line.addWidget(self.filter, 3)
        for button in (self.pictures, self.columns, self.export, self.keys):
            line.addWidget(button)
        self.filter.textChanged.connect(self._on_filter)
        self.pictures.toggled.connect(self.pictures_wanted)
        self.columns.menu().triggered.connect(self._on_column)
        self.export.menu().triggered.connect(self._on_export)
        self._shown: list[str] = []

    def kept(self, table: pd.DataFrame) -> np.ndarray | None:
        """Rows that the filter lets pass; None without a filter that can be understood."""
        text = self.filter.text().strip()
        self.filter.setStyleSheet("")
        if not text or not len(table):
            return None
        try:
            return rows_where(table, text)
        except GradcamoError as error:  # half a filter, while it is typed
            self.filter.setStyleSheet(f"QLineEdit {{ border: 1px solid {BAD}; }}")
            self.state.say(f"filter: {error}", BAD)
            return None

    def list_columns(self, columns: Sequence[str], shown: Sequence[str]) -> None:
        """Offer these columns, with those that are shown ticked."""
        self._shown = list(shown)
        menu = self.columns.menu()
        menu.clear()
        for name in columns:
            action = menu.addAction(TITLES.get(name, name))
            action.setData(name)
            action.setCheckable(True)
            action.setChecked(name in shown)
            action.setToolTip(MEANING.get(name, name))

    def _on_filter(self) -> None:
        self.filter_changed.emit()

    def _on_column(self, action: Any) -> None:
        name = action.data()
        if action.isChecked():
            self._shown.append(name)
        elif name in self._shown:
            self._shown.remove(name)
        self.columns_chosen.emit(self._shown)

    def _on_export(self, action: Any) -> None:
        which = action.data()
        path, _ = QFileDialog.getSaveFileName(
            self, f"Export {which} cells", f"{which}.csv", export.FILES
        )
        if path:
            self.export_wanted.emit(which, path)


def _menu_button(title: str, tip: str) -> QToolButton:
    button = QToolButton()
    button.setText(f"{title} ▾")
    button.setToolTip(tip)
    button.setMenu(QMenu(button))
    button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
    button.setStyleSheet(BUTTON)
    return button
