"""Import weights: what a published .pth does not say, asked once and kept as a checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import (
    QFileDialog,
    QFormLayout,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from gradcamo.datatypes import unknown_axes
from gradcamo.docks.parts.dock import Dialog
from gradcamo.docks.parts.preferences import ask_path
from gradcamo.docks.parts.rows import SettingRows
from gradcamo.docks.parts.tint import GOOD
from gradcamo.docks.parts.widgets import Fold, Message, line_of
from gradcamo.docks.parts.worker import Job
from gradcamo.docks.work.ready import ready
from gradcamo.errors import GradcamoError
from gradcamo.settings import CropSettings, ImportSettings

if TYPE_CHECKING:
    from gradcamo.docks.state.session import Session
    from gradcamo.networks.published import Described

FILES = "Published weights (*.pth *.pt);;All files (*)"
TITLES = {
    "classes": "Treatments",
    "channel_mean": "Means",
    "channel_std": "Deviations",
    "input_size": "Input (z, y, x)",
    "spacing_um": "Voxel (µm)",
    "size_yx": "Crop (y, x)",
    "planes": "Crop (planes)",
}


class ImportDialog(Dialog):
    """Reads the weights, offers what it can tell, writes a checkpoint and opens it."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self.setWindowTitle("Import EfficientNet-PyTorch-3D weights")
        self.setMinimumWidth(460)
        self.job = Job(self)
        self.weights = QLineEdit()
        self.weights.setToolTip("what torch.save(model.state_dict(), path) wrote")
        self.browse = QPushButton("…")
        self.browse.setToolTip("choose the weights")
        self.found = Message("Choose weights that were trained with EfficientNet-PyTorch-3D.")
        self.names = SettingRows(ImportSettings, ("classes", "channels"), titles=TITLES)
        self.numbers = SettingRows(ImportSettings, ("channel_mean", "channel_std"), titles=TITLES)
        self.measure = QPushButton("Measure means and deviations on the open stack")
        self.measure.setToolTip(
            "take them from the crops of the cells that are open, where those of the training are "
            "not known"
        )
        self.sizes = SettingRows(ImportSettings, ("input_size", "spacing_um"), titles=TITLES)
        self.crop = SettingRows(CropSettings, ("size_yx", "planes", "rescale"), titles=TITLES)
        self.crop.inputs["planes"].native.setSpecialValueText("all")
        self.more = SettingRows(ImportSettings, ("layer", "network", "width"))
        self.out = QLineEdit()
        self.out.setToolTip("the checkpoint that is written (.safetensors)")
        self.browse_out = QPushButton("…")
        self.browse_out.setToolTip("choose where the checkpoint is written")
        self.begin = QPushButton("Import")
        self.begin.setToolTip("write the checkpoint and open it")

        box = QVBoxLayout(self)
        top = QFormLayout()
        top.addRow("Weights", line_of(self.weights, self.browse))
        box.addLayout(top)
        for part in (self.found, self.names, self.numbers, self.measure, self.sizes, self.crop):
            box.addWidget(part)
        box.addWidget(Fold("Layer and variant", self.more))
        bottom = QFormLayout()
        bottom.addRow("Keep as", line_of(self.out, self.browse_out))
        box.addLayout(bottom)
        box.addWidget(self.begin)
        box.addWidget(self.message)
        box.addStretch(1)

        self.browse.clicked.connect(self._choose)
        self.browse_out.clicked.connect(self._choose_out)
        self.weights.editingFinished.connect(self._on_weights)
        self.measure.clicked.connect(self.start_measuring)
        self.begin.clicked.connect(self.start)
        self.job.stepped.connect(self._on_step)
        self.follow(self.job, self._enable)
        self._read = ""
        self._enable()

    def choose(self, path: str | Path) -> None:
        """Read these weights."""
        self.weights.setText(str(path))
        self._on_weights()

    def start(self) -> None:
        """Write the checkpoint and open it."""
        with self.telling():
            settings = self.settings()
            weights = _path(self.weights, "choose the weights to import")
            out = _path(self.out, "choose where to keep the checkpoint")

            def steps() -> Iterator[Any]:
                from gradcamo.networks.published import import_published

                checkpoint = import_published(weights, settings)
                checkpoint.save(out)
                yield "checkpoint", (ready(checkpoint), out.stem, out)

            self.run(self.job, steps, "importing …")

    def start_measuring(self) -> None:
        """Take means and deviations from the cells that are open."""
        stack, layer = self.session.stack, self.session.labels_layer
        if stack is None or layer is None:
            return
        with self.telling():
            crop, channels = self.crop.settings(), self.names.values()["channels"]

            def steps() -> Iterator[Any]:
                from gradcamo.cells.crops import CellCrops
                from gradcamo.cells.statistics import mean_and_std
                from gradcamo.cells.windows import held

                chosen = stack.select(channels) if channels else stack
                crops = CellCrops(held(chosen), layer.data, crop)
                whole = (c.image for c in crops.each(range(len(crops))) if not c.touches_border)
                yield "measured", mean_and_std(whole, chosen.channels)

            self.run(self.job, steps, "measuring …")

    def settings(self) -> ImportSettings:
        """What the rows say."""
        others = {**self.names.values(), **self.numbers.values(), **self.more.values()}
        return self.sizes.settings(**others, crop=self.crop.settings())

    def _on_weights(self) -> None:
        path = self.weights.text().strip()
        if not path or path == self._read or self.job.running:
            return
        self._read = path

        def steps() -> Iterator[Any]:
            from gradcamo.networks.published import describe_weights, published_state

            yield "weights", describe_weights(published_state(path))

        with self.telling():
            self.run(self.job, steps, f"reading {Path(path).name} …")
        if not self.out.text().strip():
            self.out.setText(str(Path(path).with_suffix(".safetensors")))

    def _on_step(self, item: tuple[str, Any]) -> None:
        kind, value = item
        if kind == "weights":
            self._offer(value)
        elif kind == "measured":
            for name, numbers in zip(("channel_mean", "channel_std"), value, strict=True):
                self.numbers.inputs[name].value = [f"{n:.4f}" for n in numbers]
            self.message.say("measured on the whole cells of the open stack", GOOD)
        else:
            self.message.say("")
            self.session.set_checkpoint(*value)
            self.accept()

    def _offer(self, found: Described) -> None:
        self.message.say("")
        self.found.say(
            f"{found.network}, width {found.width:g}, trained on {found.channels} channels and "
            f"{found.names} treatments: name them, "
            f"{'the one below 0 first' if found.classes == 1 else 'in the order of the training'}.",
            GOOD,
        )
        stack = self.session.stack
        classes, channels = self.names.inputs["classes"], self.names.inputs["channels"]
        classes.native.setPlaceholderText(f"{found.names} names, separated by commas")
        channels.native.setPlaceholderText(f"{found.channels} names, separated by commas")
        if stack is not None and len(stack.channels) == found.channels:
            if not channels.value:
                channels.value = stack.channels
            spacing = self.sizes.inputs["spacing_um"]
            if stack.spacing_um and not unknown_axes(stack.spacing_um) and not spacing.value:
                spacing.value = [f"{s:g}" for s in stack.spacing_um]

    def _enable(self, *_: Any) -> None:
        idle = not self.job.running
        self.begin.setEnabled(idle)
        there = None not in (self.session.stack, self.session.labels_layer)
        self.measure.setEnabled(idle and there)

    def _choose(self) -> None:
        path = ask_path(self, "Published weights", filters=FILES)
        if path:
            self.choose(path)

    def _choose_out(self) -> None:
        name = Path(self.out.text() or "model.safetensors").name
        path = ask_path(self, "Keep the checkpoint as", QFileDialog.getSaveFileName, name)
        if path:
            self.out.setText(path)


def _path(line: QLineEdit, missing: str) -> Path:
    if not line.text().strip():
        raise GradcamoError(f"{missing} first")
    return Path(line.text().strip())
