"""Compare: the chosen cell under the map of every treatment, or of every layer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QIcon, QImage, QPixmap
from qtpy.QtWidgets import (
    QComboBox,
    QListView,
    QListWidget,
    QListWidgetItem,
    QVBoxLayout,
    QWidget,
)

from gradcamo.docks.panels.cells.cell_dock import CellDock
from gradcamo.docks.parts.preferences import keep_choice
from gradcamo.docks.parts.widgets import line_of
from gradcamo.docks.window import window_of

if TYPE_CHECKING:
    import napari

SIZE = 132
BY = {"treatments": "every treatment", "layers": "every layer"}


class CompareDock(CellDock):
    """Follows the chosen cell; maps are computed in the background."""

    def __init__(self, napari_viewer: napari.Viewer, parent: QWidget | None = None) -> None:
        window = window_of(napari_viewer)
        super().__init__(window, parent)
        self._found = window.found
        self.by = QComboBox()
        for by, title in BY.items():
            self.by.addItem(title, by)
        keep_choice(self.by, "compare by")
        self.by.setToolTip(
            "the evidence for each treatment at the layer that Explain names, or that for one "
            "treatment at each layer"
        )
        self.view = QListWidget()
        self.view.setViewMode(QListView.ViewMode.IconMode)
        self.view.setResizeMode(QListView.ResizeMode.Adjust)
        self.view.setMovement(QListView.Movement.Static)
        self.view.setSelectionMode(QListWidget.SelectionMode.NoSelection)
        self.view.setIconSize(QSize(SIZE, SIZE))
        self.view.setGridSize(QSize(SIZE + 12, SIZE + 26))
        self.view.setToolTip("the cell's middle plane; each map is drawn on its own scale")
        line = line_of(self.message, self.by)
        line.setStretch(0, 1)
        box = QVBoxLayout(self)
        box.addLayout(line)
        box.addWidget(self.view, 1)

        self.by.activated.connect(self.draw)
        self.job.stepped.connect(self._show)
        self._follow_cell()

    def choice(self) -> Any:
        return self.by.currentData()

    def clear(self) -> None:
        self.view.clear()

    def begin(self, label: int) -> None:
        """Draw the maps of this cell."""
        settings, by = self.session.next_settings, self.by.currentData()
        _, _, checkpoint = self.session.needed()
        find = self._found.finder(settings)

        def steps() -> Iterator[Any]:
            from gradcamo.auditing.compare import compare_maps
            from gradcamo.views import overlay

            crops = find()
            (place,) = np.flatnonzero(crops.table["label"].to_numpy() == label)
            if not crops.scorable[place]:
                yield label, None
                return
            views = compare_maps(crops[int(place)], checkpoint, settings, by)
            yield label, [(v.title, (overlay(v) * 255).round().astype(np.uint8)) for v in views]

        self.run(self.job, steps, f"comparing the maps of cell {label} …")

    def _show(self, drawn: tuple[int, list[tuple[str, np.ndarray]] | None]) -> None:
        label, pictures = drawn
        self.view.clear()
        if pictures is None:
            why = "cut by the border or outside its crop"
            self.message.say(f"Cell {label} is {why}: it is not explained.")
            return
        self.message.say(f"Cell {label}: Grad-CAMO of each map")
        for title, picture in pictures:
            height, width, _ = picture.shape
            image = QImage(picture.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888)
            pixmap = QPixmap.fromImage(image).scaled(
                SIZE,
                SIZE,
                Qt.AspectRatioMode.KeepAspectRatio,
                Qt.TransformationMode.SmoothTransformation,
            )
            self.view.addItem(QListWidgetItem(QIcon(pixmap), title))
