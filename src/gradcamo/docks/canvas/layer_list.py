"""Layers that come and go in the list, and what depends on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gradcamo.display import placement_of
from gradcamo.docks.canvas.follower import Follower
from gradcamo.docks.canvas.layer_origins import may_hold_cells

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from gradcamo.docks.state.session import Session


class LayerList(Follower):
    """Lets go of what is deleted, takes labels where there are none, and tells of both."""

    def __init__(self, session: Session, viewer: ViewerModel) -> None:
        super().__init__(session, viewer)
        viewer.layers.events.removed.connect(self._on_removed)
        viewer.layers.events.inserted.connect(self._on_inserted)
        session.spacing_changed.connect(self._on_spacing)

    def _on_removed(self, event: Any) -> None:
        if event.value is self.session.labels_layer:
            self.session.set_labels(None)
        self.session.forget_channel(event.value)
        self.session.layers_changed.emit()

    def _on_inserted(self, event: Any) -> None:
        session, layer = self.session, event.value
        fits = session.stack is None or tuple(layer.data.shape) == session.stack.shape[1:]
        if session.labels_layer is None and may_hold_cells(layer) and fits:
            session.set_labels(layer)
        self.session.layers_changed.emit()

    def _on_spacing(self) -> None:
        session = self.session
        if session.stack is None:
            return
        placed = placement_of(session.stack.spacing_um)
        for layer in (*session.channel_layers.values(), session.labels_layer):
            if layer is not None:
                layer.scale, layer.units = placed["scale"], placed["units"]
