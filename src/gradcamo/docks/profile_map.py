"""Profile map: cells with similar profiles lie close to each other (UMAP)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyqtgraph as pg
from qtpy.QtCore import QPointF, Qt, Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from gradcamo.docks.colouring import UNSCORED, score_colours
from gradcamo.docks.session import Session, session_of
from gradcamo.docks.widgets import JobRow, Message
from gradcamo.docks.worker import Job
from gradcamo.errors import GradcamoError

if TYPE_CHECKING:
    import napari

# Okabe and Ito, then lighter ones
PALETTE = (
    *("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442"),
    *("#999999", "#88CCEE", "#DDCC77", "#AA4499", "#44AA99"),
)
CHOICES = ("predicted", "grad_camo", "attainable", "confidence", "volume_um3", "flagged")


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
        self._corners.append(self.mapToView(event.pos()))
        xs, ys = [p.x() for p in self._corners], [p.y() for p in self._corners]
        self._line.setData(xs, ys)
        if event.isFinish():
            self._corners = []
            self._line.setData([], [])
            self.drawn.emit(np.column_stack([xs, ys]))


class ProfileMapDock(QWidget):
    """Points are cells; click or lasso to choose them everywhere."""

    def __init__(self, napari_viewer: napari.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session: Session = session_of(napari_viewer)
        self.job = Job(self)
        self.labels = np.zeros(0, np.int64)
        self.layout_xy = np.zeros((0, 2), np.float32)
        self.colour = QComboBox()
        self.colour.addItems(CHOICES)
        self.colour.setToolTip("what the colours of the points stand for")
        self.lasso = QCheckBox("lasso")
        self.lasso.setToolTip("drag a line around points to choose their cells")
        self.again = QPushButton("Lay out")
        self.again.setToolTip(
            "UMAP of the profiles of all scored cells; the same for the same cells"
        )
        self.box = LassoBox()
        self.plot = pg.PlotWidget(viewBox=self.box, background=None)
        self.plot.hideAxis("left")
        self.plot.hideAxis("bottom")
        self.plot.setMinimumHeight(220)
        self.plot.setToolTip("cells with similar profiles lie close to each other (UMAP)")
        self.points = pg.ScatterPlotItem(size=8, pen=None, hoverable=True, tip=None)
        self.ring = pg.ScatterPlotItem(size=14, pen=pg.mkPen("w", width=2), brush=None)
        self.plot.addItem(self.points)
        self.plot.addItem(self.ring)
        self.legend = Message()
        self.progress = JobRow(self.job, "steps")
        self.message = Message()

        line = QHBoxLayout()
        line.addWidget(self.colour, 1)
        line.addWidget(self.lasso)
        line.addWidget(self.again)
        box = QVBoxLayout(self)
        box.addLayout(line)
        box.addWidget(self.plot, 1)
        for part in (self.legend, self.progress, self.message):
            box.addWidget(part)

        self.colour.activated.connect(self._paint)
        self.lasso.toggled.connect(self._on_lasso)
        self.again.clicked.connect(self.start)
        self.points.sigClicked.connect(self._on_click)
        self.box.drawn.connect(self._on_drawn)
        self.job.stepped.connect(self._on_layout)
        self.job.failed.connect(self.message.fail)
        session = self.session
        session.results_changed.connect(self._on_results)
        session.flags_changed.connect(self._paint)
        session.selection_changed.connect(self._mark)
        self._on_results()

    def start(self) -> None:
        """Lay the profiles out in the background."""
        labels, profiles = self.session.results.profiles()

        def steps() -> Iterator[Any]:
            from gradcamo.profiles.embed import umap_layout

            yield labels, umap_layout(profiles)

        try:
            self.job.start(steps)
        except GradcamoError as error:
            self.message.fail(error)

    def _on_results(self) -> None:
        labels, _ = self.session.results.profiles()
        if not np.array_equal(labels, self.labels):
            self.labels, self.layout_xy = np.zeros(0, np.int64), np.zeros((0, 2), np.float32)
            self._paint()
        self.again.setEnabled(len(labels) > 3 and not self.job.running)
        self.message.say(
            f"{len(labels):,} profiles: press Lay out"
            if len(labels) > 3
            else "Audit at least four cells: profiles come with the scores."
        )

    def _on_layout(self, item: tuple) -> None:
        self.labels, self.layout_xy = item
        self.message.say("")
        self._paint()
        self.plot.autoRange()

    def _paint(self, *_: Any) -> None:
        table = self.session.results.table
        if not len(self.labels) or not len(table):
            self.points.clear()
            self.ring.clear()
            self.legend.say("")
            return
        values = table.loc[self.labels, self.colour.currentText()]
        brushes, legend = colours_and_legend(values)
        self.points.setData(pos=self.layout_xy, brush=brushes, data=self.labels)
        self.legend.say(legend)
        self._mark(self.session.selection)

    def _mark(self, chosen: np.ndarray) -> None:
        here = np.isin(self.labels, chosen)
        self.ring.setData(pos=self.layout_xy[here])

    def _on_click(self, _: Any, spots: Any, *__: Any) -> None:
        if len(spots):
            self.session.choose(int(spots[0].data()), "map")

    def _on_lasso(self, on: bool) -> None:
        self.box.lasso = on

    def _on_drawn(self, corners: np.ndarray) -> None:
        from skimage.measure import points_in_poly

        inside = self.labels[points_in_poly(self.layout_xy, corners)]
        if len(inside):
            if self.session.cell not in inside:
                self.session.choose(int(inside[0]), "map")
            self.session.select(inside)


def colours_and_legend(values: pd.Series) -> tuple[list[Any], str]:
    """A brush for every value, and what the colours mean."""
    if values.dtype.kind == "f":
        top, low = float(values.max()), min(0.0, float(values.min()))
        span = top - low or 1.0
        colours = score_colours(values.to_numpy() - low, span)
        colours[values.isna().to_numpy()] = UNSCORED
        brushes = [pg.mkBrush(*colour) for colour in (colours * 255).astype(int).tolist()]
        return brushes, f"from {low:.2g} (dark) to {top:.3g} (bright)"
    codes, names = pd.factorize(values.astype(str), sort=True)
    inks = [pg.mkBrush(PALETTE[code % len(PALETTE)]) for code in range(len(names))]
    legend = "&nbsp; ".join(
        f"<span style='color:{PALETTE[code % len(PALETTE)]}'>●</span>&nbsp;{name}"
        for code, name in enumerate(names)
    )
    return [inks[code] for code in codes], legend
