"""Layers: every layer of the network scored on held-out wells, and one taken to explain with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from gradcamo.docks.parts.dock import Dock
from gradcamo.docks.parts.preferences import PLATES, ask_path, keep
from gradcamo.docks.parts.rows import SettingRows
from gradcamo.docks.parts.steps import scrolling_column
from gradcamo.docks.parts.tint import GOOD, WARN
from gradcamo.docks.parts.widgets import JobRow, line_of
from gradcamo.docks.window import window_of
from gradcamo.settings import LayerAuditSettings

if TYPE_CHECKING:
    import napari

    from gradcamo.auditing.layer_audit import LayerAudit
    from gradcamo.networks.checkpoint import Checkpoint

DPI = 80  # on the screen, where docks are narrow
SHEET = 4.5  # inches, as wide as a dock
LEAST_HEIGHT = 420  # pixels


class LayersDock(Dock):
    """Choose a plate, score all layers, look at the trade-off, take a layer."""

    def __init__(self, napari_viewer: napari.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        window = window_of(napari_viewer)
        self.session = window.session
        self.job = self.session.layer_auditing
        self.plate: Path | None = None
        self.result: LayerAudit | None = None
        self._scored: Checkpoint | None = None
        self.figure: Any = None
        self._canvas: Any = None
        self.open = QPushButton("Open plate…")
        self.open.setToolTip("the plate on whose held-out wells the layers are scored")
        self.begin = QPushButton("Score every layer")
        self.begin.setToolTip("one pass over the plate's cells, all layers at once")
        self.rows = SettingRows(LayerAuditSettings, ("alignment", "gradients"))
        self.rows.keep_as("layers")
        self.progress = JobRow(self.job, "cells")
        self.progress.cancel.setToolTip("stop after this batch")
        self.layer = QComboBox()
        self.take = QPushButton("Explain at this layer")
        self.take.setToolTip("set this layer in the Explain dock")
        self.save = QPushButton("Save…")
        self.save.setToolTip(
            "keep table and plot in a folder; in a plate's folder the report takes them up"
        )
        box = scrolling_column(self)
        box.addLayout(line_of(self.open, self.begin))
        for part in (self.rows, self.progress, self.message):
            box.addWidget(part)
        self.place = QVBoxLayout()
        box.addLayout(self.place, 1)
        self.chosen = QWidget()
        self.chosen.setLayout(line_of(self.layer, self.take, self.save))
        box.addWidget(self.chosen)
        box.addStretch()
        self.chosen.hide()

        self.open.clicked.connect(self._choose)
        self.begin.clicked.connect(self.start)
        self.take.clicked.connect(self._take)
        self.save.clicked.connect(self._choose_folder)
        self.job.stepped.connect(self._on_step)
        self.job.ended.connect(self._on_end)
        self.follow(self.job, self._enable)
        self.session.checkpoint_changed.connect(self._on_checkpoint)
        self._on_checkpoint()

    def load(self, path: str | Path) -> None:
        """Take this plate."""
        self.plate = Path(path)
        self._on_checkpoint()

    def start(self) -> None:
        """Score every layer in the background."""
        plate, checkpoint = self.plate, self.session.checkpoint
        if plate is None or checkpoint is None:
            return
        with self.telling():
            settings = self.rows.settings()
            asked = self.session.results.table.copy(deep=False)  # of the stack that is open
            asked.attrs = {"recipe": self.session.recipe()}

            def steps() -> Iterator[Any]:
                from gradcamo.auditing.layer_audit import layer_audit_steps, with_agreement
                from gradcamo.figures import layer_audit

                for step in layer_audit_steps(plate, checkpoint, settings):
                    if step.result is None:
                        yield step
                    else:
                        result = with_agreement(step.result, asked)
                        figure = layer_audit(result.summary, checkpoint.layer, SHEET)
                        yield result, figure, checkpoint

            self.run(self.job, steps, "reading the labels …")

    def write(self, folder: str | Path) -> None:
        """Keep table and plot in a folder."""
        from gradcamo.auditing.agreement import asked_in
        from gradcamo.auditing.layer_audit import with_agreement
        from gradcamo.auditing.layer_report import save_layer_audit

        if self.result is None or self._scored is None:
            return
        with self.telling():
            self.result = with_agreement(self.result, asked_in(folder))
            files = save_layer_audit(self.result, folder, self._scored.layer)
            names = ", ".join(path.name for path in files)
            self._tell(f"written to {folder}: {names}", self.layer.currentData())

    def _on_step(self, item: Any) -> None:
        if not isinstance(item[0], int):
            self._show(*item)
            return
        self.message.say("")
        self.progress.show_progress(item.done, item.total)

    def _show(self, result: LayerAudit, figure: Any, checkpoint: Checkpoint) -> None:
        from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg

        self.result, self._scored = result, checkpoint
        if self._canvas is not None:
            self.place.removeWidget(self._canvas)
            self._canvas.deleteLater()
        self.figure = figure
        figure.set_dpi(DPI)
        self._canvas = FigureCanvasQTAgg(figure)
        self._canvas.setMinimumSize(320, LEAST_HEIGHT)
        self.place.addWidget(self._canvas)
        self.chosen.setVisible(checkpoint is self.session.checkpoint)
        self._tell(
            f"{result.summary['cells'].iloc[0]} held-out cells, every layer", checkpoint.layer
        )

    def _tell(self, text: str, chosen: str) -> None:
        """What was done, the layers with what speaks against their ranks, and the cautions."""
        from gradcamo.auditing.layer_report import rank_text

        assert self.result is not None
        self.layer.clear()
        for row in self.result.summary.to_dict("records"):
            ranks = (
                f", with causal share {rank_text(row['causal_rho'])}" if "causal_rho" in row else ""
            )
            self.layer.addItem(row["layer"] + ranks, row["layer"])
        self.layer.setCurrentIndex(self.layer.findData(chosen))
        cautions = self.result.cells.attrs["recipe"]["cautions"]
        self.message.say("\n".join([text, *cautions]), WARN if cautions else GOOD)

    def _on_end(self, complete: bool) -> None:
        if self.job.cancelling:
            self.message.say("stopped; nothing was scored", WARN)

    def _on_checkpoint(self) -> None:
        self.plate = self.plate or self.session.trained_on
        self.chosen.setVisible(self.result is not None and self._scored is self.session.checkpoint)
        if self.session.checkpoint is None:
            self.message.say("No network yet: open one under Explain, or train one.")
        elif self.plate is None:
            self.message.say("Open the plate that the network was trained on.")
        else:
            self.message.say(f"{self.plate.parent.name}/{self.plate.name}")
        self._enable()

    def _enable(self, *_: Any) -> None:
        idle = not self.job.running
        for part in (self.open, self.rows, self.save):
            part.setEnabled(idle)
        ready = None not in (self.plate, self.session.checkpoint)
        self.begin.setEnabled(idle and ready)

    def _take(self) -> None:
        layer, checkpoint = self.layer.currentData(), self.session.checkpoint
        if checkpoint is None:
            return
        keep("layer", {checkpoint.hash: layer})  # for an Explain that is not open yet
        self.session.layer_proposed.emit(layer)
        self.message.say(f"the cells are explained at {layer} from now on", GOOD)

    def _choose(self) -> None:
        path = ask_path(self, "Open a plate", filters=PLATES)
        if path:
            self.load(path)

    def _choose_folder(self) -> None:
        folder = ask_path(self, "A folder for table and plot", QFileDialog.getExistingDirectory)
        if folder:
            self.write(folder)
