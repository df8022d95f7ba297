"""Causal check: what predictions depend on, of one cell, of some, of all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.QtWidgets import QLabel, QMenu, QPushButton, QToolButton, QVBoxLayout, QWidget

from gradcamo.docks.parts.dock import Dock
from gradcamo.docks.parts.preferences import PLATES, ask_path
from gradcamo.docks.parts.rows import SettingRows
from gradcamo.docks.parts.tint import GOOD, WARN
from gradcamo.docks.parts.widgets import Fold, JobRow, line_of
from gradcamo.docks.window import Window
from gradcamo.settings import SwapSettings
from gradcamo.words import counted

BANKS = "Donor banks (*.npz)"


class CausalCheck(Dock):
    """Begins, says how far it is, and where the donors come from."""

    def __init__(self, window: Window, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session, self._swapping = window.session, window.swapping
        self._banks = self._swapping.banks
        self.cell = QPushButton("Chosen cell")
        self.cell.setToolTip(
            "swap regions of the chosen cell's crop for those of other cells, and see what the "
            "network says then: a preview first, refined while you look at it"
        )
        self.selected = QPushButton("Selected")
        self.selected.setToolTip("ask the selected cells; those without a score are scored first")
        self.all = QPushButton("All cells")
        self.all.setToolTip("ask every whole cell; those without a score are scored first")
        self.donors = QToolButton()
        self.donors.setText("Donors ▾")
        self.donors.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.donors.setStyleSheet("QToolButton::menu-indicator { image: none; }")
        self.donors.setToolTip("the cells whose regions stand in for those of others")
        menu = QMenu(self.donors)
        menu.addAction("Make them from a plate…").triggered.connect(self._choose_plate)
        menu.addAction("Open a bank…").triggered.connect(self._choose_bank)
        self.donors.setMenu(menu)
        self.rows = SettingRows(
            SwapSettings, ("draws", "reference"), choices={"reference": ()}, titles={}
        )
        self.progress = JobRow(self.session.swapping, "cells")
        title = QLabel("<b>Causal check</b>: what it depends on")
        title.setToolTip("what the prediction depends on, whatever the map shows")
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 4, 0, 0)
        box.addLayout(line_of(title, self.donors, widest=title))
        box.addLayout(line_of(self.cell, self.selected, self.all))
        box.addWidget(Fold("Causal options", self.rows, "causal options"))
        box.addWidget(self.progress)
        box.addWidget(self.message)

        self.cell.clicked.connect(self.check_cell)
        self.selected.clicked.connect(self.check_selected)
        self.all.clicked.connect(self.check_all)
        self.rows.changed.connect(self._on_rows)
        session, swapping = self.session, self._swapping
        swapping.told.connect(self.progress.show_steps)
        swapping.made.connect(self._on_made)
        session.swapping.failed.connect(self.message.say_error)
        session.swapping.ended.connect(self._on_ended)
        session.swapping.began.connect(self._enable)
        session.checkpoint_changed.connect(self._on_checkpoint)
        for signal in (
            session.stack_changed,
            session.labels_changed,
            session.selection_changed,
            session.cell_changed,
            session.auditing.began,
            session.auditing.ended,
        ):
            signal.connect(self._enable)
        self._on_checkpoint()

    def check_cell(self) -> None:
        """Ask the cell that is looked at."""
        with self.telling():
            self._swapping.look(self.session.cell)
            self.message.say("")

    def check_selected(self) -> None:
        """Ask the selected cells."""
        self._check(self.session.selection.tolist())

    def check_all(self) -> None:
        """Ask all whole cells."""
        self._check(None)

    def open_bank(self, path: str | Path) -> None:
        """Take donors from this bank."""
        self._banks.choose(Path(path))
        self._say_donors()

    def make_bank(self, plate: str | Path) -> None:
        """Make donors of this plate's training wells."""
        with self.telling():
            self._swapping.make_bank(plate)
            self.message.say("")

    def _check(self, only: list[int] | None) -> None:
        with self.telling():
            self._swapping.start(only)
            self.message.say("")

    def _on_rows(self) -> None:
        self._swapping.settings = self.rows.settings()

    def _on_checkpoint(self) -> None:
        checkpoint = self.session.checkpoint
        if checkpoint is not None:
            self.rows.inputs["reference"].offer(checkpoint.classes)
        self._on_rows()
        self._say_donors()
        self._enable()

    def _say_donors(self) -> None:
        if self.session.checkpoint is None:
            self.message.say("")
        elif name := self._banks.name:
            self.message.say(f"Donors: {name}.")
        else:
            self.message.say(
                "No donors yet for the causal check: make them from the plate that the network "
                "was trained on, or open a bank."
            )

    def _on_made(self, path: str) -> None:
        self.message.say(f"Donors were made and kept as {path}.", GOOD)

    def _on_ended(self, complete: bool) -> None:
        self._enable()
        table = self.session.results.table
        if "causal_effect" not in table:
            return
        from gradcamo.cells.table import asked_causally, told_causally

        asked, told = int(asked_causally(table).sum()), int(told_causally(table).sum())
        said = f"{told:,} of {counted(asked, 'cell')} answered."
        if complete:
            self.message.say(said, GOOD)
        elif self.session.swapping.cancelling:
            self.message.say(f"Stopped: {said}", WARN)

    def _enable(self, *_: Any) -> None:
        session = self.session
        idle = not session.lacking() and not session.auditing.running
        free = idle and not self._swapping.asks_many
        self.cell.setEnabled(free and session.cell > 0)
        rests = idle and not session.swapping.running
        self.selected.setEnabled(rests and len(session.selection) > 0)
        self.all.setEnabled(rests)
        self.donors.setEnabled(session.checkpoint is not None and not session.swapping.running)

    def _choose_bank(self) -> None:
        if path := ask_path(self, "Open a donor bank", filters=BANKS):
            self.open_bank(path)

    def _choose_plate(self) -> None:
        if path := ask_path(self, "The plate that the network was trained on", filters=PLATES):
            self.make_bank(path)
