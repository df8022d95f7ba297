"""Which image is worked on, and which others are open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QComboBox, QWidget

from gradcamo.docks.canvas.layer_origins import name_of, open_images, stacks_in
from gradcamo.docks.parts.widgets import notify
from gradcamo.errors import GradcamoError
from gradcamo.files.titles import stack_title

if TYPE_CHECKING:
    from napari.layers import Image

    from gradcamo.docks.window import Window


class StackChoice(QComboBox):
    """Names the image that is worked on; another that is open can be chosen instead."""

    def __init__(self, window: Window, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._window = window
        self._others: list[list[Image]] = []
        self.setPlaceholderText("no image yet")
        self.setMinimumContentsLength(8)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.activated.connect(self._choose)
        window.session.stack_changed.connect(self._list)
        window.session.layers_changed.connect(self._list)
        self._list()

    def _list(self) -> None:
        session, viewer = self._window.session, self._window.viewer
        mine = {*session.channel_layers.values()}
        images = [] if viewer is None else [a for a in open_images(viewer) if a not in mine]
        self._others = stacks_in(images)
        self.clear()
        if session.stack is not None:
            shown = [*session.channel_layers.values()]  # none while another stack comes
            self.addItem(name_of(shown) if shown else stack_title(session.image))
        self.addItems([name_of(stack) for stack in self._others])
        self.setCurrentIndex(-1 if session.stack is None else 0)
        self.setEnabled(self.count() > 0)
        self.setToolTip(
            f"the image that is worked on: {session.image or 'none yet'}; choose another that is "
            "open to work on that one"
        )

    def _choose(self, index: int) -> None:
        other = index - (self._window.session.stack is not None)
        if other < 0:
            return
        try:
            self._window.intake.take_up(self._others[other])
        except GradcamoError as error:
            notify(error)
        self._list()
