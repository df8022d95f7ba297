"""Where a cell's map lies and what its prediction owes, as bars one above the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from qtpy.QtCore import QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPen
from qtpy.QtWidgets import QStyledItemDelegate, QWidget

from gradcamo.auditing.cell_verdict import is_answered
from gradcamo.colours import CAUSAL_SHARES, SHARES
from gradcamo.columns import VOLUME_SHARES
from gradcamo.docks.parts.tint import EMPTY, LINE, legible

HEIGHT, GAP, NAMES = 15, 5, 38
VOLUMES = VOLUME_SHARES[:2]  # the third fills the rest


def paint_shares(painter: QPainter, box: QRectF, shares: Sequence[float]) -> None:
    """Draw own, neighbour and background shares as one stacked bar."""
    left = box.left()
    for share, (_, colour) in zip(shares, SHARES.values(), strict=True):
        if np.isfinite(share):
            width = box.width() * float(share)
            painter.fillRect(QRectF(left, box.top(), width, box.height()), QColor(colour))
            left += width


class ScoreDelegate(QStyledItemDelegate):
    """Draws the budget of attention under the score, that of the prediction under its own."""

    def paint(self, painter: QPainter, option: Any, index: Any) -> None:
        super().paint(painter, option, index)
        shares = index.model().shares(index)
        if shares is not None:
            box = QRectF(option.rect).adjusted(2, option.rect.height() - 5, -2, -1)
            paint_shares(painter, box, shares)


class ShareBars(QWidget):
    """The map's bar, with the prediction's below it where the cell was asked causally.

    Ticks are what regions fill of the crop, where that is known, else what a flat map
    scores and the best that the layer allows.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._row: Any = None
        self.show_row(None)

    def show_row(self, row: Any) -> None:
        """Show a row of the table; None for none."""
        self._row = row
        bars = len(self.bars())
        self.setFixedHeight(max(bars, 1) * (HEIGHT + GAP) + GAP)
        self.setToolTip(
            "above: where the map lies; below: what the prediction owes to each region. Ticks: "
            "what the regions fill of the crop"
            if bars > 1
            else "where the attention lies: on the cell, on its neighbours, on the background. "
            "Ticks: what a flat map scores, and the best this layer allows"
        )
        self.update()

    def bars(self) -> list[tuple[str, list[float]]]:
        """Name and shares of each bar that there is."""
        row = self._row
        if row is None:
            return []
        found = []
        if np.isfinite(row["grad_camo"]):
            found.append(("map", [float(row[name]) for name in SHARES]))
        if is_answered(row):
            found.append(("owes", [float(row[name]) for name in CAUSAL_SHARES]))
        return found

    def ticks(self) -> list[float]:
        """Where ticks stand on the bars, from 0 to 1."""
        row = self._row
        if row is None:
            return []
        if is_answered(row):
            return np.cumsum([float(row[name]) for name in VOLUMES]).tolist()
        return [float(row[name]) for name in ("chance", "ceiling")]

    def paintEvent(self, event: Any) -> None:
        painter = QPainter(self)
        bars = self.bars()
        left = NAMES if len(bars) > 1 else 0
        width = self.width() - left
        for number, (name, shares) in enumerate(bars):
            top = GAP + number * (HEIGHT + GAP)
            box = QRectF(left, top, width, HEIGHT)
            if left:
                painter.setPen(self.palette().windowText().color())
                middle = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft
                painter.drawText(QRectF(0, top, left, HEIGHT), middle, name)
            painter.fillRect(box, QColor(legible(EMPTY, self)))
            paint_shares(painter, box, shares)
            painter.setPen(QPen(QColor(legible(LINE, self)), 2))
            for tick in self.ticks():
                x = left + int(width * tick)
                painter.drawLine(x, top - 3, x, top + HEIGHT + 2)
