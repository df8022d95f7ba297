"""The voxel size of the open stack, which may be typed in."""

from __future__ import annotations

from qtpy.QtWidgets import QLineEdit, QWidget

from gradcamo.docks.parts.widgets import PointValidator, line_of
from gradcamo.docks.state.session import Session


class VoxelSize(QWidget):
    """Three lengths in µm, along z, y and x."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self.lines = [self._line(axis) for axis in "zyx"]
        self.setLayout(line_of(*self.lines))
        session.stack_changed.connect(self._show)
        self._show()

    def _line(self, axis: str) -> QLineEdit:
        line = QLineEdit()
        line.setValidator(PointValidator(1e-6, 1e6, 6))
        line.setPlaceholderText("?")
        line.setToolTip(f"distance of neighbouring voxels along {axis}, in µm")
        line.editingFinished.connect(self._take)
        return line

    def _show(self) -> None:
        stack = self.session.stack
        known = (stack and stack.spacing_um) or ("", "", "")
        for line, step in zip(self.lines, known, strict=True):
            line.setText(f"{step:.5g}" if step else "")
            line.setEnabled(stack is not None)

    def _take(self) -> None:
        session = self.session
        if session.stack is None or not all(line.hasAcceptableInput() for line in self.lines):
            return
        spacing = tuple(float(line.text()) for line in self.lines)
        if spacing == session.stack.spacing_um:
            return
        session.set_spacing(spacing)
        self._show()
