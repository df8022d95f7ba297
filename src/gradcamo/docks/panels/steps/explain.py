"""Explain: layer, treatment, alignment, and the audit of every cell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from gradcamo.docks.panels.steps.causal_check import CausalCheck
from gradcamo.docks.parts.dock import Dock
from gradcamo.docks.parts.preferences import keep, recall
from gradcamo.docks.parts.rows import SettingRows
from gradcamo.docks.parts.tint import GOOD, WARN
from gradcamo.docks.parts.widgets import JobRow, Message, line_of
from gradcamo.docks.window import window_of
from gradcamo.settings import AuditSettings
from gradcamo.words import counted

if TYPE_CHECKING:
    import napari


KEPT = ("alignment", "gradients")


class ExplainDock(Dock):
    """Say how cells are explained, and score them."""

    def __init__(self, napari_viewer: napari.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        window = window_of(napari_viewer)
        self.session, self._audits = window.session, window.audits
        self._swapping = window.swapping
        self.missing = Message()
        self.rows = SettingRows(
            AuditSettings,
            ("layer", "target", *KEPT),
            choices={"layer": (), "target": ()},
            titles={"target": "Treatment"},
        )
        for name in KEPT:
            choice = self.rows.inputs[name]
            if recall(name) in choice.choices:
                choice.value = recall(name)
        self.audit_all = QPushButton("Audit all cells")
        self.audit_all.setToolTip("explain and score every cell that lies in the stack whole")
        self.audit_selected = QPushButton("Audit selected")
        self.audit_selected.setToolTip("score the selected cells again, with the settings above")
        self.changed = Message()
        self.audit_changed = QPushButton("Audit changed")
        self.audit_changed.setToolTip(
            "score the cells again in whose crops labels were edited since they were scored"
        )
        self.progress = JobRow(self.session.auditing, "cells")
        self.causal = CausalCheck(window)

        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.addWidget(self.missing)
        box.addWidget(self.rows)
        box.addLayout(line_of(self.audit_all, self.audit_selected))
        changed = line_of(self.changed, self.audit_changed)
        changed.setStretch(0, 1)
        box.addLayout(changed)
        box.addWidget(self.progress)
        box.addWidget(self.message)
        box.addWidget(self.causal)

        self.audit_all.clicked.connect(self.start)
        self.audit_selected.clicked.connect(self.start_selected)
        self.audit_changed.clicked.connect(self.start_changed)
        self.rows.changed.connect(self._on_rows)
        session = self.session
        session.checkpoint_changed.connect(self._on_checkpoint)
        session.layer_proposed.connect(self.rows.inputs["layer"].set_value)
        for signal in (session.stack_changed, session.labels_changed, session.selection_changed):
            signal.connect(self._enable)
        for signal in (session.edited, session.results_changed):
            signal.connect(self._enable)
        for signal in (session.stack_changed, session.labels_changed):
            signal.connect(self._say_nothing)
        session.auditing.stepped.connect(self._on_batch)
        session.auditing.ended.connect(self._on_end)
        self.follow(session.auditing, self._enable)
        for signal in (session.swapping.began, session.swapping.ended):
            signal.connect(self._enable)
        self._on_checkpoint()

    def start(self) -> None:
        """Audit all cells."""
        self._audit(None)

    def start_selected(self) -> None:
        """Audit the selected cells only."""
        self._audit(self.session.selection.tolist())

    def start_changed(self) -> None:
        """Audit the cells that were edited since they were scored."""
        self._audit(sorted(self.session.results.stale))

    def _audit(self, only: list[int] | None) -> None:
        with self.telling():
            self._audits.start(self.settings(), only)
            self.message.say("")

    def settings(self) -> AuditSettings:
        """What the rows say."""
        return self.rows.settings(
            channels=self.session.channels, cutoff=self.session.results.cutoff
        )

    def _on_checkpoint(self) -> None:
        checkpoint = self.session.checkpoint
        if checkpoint is not None:
            layer = self.rows.inputs["layer"]
            layer.offer(checkpoint.layers)
            kept = recall("layer", {})
            known = kept.get(checkpoint.hash) if isinstance(kept, dict) else None
            layer.value = known if known in checkpoint.layers else checkpoint.layer
            self.rows.inputs["target"].offer(checkpoint.classes)
        self._on_rows()

    def _on_rows(self) -> None:
        session = self.session
        session.planned = self.settings()
        for name in KEPT:
            keep(name, getattr(session.planned, name))
        if session.checkpoint is not None and session.planned.layer:
            keep("layer", {session.checkpoint.hash: session.planned.layer})
        self._enable()

    def _say_nothing(self) -> None:
        self.message.say("")  # what was said told of other cells

    def _on_batch(self, batch: Any) -> None:
        self.progress.show_progress(batch.done, batch.total)

    def _on_end(self, complete: bool) -> None:
        counts = self.session.results.counts()
        if complete:
            self.message.say(
                f"{counted(counts['scored'], 'cell')} scored; "
                f"{counts['border']} at the border have no score"
                + (f"; {counts['outside']} lie outside their crops" if counts["outside"] else "")
                + (f"; {counts['silent']} show no positive evidence" if counts["silent"] else ""),
                GOOD,
            )
        elif self.session.auditing.cancelling:
            self.message.say(
                f"stopped; the scores of {counted(counts['scored'], 'cell')} are kept", WARN
            )

    def _enable(self, *_: Any) -> None:
        session = self.session
        lacking, checkpoint = session.lacking(), session.checkpoint
        if lacking or checkpoint is None:
            self.missing.say(f"Needed first: {' and '.join(lacking)}.")
        elif other := session.results.differ_from(checkpoint, self.settings()):
            self.missing.say(f"The scores are of {other}: Audit all cells replaces them.", WARN)
        else:
            self.missing.say("")
        busy = session.auditing.running or self._swapping.asks_many
        idle = not lacking and not busy
        stale = len(session.results.stale)
        self.audit_all.setEnabled(idle)
        self.audit_selected.setEnabled(idle and len(session.selection) > 0)
        self.audit_changed.setEnabled(idle)
        self.audit_changed.setVisible(stale > 0)
        them, were = ("it", "it was") if stale == 1 else ("them", "they were")
        self.changed.say(
            f"{counted(stale, 'cell')} changed since {were} scored, or what lies around "
            f"{them} did: audit {them} again"
            if stale
            else "",
            WARN,
        )
