"""Figures: scores and attention by group, as in the paper; saved as they are seen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
from qtpy.QtWidgets import QComboBox, QFileDialog, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from gradcamo.docks.session import Session, session_of
from gradcamo.docks.widgets import GOOD, Message
from gradcamo.docks.worker import Job
from gradcamo.errors import GradcamoError

if TYPE_CHECKING:
    import napari

GROUPS = ("treatment", "predicted", "well", "site")
KINDS = {"scores": "Grad-CAMO scores", "budget": "attention budget"}


class FiguresDock(QWidget):
    """Which figure, by which group."""

    def __init__(self, napari_viewer: napari.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session: Session = session_of(napari_viewer)
        self.job = Job(self)
        self.figure: Any = None
        self._canvas: FigureCanvasQTAgg | None = None
        self._outdated = False
        self.kind = QComboBox()
        for kind, name in KINDS.items():
            self.kind.addItem(name, kind)
        self.kind.setToolTip(
            "scores with the cut-off and the share that passes, or where the "
            "attention lies: own cell, neighbours, background"
        )
        self.group = QComboBox()
        self.group.setToolTip("the column that the cells are grouped by")
        self.save = QPushButton("Save…")
        self.save.setToolTip("save the figure as PNG, SVG or PDF")
        self.message = Message()
        line = QHBoxLayout()
        for part in (self.kind, self.group):
            line.addWidget(part, 1)
        line.addWidget(self.save)
        self.box = QVBoxLayout(self)
        self.box.addLayout(line)
        self.box.addWidget(self.message)

        for part in (self.kind, self.group):
            part.activated.connect(self.draw)
        self.save.clicked.connect(self._choose)
        self.job.stepped.connect(self._show)
        self.job.failed.connect(self.message.fail)
        self.job.ended.connect(self._on_end)
        self.session.results_changed.connect(self._on_results)
        self.session.flags_changed.connect(self.draw)
        self._on_results()

    def draw(self, *_: Any) -> None:
        """Draw the chosen figure in the background."""
        table = self.session.results.table
        if "grad_camo" not in table or not table["grad_camo"].notna().any():
            self.save.setEnabled(False)
            self.message.say("No scores yet: audit the cells first.")
            return
        if self.job.running or not self.isVisible():
            self._outdated = True
            return
        self._outdated = False
        kind, group = self.kind.currentData(), self.group.currentText()
        grouped = grouped_by(table, group)
        cutoff = self.session.results.cutoff

        def steps() -> Iterator[Any]:
            from gradcamo.figures import attention_budget, scores_by_dose_and_site

            if kind == "scores":
                yield scores_by_dose_and_site(grouped, cutoff)
            else:
                yield attention_budget(grouped)

        self.job.start(steps)

    def write(self, path: str) -> None:
        """Save the figure that is shown."""
        from gradcamo.files.store import landing

        try:
            with landing(path) as scratch:
                self.figure.savefig(scratch, dpi=200, format=path.rsplit(".", 1)[-1].lower())
        except (GradcamoError, ValueError) as error:
            self.message.fail(GradcamoError(str(error)))
        else:
            self.message.say(f"written to {path}", GOOD)

    def showEvent(self, event: Any) -> None:
        super().showEvent(event)
        self.draw()

    def _on_results(self) -> None:
        before = self.group.currentText()
        there = [name for name in GROUPS if name in self.session.results.table]
        self.group.clear()
        self.group.addItems(there)
        if before in there:
            self.group.setCurrentText(before)
        self.draw()

    def _show(self, figure: Any) -> None:
        if self._canvas is not None:
            self.box.removeWidget(self._canvas)
            self._canvas.deleteLater()
        self.figure = figure
        self._canvas = FigureCanvasQTAgg(figure)
        self._canvas.setMinimumHeight(260)
        self.box.insertWidget(1, self._canvas, 1)
        self.save.setEnabled(True)
        self.message.say("")

    def _on_end(self, complete: bool) -> None:
        if self._outdated:
            self.draw()

    def _choose(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self, "Save the figure", "scores.png", "PNG (*.png);;SVG (*.svg);;PDF (*.pdf)"
        )
        if path:
            self.write(path)


def grouped_by(table: pd.DataFrame, group: str) -> pd.DataFrame:
    """The table with the group in the place where figures look for treatment and site."""
    site = table.get("site", "this stack")
    return table.assign(treatment=table[group].astype("str"), site=site)
