"""Explain: a trained network, what it expects, and the audit of every cell."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from gradcamo.docks.rows import SettingRows
from gradcamo.docks.session import Session, session_of
from gradcamo.docks.widgets import GOOD, WARN, JobRow, Message
from gradcamo.errors import GradcamoError
from gradcamo.settings import AuditSettings

if TYPE_CHECKING:
    import napari

    from gradcamo.networks.checkpoint import Checkpoint

FILES = "Checkpoints (*.safetensors);;All files (*)"


class ExplainDock(QWidget):
    """Load a checkpoint, match its channels, score the cells."""

    def __init__(self, napari_viewer: napari.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session: Session = session_of(napari_viewer)
        self.open = QPushButton("Open checkpoint…")
        self.open.setToolTip("a .safetensors file that 'gradcamo train' wrote")
        self.demo = QPushButton("Demo network")
        self.demo.setToolTip("the network that comes with this package, for the built-in plate")
        self.summary = Message()
        self.matching = QWidget()
        self.matches: dict[str, QComboBox] = {}
        self.rows = SettingRows(
            AuditSettings, ("layer", "alignment", "target"), choices={"layer": (), "target": ()}
        )
        self.audit_all = QPushButton("Audit all cells")
        self.audit_all.setToolTip("explain and score every cell that lies in the stack whole")
        self.audit_selected = QPushButton("Audit selected")
        self.audit_selected.setToolTip("score the selected cells again, with the settings above")
        self.progress = JobRow(self.session.auditing, "cells")
        self.message = Message()

        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        for parts in ((self.open, self.demo), self.summary, self.matching, self.rows):
            if isinstance(parts, tuple):
                box.addLayout(_line(*parts))
            else:
                box.addWidget(parts)
        QFormLayout(self.matching).setContentsMargins(0, 0, 0, 0)
        box.addLayout(_line(self.audit_all, self.audit_selected))
        box.addWidget(self.progress)
        box.addWidget(self.message)

        self.open.clicked.connect(self._choose)
        self.demo.clicked.connect(self.load_demo)
        self.audit_all.clicked.connect(self.start)
        self.audit_selected.clicked.connect(self.start_selected)
        session = self.session
        self._loading = session.checkpoint_loading
        self._loading.stepped.connect(self._on_loaded)
        self._loading.failed.connect(self.message.fail)
        self._loading.began.connect(self._enable)
        self._loading.ended.connect(self._enable)
        session.checkpoint_changed.connect(self._on_checkpoint)
        for signal in (session.stack_changed, session.labels_changed):
            signal.connect(self._describe)
        session.selection_changed.connect(self._enable)
        session.auditing.began.connect(self._enable)
        session.auditing.stepped.connect(self._on_batch)
        session.auditing.failed.connect(self.message.fail)
        session.auditing.ended.connect(self._on_end)
        self._on_checkpoint()

    def load(self, path: str | Path) -> None:
        """Read a checkpoint in the background."""
        path = Path(path)

        def read() -> Iterator[Any]:
            from gradcamo.networks.checkpoint import Checkpoint

            checkpoint = Checkpoint.load(path)
            _ = checkpoint.layers, checkpoint.hash  # worked out here, read by the window
            yield checkpoint, path.stem

        try:
            self._loading.start(read)
        except GradcamoError as error:
            self.message.fail(error)
        else:
            self.message.say(f"reading {path.name} …")

    def load_demo(self) -> None:
        """Read the checkpoint that comes with the package."""
        from gradcamo.networks.checkpoint import BUNDLED

        self.load(BUNDLED)

    def start(self) -> None:
        """Audit all cells."""
        self._audit(None)

    def start_selected(self) -> None:
        """Audit the selected cells only."""
        self._audit(self.session.selection.tolist())

    def _audit(self, only: list[int] | None) -> None:
        try:
            self.session.audit(self.settings(), only)
        except GradcamoError as error:
            self.message.fail(error)
        else:
            self.message.say("")

    def settings(self) -> AuditSettings:
        """What the rows say."""
        channels = tuple(box.currentText() for box in self.matches.values()) or None
        return self.rows.settings(channels=channels, cutoff=self.session.results.cutoff)

    def _on_loaded(self, item: tuple[Checkpoint, str]) -> None:
        checkpoint, name = item
        self.message.say("")
        self.session.set_checkpoint(checkpoint, name)

    def _on_checkpoint(self) -> None:
        checkpoint = self.session.checkpoint
        if checkpoint is not None:
            self.rows.set_choices("layer", tuple(checkpoint.layers))
            self.rows.inputs["layer"].setCurrentText(checkpoint.layer)
            self.rows.set_choices("target", checkpoint.classes)
        self._describe()

    def _on_batch(self, batch: Any) -> None:
        self.progress.show_progress(batch.done, batch.total)

    def _on_end(self, complete: bool) -> None:
        self._enable()
        counts = self.session.results.counts()
        if complete:
            self.message.say(
                f"{counts['scored']} cells scored; {counts['border']} at the border have no score"
                + (f"; {counts['silent']} show no positive evidence" if counts["silent"] else ""),
                GOOD,
            )
        elif self.session.auditing.cancelling:
            self.message.say(f"stopped; {counts['scored']} scored cells are kept", WARN)

    def _describe(self) -> None:
        checkpoint, stack = self.session.checkpoint, self.session.stack
        self._match_channels(checkpoint, stack)
        self._enable()
        if checkpoint is None:
            self.summary.say("Open the network that should be explained.")
            return
        self.summary.say(described(checkpoint, self.session.checkpoint_name))

    def _match_channels(self, checkpoint: Checkpoint | None, stack: Any) -> None:
        form = self.matching.layout()
        while form.rowCount():
            form.removeRow(0)
        self.matches = {}
        fits = checkpoint and stack and set(checkpoint.channels) <= set(stack.channels)
        if checkpoint is None or stack is None or fits:
            self.matching.hide()
            return
        form.addRow(Message("The stack's channels are named otherwise: say which is which."))
        form.itemAt(0).widget().say(
            "The network's channels are not found by name. Say which is which:", WARN
        )
        for number, channel in enumerate(checkpoint.channels):
            box = QComboBox()
            box.addItems(stack.channels)
            box.setCurrentIndex(
                stack.channels.index(channel)
                if channel in stack.channels
                else min(number, len(stack.channels) - 1)
            )
            box.setToolTip(f"the stack's channel that shows what the network knows as {channel}")
            self.matches[channel] = box
            form.addRow(channel, box)
        self.matching.show()

    def _enable(self, *_: Any) -> None:
        session = self.session
        ready = None not in (session.checkpoint, session.stack, session.labels_layer)
        idle = ready and not session.auditing.running
        self.audit_all.setEnabled(idle)
        self.audit_selected.setEnabled(idle and len(session.selection) > 0)
        for button in (self.open, self.demo):
            button.setEnabled(not self._loading.running and not session.auditing.running)

    def _choose(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Open a checkpoint", "", FILES)
        if path:
            self.load(path)


def described(checkpoint: Checkpoint, name: str) -> str:
    """A checkpoint in a few lines."""
    grid = " × ".join(str(n) for n in checkpoint.layers[checkpoint.layer].grid)
    seen = " × ".join(str(n) for n in checkpoint.input_size)
    return (
        f"<b>{name}</b> tells {len(checkpoint.classes)} treatments apart: "
        f"{', '.join(checkpoint.classes)}.<br>"
        f"Channels: {', '.join(checkpoint.channels)}.<br>"
        f"Input {seen}; explained at {checkpoint.layer}, a grid of {grid}."
    )


def _line(*widgets: QWidget) -> QHBoxLayout:
    line = QHBoxLayout()
    line.setContentsMargins(0, 0, 0, 0)
    for widget in widgets:
        line.addWidget(widget)
    return line
