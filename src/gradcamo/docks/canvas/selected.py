"""Cells that are chosen together, outlined together on the canvas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gradcamo.docks.canvas.follower import Follower
from gradcamo.docks.canvas.layers import kept_active, marked_layer, place_like, set_visible

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels

    from gradcamo.docks.state.session import Session

NAME = "chosen cells"
CORNERS = np.array([[0, 0, 0], [1, 1, 1]])  # what places two layers alike


class SelectedOutlines(Follower):
    """A layer that shares the labels' voxels and colours the chosen ones alone."""

    def __init__(self, session: Session, viewer: ViewerModel) -> None:
        super().__init__(session, viewer)
        session.selection_changed.connect(self.draw)
        session.labels_changed.connect(self._forget)
        session.edited.connect(self._refresh)
        session.spacing_changed.connect(self.draw)
        session.look_changed.connect(self.draw)
        viewer.dims.events.ndisplay.connect(self.draw)

    def draw(self, *_: Any) -> None:
        """Outline the chosen cells where there are several; one has a line of its own."""
        session, viewer = self.session, self.viewer
        labels = session.labels_layer
        if viewer is None:
            return
        layer = marked_layer(viewer, "selection")
        wanted = session.look.cell_outline and viewer.dims.ndisplay == 2
        if labels is None or len(session.selection) < 2 or not wanted:
            if layer is not None:
                set_visible(layer, False)
            return
        if layer is None or not _in_place(layer, labels):
            self._forget()
            layer = self._layer_of(viewer, labels)
        layer.colormap = colouring(session.selection)
        set_visible(layer, True)

    def _layer_of(self, viewer: ViewerModel, labels: Labels) -> Labels:
        with kept_active(viewer):
            layer = viewer.add_labels(
                labels.data,
                name=NAME,
                opacity=1,
                colormap=colouring(np.zeros(0, np.int64)),
                metadata={"gradcamo": "selection"},
                **place_like(labels),
            )
        layer.contour = 2
        return layer

    def _forget(self) -> None:
        viewer = self.viewer
        if viewer is not None and (layer := marked_layer(viewer, "selection")) is not None:
            viewer.layers.remove(layer)

    def _refresh(self) -> None:
        layer = None if self.viewer is None else marked_layer(self.viewer, "selection")
        if layer is not None and layer.visible:
            layer.refresh()


def colouring(chosen: np.ndarray) -> Any:
    """A colour map that shows these labels in white and no other."""
    from napari.utils.colormaps import DirectLabelColormap

    white = dict.fromkeys(chosen.tolist(), np.ones(4, np.float32))
    return DirectLabelColormap(color_dict={None: np.zeros(4, np.float32), **white})


def _in_place(layer: Labels, labels: Labels) -> bool:
    if layer.data is not labels.data:
        return False
    return all(np.allclose(layer.data_to_world(c), labels.data_to_world(c)) for c in CORNERS)
