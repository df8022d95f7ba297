"""Which labels layer holds the cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QComboBox, QWidget

from gradcamo.docks.canvas.layer_origins import may_hold_cells

if TYPE_CHECKING:
    from gradcamo.docks.window import Window


class LabelsChoice(QComboBox):
    """The labels layers of the window; the session takes the one that is chosen."""

    def __init__(self, window: Window, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._window, self.session = window, window.session
        self._layers: list[Any] = []
        self.setPlaceholderText("none chosen")
        self.setToolTip("the labels layer that holds the cells")
        self.activated.connect(self._take)
        self.session.labels_changed.connect(self._list)
        self.session.layers_changed.connect(self._list)
        self._list()

    def _list(self) -> None:
        viewer = self._window.viewer
        if viewer is None:
            return
        self._layers = [layer for layer in viewer.layers if may_hold_cells(layer)]
        self.clear()
        self.addItems([layer.name for layer in self._layers] or ["none yet"])
        self.setEnabled(bool(self._layers))
        chosen = self.session.labels_layer
        if not self._layers:
            self.setCurrentIndex(0)
        else:
            self.setCurrentIndex(self._layers.index(chosen) if chosen in self._layers else -1)

    def _take(self, index: int) -> None:
        if index < len(self._layers):
            self.session.set_labels(self._layers[index])
