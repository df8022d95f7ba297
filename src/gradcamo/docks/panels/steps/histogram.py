"""Scores as a histogram in the colours of the cells, with the cut-off as a line to drag."""

from __future__ import annotations

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QWidget
from superqt.utils import signals_blocked

from gradcamo.docks.canvas.colouring import score_colours
from gradcamo.docks.parts.plot import Plot
from gradcamo.docks.parts.tint import FAINT, INK, LINE, WARN, legible

BINS = 40


class ScoreHistogram(Plot):
    """How many cells score how much."""

    cutoff_moved = Signal(float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFixedHeight(88)
        self.setMenuEnabled(False)
        self.setMouseEnabled(False, False)
        self.hideAxis("left")
        self.setToolTip("drag the line to move the cut-off; dashed: the one that is applied")
        self._bars = pg.BarGraphItem(x=[], height=[], width=1)
        self._line = pg.InfiniteLine(0.25, movable=True, bounds=(0, 1))
        self._applied = pg.InfiniteLine(0.25)
        self.addItem(self._bars)
        self.addItem(self._applied)
        self.addItem(self._line)
        self._line.sigPositionChanged.connect(self._on_moved)
        self.follow_theme()

    def follow_theme(self) -> None:
        super().follow_theme()
        self._line.setPen(legible(LINE, self), width=2)
        self._line.setHoverPen(legible(WARN, self), width=3)
        self._applied.setPen(legible(FAINT, self), width=1, style=Qt.PenStyle.DashLine)
        self._bars.setOpts(pen=legible(INK, self))

    def show_scores(self, scores: np.ndarray, top: float) -> None:
        """Draw scores; ``top`` is the upper end of the colour scale."""
        scores = scores[np.isfinite(scores)]
        counts, edges = np.histogram(scores, bins=BINS, range=(0, max(top, 1e-6)))
        middles = (edges[1:] + edges[:-1]) / 2
        colours = (score_colours(middles, top) * 255).astype(int)
        self._bars.setOpts(
            x=middles,
            height=counts,
            width=np.diff(edges) * 0.92,
            brushes=[QColor(*colour) for colour in colours.tolist()],
        )
        self.setXRange(0, top, padding=0.02)
        self.setYRange(0, max(1, counts.max(initial=0)) * 1.08, padding=0)

    def show_cutoff(self, cutoff: float, applied: float) -> None:
        """Put the line where the cut-off is, and a dashed one where the applied one is."""
        self._applied.setValue(applied)
        with signals_blocked(self._line):
            self._line.setValue(cutoff)

    def _on_moved(self) -> None:
        self.cutoff_moved.emit(round(float(self._line.value()), 3))
