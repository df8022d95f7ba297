"""Below the cell that is looked at: ask it causally, see how, see what was done to it."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from gradcamo.auditing.cell_verdict import is_answered
from gradcamo.docks.panels.cells.swapped_crops_dock import SwappedCropsDock
from gradcamo.docks.parts.dock import Dock
from gradcamo.docks.parts.widgets import JobRow, line_of
from gradcamo.docks.window import Window

SWAPPED = "Swapped crops (Grad-CAMO)"  # the name that napari gives it from the Plugins menu


class CausalLine(Dock):
    """Follows the chosen cell."""

    def __init__(self, window: Window, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._window, self.session, self._swapping = window, window.session, window.swapping
        self.check = QPushButton("Causal check of this cell")
        self.check.setToolTip(
            "swap this cell, its neighbours and the background for those of other cells, and see "
            "what the network says then: a preview first, refined while you look at it"
        )
        self.swapped = QPushButton("Swapped crops …")
        self.swapped.setToolTip("the crops that the network was shown, and what it said of each")
        self.progress = JobRow(self.session.swapping, "cells")
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(3)
        box.addLayout(line_of(self.check, self.swapped))
        box.addWidget(self.progress)
        box.addWidget(self.message)

        self.check.clicked.connect(self.ask)
        self.swapped.clicked.connect(self.show_swapped)
        session = self.session
        self._swapping.told.connect(self.progress.show_steps)
        session.swapping.failed.connect(self.message.say_error)
        for signal in (
            session.results_changed,
            session.cell_changed,
            session.checkpoint_changed,
            session.swapping.began,
            session.swapping.ended,
            session.auditing.began,
            session.auditing.ended,
        ):
            signal.connect(self._enable)
        self._enable()

    def ask(self) -> None:
        """Ask the cell that is looked at."""
        with self.telling():
            self._swapping.look(self.session.cell)
            self.message.say("")
        self._enable()

    def show_swapped(self) -> None:
        """Open the dock with the swapped crops, or bring it to the front."""
        viewer: Any = self._window.viewer
        if not hasattr(viewer, "window"):
            return
        docks = viewer.window.dock_widgets
        open_ = next((w for w in docks.values() if isinstance(w, SwappedCropsDock)), None)
        if open_ is None:
            open_ = SwappedCropsDock(viewer)
            viewer.window.add_dock_widget(open_, name=SWAPPED, area="right", tabify=True)
        dock: Any = open_.parent()
        dock.show()
        dock.raise_()

    def _enable(self, *_: Any) -> None:
        session, swapping = self.session, self._swapping
        label = session.cell
        row: Any = None
        if label:  # the table imports pandas, for which a dock that opens empty need not wait
            table = session.results.table
            row = table.loc[label] if label in table.index else None
        whole = row is not None and not row["touches_border"] and row.get("cell_in_crop", 1) != 0
        asked = whole and not swapping.lacks(label)
        here = swapping.looking == label and session.swapping.running
        self.check.setVisible(whole and not asked and not here)
        idle = not session.lacking() and not session.auditing.running and not swapping.asks_many
        self.check.setEnabled(idle)
        self.swapped.setVisible(whole and is_answered(row) and not session.lacking())
        if not session.swapping.running or not label:
            return
        self.message.say("")
