"""Review: the cell that is looked at, the cut-off, the colours, the export."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from gradcamo.docks.canvas.colouring import MODES
from gradcamo.docks.panels.cells.card import CellCard
from gradcamo.docks.panels.cells.causal_line import CausalLine
from gradcamo.docks.panels.cells.caution_box import CautionBox
from gradcamo.docks.panels.cells.export_dialog import open_export
from gradcamo.docks.panels.steps.cutoff import CutoffBox
from gradcamo.docks.panels.steps.heat_options import HeatmapOptions
from gradcamo.docks.parts.preferences import keep, keep_choice, recall
from gradcamo.docks.window import window_of

if TYPE_CHECKING:
    import napari

MODE_NAMES = {
    "score": "Grad-CAMO score",
    "flagged": "flagged or passing",
    "causal": "owed to the cell itself",
    "region": "region owed most",
    "label": "cell",
}


class ReviewDock(QWidget):
    """Decide which cells to keep."""

    def __init__(self, napari_viewer: napari.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        window = window_of(napari_viewer)
        self.session, self._colours = window.session, window.colours
        self.cut = CutoffBox(self.session)
        self.mode = QComboBox()
        for mode in sorted(MODES, key=list(MODE_NAMES).index):
            self.mode.addItem(MODE_NAMES[mode], mode)
        self.mode.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.mode.setToolTip("what the colours of the cells stand for; grey cells have no score")
        keep_choice(self.mode, "colours of cells")
        if self.mode.currentData() != self._colours.mode:
            self._colours.set_mode(self.mode.currentData())
        self.outlines = QCheckBox("outlines")
        self._colours.outlines = bool(recall("outlines", True))
        self.outlines.setChecked(self._colours.outlines)
        self.outlines.setToolTip("colour outlines only, so that the image stays visible")
        self.heatmap = HeatmapOptions(self.session, window.heatmap)
        self.export_button = QPushButton("Export…")
        self.export_button.setToolTip("write cells as a table, a label image or heatmaps")
        self.card = CellCard(self.export_button)
        self.causal = CausalLine(window)
        self.cautions = CautionBox(self.session)

        form = QFormLayout()
        colours = QHBoxLayout()
        colours.addWidget(self.mode, 1)
        colours.addWidget(self.outlines)
        form.addRow("Colours", colours)
        form.addRow("Heatmap", self.heatmap)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.addWidget(self.card)
        box.addWidget(self.causal)
        box.addWidget(self.cautions)
        box.addWidget(self.cut)
        box.addLayout(form)
        box.addWidget(self.heatmap.fold)  # across the dock: its rows are too wide beside a name

        session = self.session
        self.mode.activated.connect(self._on_mode)
        self.outlines.toggled.connect(self._on_outlines)
        self.export_button.clicked.connect(self._export)
        session.results_changed.connect(self._on_results)
        session.cell_changed.connect(self._on_cell)
        self._on_results()

    def _export(self) -> None:
        open_export(self.session, self)

    def _on_results(self) -> None:
        self.export_button.setEnabled(len(self.session.results) > 0)
        self._on_cell(self.session.cell, "")

    def _on_cell(self, label: int, chooser: str) -> None:
        row = None
        if label:  # the table imports pandas, for which a dock that opens empty need not wait
            table = self.session.results.table
            row = table.loc[label] if label in table.index else None
        measured = self.session.measured is not None and label in self.session.measured.rows.index
        self.card.show_cell(row, label if measured else 0)

    def _on_outlines(self, outlines: bool) -> None:
        keep("outlines", outlines)
        self._colours.set_outlines(outlines)

    def _on_mode(self) -> None:
        self._colours.set_mode(self.mode.currentData())
