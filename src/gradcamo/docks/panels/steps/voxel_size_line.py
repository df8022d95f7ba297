"""The voxel size of the open stack, which may be typed in."""

from __future__ import annotations

from qtpy.QtWidgets import QWidget

from gradcamo.docks.parts.lengths import Lengths
from gradcamo.docks.state.session import Session


class VoxelSize(Lengths):
    """Three lengths in µm, along z, y and x."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self.typed.connect(session.set_spacing)
        session.stack_changed.connect(self._show)
        session.spacing_changed.connect(self._show)
        self._show()

    def _show(self) -> None:
        stack = self.session.stack
        self.setEnabled(stack is not None)
        self.show_lengths(None if stack is None else stack.spacing_um)
