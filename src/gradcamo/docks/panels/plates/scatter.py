"""Points that can be clicked and lassoed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import QPointF, QRectF, Qt, Signal
from qtpy.QtGui import QImage, QPainter

from gradcamo.docks.panels.plates.palette import Colours
from gradcamo.docks.parts.plot import Plot
from gradcamo.docks.parts.tint import FAINT, LINE, legible

LARGE = 5_000  # more points than these are drawn small, as a picture
MANY = 300  # more chosen points than these are drawn in white or black, not ringed
REACH = 8  # pixels between a click and its point


class LassoBox(pg.ViewBox):
    """Pans and zooms; while ``lasso`` is on, a drag draws a line around points."""

    drawn = Signal(object)  # (n, 2) corners in the plot's coordinates

    def __init__(self) -> None:
        super().__init__()
        self.lasso = False
        self.line = pg.PlotCurveItem()
        self._corners: list[QPointF] = []
        self.addItem(self.line, ignoreBounds=True)

    def mouseDragEvent(self, event: Any, axis: int | None = None) -> None:
        if not self.lasso or event.button() != Qt.MouseButton.LeftButton:
            super().mouseDragEvent(event, axis)
            return
        event.accept()
        if event.isStart():
            self._corners = [self.mapToView(event.buttonDownPos())]
        self._corners.append(self.mapToView(event.pos()))
        xs, ys = [p.x() for p in self._corners], [p.y() for p in self._corners]
        self.line.setData([*xs, xs[0]], [*ys, ys[0]])
        if event.isFinish():
            self._corners = []
            self.line.setData([], [])
            self.drawn.emit(np.column_stack([xs, ys]))


class Cloud(pg.GraphicsObject):
    """Very many points, of 3 pixels each, drawn as one picture: moving them stays smooth."""

    def __init__(self) -> None:
        super().__init__()
        self._places = np.zeros((0, 2))
        self._inks = np.zeros(0, np.uint32)

    def set_points(self, places: np.ndarray, inks: np.ndarray) -> None:
        """Points (N, 2) and their colours (N,) as 0xAARRGGBB."""
        self.prepareGeometryChange()
        self._places, self._inks = np.asarray(places, float), inks
        self.update()

    def boundingRect(self) -> QRectF:
        if not len(self._places):
            return QRectF()
        low, high = self._places.min(0), self._places.max(0)
        return QRectF(QPointF(*low), QPointF(*high))

    def paint(self, painter: QPainter, *_: Any) -> None:
        box = self.getViewBox()
        if not len(self._places) or box is None:
            return
        seen, pixel = box.viewRect(), np.array(box.viewPixelSize())
        width, height = (np.array([seen.width(), seen.height()]) / pixel).astype(int) + 1
        columns, rows = np.rint((self._places - (seen.x(), seen.y())) / pixel).astype(int).T
        inside = (columns > 0) & (columns < width - 1) & (rows > 0) & (rows < height - 1)
        centres, inks = (rows * width + columns)[inside], self._inks[inside]
        picture = np.zeros(height * width, np.uint32)
        for down in (-width, 0, width):
            for right in (-1, 0, 1):
                picture[centres + down + right] = inks
        image = QImage(picture.data, width, height, 4 * width, QImage.Format.Format_ARGB32)
        painter.drawImage(QRectF(seen.x(), seen.y(), width * pixel[0], height * pixel[1]), image)


class PointPlot(Plot):
    """Coloured points (N, 2); chosen ones are ringed."""

    clicked = Signal(int, bool)  # which point, and whether to add it to the chosen ones
    lassoed = Signal(object)  # which points, as an int array

    def __init__(self) -> None:
        self.box = LassoBox()
        super().__init__(viewBox=self.box)
        self.hideAxis("left")
        self.hideAxis("bottom")
        self.setMinimumHeight(220)
        self.places = np.zeros((0, 2), np.float32)
        self.points = pg.ScatterPlotItem()
        self.ring = pg.ScatterPlotItem(brush=None)
        self.cloud = Cloud()
        self.addItem(self.points)
        self.addItem(self.cloud)
        self.addItem(self.ring)
        self.scene().sigMouseClicked.connect(self._on_click)
        self.box.drawn.connect(self._on_drawn)
        self.follow_theme()

    def follow_theme(self) -> None:
        super().follow_theme()
        self.box.line.setPen(legible(LINE, self), width=1.5)
        self.points.setPen(legible(FAINT, self), width=0.5)  # yellow can be seen on white, too
        self._ink_ring()

    def show_points(self, places: np.ndarray, colours: Colours | None) -> None:
        """Draw these points in these colours; with other places all of them come into view."""
        moved = not np.array_equal(places, self.places)
        self.places = places
        self.points.clear()
        self.cloud.set_points(np.zeros((0, 2)), np.zeros(0, np.uint32))
        if colours is None or not len(places):
            self.ring.clear()
            return
        if len(places) > LARGE:
            inks = np.array([ink.rgba() for ink in colours.inks], np.uint32)
            self.cloud.set_points(places, inks[colours.codes])
        else:
            brushes = [pg.mkBrush(ink) for ink in colours.inks]
            brush = [brushes[code] for code in colours.codes.tolist()]
            self.points.setData(pos=places, brush=brush, size=8)
        self.cloud.setVisible(len(places) > LARGE)  # an empty one would bring 0, 0 into view
        if moved:
            self.ring.clear()
            self.autoRange()

    def mark(self, chosen: np.ndarray) -> None:
        """Ring the points at these places of the array, a boolean or an integer array."""
        places = self.places[chosen]
        self.ring.setData(pos=places, size=3 if len(places) > MANY else 13)
        self._ink_ring()

    def _ink_ring(self) -> None:
        many = len(self.ring.data) > MANY  # rings would hide what they surround
        self.ring.setPen(legible(LINE, self), width=1 if many else 2)

    def _on_click(self, event: Any) -> None:
        if event.button() != Qt.MouseButton.LeftButton or not len(self.places):
            return
        where = self.box.mapSceneToView(event.scenePos())
        pixel = np.array(self.box.viewPixelSize())
        far = np.hypot(*((self.places - (where.x(), where.y())) / pixel).T)
        nearest = int(np.argmin(far))
        if far[nearest] <= REACH:
            add = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
            self.clicked.emit(nearest, add)

    def _on_drawn(self, corners: np.ndarray) -> None:
        from matplotlib.path import Path

        self.lassoed.emit(np.flatnonzero(Path(corners).contains_points(self.places)))
