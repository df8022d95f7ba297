"""Gallery: cells with their heatmaps, in the order of the table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QColor, QIcon, QImage, QPixmap
from qtpy.QtWidgets import (
    QHBoxLayout,
    QListView,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from gradcamo.docks.heatmap import upsampled
from gradcamo.docks.session import Session, session_of
from gradcamo.docks.widgets import JobRow, Message
from gradcamo.docks.worker import Job
from gradcamo.errors import GradcamoError

if TYPE_CHECKING:
    import napari

PAGE = 60
SIZE = 104


class GalleryDock(QWidget):
    """Draws a page of cells at a time."""

    def __init__(self, napari_viewer: napari.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session: Session = session_of(napari_viewer)
        self.job = Job(self)
        self.items: dict[int, QListWidgetItem] = {}
        self.view = QListWidget()
        self.view.setViewMode(QListView.ViewMode.IconMode)
        self.view.setResizeMode(QListView.ResizeMode.Adjust)
        self.view.setMovement(QListView.Movement.Static)
        self.view.setUniformItemSizes(True)
        self.view.setIconSize(QSize(SIZE, SIZE))
        self.view.setGridSize(QSize(SIZE + 12, SIZE + 26))
        self.view.setToolTip("the middle plane of each cell with its heatmap; click to choose it")
        self.redraw = QPushButton("Draw")
        self.redraw.setToolTip("draw the cells in the order of the table, as it is filtered now")
        self.more = QPushButton(f"{PAGE} more")
        self.more.setToolTip("draw the cells that come next")
        self.progress = JobRow(self.job, "cells")
        self.message = Message()
        line = QHBoxLayout()
        line.addWidget(self.message, 1)
        line.addWidget(self.redraw)
        line.addWidget(self.more)
        box = QVBoxLayout(self)
        box.addLayout(line)
        box.addWidget(self.view, 1)
        box.addWidget(self.progress)

        self.redraw.clicked.connect(self.draw)
        self.more.clicked.connect(self.draw_more)
        self.view.itemClicked.connect(self._on_click)
        self.job.stepped.connect(self._add)
        self.job.failed.connect(self.message.fail)
        self.job.ended.connect(self._enable)
        self.session.results_changed.connect(self._enable)
        self.session.cell_changed.connect(self._on_cell)
        self._enable()

    def draw(self) -> None:
        """Begin with the first cell of the table."""
        self.view.clear()
        self.items.clear()
        self.draw_more()

    def draw_more(self) -> None:
        """Draw the next cells in the background."""
        session = self.session
        coming = [label for label in self._order() if label not in self.items][:PAGE]
        if not coming or session.stack is None or session.checkpoint is None:
            self._enable()
            return
        stack, labels = session.stack, np.asarray(session.labels_layer.data)
        checkpoint, results = session.checkpoint, session.results
        channels = (session.audit_settings and session.audit_settings.channels) or (
            checkpoint.channels
        )

        def steps() -> Iterator[Any]:
            from gradcamo.cells.crops import CellCrops
            from gradcamo.views import cell_view, overlay

            crops = CellCrops(stack.select(tuple(channels)).in_memory(), labels, checkpoint.crop)
            place = {int(label): i for i, label in enumerate(crops.table["label"])}
            for label in coming:
                crop = crops[place[label]]
                cam, _ = results.cam(label)
                heat = upsampled(cam, crop.labels.shape, results.placement)
                picture = overlay(cell_view(crop, heat))
                yield label, (picture * 255).round().astype(np.uint8)

        try:
            self.job.start(steps)
        except GradcamoError as error:
            self.message.fail(error)
        self._enable()

    def _order(self) -> list[int]:
        results = self.session.results
        order = self.session.order.tolist()
        if not order and len(results):
            order = results.table.sort_values("grad_camo")["label"].tolist()
        return [label for label in order if results.cam(label) is not None]

    def _add(self, drawn: tuple[int, np.ndarray]) -> None:
        label, picture = drawn
        table = self.session.results.table
        if label not in table.index:
            return
        height, width, _ = picture.shape
        image = QImage(picture.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888)
        icon = QIcon(
            QPixmap.fromImage(image).scaled(
                SIZE,
                SIZE,
                Qt.AspectRatioMode.KeepAspectRatio,
                Qt.TransformationMode.SmoothTransformation,
            )
        )
        item = QListWidgetItem(icon, f"{label} · {table.at[label, 'grad_camo']:.2f}")
        item.setData(Qt.ItemDataRole.UserRole, label)
        if table.at[label, "flagged"]:
            item.setForeground(QColor("#e69f00"))
        self.view.addItem(item)
        self.items[label] = item

    def _on_click(self, item: QListWidgetItem) -> None:
        self.session.choose(item.data(Qt.ItemDataRole.UserRole), "gallery")

    def _on_cell(self, label: int, chooser: str) -> None:
        item = self.items.get(label)
        if item is not None and chooser != "gallery":
            self.view.setCurrentItem(item)

    def _enable(self, *_: Any) -> None:
        left = len(self._order()) - len(self.items)
        idle = not self.job.running
        self.redraw.setEnabled(idle and bool(self._order()))
        self.more.setEnabled(idle and bool(self.items) and left > 0)
        if not self._order():
            self.message.say("Audit the cells first: the gallery shows their heatmaps.")
        else:
            self.message.say(f"{len(self.items):,} drawn, {left:,} more in the table")
