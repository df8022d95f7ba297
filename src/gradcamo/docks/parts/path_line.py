"""A line in which a path is typed or pasted."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QUrl, Signal
from qtpy.QtWidgets import QLineEdit, QWidget


class PathLine(QLineEdit):
    """Tells the path when Return is pressed; quotes and ``file://`` are taken off."""

    entered = Signal(str)

    def __init__(self, placeholder: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setPlaceholderText(placeholder)
        self.returnPressed.connect(self._enter)

    def _enter(self) -> None:
        text = self.text().strip().strip("\"'")
        if text.startswith("file:"):
            text = QUrl(text).toLocalFile()
        if text:
            self.entered.emit(str(Path(text).expanduser()))
