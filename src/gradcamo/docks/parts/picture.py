"""A picture from a file, as wide as its dock, that can be clicked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QPixmap
from qtpy.QtWidgets import QLabel, QSizePolicy, QWidget


class Picture(QLabel):
    """Hidden until there is a file."""

    clicked = Signal()

    def __init__(self, tooltip: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.path = Path()
        self.setToolTip(tooltip)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self._pixels = QPixmap()

    def show_file(self, path: Path) -> None:
        """Show the picture, or nothing where there is none."""
        self.path = path
        self._pixels = QPixmap(str(path))
        self.setVisible(not self._pixels.isNull())
        self._fit()

    def resizeEvent(self, event: Any) -> None:
        super().resizeEvent(event)
        self._fit()

    def mousePressEvent(self, event: Any) -> None:
        self.clicked.emit()
        super().mousePressEvent(event)

    def _fit(self) -> None:
        if not self._pixels.isNull() and self.width() > 20:
            smooth = Qt.TransformationMode.SmoothTransformation
            width = min(self.width(), 420)
            self.setPixmap(self._pixels.scaledToWidth(width, smooth))
