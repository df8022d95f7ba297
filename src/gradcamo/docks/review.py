"""Review: the cell that is looked at, the cut-off, the colours, the export."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from gradcamo.docks import export
from gradcamo.docks.card import CellCard
from gradcamo.docks.colouring import MODES, score_range
from gradcamo.docks.heat_options import HeatmapOptions
from gradcamo.docks.histogram import ScoreHistogram
from gradcamo.docks.session import Session, session_of
from gradcamo.docks.widgets import GOOD, Message
from gradcamo.errors import GradcamoError
from gradcamo.settings import AuditSettings

if TYPE_CHECKING:
    import napari

MODE_NAMES = {"score": "Grad-CAMO score", "flagged": "flagged or passing", "label": "cell"}


class ReviewDock(QWidget):
    """Decide which cells to keep."""

    def __init__(self, napari_viewer: napari.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session: Session = session_of(napari_viewer)
        self.card = CellCard()
        self.histogram = ScoreHistogram()
        self.cutoff = QDoubleSpinBox()
        self.cutoff.setRange(0, 1)
        self.cutoff.setDecimals(3)
        self.cutoff.setSingleStep(0.01)
        self.cutoff.setValue(self.session.results.cutoff)
        self.cutoff.setToolTip(AuditSettings.model_fields["cutoff"].description)
        self.cutoff.setFixedWidth(92)
        self.count = Message()
        self.mode = QComboBox()
        for mode in sorted(MODES, key=list(MODE_NAMES).index):
            self.mode.addItem(MODE_NAMES[mode], mode)
        self.mode.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.mode.setToolTip("what the colours of the cells stand for; grey cells have no score")
        self.outlines = QCheckBox("outlines")
        self.outlines.setChecked(session_of(napari_viewer).colours.outlines)
        self.outlines.setToolTip("colour outlines only, so that the image stays visible")
        self.heatmap = HeatmapOptions(self.session)
        self.export_flagged = QPushButton("Export flagged…")
        self.export_flagged.setToolTip("write the flagged cells to a CSV file")
        self.export_all = QPushButton("Export all…")
        self.export_all.setToolTip("write all cells to a CSV file")
        self.message = Message()

        cut = QHBoxLayout()
        cut.addWidget(self.cutoff)
        cut.addWidget(self.count, 1)
        form = QFormLayout()
        form.addRow("Cut-off", cut)
        colours = QHBoxLayout()
        colours.addWidget(self.mode, 1)
        colours.addWidget(self.outlines)
        form.addRow("Colours", colours)
        form.addRow("Heatmap", self.heatmap)
        out = QHBoxLayout()
        out.addWidget(self.export_flagged)
        out.addWidget(self.export_all)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.addWidget(self.card)
        box.addWidget(self.histogram)
        box.addLayout(form)
        box.addLayout(out)
        box.addWidget(self.message)

        session = self.session
        self.histogram.cutoff_moved.connect(session.set_cutoff)
        self.cutoff.valueChanged.connect(session.set_cutoff)
        self.mode.activated.connect(self._on_mode)
        self.outlines.toggled.connect(session.colours.set_outlines)
        self.export_flagged.clicked.connect(self._choose_flagged)
        self.export_all.clicked.connect(self._choose_all)
        session.results_changed.connect(self._on_results)
        session.flags_changed.connect(self._on_cutoff)
        session.cell_changed.connect(self._on_cell)
        self._on_results()

    def export(self, which: str, path: str) -> None:
        """Write ``flagged`` or ``all`` cells to a file."""
        try:
            number = export.write(self.session, which, path)
        except GradcamoError as error:
            self.message.fail(error)
        else:
            self.message.say(f"{number} cells written to {path}", GOOD)

    def _on_results(self) -> None:
        table = self.session.results.table
        scored = "grad_camo" in table and len(table) > 0
        self.histogram.setVisible(scored)
        if scored:
            self.histogram.show_scores(table["grad_camo"].to_numpy(float), score_range(table)[1])
        for widget in (self.export_flagged, self.export_all, self.cutoff):
            widget.setEnabled(scored)
        self._on_cutoff()
        self._on_cell(self.session.cell, "")

    def _on_cutoff(self) -> None:
        cutoff, counts = self.session.results.cutoff, self.session.results.counts()
        self.histogram.show_cutoff(cutoff)
        self.cutoff.blockSignals(True)
        self.cutoff.setValue(cutoff)
        self.cutoff.blockSignals(False)
        whole = counts["cells"] - counts["border"]
        share = f" ({counts['flagged'] / whole:.0%})" if whole else ""
        self.count.say(f"flags {counts['flagged']} of {whole}{share}" if whole else "")

    def _on_cell(self, label: int, chooser: str) -> None:
        table = self.session.results.table
        self.card.show_cell(table.loc[label] if label in table.index else None)

    def _on_mode(self) -> None:
        self.session.colours.set_mode(self.mode.currentData())

    def _choose_flagged(self) -> None:
        self._choose("flagged")

    def _choose_all(self) -> None:
        self._choose("all")

    def _choose(self, which: str) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self, f"Export {which} cells", f"{which}.csv", export.FILES
        )
        if path:
            self.export(which, path)
