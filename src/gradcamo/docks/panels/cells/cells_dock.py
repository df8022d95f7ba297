"""Cells: the table of scores; a row and a cell in the image are the same thing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QItemSelection, QItemSelectionModel, QSize, Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QHeaderView,
    QTableView,
    QVBoxLayout,
    QWidget,
)
from superqt.utils import signals_blocked

from gradcamo.columns import KNOWN
from gradcamo.docks.panels.cells.export_dialog import open_export
from gradcamo.docks.panels.cells.share_bars import ScoreDelegate
from gradcamo.docks.panels.cells.table_model import BARS, CellTableModel
from gradcamo.docks.panels.cells.toolbar import CellsToolbar
from gradcamo.docks.parts.dock import Dock
from gradcamo.docks.parts.preferences import keep, recall
from gradcamo.docks.parts.tint import GOOD, WARN
from gradcamo.docks.parts.worker import Job
from gradcamo.docks.window import window_of
from gradcamo.docks.work.thumbnails import SIZE, Thumbnails
from gradcamo.words import counted

if TYPE_CHECKING:
    import napari

ROW_HEIGHT = 22
MOST_RANGES = 300  # of rows in Qt's selection, whose time grows with their square
WIDTH = 84
WIDEST = 240
WIDTHS = {
    "label": 52,
    "flagged": 60,
    "grad_camo": 108,
    "chance": 66,
    "ceiling": 66,
    "touches_border": 72,
    "causal_own": 108,
    "causal_neighbour": 128,
    "causal_background": 136,
    "note": 60,
}


class CellsDock(Dock):
    """Sort, choose, look."""

    def __init__(self, napari_viewer: napari.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        window = window_of(napari_viewer)
        self.session = window.session
        self.model = CellTableModel(self)
        self.model.writer = self._write
        kept = recall("columns", {})
        self.model.shown_columns.hidden = set(kept.get("hidden", ()))
        self.model.shown_columns.added = list(kept.get("added", ()))
        self.view = QTableView()
        self.view.setModel(self.model)
        self._bars, self._plain = ScoreDelegate(self.view), self.view.itemDelegate()
        self.view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.view.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.view.setAlternatingRowColors(True)
        self.view.setWordWrap(False)
        self.view.setShowGrid(False)
        self.view.setStyleSheet("QTableView { alternate-background-color: rgba(127,127,127,24); }")
        self.view.verticalHeader().hide()
        self.view.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self.view.verticalHeader().setDefaultSectionSize(ROW_HEIGHT)
        self.view.horizontalHeader().setDefaultSectionSize(WIDTH)
        self.view.horizontalHeader().setStretchLastSection(True)
        self.view.horizontalHeader().setSectionsMovable(True)
        self.view.setMinimumHeight(120)
        self.toolbar = CellsToolbar()
        self.message = self.toolbar.state
        box = QVBoxLayout(self)
        box.setContentsMargins(4, 4, 4, 4)
        box.addWidget(self.toolbar)
        box.addWidget(self.view, 1)
        self._echo = False

        self._show_sorting()
        self.view.setSortingEnabled(True)
        self.model.modelReset.connect(self._select_again)
        self.view.selectionModel().selectionChanged.connect(self._on_rows)
        session = self.session
        session.results_changed.connect(self._on_results)
        session.flags_changed.connect(self._on_flags)
        session.edited.connect(self._on_flags)
        session.selection_changed.connect(self._on_selection)
        self.toolbar.filter_changed.connect(self._on_filter)
        self.toolbar.columns_chosen.connect(self._on_columns)
        self.toolbar.pictures_wanted.connect(self._show_pictures)
        self.thumbnails = Thumbnails(session, self)
        self.thumbnails.drawn.connect(self.model.show_picture)
        self.toolbar.export_wanted.connect(self._export)
        self.toolbar.flags_wanted.connect(self.read_flags)
        self.reading = Job(self)
        self.reading.stepped.connect(self._on_flags_read)
        self.reading.failed.connect(self.message.fail)
        window.keys.bind(self.view)
        self._show_pictures(self.toolbar.pictures.isChecked())
        self._on_results()

    def _export(self) -> None:
        open_export(self.session, self)

    def read_flags(self, path: str) -> None:
        """Take up the flags and notes of an exported table, in the background."""
        image = self.session.stack.source if self.session.stack else ""

        def steps() -> Iterator[Any]:
            from gradcamo.files.flags import read_flags

            yield path, read_flags(path, image)

        with self.telling():
            self.run(self.reading, steps, f"reading {Path(path).name} …")

    def _on_flags_read(self, item: tuple[str, Any]) -> None:
        path, found = item
        flags, notes, unknown = self.session.read_back(found)
        said = f"{flags:,} flags and {notes:,} notes changed as {Path(path).name} says"
        if not unknown:
            self.message.say(said, GOOD)
            return
        named = ", ".join(map(str, unknown[:8])) + (", …" if len(unknown) > 8 else "")
        self.message.say(
            f"{said}; {len(unknown):,} of its cells have no score here and keep theirs until "
            f"they have one: {named}",
            WARN,
        )

    def sort_by(self, column: str, ascending: bool = True) -> None:
        """Sort the rows by a column."""
        order = Qt.SortOrder.AscendingOrder if ascending else Qt.SortOrder.DescendingOrder
        self.view.sortByColumn(self.model.columns.index(column), order)

    def _show_pictures(self, shown: bool) -> None:
        self.model.picture = self.thumbnails.picture if shown else None
        measured = self.session.measured is not None and not self.session.results.recipe
        height = SIZE + 4 if shown and not measured else ROW_HEIGHT  # an audit tells the crop
        self.view.setIconSize(QSize(SIZE, SIZE))
        self.view.verticalHeader().setDefaultSectionSize(height)
        self.view.setColumnWidth(0, WIDTHS["label"] + (SIZE if shown else 0))
        self._on_selection(self.session.selection)  # keeps the chosen row in sight

    def _on_results(self) -> None:
        columns = self.model.columns
        self._echo = True
        try:
            results = self.session.results
            self.model.stale = results.stale
            if len(results) or self.session.measured or not self.model.empty:
                cells = self.session.cells
                self.model.set_table(cells, self.toolbar.kept(cells))
        finally:
            self._echo = False
        if self.model.columns != columns or not columns:
            for number, name in enumerate(self.model.columns):
                self.view.setColumnWidth(number, WIDTHS.get(name) or self._width(name))
            self._show_pictures(self.toolbar.pictures.isChecked())
            self._draw_shares()
            self._show_sorting()
            there = results.columns if self.session.measured is None else [*self.session.cells]
            self.toolbar.list_columns(there, self.model.columns)
        self._tell_shown()
        self._on_selection(self.session.selection)
        self._say()

    def _width(self, name: str) -> int:
        """Of a column: another tool's names are long."""
        if name in KNOWN:
            return WIDTH
        needed = self.view.horizontalHeader().fontMetrics().horizontalAdvance(name) + 24
        return max(WIDTH, min(needed, WIDEST))

    def _draw_shares(self) -> None:  # in their column alone: a painter in Python is slow
        for number, name in enumerate(self.model.columns):
            self.view.setItemDelegateForColumn(number, self._bars if name in BARS else self._plain)

    def _tell_shown(self) -> None:  # keys and the export go by what is shown
        self.session.order, self.session.columns = self.model.labels(), self.model.columns
        self.session.order_changed.emit()

    def _show_sorting(self) -> None:
        name, ascending = self.model.sorting
        columns = self.model.columns
        header = self.view.horizontalHeader()
        with signals_blocked(header):
            header.setSortIndicator(
                columns.index(name) if name in columns else -1,
                Qt.SortOrder.AscendingOrder if ascending else Qt.SortOrder.DescendingOrder,
            )

    def _on_flags(self) -> None:
        self.model.refresh(self.session.cells)
        self._say()

    def _say(self) -> None:
        counts, measured = self.session.results.counts(), self.session.measured
        cells, flagged = counts["cells"], counts["flagged"]
        if measured is not None:
            table = self.session.cells
            cells, flagged = len(table), int(table["flagged"].sum())
        if not cells:
            self.message.say("No scores yet: load a checkpoint and audit the cells.")
            return
        shown = self.model.rowCount()
        text = counted(cells, "cell") if shown == cells else f"{shown:,} shown"
        of = "" if measured is None else f" of {measured.name}"
        self.message.say(f"{text}{of} · {counts['scored']:,} scored · {flagged:,} flagged")

    def _on_rows(self, *_: Any) -> None:
        if self._echo:
            return
        rows = [index.row() for index in self.view.selectionModel().selectedRows()]
        labels, marked = [self.model.label_at(row) for row in rows], self.model.marked
        held = QApplication.keyboardModifiers()
        adding = bool(marked) and bool(held & Qt.KeyboardModifier.ControlModifier)
        if adding:  # to more rows than Qt's own selection holds
            ranged = bool(held & Qt.KeyboardModifier.ShiftModifier)
            labels = sorted(marked.union(labels) if ranged else marked ^ set(labels))
        if not labels:
            return
        self.model.mark_rows(())
        row = self.view.selectionModel().currentIndex().row()
        here = self.model.label_at(row) if row >= 0 else 0
        self._echo = True
        try:
            self.session.choose(here if here in labels else labels[0], "table")
            self.session.select(labels)
        finally:
            self._echo = False
        if adding:
            self._on_selection(self.session.selection)

    def _on_filter(self) -> None:
        table = self.session.cells
        kept = self.toolbar.kept(table)
        self.model.set_filter(np.ones(len(table), bool) if kept is None else kept)
        if kept is not None or not self.toolbar.filter.text().strip():
            self._say()

    def _on_columns(self, columns: list[str]) -> None:
        self.model.set_columns(columns)
        shown = self.model.shown_columns
        keep("columns", {"hidden": sorted(shown.hidden), "added": shown.added})
        self._draw_shares()
        self._show_sorting()
        self._tell_shown()

    def _select_again(self) -> None:  # Qt forgets the selection when rows move
        self._tell_shown()
        if not self._echo:
            self._on_selection(self.session.selection)

    def _on_selection(self, labels: np.ndarray) -> None:
        if self._echo:
            return
        rows = self.model.rows_of(labels.tolist())
        firsts = rows[np.diff(rows, prepend=-2) != 1]
        lasts = rows[np.diff(rows, append=-2) != 1]
        many = len(firsts) > MOST_RANGES
        chosen = QItemSelection()
        for first, last in () if many else zip(firsts.tolist(), lasts.tolist(), strict=True):
            chosen.select(self.model.index(first, 0), self.model.index(last, 0))
        how = QItemSelectionModel.SelectionFlag
        self._echo = True
        try:
            self.model.mark_rows(labels.tolist() if many else ())
            self.view.selectionModel().select(chosen, how.ClearAndSelect | how.Rows)
            row = self.model.row_of(self.session.cell)
            if row is not None and self.session.cell in labels:
                index = self.model.index(row, 0)
                self.view.selectionModel().setCurrentIndex(index, how.NoUpdate)
                self.view.scrollTo(index)
        finally:
            self._echo = False

    def _write(self, label: int, column: str, value: Any) -> None:
        if column == "flagged":
            self.session.mark([label], bool(value))
        else:
            self.session.note(label, value)
