"""Train: a plate becomes a network, with curves to watch and weights kept when cancelled."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSize, QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from gradcamo.docks.panels.training.curves import TrainingCurves
from gradcamo.docks.panels.training.train_plate import TrainPlate
from gradcamo.docks.parts.dock import Dock
from gradcamo.docks.parts.picture import Picture
from gradcamo.docks.parts.preferences import ask_path
from gradcamo.docks.parts.rows import SettingRows
from gradcamo.docks.parts.steps import WIDTH, Step, scrolling_column
from gradcamo.docks.parts.tint import GOOD, WARN
from gradcamo.docks.parts.widgets import Fold, JobRow, Message
from gradcamo.docks.window import window_of
from gradcamo.errors import GradcamoError
from gradcamo.progress import EpochResult, TrainingProgress
from gradcamo.settings import CropSettings, TrainSettings

if TYPE_CHECKING:
    import napari

    from gradcamo.networks.checkpoint import Checkpoint

SPLIT = ("train_columns", "test_columns", "validation_share")
CROP = ("size_yx", "planes", "rescale")
MAIN = ("epochs", "batch_size", "learning_rate", "width", "input_size")
NETWORKS = tuple(f"efficientnet-b{number}" for number in range(8))
STAGES = {
    "reading": "reading the labels",
    "statistics": "intensities of the training cells",
    "testing": "classifying all cells",
    "donors": "cutting donors for causal attention",
    "scoring": "scoring every layer",
}


class TrainDock(Dock):
    """Plate, network, training: one below the other."""

    def __init__(self, napari_viewer: napari.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        window = window_of(napari_viewer)
        self.session = window.session
        self.job = self.session.training
        self.plate = TrainPlate(window, self.settings)
        self.split = SettingRows(TrainSettings, SPLIT)
        self.main = SettingRows(TrainSettings, MAIN)
        self.crop = SettingRows(CropSettings, CROP, titles={"size_yx": "Crop size"})
        self.crop.inputs["planes"].native.setSpecialValueText("all")
        others = [
            name
            for name in TrainSettings.model_fields
            if name not in (*SPLIT, *MAIN, "crop", "devices")
        ]
        self.more = SettingRows(TrainSettings, others, choices={"network": NETWORKS})
        for rows, name in ((self.main, "train"), (self.crop, "crop"), (self.more, "train more")):
            rows.keep_as(name)  # not the wells to hold out: they are this plate's
        self.out = QLineEdit()
        self.out.setPlaceholderText("where the network is saved")
        self.out.setToolTip("the checkpoint to write; its report is written beside it")
        self.save_as = QPushButton("Save as…")
        self.resume = QCheckBox("Go on where this training was interrupted")
        self.begin = QPushButton("Train")
        self.begin.setToolTip("Cancel keeps the best weights so far")
        self.progress = JobRow(self.job, "batches")
        self.progress.cancel.setToolTip("stop after this batch; the best weights so far are kept")
        self.curves = TrainingCurves()
        self.note = Message()
        self.picture = Picture("how the held-out cells were classified; click to open the report")
        self._lay_out()

        self.save_as.clicked.connect(self._choose_out)
        self.out.textChanged.connect(self._on_out)
        self.begin.clicked.connect(self.start)
        self.picture.clicked.connect(self._open_report)
        self.plate.changed.connect(self._on_plate)
        cut = (self.crop.inputs[name] for name in ("size_yx", "planes"))
        for widget in (*self.split.inputs.values(), self.main.inputs["batch_size"], *cut):
            widget.native.editingFinished.connect(self.plate.check)
        self.job.stepped.connect(self._on_step)
        self.job.ended.connect(self._on_out)
        self.follow(self.job, self._enable)
        self._enable()

    def sizeHint(self) -> QSize:
        return QSize(WIDTH, 640)

    def _lay_out(self) -> None:
        settings, training = QWidget(), QWidget()
        for body, parts in (
            (settings, (self.main, self.crop, Fold("More settings", self.more, "more of train"))),
            (
                training,
                (
                    _line(self.out, self.save_as),
                    *(self.resume, self.begin, self.progress, self.curves),
                    *(self.note, self.message, self.picture),
                ),
            ),
        ):
            column = QVBoxLayout(body)
            column.setContentsMargins(0, 0, 0, 0)
            for part in parts:
                column.addWidget(part)
        plate = QWidget()
        column = QVBoxLayout(plate)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.plate)
        column.addWidget(Fold("Which wells", self.split))
        self.steps = [
            Step(number, title, body)
            for number, (title, body) in enumerate(
                (("Plate", plate), ("Network", settings), ("Training", training)), 1
            )
        ]
        label = self.crop.form.labelForField(self.crop.inputs["size_yx"].native)
        above = self.main.form.labelForField(self.main.inputs["learning_rate"].native)
        label.setMinimumWidth(above.sizeHint().width())
        column = scrolling_column(self)
        for step in self.steps:
            column.addWidget(step)
        column.addStretch(1)
        self.steps[0].open(True)
        for hidden in (self.resume, self.curves, self.picture):
            hidden.hide()

    def settings(self) -> TrainSettings:
        """What the rows say."""
        values = {**self.split.values(), **self.more.values()}
        return self.main.settings(**values, crop=self.crop.settings())

    def start(self) -> None:
        """Train in the background."""
        job, plate = self.job, self.plate.path
        with self.telling():
            settings, out = self.settings(), self.out.text().strip()
            if plate is None or not out:
                raise GradcamoError("choose a plate and say where the network is saved")
            path = Path(out).expanduser()
            path = path if path.suffix else path.with_suffix(".safetensors")
            resume = not self.resume.isHidden() and self.resume.isChecked()

            def steps() -> Iterator[Any]:
                from gradcamo.training.saving import train_and_save

                checkpoint = train_and_save(
                    plate,
                    path,
                    settings,
                    say=str,
                    progress=job.tell,
                    stop=lambda: job.cancelling,
                    resume=resume,
                )
                _ = checkpoint.layers, checkpoint.hash  # worked out here, read by the window
                yield checkpoint, path

            self.curves.clear()
            self.note.say("")
            self.picture.hide()
            self.run(job, steps, gentle=True)
            for number, step in enumerate(self.steps):
                step.open(number == 2)

    def _on_step(self, item: Any) -> None:
        if isinstance(item, TrainingProgress):
            self._show(item)
        else:
            self._take(*item)

    def _show(self, step: TrainingProgress) -> None:
        if step.note:
            self.note.say(step.note, WARN)
            return
        if step.batches:
            self.curves.show()
            self.curves.show_step(step)
            self.progress.show_progress(step.batches_done, step.batches)
            self.steps[2].set_state(f"epoch {step.epoch} of {step.epochs}", False)
        else:
            self.progress.bar.setRange(0, step.total)
            self.progress.bar.setValue(step.done)
            if not self.job.cancelling:
                self.progress.text.say(STAGES.get(step.stage, step.stage))

    def _take(self, checkpoint: Checkpoint, path: Path) -> None:
        """The network is ready to explain with."""
        from gradcamo.training.report import outcome

        recipe = checkpoint.recipe
        self.curves.show()
        self.curves.show_history([EpochResult(**epoch) for epoch in recipe["history"]])
        stopped = recipe["ended"] == "stopped"
        self.message.say(f"{outcome(recipe)} Saved as {path}.", WARN if stopped else GOOD)
        self.note.say(". ".join(recipe["notes"]), WARN)
        self.picture.show_file(path.with_suffix("").with_name(f"{path.stem}.report.png"))
        self.steps[2].set_state("ready to explain with", True)
        self.session.trained_on = self.plate.path
        self.session.set_checkpoint(checkpoint, path.stem, path)

    def _on_plate(self) -> None:
        path = self.plate.path
        if path is None:
            self.steps[0].set_state("no plate yet", False)
        else:
            self.steps[0].set_state(path.parent.name, self.plate.ready)
            if not self.out.text():
                self.out.setText(str(path.with_name("model.safetensors")))
        if self.plate.ready and not self.job.running:
            self.steps[2].open(True)
        self._enable()

    def _on_out(self, *_: Any) -> None:
        path = Path(self.out.text().strip() or "-none-").expanduser()
        self.resume.setVisible(path.with_name(path.name + ".state").is_file())
        self.resume.setChecked(True)
        self._enable()

    def _enable(self, *_: Any) -> None:
        idle = not self.job.running
        for part in (self.plate, self.split, self.main, self.crop, self.more, self.out):
            part.setEnabled(idle)
        self.save_as.setEnabled(idle)
        self.resume.setEnabled(idle)
        self.begin.setEnabled(idle and self.plate.ready and bool(self.out.text().strip()))

    def _choose_out(self) -> None:
        path = ask_path(
            self,
            "Save the network",
            QFileDialog.getSaveFileName,
            self.out.text() or "model.safetensors",
            "Checkpoints (*.safetensors)",
        )
        if path:
            self.out.setText(path)

    def _open_report(self) -> None:
        text = self.picture.path.with_suffix(".txt")
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(text)))


def _line(*widgets: QWidget) -> QWidget:
    holder = QWidget()
    line = QHBoxLayout(holder)
    line.setContentsMargins(0, 0, 0, 0)
    for widget in widgets:
        line.addWidget(widget)
    return holder
