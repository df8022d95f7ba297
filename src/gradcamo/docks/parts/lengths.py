"""Three lengths in µm, along z, y and x, that may be typed in."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLineEdit, QWidget

from gradcamo.datatypes import Spacing
from gradcamo.docks.parts.widgets import PointValidator, line_of


class Lengths(QWidget):
    """A voxel size; lengths that are not known are empty."""

    typed = Signal(object)  # (z, y, x), None where nothing stands

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._known: Spacing = (None, None, None)
        self.lines = [self._line(axis) for axis in "zyx"]
        self.setLayout(line_of(*self.lines))

    def _line(self, axis: str) -> QLineEdit:
        line = QLineEdit()
        line.setValidator(PointValidator(1e-6, 1e6, 6))
        line.setPlaceholderText("?")
        line.setToolTip(f"distance of neighbouring voxels along {axis}, in µm")
        line.editingFinished.connect(self._take)
        return line

    def show_lengths(self, lengths: Spacing | None) -> None:
        """Let the lines hold these."""
        self._known = lengths or (None, None, None)
        for line, step in zip(self.lines, self._known, strict=True):
            line.setText(_text(step))

    def _take(self) -> None:
        typed = [line for line in self.lines if line.text()]
        if not all(line.hasAcceptableInput() for line in typed):
            return
        z, y, x = (
            step if line.text() == _text(step) else float(line.text()) if line.text() else None
            for line, step in zip(self.lines, self._known, strict=True)
        )
        if (z, y, x) != self._known:
            self._known = z, y, x
            self.typed.emit((z, y, x))


def _text(step: float | None) -> str:
    return "" if step is None else f"{step:.5g}"
