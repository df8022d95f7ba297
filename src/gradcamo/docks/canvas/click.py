"""From a click on the canvas to a cell, in 2D and in 3D."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels

    from gradcamo.docks.state.session import Session

STEPS_PER_VOXEL = 2


def label_at(
    layer: Labels,
    position: Sequence[float],
    view_direction: Sequence[float] | None,
    dims_displayed: Sequence[int],
) -> int:
    """The label under a world position; in 3D, the first that the line of sight meets.

    Unlike ``Labels.get_value`` this also answers while the layer is hidden.
    """
    extra = len(position) - layer.ndim
    displayed = [axis - extra for axis in dims_displayed if axis >= extra]
    shape = np.array(layer.data.shape)
    if len(displayed) < 3 or view_direction is None:
        points = np.atleast_2d(layer.world_to_data(position))
    else:
        start, end = layer.get_ray_intersections(
            list(position), list(view_direction), list(displayed), world=True
        )
        if start is None or end is None:
            return 0
        steps = STEPS_PER_VOXEL * int(np.abs(np.subtract(end, start)).max()) + 2
        points = np.linspace(start, end, steps)
    voxels = np.rint(points).astype(int)
    inside = np.all((voxels >= 0) & (voxels < shape), axis=1)
    met = np.asarray(layer.data)[tuple(voxels[inside].T)]
    return int(met[np.flatnonzero(met)[0]]) if met.any() else 0


class CanvasClicks(QObject):
    """Listens to the canvas and to the labels layer's own selection."""

    def __init__(self, session: Session, viewer: ViewerModel) -> None:
        super().__init__()
        self.session = session
        self._layer: Labels | None = None
        self._seen = 0
        viewer.mouse_drag_callbacks.append(self.on_drag)
        session.cell_changed.connect(self._follow)
        session.labels_changed.connect(self._watch)

    def _watch(self) -> None:
        if self._layer is not None:
            self._layer.events.selected_label.disconnect(self._on_picked)
        layer = self._layer = self.session.labels_layer
        if layer is not None:
            self._seen = int(layer.selected_label)
            layer.events.selected_label.connect(self._on_picked)

    def on_drag(self, viewer: Any, event: Any) -> Iterator[None]:
        """Choose the cell under a click; a drag moves the camera and chooses nothing."""
        active = viewer.layers.selection.active
        if self._layer is None or event.button != 1:
            return
        if active is not None and str(active.mode) not in ("pan_zoom", "Mode.PAN_ZOOM"):
            return  # painting, drawing, picking: the click means something else
        pressed = np.array(event.pos)
        yield
        while event.type == "mouse_move":
            yield
        session = self.session
        if np.abs(np.array(event.pos) - pressed).max() > 3:
            return
        label = label_at(self._layer, event.position, event.view_direction, event.dims_displayed)
        if label and "Shift" in event.modifiers:
            session.select({*session.selection.tolist(), label})
        elif label:
            session.choose(label, "canvas")

    def _on_picked(self) -> None:
        # assigning a colormap repeats selected_label: only another label is a choice
        if self._layer is None or self._layer.selected_label == self._seen:
            return
        self._seen = label = int(self._layer.selected_label)
        if label in self.session.cells.index:
            self.session.choose(label, "layer")

    def _follow(self, label: int, chooser: str) -> None:
        if self._layer is not None and label:
            self._seen = label
            self._layer.selected_label = label
