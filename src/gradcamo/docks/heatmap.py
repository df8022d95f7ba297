"""The Grad-CAM of the cell that is looked at, laid over the stack."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject

from gradcamo.docks.layers import go_to, show_heatmap, show_outline
from gradcamo.docks.widgets import notify

if TYPE_CHECKING:
    from gradcamo.docks.session import Session


def crop_map(session: Session, label: int) -> tuple[np.ndarray, np.ndarray] | None:
    """A cell's map on its crop's own grid (Z, Y, X) and the crop's first voxel in the stack."""
    found = session.results.cam(label)
    if found is None or session.labels_layer is None:
        return None
    cam, start = found
    height_width = session.checkpoint.crop.size_yx
    shape = (session.labels_layer.data.shape[0], *height_width)
    return upsampled(cam, shape, session.results.placement), start


def upsampled(cam: np.ndarray, shape: tuple[int, ...], placement: Any) -> np.ndarray:
    """A coarse map on a crop's grid (Z, Y, X); that of a 2D network has one plane."""
    from gradcamo.cells.overlap import upsample_cam

    fine = upsample_cam(cam, shape[-cam.ndim :], placement)
    return np.asarray(fine).reshape(-1, *shape[1:])


class HeatmapView(QObject):
    """Follows the session's cell: shows its plane, its map, and asks for maps that are missing."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._session = weakref.ref(session)
        session.cell_changed.connect(self._on_cell)
        session.viewer.dims.events.ndisplay.connect(self._on_ndisplay)
        session.explaining.stepped.connect(self._on_explained)
        session.explaining.failed.connect(notify)

    def show(self, label: int) -> bool:
        """Lay the map of a cell over its crop; False where there is none yet."""
        session = self._session()
        if session is None or session.viewer is None or session.labels_layer is None:
            return False
        found = crop_map(session, label)
        if found is None:
            return False
        cam, start = found
        active = session.viewer.layers.selection.active
        show_heatmap(session.viewer, cam, session.labels_layer, start, f"cell {label}")
        self._outline(label, start, cam.shape)
        if active is not None:  # a new layer makes itself active, and the user did not ask
            session.viewer.layers.selection.active = active
        return True

    def _on_ndisplay(self) -> None:
        viewer = self._session().viewer
        for layer in viewer.layers:
            if layer.metadata.get("gradcamo") == "outline":
                layer.visible = viewer.dims.ndisplay == 2  # in 3D it would hide the heatmap

    def _outline(self, label: int, start: np.ndarray, shape: tuple[int, ...]) -> None:
        session = self._session()
        data = session.labels_layer.data
        first = np.maximum(start, 0)
        last = np.minimum(np.add(start, shape), data.shape)
        window = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
        mask = np.asarray(data[window]) == label
        show_outline(session.viewer, mask, session.labels_layer, first)

    def _on_cell(self, label: int, chooser: str) -> None:
        session = self._session()
        if not label or session.viewer is None or session.labels_layer is None:
            return
        table = session.results.table
        if label in table.index and chooser not in ("canvas", "layer"):
            where = table.loc[label, ["centroid_z", "centroid_y", "centroid_x"]].to_numpy(float)
            go_to(session.viewer, session.labels_layer, where, centre=chooser != "audit")
        at_border = label in table.index and bool(table.at[label, "touches_border"])
        if not self.show(label) and not at_border:
            self._explain(label)

    def _explain(self, label: int) -> None:
        session = self._session()
        if session.audit_settings is None or session.explaining.running:
            return
        if session.auditing.running or session.checkpoint is None or session.stack is None:
            return
        stack, labels = session.stack, np.asarray(session.labels_layer.data)
        checkpoint, settings = session.checkpoint, session.audit_settings

        def one_cell() -> Iterator[Any]:
            from gradcamo.auditing.stack import audit_batches

            yield from audit_batches(stack, labels, checkpoint, settings, only=[label])

        session.explaining.start(one_cell)

    def _on_explained(self, batch: Any) -> None:
        session = self._session()
        session.results.add(batch)
        session.results_changed.emit()
        if session.cell in batch.table["label"].to_numpy():
            self.show(session.cell)
