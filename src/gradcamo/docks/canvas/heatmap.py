"""The Grad-CAM of the cell that is looked at, laid over the stack."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Signal
from superqt.utils import qdebounced

from gradcamo.docks.canvas.follower import Follower
from gradcamo.docks.canvas.heat_layer import apply_look, heatmap_layer, show_heatmap
from gradcamo.docks.canvas.layers import (
    go_to,
    kept_active,
    marked_layer,
    place_like,
    set_visible,
    show_outline,
)
from gradcamo.settings import CropSettings

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from gradcamo.docks.state.session import Session


def crop_map(session: Session, label: int) -> tuple[np.ndarray, np.ndarray] | None:
    """A cell's map on its crop's own grid (Z, Y, X) and the crop's first voxel in the stack."""
    found = session.results.cam(label)
    if found is None or session.labels_layer is None:
        return None
    from gradcamo.cells.upsampling import fine_map

    cam, start = found
    shape = CropSettings.window_of(session.results.recipe, session.labels_layer.data.shape[0])
    return fine_map(cam, shape, session.results.placement_of(label)), start


def window_mask(labels: Any, label: int, start: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Where a window (which may leave the image) holds a cell: (Z, Y, X), bool."""
    first = np.maximum(start, 0)
    last = np.minimum(np.add(start, shape), labels.shape)
    mask = np.zeros(shape, bool)
    inside = tuple(slice(a - s, b - s) for a, b, s in zip(first, last, start, strict=True))
    window = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
    mask[inside] = np.asarray(labels[window]) == label
    return mask


class HeatmapView(Follower):
    """Follows the session's cell: shows its plane and its map, and says which map is missing."""

    wanted = Signal(int)  # the label of a cell that has no map yet

    def __init__(self, session: Session, viewer: ViewerModel) -> None:
        super().__init__(session, viewer)
        self._only_cell = session.look.only_cell
        session.cell_changed.connect(self._on_cell)
        session.edited.connect(self._on_edits)
        session.spacing_changed.connect(self._on_spacing)
        session.look_changed.connect(self._on_look)
        viewer.dims.events.ndisplay.connect(self._on_ndisplay)

    def _on_look(self) -> None:
        session, look = self.session, self.session.look
        layer = None if self.viewer is None else heatmap_layer(self.viewer)
        if layer is not None:
            apply_look(look, layer)
            set_visible(layer, look.shown and session.results.cam(session.cell) is not None)
            if look.only_cell != self._only_cell:
                self.show(session.cell)
        self._only_cell = look.only_cell
        self._on_ndisplay()

    def show(self, label: int) -> bool:
        """Lay the map of a cell over its crop; False where there is none yet.

        The outline of the cell follows once the map is drawn: napari draws both as slowly.
        """
        session, viewer = self.session, self.viewer
        if viewer is None:
            return False
        found = crop_map(session, label)
        if found is None:
            self._outline.cancel()
            for kind in ("heatmap", "outline"):  # of the cell before
                if (layer := marked_layer(viewer, kind)) is not None:
                    set_visible(layer, False)
            return False
        cam, start = found
        mask = window_mask(session.labels_layer.data, label, start, cam.shape)
        shown = np.where(mask, cam, 0) if session.look.only_cell else cam
        with kept_active(viewer):
            heat = show_heatmap(
                viewer, shown, session.labels_layer, start, f"cell {label}", session.look
            )
        set_visible(heat, session.look.shown)
        self._outlined = label, mask, start
        self._outline()
        return True

    def show_again(self, label: int) -> None:
        """Lay another map of a cell over its crop, if it is the one that is looked at."""
        if label == self.session.cell:
            self.show(label)

    @qdebounced(timeout=0)
    def _outline(self) -> None:
        session, viewer = self.session, self.viewer
        if viewer is None or session.labels_layer is None:
            return
        label, mask, start = self._outlined
        if label != session.cell:
            return
        with kept_active(viewer):
            show_outline(viewer, mask, session.labels_layer, start)
        self._on_ndisplay()

    def pin(self) -> Any:
        """Keep the heatmap that is shown as a layer of its own, to compare it with others."""
        session, viewer = self.session, self.viewer
        layer = None if viewer is None else heatmap_layer(viewer)
        if viewer is None or layer is None or session.results.cam(session.cell) is None:
            return None
        row = session.results.table.loc[session.cell]
        target = (session.audit_settings or session.next_settings).target or row["predicted"]
        with kept_active(viewer):
            pinned = viewer.add_image(
                np.array(layer.data),
                name=f"Grad-CAM cell {session.cell}, {row['layer']}, {target}",
                colormap=layer.colormap,
                opacity=layer.opacity,
                blending=layer.blending,
                rendering=layer.rendering,
                attenuation=layer.attenuation,
                contrast_limits=layer.contrast_limits,
                metadata={"gradcamo": "pinned", "cell": f"cell {session.cell}"},
                **place_like(layer),
            )
        layer.visible = False  # until another cell is chosen: both together are twice as bright
        return pinned

    def _on_ndisplay(self) -> None:
        viewer = self.viewer
        outline = None if viewer is None else marked_layer(viewer, "outline")
        if viewer is not None and outline is not None:  # in 3D it would hide the heatmap
            set_visible(outline, self.session.look.cell_outline and viewer.dims.ndisplay == 2)

    def _on_spacing(self) -> None:
        self.show(self.session.cell)

    def _on_edits(self) -> None:
        if self.session.cell in self.session.results.stale:
            self.show(self.session.cell)  # its map was let go

    def _on_cell(self, label: int, chooser: str) -> None:
        session, viewer = self.session, self.viewer
        if viewer is None:
            return
        if not label or session.labels_layer is None:
            self.show(0)
            return
        table = session.results.table
        where: Any = None
        if label in table.index:
            where = table.loc[label, ["centroid_z", "centroid_y", "centroid_x"]].to_numpy(float)
        elif session.measured is not None:
            where = session.measured.centres.get(label)
        if where is not None and chooser not in ("canvas", "layer"):
            go_to(viewer, session.labels_layer, where, centre=chooser != "audit")
        row: Any = table.loc[label] if label in table.index else {}
        mapless = row.get("touches_border", False) or row.get("cell_in_crop", 1) == 0
        if not self.show(label) and (not mapless or label in session.results.stale):
            self.wanted.emit(label)
