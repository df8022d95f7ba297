"""The line of the dock Plate that audits every stack of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QFileDialog, QPushButton, QVBoxLayout, QWidget

from gradcamo.docks.parts.dock import Dock
from gradcamo.docks.parts.preferences import ask_path
from gradcamo.docks.parts.tint import GOOD, WARN
from gradcamo.docks.parts.widgets import JobRow

if TYPE_CHECKING:
    from gradcamo.docks.window import Window


class AuditRow(Dock):
    """Asks for a folder, shows how far the run is, and what it came to."""

    def __init__(self, window: Window, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.audit = window.plate_audit
        self.begin = QPushButton("Audit the plate…")
        self.progress = JobRow(self.audit.job, "stacks")
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        for part in (self.begin, self.progress, self.message):
            box.addWidget(part)
        self.begin.clicked.connect(self._choose_folder)
        self.follow(self.audit.job, self._enable)
        self.audit.progressed.connect(self._on_progress)
        self.audit.finished.connect(self._on_finished)
        self.audit.job.ended.connect(self._on_ended)
        for signal in (window.on_disk.changed, window.session.checkpoint_changed):
            signal.connect(self._enable)
        self._enable()

    def _enable(self, *_: Any) -> None:
        lacking = self.audit.lacking()
        self.begin.setEnabled(not lacking and not self.audit.job.running)
        needs = f"needs {lacking}; " if lacking else ""
        self.begin.setToolTip(
            f"{needs}scores every cell of every stack as the steps Segment, Model and Explain say, "
            "into a folder of results with a report"
        )

    def _on_progress(self, step: Any) -> None:
        self.progress.show_progress(step.done, step.total, step.seconds_left)
        if step.done == 0 or step.done == step.total:
            self.progress.text.say(f"{step.stage} …")

    def _on_finished(self, summary: Any) -> None:
        self.message.say(str(summary), WARN if summary.exit_status or summary.cautions else GOOD)

    def _on_ended(self, complete: bool) -> None:
        if not complete and self.audit.job.cancelling:
            self.message.say("Stopped. The same folder, chosen again, goes on from here.", WARN)

    def _choose_folder(self) -> None:
        folder = ask_path(self, "A folder for the results", QFileDialog.getExistingDirectory)
        if folder:
            with self.telling():
                self.audit.start(folder)
                self.message.say("")
