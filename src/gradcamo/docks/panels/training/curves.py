"""Loss and accuracy of a training as it runs: training and validation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QVBoxLayout, QWidget

from gradcamo.docks.parts.plot import Plot
from gradcamo.docks.parts.tint import GOOD, INK, WARN, legible
from gradcamo.progress import EpochResult, TrainingProgress

COLOURS = {"train": GOOD, "validation": WARN}
FAINTLY = 90  # of 255: a batch's loss


class TrainingCurves(QWidget):
    """Two plots over epochs; the loss of every batch is drawn faintly behind."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(2)
        self.loss, self.accuracy = _plot("loss"), _plot("accuracy")
        self.accuracy.setYRange(0, 1)
        self.accuracy.setXLink(self.loss)
        self.loss.getAxis("bottom").setStyle(showValues=False)
        self.accuracy.getAxis("bottom").setLabel("epoch")
        self.accuracy.setFixedHeight(144)  # as the other, and the label
        self.batches = self.loss.plot()
        self.legend = self.loss.addLegend(offset=(-4, 2), colCount=2)
        self.legend.setLabelTextSize("8pt")
        self.curves = {}
        for name in COLOURS:
            for plot in (self.loss, self.accuracy):
                what = f"{name}_{'loss' if plot is self.loss else 'accuracy'}"
                self.curves[what] = plot.plot(name=name, symbol="o", symbolSize=6, symbolPen=None)
        for plot in (self.loss, self.accuracy):
            box.addWidget(plot)
        self.follow_theme()
        self.clear()

    def follow_theme(self) -> None:
        """Draw the curves in the colours of the theme, on plots that follow it."""
        for plot in (self.loss, self.accuracy):
            plot.follow_theme()
        for what, curve in self.curves.items():
            colour = legible(COLOURS[what.partition("_")[0]], self)
            curve.setPen(colour, width=2)
            curve.setSymbolBrush(colour)
        faint = QColor(legible(GOOD, self))
        faint.setAlpha(FAINTLY)
        self.batches.setPen(faint, width=1)
        for _, label in self.legend.items:
            label.setText(label.text, color=legible(INK, self))

    def clear(self) -> None:
        """Forget the training before."""
        self._losses: list[tuple[float, float]] = []
        self.batches.setData([], [])
        self.show_history(())

    def show_step(self, step: TrainingProgress) -> None:
        """Draw one more batch, and the epochs that ended."""
        for plot in (self.loss, self.accuracy):
            plot.getAxis("bottom").setTickSpacing(max(1, step.epochs // 8), 1)
        if step.stage == "training" and step.loss is not None:
            self._losses.append((step.epoch - 1 + step.done / step.total, step.loss))
            self.batches.setData(*np.transpose(self._losses))
        if len(step.history) != self._epochs:
            self.show_history(step.history)

    def show_history(self, history: Sequence[EpochResult]) -> None:
        """Draw the epochs that ended."""
        self._epochs = len(history)
        epochs = [result.epoch for result in history]
        for what, curve in self.curves.items():
            curve.setData(epochs, [getattr(result, what) for result in history])


def _plot(title: str) -> Plot:
    plot = Plot()
    plot.setFixedHeight(128)
    plot.setMenuEnabled(False)
    plot.setMouseEnabled(False, False)
    plot.showGrid(y=True, alpha=0.2)
    plot.getAxis("left").setWidth(46)
    plot.getAxis("left").setLabel(title)
    return plot
