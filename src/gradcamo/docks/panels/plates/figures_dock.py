"""Figures: scores and attention by group, as in the paper; saved as they are seen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QFrame,
    QHBoxLayout,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from gradcamo.cells.table import scored
from gradcamo.docks.panels.plates.source import CellSource
from gradcamo.docks.parts.dock import Dock
from gradcamo.docks.parts.preferences import keep, keep_choice, recall
from gradcamo.docks.parts.tint import GOOD
from gradcamo.docks.parts.worker import Job
from gradcamo.docks.window import window_of

if TYPE_CHECKING:
    import napari
    import pandas as pd

# column -> how it is said
GROUPS = {
    "treatment": "treatment",
    "predicted": "predicted treatment",
    "well": "well",
    "site": "site",
    "plate": "plate",
    "split": "training or test",
}
KINDS = {"scores": "Grad-CAMO scores", "budget": "attention budget"}
CAUSAL = {"causal": "causal budget", "agreement": "Grad-CAMO against causal share"}
"""Of cells that were asked causally."""
NO_TREATMENTS = "predicted treatment\n(the cells' own treatments are not known here)"
DPI = 80  # on the screen, where docks are narrow
LEAST_WIDTH, LEAST_HEIGHT = 36, 300  # pixels of a group, and of the figure


class FiguresDock(Dock):
    """Which figure, of whose cells, by which group."""

    def __init__(self, napari_viewer: napari.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        window = window_of(napari_viewer)
        self.session, self._plate = window.session, window.plate
        self.job = Job(self)
        self.figure: Any = None
        self._outdated = False
        self.source = CellSource(self.session, self._plate)
        self.kind = QComboBox()
        for kind, name in KINDS.items():
            self.kind.addItem(name, kind)
        self.kind.setToolTip(
            "scores with the cut-off and the share that passes, or where the "
            "attention lies: own cell, neighbours, background; of cells that were asked causally, "
            "what predictions owe to each, too"
        )
        keep_choice(self.kind, "figure")
        self.group = QComboBox()
        self.group.setToolTip("the column that the cells are grouped by")
        self.save = QPushButton("Save…")
        self.save.setToolTip("save the figure as PNG, SVG or PDF")
        self.paper = QScrollArea()  # many groups are wider than the dock
        self.paper.setWidgetResizable(True)
        self.paper.setFrameShape(QFrame.Shape.NoFrame)
        self.paper.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.paper.setMinimumHeight(LEAST_HEIGHT + 16)
        self.paper.hide()
        top, below = QHBoxLayout(), QHBoxLayout()
        top.addWidget(self.source, 1)
        top.addWidget(self.save)
        for part in (self.kind, self.group):
            below.addWidget(part, 1)
        box = QVBoxLayout(self)
        box.addLayout(top)
        box.addLayout(below)
        box.addWidget(self.paper, 1)
        box.addWidget(self.message)
        box.addStretch(0)

        self.kind.activated.connect(self.draw)
        self.group.activated.connect(self._on_group)
        self.save.clicked.connect(self._choose)
        self.job.stepped.connect(self._show)
        self.job.failed.connect(self._on_failed)
        self.job.ended.connect(self._on_end)
        self.source.changed.connect(self._on_source)
        self.session.results_changed.connect(self._on_results)
        self.session.flags_changed.connect(self.draw)
        self._plate.said.connect(self.message.say)
        self._on_cells()

    def draw(self, *_: Any) -> None:
        """Draw the chosen figure in the background."""
        known = "grad_camo" in self.source.columns
        if not known or not scored(self.source.table()).any():
            self.save.setEnabled(False)
            self.paper.hide()
            self.message.say(
                "No cell has a score: all touch the border, or nothing speaks for their class."
                if known and len(self.source.table())
                else "No scores yet: audit the cells, or open the results of a plate."
            )
            return
        if self.job.running or not self.isVisible():
            self._outdated = True
            return
        self._outdated = False
        table = self.source.table()
        kind, group, cutoff = self.kind.currentData(), self.group.currentData(), self._cutoff()
        named = group != "predicted" or "treatment" in table
        about = GROUPS[group] if named else NO_TREATMENTS
        table = table.copy()  # flags change while it is drawn
        least = LEAST_WIDTH * table[group].nunique() + 60
        width = max(least, self.paper.viewport().width()) / DPI

        def steps() -> Iterator[Any]:
            from gradcamo import figures

            if kind == "scores":
                figure = figures.scores_by_dose_and_site(table, cutoff, group, about, width)
            else:
                drawn = {
                    "budget": figures.attention_budget,
                    "causal": figures.causal_budget,
                    "agreement": figures.maps_against_causes,
                }
                figure = drawn[kind](table, group, about, width)
            yield figure, least

        self.job.start(steps)

    def write(self, path: str) -> None:
        """Save the figure that is shown."""
        from gradcamo.figures import save_figure

        with self.telling():
            save_figure(self.figure, path, dpi=200)
            self.message.say(f"written to {path}", GOOD)

    def showEvent(self, event: Any) -> None:
        super().showEvent(event)
        self.draw()

    def _cutoff(self) -> float:
        plate, results = self.source.plate, self.session.results
        return results.cutoff if plate is None or len(results) else plate.cutoff

    def _on_results(self) -> None:
        if self.source.plate is None:
            self._on_cells()

    def _on_source(self) -> None:
        self.group.clear()  # other cells, another grouping
        self._on_cells()

    def _on_group(self, _: int) -> None:
        keep("figure group", self.group.currentData())
        self.draw()

    def _on_cells(self) -> None:
        columns, before = self.source.columns, self.group.currentData()
        self.group.clear()
        for column, name in GROUPS.items():
            if column in columns:
                self.group.addItem(f"by {name}", column)
        if columns:
            wanted = (before, recall("figure group"), _default(self.source.table()))
            places = [self.group.findData(column) for column in wanted]
            self.group.setCurrentIndex(next((place for place in places if place >= 0), 0))
        self._offer_causal("causal_own" in columns)
        self.draw()

    def _offer_causal(self, asked: bool) -> None:
        for kind, name in CAUSAL.items():
            place = self.kind.findData(kind)
            if asked and place < 0:
                self.kind.addItem(name, kind)
            elif not asked and place >= 0:
                self.kind.removeItem(place)

    def _show(self, item: tuple) -> None:
        from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg

        self.figure, least = item
        self.figure.set_dpi(DPI)
        canvas = FigureCanvasQTAgg(self.figure)
        canvas.setMinimumSize(least, LEAST_HEIGHT)
        self.paper.setWidget(canvas)  # deletes the one before
        self.paper.show()
        self.save.setEnabled(True)
        self.message.say("")

    def _on_failed(self, error: Exception) -> None:
        self.paper.hide()
        self.save.setEnabled(False)
        self.message.fail(error)

    def _on_end(self, complete: bool) -> None:
        if self._outdated:
            self.draw()

    def _choose(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self,
            "Save the figure",
            f"{self.kind.currentData()}.png",
            "PNG (*.png);;SVG (*.svg);;PDF (*.pdf)",
        )
        if path:
            self.write(path)


def _default(table: pd.DataFrame) -> str:
    several = "treatment" in table and table["treatment"].nunique() > 1
    return "treatment" if several else "predicted"
