"""Labels edited by hand: scores of the cells that were touched, or see it, are out of date."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject
from superqt.utils import qdebounced

if TYPE_CHECKING:
    from napari.layers import Labels

    from gradcamo.docks.state.session import Session

PAUSE_MS = 400  # after the last stroke: nothing is redrawn while somebody paints


def touched_labels(item: list[Any]) -> set[int]:
    """The labels that an item of a labels layer's history took voxels from or gave voxels to."""
    touched: set[int] = set()
    for *_, before, after in item:  # atoms end with the values before and after, of either kind
        for values in (before, after):
            touched.update(np.unique(np.asarray(values)).tolist())
    return touched - {0}


def turned_places(item: list[Any]) -> np.ndarray:
    """Where (z, y, x), (N, 3), such an item made background of a cell or a cell of background."""
    places = [np.zeros((0, 3), np.int64)]
    for where, *mask, before, after in item:
        if isinstance(where[0], slice):  # a box, and which of its voxels (None: all)
            inside = np.ones(np.shape(before), bool) if mask[0] is None else mask[0]
            voxels = np.argwhere(inside) + [axis.start or 0 for axis in where]
        else:
            voxels = np.stack([np.ravel(axis) for axis in where], -1)
        turned = (np.ravel(before) == 0) != (np.ravel(after) == 0)
        places.append(voxels[np.broadcast_to(turned, len(voxels))])
    return np.unique(np.concatenate(places), axis=0)


class Edits(QObject):
    """Follows painting, erasing, filling, undoing and redoing on the session's labels."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self._layer: Labels | None = None
        self._undone = 0
        self.since_audit: set[int] = set()
        self.places = np.zeros((0, 3), np.int64)  # since then, as `turned_places`
        session.labels_changed.connect(self._watch)

    def _watch(self) -> None:
        if self._layer is not None:
            self._layer.events.paint.disconnect(self._on_paint)
            self._layer.events.set_data.disconnect(self._on_refresh)
            self._layer.events.data.disconnect(self._on_data)
        layer = self._layer = self.session.labels_layer
        self.begin_audit()
        if layer is not None:
            layer.events.paint.connect(self._on_paint)
            layer.events.set_data.connect(self._on_refresh)
            layer.events.data.connect(self._on_data)
            self._undone = len(self._history("_redo_history"))

    def begin_audit(self) -> None:
        """An audit starts: edits from now on are newer than its scores."""
        self.since_audit.clear()
        self.places = self.places[:0]

    def _on_paint(self, event: Any) -> None:
        self._undone = len(self._history("_redo_history"))
        self._touch(touched_labels(event.value), turned_places(event.value))

    def _on_refresh(self) -> None:
        # napari does not tell when an edit is undone or done again, but its history shows it
        redo = self._history("_redo_history")
        if len(redo) == self._undone:
            return
        moved = redo if len(redo) > self._undone else self._history("_undo_history")
        self._undone = len(redo)
        if moved:
            self._touch(touched_labels(moved[-1]), turned_places(moved[-1]))

    def _on_data(self) -> None:
        self._touch(set(self.session.results.table["label"].tolist()))  # other labels altogether

    def _touch(self, labels: set[int], places: np.ndarray | None = None) -> None:
        session = self.session
        session.version += 1
        session.labels_layer.metadata["edited"] = True  # what cannot be read again is not removed
        self.since_audit |= labels
        before = len(session.results.stale)
        session.results.expire(labels)
        if places is not None and len(places):
            self.places = np.concatenate([self.places, places])
            session.results.outdate(places)
        if len(session.results.stale) > before:
            self._tell()

    @qdebounced(timeout=PAUSE_MS)
    def _tell(self) -> None:
        self.session.edited.emit()

    def _history(self, name: str) -> Any:
        return getattr(self._layer, name, ())
