"""The cut-off: what a value would let pass is seen before it is applied."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QRectF, Qt
from qtpy.QtGui import QColor, QFontMetrics, QPainter
from qtpy.QtWidgets import QDoubleSpinBox, QHBoxLayout, QPushButton, QSlider, QVBoxLayout, QWidget
from superqt.utils import signals_blocked

from gradcamo.cells.table import passes, whole
from gradcamo.docks.canvas.colouring import score_range
from gradcamo.docks.panels.steps.histogram import ScoreHistogram
from gradcamo.docks.parts.tint import EMPTY, GOOD, legible
from gradcamo.docks.parts.widgets import Message, with_points
from gradcamo.docks.state.session import Session
from gradcamo.settings import AuditSettings

if TYPE_CHECKING:
    import pandas as pd

PARTS = 1000  # of the slider
GROUPS = ("treatment", "predicted")  # the first that the table has


class PassingBars(QWidget):
    """One bar a group: its name, the share that passes, and how many cells these are."""

    ROW, MOST = 18, 9

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows: list[tuple[str, int, int]] = []  # name, passing, cells

    def show_groups(self, groups: pd.DataFrame) -> None:
        """Show ``passing`` of ``cells`` of each group."""
        names, numbers = groups.index.astype(str), groups[["passing", "cells"]].to_numpy()
        self.rows = [(n, int(p), int(c)) for n, (p, c) in zip(names, numbers, strict=True)]
        self.setFixedHeight(self.ROW * min(len(self.rows), self.MOST + 1))
        lines = [f"{name}: {part:,} of {cells:,} pass" for name, part, cells in self.rows]
        self.setToolTip("\n".join(lines))
        self.update()

    def paintEvent(self, event: Any) -> None:
        painter = QPainter(self)
        measure = painter.fontMetrics()
        left, names = _names([name for name, _, _ in self.rows], measure)
        right = 8 + measure.horizontalAdvance("0,000 of 0,000")
        middle = Qt.AlignmentFlag.AlignVCenter
        for number, (_, part, cells) in enumerate(self.rows[: self.MOST]):
            top = number * self.ROW
            painter.setPen(self.palette().windowText().color())
            painter.drawText(QRectF(0, top, left, self.ROW), middle, names[number])
            bar = QRectF(left, top + 5, max(self.width() - left - right, 20), self.ROW - 10)
            painter.fillRect(bar, QColor(legible(EMPTY, self)))
            bar.setWidth(bar.width() * part / max(cells, 1))
            painter.fillRect(bar, QColor(legible(GOOD, self)))
            text = f"{part:,} of {cells:,}"
            box = QRectF(self.width() - right, top, right, self.ROW)
            painter.drawText(box, middle | Qt.AlignmentFlag.AlignRight, text)
        if len(self.rows) > self.MOST:
            box = QRectF(0, self.MOST * self.ROW, self.width(), self.ROW)
            painter.drawText(box, middle, f"and {len(self.rows) - self.MOST} more")


def _names(names: list[str], measure: QFontMetrics) -> tuple[int, list[str]]:
    """How many pixels names need, at most 110, and the names, shortened where that is too few."""
    widest = max((measure.horizontalAdvance(name) for name in names), default=0)
    left = min(110, widest + 10)
    elide = Qt.TextElideMode.ElideRight
    return left, [measure.elidedText(name, elide, left - 6) for name in names]


class CutoffBox(QWidget):
    """Histogram, slider and number are one and the same; Apply flags the cells."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self._top = 1.0
        help_ = AuditSettings.model_fields["cutoff"].description
        self.histogram = ScoreHistogram()
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, PARTS)
        self.slider.setToolTip(f"{help_}; nothing changes until it is applied")
        self.value = with_points(QDoubleSpinBox())
        self.value.setRange(0, 1)
        self.value.setDecimals(3)
        self.value.setSingleStep(0.01)
        self.value.setToolTip(f"{help_}; Enter applies it")
        self.value.setKeyboardTracking(False)  # half a number is no proposal
        self.value.setFixedWidth(92)
        self.apply_button = QPushButton("Apply")
        self.apply_button.setToolTip("flag the cells that score less")
        self.count = Message()
        self.bars = PassingBars()
        line = QHBoxLayout()
        line.addWidget(self.slider, 1)
        line.addWidget(self.value)
        line.addWidget(self.apply_button)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(4)
        box.addWidget(self.histogram)
        box.addLayout(line)
        box.addWidget(self.count)
        box.addWidget(self.bars)

        self.histogram.cutoff_moved.connect(self.propose)
        self.slider.valueChanged.connect(self._on_slider)
        self.value.valueChanged.connect(self.propose)
        self.value.lineEdit().returnPressed.connect(self.apply)
        self.apply_button.clicked.connect(self.apply)
        session.results_changed.connect(self._on_results)
        session.flags_changed.connect(self._on_flags)
        self._applied = session.results.cutoff
        self._on_results()

    def propose(self, cutoff: float) -> None:
        """Show what this cut-off would let pass."""
        with signals_blocked(self.value), signals_blocked(self.slider):
            self.value.setValue(cutoff)
            self.slider.setValue(round(min(cutoff / self._top, 1) * PARTS))
        results = self.session.results
        self.histogram.show_cutoff(cutoff, results.cutoff)
        self.apply_button.setEnabled(abs(cutoff - results.cutoff) > 1e-9)
        if not len(results):
            return
        from gradcamo.profiles.cutoffs import passing

        table = results.table
        inside = whole(table)
        passed = passes(table, cutoff)[inside]
        group = next(name for name in GROUPS if name in table)
        self.bars.show_groups(passing(table[group][inside], passed.to_numpy()))
        number, cells = int(passed.sum()), len(passed)
        share = f" ({number / cells:.0%})" if cells else ""
        change = number - int(passes(table, results.cutoff).sum())
        more = f" · {change:+,} with this cut-off" if change else ""
        if by_hand := int(table["label"].isin(list(results.marks.flagged)).sum()):
            more += f" · {by_hand:,} flagged or cleared by hand, which counts in flags alone"
        self.count.say(f"<b>{number:,} of {cells:,}</b> cells pass{share}{more}; by {group}:")

    def apply(self) -> None:
        """Flag the cells that score less than what is proposed."""
        self.value.interpretText()
        self.session.set_cutoff(self.value.value())

    def _on_slider(self, part: int) -> None:
        self.propose(round(part / PARTS * self._top, 3))

    def _on_results(self) -> None:
        scored = len(self.session.results) > 0
        self.setVisible(scored)
        self._top = 1.0
        if scored:
            table = self.session.results.table
            self._top = score_range(table)[1]
            self.histogram.show_scores(table["grad_camo"].to_numpy(float), self._top)
        self._applied = self.session.results.cutoff
        self.propose(self._applied)

    def _on_flags(self) -> None:
        cutoff = self.session.results.cutoff
        moved, self._applied = cutoff != self._applied, cutoff
        self.propose(cutoff if moved else self.value.value())
