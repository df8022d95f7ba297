"""The voxel size of the open stack, which may be typed in."""

from __future__ import annotations

from qtpy.QtWidgets import QLineEdit, QWidget

from gradcamo.datatypes import Spacing
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
        session.spacing_changed.connect(self._show)
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
        for line, step in zip(self.lines, self._known(), strict=True):
            line.setText(_text(step))
            line.setEnabled(stack is not None)

    def _known(self) -> Spacing:
        stack = self.session.stack
        return (stack and stack.spacing_um) or (None, None, None)

    def _take(self) -> None:
        typed = [line for line in self.lines if line.text()]
        if self.session.stack is None or not all(line.hasAcceptableInput() for line in typed):
            return
        before = self._known()
        z, y, x = (
            step if line.text() == _text(step) else float(line.text()) if line.text() else None
            for line, step in zip(self.lines, before, strict=True)
        )
        spacing = (z, y, x)
        if spacing != before:
            self.session.set_spacing(spacing)


def _text(step: float | None) -> str:
    return "" if step is None else f"{step:.5g}"
