"""The Grad-CAM of the cell that is looked at, laid over the stack."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal

from gradcamo.docks.canvas.layers import (
    go_to,
    heatmap_layer,
    kept_active,
    marked_layer,
    place_like,
    set_visible,
    show_heatmap,
    show_outline,
)
from gradcamo.docks.parts.widgets import notify
from gradcamo.docks.state.look import Look
from gradcamo.errors import GradcamoError

if TYPE_CHECKING:
    from gradcamo.docks.state.session import Session


def crop_map(session: Session, label: int) -> tuple[np.ndarray, np.ndarray] | None:
    """A cell's map on its crop's own grid (Z, Y, X) and the crop's first voxel in the stack."""
    found = session.results.cam(label)
    if found is None or session.labels_layer is None:
        return None
    from gradcamo.cells.overlap import fine_map

    cam, start = found
    shape = (session.labels_layer.data.shape[0], *session.results.recipe["crop"]["size_yx"])
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


class HeatmapView(QObject):
    """Follows the session's cell: shows its plane, its map, and asks for maps that are missing."""

    look_changed = Signal()

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._session = weakref.ref(session)
        self._asked = 0
        self.look = Look()
        self._outlining = QTimer(self)
        self._outlining.setSingleShot(True)
        self._outlining.timeout.connect(self._outline)
        session.cell_changed.connect(self._on_cell)
        session.edits.changed.connect(self._on_edits)
        session.spacing_changed.connect(self._on_spacing)
        session.viewer.dims.events.ndisplay.connect(self._on_ndisplay)
        session.explaining.stepped.connect(self._on_explained)
        session.explaining.failed.connect(notify)
        session.explaining.ended.connect(self._on_explaining_ended)

    def set_look(self, look: Look) -> None:
        """Draw the heatmap so, now and from now on."""
        session, before, self.look = self._session(), self.look, look
        layer = session.viewer and heatmap_layer(session.viewer)
        if layer is not None:
            look.apply(layer)
            set_visible(layer, look.shown and session.results.cam(session.cell) is not None)
            if look.only_cell != before.only_cell:
                self.show(session.cell)
        self._on_ndisplay()
        self.look_changed.emit()

    def toggle(self) -> None:
        """Hide the heatmap, or show it."""
        self.set_look(replace(self.look, shown=not self.look.shown))

    def show(self, label: int) -> bool:
        """Lay the map of a cell over its crop; False where there is none yet.

        The outline of the cell follows once the map is drawn: napari draws both as slowly.
        """
        session = self._session()
        if session is None or session.viewer is None:
            return False
        viewer = session.viewer
        found = crop_map(session, label)
        if found is None:
            self._outlining.stop()
            for kind in ("heatmap", "outline"):  # of the cell before
                if (layer := marked_layer(viewer, kind)) is not None:
                    set_visible(layer, False)
            return False
        cam, start = found
        mask = window_mask(session.labels_layer.data, label, start, cam.shape)
        shown = np.where(mask, cam, 0) if self.look.only_cell else cam
        with kept_active(viewer):
            heat = show_heatmap(
                viewer, shown, session.labels_layer, start, f"cell {label}", self.look
            )
        set_visible(heat, self.look.shown)
        self._outlined = label, mask, start
        self._outlining.start(0)
        return True

    def _outline(self) -> None:
        session = self._session()
        if session is None or session.viewer is None or session.labels_layer is None:
            return
        label, mask, start = self._outlined
        if label != session.cell:
            return
        with kept_active(session.viewer):
            show_outline(session.viewer, mask, session.labels_layer, start)
        self._on_ndisplay()

    def pin(self) -> Any:
        """Keep the heatmap that is shown as a layer of its own, to compare it with others."""
        session = self._session()
        layer = session.viewer and heatmap_layer(session.viewer)
        if layer is None or session.results.cam(session.cell) is None:
            return None
        row = session.results.table.loc[session.cell]
        target = (session.audit_settings or session.next_settings).target or row["predicted"]
        with kept_active(session.viewer):
            pinned = session.viewer.add_image(
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
        viewer = self._session().viewer
        outline = viewer and marked_layer(viewer, "outline")
        if outline is not None:  # in 3D it would hide the heatmap
            set_visible(outline, self.look.cell_outline and viewer.dims.ndisplay == 2)

    def _on_spacing(self) -> None:
        self.show(self._session().cell)

    def _on_edits(self) -> None:
        session = self._session()
        if session.cell in session.results.stale:
            self.show(session.cell)  # its map was let go

    def _on_cell(self, label: int, chooser: str) -> None:
        session = self._session()
        if session.viewer is None:
            return
        if not label or session.labels_layer is None:
            self.show(0)
            return
        table = session.results.table
        if label in table.index and chooser not in ("canvas", "layer"):
            where = table.loc[label, ["centroid_z", "centroid_y", "centroid_x"]].to_numpy(float)
            go_to(session.viewer, session.labels_layer, where, centre=chooser != "audit")
        row = table.loc[label] if label in table.index else {}
        mapless = row.get("touches_border", False) or row.get("cell_in_crop", 1) == 0
        if not self.show(label) and (not mapless or label in session.results.stale):
            self._explain(label)

    def _explain(self, label: int) -> None:
        session = self._session()
        if session.explaining.running or session.auditing.running:
            return
        if session.checkpoint is None or session.stack is None:
            return
        self._asked = label
        stack, checkpoint = session.stack, session.checkpoint
        settings = session.settings_for(label)
        try:
            session.audits.refuse_to_mix(settings)
        except GradcamoError as error:
            notify(error)
            return
        find, of = session.found.finder(settings), self._of()

        def one_cell() -> Iterator[Any]:
            from gradcamo.auditing.stack import audit_crops, audit_recipe

            crops = find()
            recipe = audit_recipe(stack, checkpoint, settings)
            if label in crops.table["label"].to_numpy():
                for batch in audit_crops(crops, checkpoint, settings, only=[label]):
                    yield batch, of, settings, recipe

        session.explaining.start(one_cell)

    def _of(self) -> tuple[int, int]:
        session = self._session()
        return session.found.era, session.edits.count

    def _on_explained(self, item: tuple[Any, tuple[int, int], Any, dict[str, Any]]) -> None:
        session, (batch, of, settings, recipe) = self._session(), item
        if of != self._of():  # of labels as they were, or of another stack
            return
        results, labels = session.results, batch.table["label"].tolist()
        known = set(labels) <= set(results.table.index) - results.stale
        if not results.recipe:
            results.recipe, session.audit_settings = recipe, settings
        results.add(batch)
        if session.cell in labels:
            self.show(session.cell)
        if not known:
            session.results_changed.emit()

    def _on_explaining_ended(self) -> None:
        session = self._session()
        if session.cell and session.cell != self._asked:  # chosen meanwhile
            self._on_cell(session.cell, "canvas")
