"""The cell that is looked at, in a few numbers and one bar."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtCore import QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPen
from qtpy.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from gradcamo.colours import SHARES
from gradcamo.docks.parts.tint import FAINT, legible


def paint_shares(painter: QPainter, box: QRectF, shares: Any) -> None:
    """Draw own, neighbour and background shares as one stacked bar."""
    left = box.left()
    for share, (_, colour) in zip(shares, SHARES.values(), strict=True):
        if np.isfinite(share):
            width = box.width() * float(share)
            painter.fillRect(QRectF(left, box.top(), width, box.height()), QColor(colour))
            left += width


class ShareBar(QWidget):
    """The stacked bar, with marks at what chance and a perfect map would score."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFixedHeight(24)
        self._row: Any = None
        self.setToolTip(
            "where the attention lies: on the cell, on its neighbours, on the background. "
            "White marks: what a flat map scores, and the best this layer allows"
        )

    def show_row(self, row: Any) -> None:
        self._row = row
        self.update()

    def paintEvent(self, event: Any) -> None:
        painter = QPainter(self)
        box = QRectF(0, 4, self.width(), self.height() - 8)
        painter.fillRect(box, QColor("#3a3f4a"))
        if self._row is None or not np.isfinite(self._row["grad_camo"]):
            return
        paint_shares(painter, box, [self._row[name] for name in SHARES])
        painter.setPen(QPen(Qt.GlobalColor.white, 2))
        for name in ("chance", "ceiling"):
            x = int(self.width() * float(self._row[name]))
            painter.drawLine(x, 0, x, self.height())


class CellCard(QWidget):
    """Says what the network saw in one cell."""

    def __init__(self, corner: QWidget | None = None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.title = QLabel()
        self.title.setTextFormat(Qt.TextFormat.RichText)
        self.bar = ShareBar()
        self.legend = QLabel()
        self.legend.setTextFormat(Qt.TextFormat.RichText)
        self.legend.setStyleSheet("font-size: 11px;")
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(3)
        top = QHBoxLayout()
        top.addWidget(self.title, 1)
        if corner is not None:
            top.addWidget(corner, 0, Qt.AlignmentFlag.AlignTop)
        box.addLayout(top)
        box.addWidget(self.bar)
        box.addWidget(self.legend)
        for text in (self.title, self.legend):
            text.setWordWrap(True)
        self.show_cell(None)

    def show_cell(self, row: Any) -> None:
        """Show a row of the table, or that there is none."""
        scored = row is not None and bool(np.isfinite(row["grad_camo"]))
        self.bar.setVisible(scored)
        self.bar.show_row(row)
        if row is None:
            self.title.setText("No cell chosen")
            self._hint("Click a cell in the image or a row in the table.")
            return
        title = f"<b>Cell {int(row['label'])}</b>"
        if isinstance(row["predicted"], str):
            title += f" · predicted <b>{row['predicted']}</b> ({row['confidence']:.0%})"
        self.title.setText(title)
        if row["touches_border"]:
            self._hint("Cut off by the border of the image: not scored.")
        elif row.get("cell_in_crop", 1) == 0:
            self._hint("In pieces of which its crop holds none: not scored. Check its label.")
        elif not scored:
            self._hint("No positive evidence: the map is empty, there is no score.")
        else:
            parts = (
                f"<span style='color:{colour}'>■</span>&nbsp;{title} {row[name]:.0%}"
                for name, (title, colour) in SHARES.items()
            )
            self.legend.setText("&nbsp; ".join(parts))

    def _hint(self, text: str) -> None:
        self.legend.setText(f"<span style='color:{legible(FAINT)}'>{text}</span>")
