"""Small pictures of cells: drawn when they come into view, beside the window."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, Qt, Signal
from qtpy.QtGui import QIcon, QImage, QPixmap
from superqt.utils import qdebounced

from gradcamo.docks.parts.widgets import notify
from gradcamo.docks.parts.worker import Job
from gradcamo.errors import GradcamoError
from gradcamo.settings import CropSettings

if TYPE_CHECKING:
    from gradcamo.docks.state.session import Session

SIZE = 52  # pixels
DIM = 1.7  # the heatmap stands out from a darker image
KEPT, WAITING = 4000, 64  # pictures in memory; rows that scrolled by are not drawn any more


class Thumbnails(QObject):
    """The middle plane of a cell with its heatmap, as soon as it is drawn."""

    drawn = Signal(int)  # label

    def __init__(self, session: Session, parent: QObject, size: int = SIZE) -> None:
        super().__init__(parent)
        self.session, self.size = session, size
        self._pictures: OrderedDict[int, tuple[Any, QIcon]] = OrderedDict()
        self._wanted: dict[int, None] = {}  # the last is drawn first
        self.job = Job(self)
        self.job.stepped.connect(self._on_drawn)
        self.job.failed.connect(self._on_failed)
        self.job.ended.connect(self._start)
        session.stack_changed.connect(self._forget)
        session.labels_changed.connect(self._forget)

    def picture(self, label: int) -> QIcon | None:
        """The picture of a cell; None while it is drawn, after which ``drawn`` tells."""
        cam = self._cam(label)
        found = self._pictures.get(label)
        if found is not None and found[0] is cam:  # else it was audited again
            self._pictures.move_to_end(label)
            return found[1]
        self._wanted.pop(label, None)
        self._wanted[label] = None
        if len(self._wanted) > WAITING:
            del self._wanted[next(iter(self._wanted))]
        if not self.job.running:
            self._start()
        return None if found is None else found[1]

    def _cam(self, label: int) -> Any:
        found = self.session.results.cam(label)
        return None if found is None else found[0]

    def _forget(self) -> None:
        self._pictures.clear()
        self._wanted.clear()

    @qdebounced(timeout=0)
    def _start(self, *_: Any) -> None:
        session = self.session
        if not self._wanted or self.job.running or session.labels_layer is None:
            return
        if session.stack is None or not session.results.recipe:
            return
        stack, labels, results = session.stack, session.labels_layer.data, session.results
        recipe = results.recipe
        window = CropSettings.window_of(recipe, len(labels))
        shown = [name for name in recipe["channels"] if name in stack.channels]
        if shown:
            stack = stack.select(tuple(shown))
        draw = drawer(stack, labels, results, window, self.size)
        there, wanted = set(results.table["label"].tolist()), self._wanted
        for label in wanted.keys() - there:
            del wanted[label]

        def steps() -> Iterator[Any]:
            # cells that an audit brings meanwhile wait for the next start, which knows them
            while (label := next((n for n in [*wanted][::-1] if n in there), None)) is not None:
                wanted.pop(label, None)
                yield label, *draw(label)

        self.job.start(steps)

    def _on_drawn(self, item: tuple[int, Any, QImage | None]) -> None:
        label, cam, image = item
        picture = QPixmap(self.size, self.size)
        if image is None:
            picture.fill(Qt.GlobalColor.transparent)
        else:
            picture = QPixmap.fromImage(image)
        icon = QIcon(picture)
        icon.addPixmap(picture, QIcon.Mode.Selected)  # else it is tinted in a selected row
        self._pictures[label] = (cam, icon)
        if len(self._pictures) > KEPT:
            self._pictures.popitem(last=False)
        self.drawn.emit(label)

    def _on_failed(self, error: Exception) -> None:
        self._wanted.clear()  # an error in drawing is said once, not for every row
        notify(error)


def drawer(
    stack: Any, labels: Any, results: Any, window: tuple[int, int, int], pixels: int
) -> Callable[[int], tuple[Any, QImage | None]]:
    """What draws one cell of these: its map, and the picture, None where it cannot be drawn."""
    table = results.table

    def draw(label: int) -> tuple[Any, QImage | None]:
        from gradcamo.cells.upsampling import fine_map
        from gradcamo.views import overlay, plane_view

        found = results.cam(label)
        centre = table.loc[label, ["centroid_z", "centroid_y", "centroid_x"]].to_numpy(float)
        cam: np.ndarray | None = None
        heat: np.ndarray | None = None
        if found is None:
            start = [round(c - n / 2) for c, n in zip(centre, window, strict=True)]
        else:
            cam = found[0]
            start = [int(v) for v in found[1]]
            heat = fine_map(cam, window, results.placement_of(label))
        plane = int(np.clip(round(centre[0]), start[0], start[0] + window[0] - 1))
        plane = int(np.clip(plane, 0, len(labels) - 1))
        try:
            view = plane_view(stack, labels, label, plane, start, window[1:], heat)
        except GradcamoError:  # NaN in the image
            return cam, None
        view = replace(view, image=view.image**DIM)
        picture = (overlay(view) * 255).round().astype(np.uint8)
        height, width, _ = picture.shape
        image = QImage(picture.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888)
        how = Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation
        return cam, image.scaled(pixels, pixels, *how)

    return draw
