"""Points that can be clicked and lassoed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import QPointF, Qt, Signal

from gradcamo.docks.palette import Colours

LARGE = 5_000  # more points than these are drawn small


class LassoBox(pg.ViewBox):
    """Pans and zooms; while ``lasso`` is on, a drag draws a line around points."""

    drawn = Signal(object)  # (n, 2) corners in the plot's coordinates

    def __init__(self) -> None:
        super().__init__()
        self.lasso = False
        self._line = pg.PlotCurveItem(pen=pg.mkPen("w", width=1.5))
        self._corners: list[QPointF] = []
        self.addItem(self._line, ignoreBounds=True)

    def mouseDragEvent(self, event: Any, axis: int | None = None) -> None:
        if not self.lasso or event.button() != Qt.MouseButton.LeftButton:
            super().mouseDragEvent(event, axis)
            return
        event.accept()
        if event.isStart():
            self._corners = [self.mapToView(event.buttonDownPos())]
        self._corners.append(self.mapToView(event.pos()))
        xs, ys = [p.x() for p in self._corners], [p.y() for p in self._corners]
        self._line.setData([*xs, xs[0]], [*ys, ys[0]])
        if event.isFinish():
            self._corners = []
            self._line.setData([], [])
            self.drawn.emit(np.column_stack([xs, ys]))


class PointPlot(pg.PlotWidget):
    """Coloured points (N, 2); chosen ones are ringed."""

    clicked = Signal(int, bool)  # which point, and whether to add it to the chosen ones
    lassoed = Signal(object)  # which points, as an int array

    def __init__(self) -> None:
        self.box = LassoBox()
        super().__init__(viewBox=self.box, background=None)
        self.hideAxis("left")
        self.hideAxis("bottom")
        self.hideButtons()
        self.setMinimumHeight(220)
        self.places = np.zeros((0, 2), np.float32)
        self.points = pg.ScatterPlotItem(pen=None)
        self.ring = pg.ScatterPlotItem(size=13, pen=pg.mkPen("w", width=2), brush=None)
        self.addItem(self.points)
        self.addItem(self.ring)
        self.points.sigClicked.connect(self._on_click)
        self.box.drawn.connect(self._on_drawn)

    def show_points(self, places: np.ndarray, colours: Colours | None) -> None:
        """Draw these points in these colours; with other places all of them come into view."""
        moved = not np.array_equal(places, self.places)
        self.places = places
        if colours is None or not len(places):
            self.points.clear()
            self.ring.clear()
            return
        brushes = [pg.mkBrush(ink) for ink in colours.inks]
        self.points.setData(
            pos=places,
            brush=[brushes[code] for code in colours.codes.tolist()],
            size=8 if len(places) <= LARGE else 3,
            data=np.arange(len(places)),
        )
        if moved:
            self.ring.clear()
            self.autoRange()

    def mark(self, chosen: np.ndarray) -> None:
        """Ring the points at these places of the array, a boolean or an integer array."""
        self.ring.setData(pos=self.places[chosen])

    def _on_click(self, _: Any, spots: Any, event: Any) -> None:
        if not len(spots):
            return
        pixel = np.array(self.box.viewPixelSize())
        where = np.array([event.pos().x(), event.pos().y()])
        far = [np.hypot(*((s.pos().x(), s.pos().y()) - where) / pixel) for s in spots]
        nearest = spots[int(np.argmin(far))]
        add = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
        self.clicked.emit(int(nearest.data()), add)

    def _on_drawn(self, corners: np.ndarray) -> None:
        from matplotlib.path import Path

        self.lassoed.emit(np.flatnonzero(Path(corners).contains_points(self.places)))
