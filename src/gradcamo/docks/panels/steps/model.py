"""Model: the network to explain, what it expects, and which channel of the stack is which."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QComboBox, QFormLayout, QPushButton, QVBoxLayout, QWidget

from gradcamo.datatypes import spacing_text
from gradcamo.docks.panels.steps.importing import ImportDialog
from gradcamo.docks.parts.dock import Dock
from gradcamo.docks.parts.preferences import ask_path, keep, recall
from gradcamo.docks.parts.tint import WARN
from gradcamo.docks.parts.widgets import Message, line_of
from gradcamo.docks.window import window_of
from gradcamo.docks.work.ready import ready
from gradcamo.networks.bundled import BUNDLED

if TYPE_CHECKING:
    import napari

    from gradcamo.networks.checkpoint import Checkpoint

FILES = "Checkpoints (*.safetensors);;Published weights (*.pth *.pt);;All files (*)"


class ModelDock(Dock):
    """Load a checkpoint, read what it is, match its channels."""

    def __init__(self, napari_viewer: napari.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        window = window_of(napari_viewer)
        self.session = window.session
        self.open = QPushButton("Open…")
        self.open.setToolTip("a checkpoint (.safetensors) that 'gradcamo train' wrote")
        self.import_ = QPushButton("Import weights…")
        self.import_.setToolTip(
            "make a checkpoint of weights (.pth) that were trained with EfficientNet-PyTorch-3D"
        )
        self.demo = QPushButton("Demo network")
        self.demo.setToolTip("the network that comes with this package, for the built-in plate")
        self.summary = Message()
        self.note = Message()
        self.matching = QWidget()
        self.matches: dict[str, QComboBox] = {}
        self.dialog: ImportDialog | None = None
        self._form = QFormLayout(self.matching)
        self._form.setContentsMargins(0, 0, 0, 0)

        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.addLayout(line_of(self.open, self.import_, self.demo))
        for part in (self.summary, self.note, self.matching, self.message):
            box.addWidget(part)

        self.open.clicked.connect(self._choose)
        self.import_.clicked.connect(self.import_weights)
        self.demo.clicked.connect(self.load_demo)
        session = self.session
        self._loading = session.checkpoint_loading
        self._loading.stepped.connect(self._on_loaded)
        self.follow(self._loading, self._enable)
        session.auditing.began.connect(self._enable)
        session.auditing.ended.connect(self._enable)
        session.checkpoint_changed.connect(self._describe)
        session.stack_changed.connect(self._describe)
        session.spacing_changed.connect(self._warn)
        self._describe()

    def load(self, path: str | Path) -> None:
        """Read a checkpoint in the background; published weights are asked about first."""
        path = Path(path)
        if path.suffix in (".pth", ".pt"):
            self.import_weights().choose(path)
            return

        def read() -> Iterator[Any]:
            from gradcamo.networks.checkpoint import Checkpoint

            yield ready(Checkpoint.load(path)), path.stem, path

        with self.telling():
            self.run(self._loading, read, f"reading {path.name} …")

    def load_demo(self) -> None:
        """Read the checkpoint that comes with the package."""
        self.load(BUNDLED)

    def import_weights(self, *_: Any) -> ImportDialog:
        """Ask what published weights do not say, in a window of its own."""
        if self.dialog is None:
            self.dialog = ImportDialog(self.session, self)
        self.dialog.show()
        self.dialog.raise_()
        return self.dialog

    def _on_loaded(self, item: tuple[Checkpoint, str, Path]) -> None:
        self.message.say("")
        self.session.set_checkpoint(*item)

    def _describe(self) -> None:
        checkpoint, stack = self.session.checkpoint, self.session.stack
        self._match_channels(checkpoint, stack)
        self._warn()
        self._enable()
        if checkpoint is None:
            self.summary.say(
                "Open the network that should be explained. 'gradcamo train' makes one; the demo "
                "network knows the built-in plate."
            )
        else:
            self.summary.say(described(checkpoint, self.session.checkpoint_name))

    def _warn(self) -> None:
        checkpoint, stack = self.session.checkpoint, self.session.stack
        note = None
        if checkpoint is not None and stack is not None:
            from gradcamo.auditing.cautions import voxel_note

            note = voxel_note(stack.spacing_um, checkpoint.spacing_um)
        self.note.say(note[0].upper() + note[1:] + "." if note else "", WARN)

    def _match_channels(self, checkpoint: Checkpoint | None, stack: Any) -> None:
        form = self._form
        while form.rowCount():
            form.removeRow(0)
        self.matches = {}
        fits = checkpoint and stack and set(checkpoint.channels) <= set(stack.channels)
        if checkpoint is None or stack is None or fits:
            self.matching.hide()
            self._on_matched()
            return
        missing = Message()
        form.addRow(missing)
        wanted, there = len(checkpoint.channels), len(stack.channels)
        if there < wanted:
            missing.say(
                f"The network takes {wanted} channels, the stack has {there}: open a stack with "
                "all of them, or a network for these.",
                WARN,
            )
            self.matching.show()
            self._on_matched()
            return
        missing.say("The network's channels are not found by name. Say which is which:", WARN)
        kept = recall("channels", {})  # of this network or another: names tell
        for number, channel in enumerate(checkpoint.channels):
            box = QComboBox()
            box.addItems(stack.channels)
            known = next((n for n in (channel, kept.get(channel)) if n in stack.channels), "")
            place = stack.channels.index(known) if known else min(number, len(stack.channels) - 1)
            box.setCurrentIndex(place)
            box.setToolTip(f"the stack's channel that shows what the network knows as {channel}")
            box.currentTextChanged.connect(self._on_matched)
            box.activated.connect(self._keep_matches)
            self.matches[channel] = box
            form.addRow(channel, box)
        self.matching.show()
        self._on_matched()

    def _on_matched(self, *_: Any) -> None:
        self.session.channels = tuple(box.currentText() for box in self.matches.values()) or None

    def _keep_matches(self, *_: Any) -> None:
        keep("channels", {name: box.currentText() for name, box in self.matches.items()})

    def _enable(self, *_: Any) -> None:
        idle = not self._loading.running and not self.session.auditing.running
        for button in (self.open, self.import_, self.demo):
            button.setEnabled(idle)

    def _choose(self) -> None:
        path = ask_path(self, "Open a checkpoint", filters=FILES)
        if path:
            self.load(path)


def described(checkpoint: Checkpoint, name: str) -> str:
    """A checkpoint in a few lines."""
    grid = " × ".join(str(n) for n in checkpoint.layers[checkpoint.layer].grid)
    seen = " × ".join(str(n) for n in checkpoint.input_size)
    window = " × ".join(str(n) for n in checkpoint.crop.size_yx)
    if planes := checkpoint.crop.planes:
        window = f"{planes} planes of {window}"
    lines = [
        f"<b>{escape(name)}</b> tells {len(checkpoint.classes)} treatments apart: "
        f"{escape(', '.join(checkpoint.classes))}.",
        f"Channels: {escape(', '.join(checkpoint.channels))}.",
        f"Crops of {window} px, rescaled by {checkpoint.crop.rescale}, resized to {seen}; "
        f"explained at {checkpoint.layer}, a grid of {grid}.",
    ]
    if checkpoint.spacing_um:
        lines.append(f"Voxels: {spacing_text(checkpoint.spacing_um)}.")
    accuracy = checkpoint.recipe.get("accuracy") or {}
    told = [
        f"{accuracy[split]:.0%} of {words}"
        for split, words in (("test", "held-out cells"), ("train", "training cells"))
        if accuracy.get(split) is not None
    ]
    if told:
        lines.append(f"Right for {', '.join(told)} (chance: {1 / len(checkpoint.classes):.0%}).")
    if source := checkpoint.recipe.get("imported_from"):
        lines.append(f"Imported from {escape(source)}.")
    return "<br>".join(lines)
