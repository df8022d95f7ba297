"""Swapped crops: what the network was shown of the chosen cell, and what it said of each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import (
    QComboBox,
    QGridLayout,
    QLabel,
    QPushButton,
    QSlider,
    QVBoxLayout,
    QWidget,
)
from superqt.utils import signals_blocked

from gradcamo.colours import BACKGROUND, NEIGHBOURS, OWN
from gradcamo.docks.panels.cells.cell_dock import CellDock
from gradcamo.docks.parts.preferences import ask_path
from gradcamo.docks.parts.tint import GOOD
from gradcamo.docks.parts.widgets import line_of
from gradcamo.docks.window import window_of
from gradcamo.docks.work.causal_steps import until_stopped
from gradcamo.words import number

if TYPE_CHECKING:
    import napari

    from gradcamo.causal.swapped import SwappedCrops

SIZE = 82  # pixels of a picture: four stand beside each other in a dock
SHOWN = (7, 3, 5, 6, 0, 4, 2, 1)  # below each coalition the one in which all else is real
REGIONS = (("own cell", OWN), ("neighbours", NEIGHBOURS), ("background", BACKGROUND))


class SwappedCropsDock(CellDock):
    """Follows the chosen cell; crops are swapped in the background."""

    def __init__(self, napari_viewer: napari.Viewer, parent: QWidget | None = None) -> None:
        window = window_of(napari_viewer)
        super().__init__(window, parent)
        self._swapping = window.swapping
        self.crops: SwappedCrops | None = None
        self._pictures = np.zeros(0, np.uint8)
        self.pool = QComboBox()
        self.pool.setToolTip("whose contents stand in for the regions that are not real")
        self.plane = QSlider(Qt.Orientation.Horizontal)
        self.plane.setToolTip("the plane of the crop")
        self.save = QPushButton("Save…")
        self.save.setToolTip("the eight crops as a figure, with their margins")
        self.grid = QWidget()
        grid = QGridLayout(self.grid)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(4)
        self.pictures = [QLabel() for _ in SHOWN]
        self.words = [QLabel() for _ in SHOWN]
        for place, (picture, words) in enumerate(zip(self.pictures, self.words, strict=True)):
            row, column = 2 * (place // 4), place % 4
            picture.setFixedSize(SIZE, SIZE)
            words.setStyleSheet("font-size: 11px;")
            grid.addWidget(picture, row, column)
            grid.addWidget(words, row + 1, column)
        grid.setColumnStretch(4, 1)
        self.legend = QLabel()
        self.legend.setWordWrap(True)
        self.legend.setStyleSheet("font-size: 11px;")
        box = QVBoxLayout(self)
        box.addWidget(self.message)
        box.addLayout(line_of(self.pool, self.save, widest=self.pool))
        box.addWidget(self.grid)
        box.addWidget(self.plane)
        box.addWidget(self.legend)
        box.addStretch(1)

        self.pool.activated.connect(self._show)
        self.plane.valueChanged.connect(self._show)
        self.save.clicked.connect(self._choose_file)
        self.job.stepped.connect(self._on_made)
        self.session.swapping.ended.connect(self.draw)
        self.clear()
        self._follow_cell()

    def may_draw(self) -> bool:
        return self.isVisible() and not self.session.swapping.running

    def begin(self, label: int) -> None:
        """Swap the regions of this cell."""
        settings = self.session.next_settings
        make, look = self._swapping.swapper(settings, self.job), self._look()

        def steps() -> Iterator[Any]:
            made = make(label)
            yield made, None if made.reason else _coloured(made, look)

        self.run(self.job, until_stopped(steps), f"swapping the regions of cell {label} …")

    def showEvent(self, event: Any) -> None:
        super().showEvent(event)
        self.draw()

    def save_figure(self, path: str) -> None:
        """Write the crops that are shown as a figure."""
        crops, pool = self.crops, max(self.pool.currentIndex(), 0)
        if crops is None:
            return

        def steps() -> Iterator[Any]:
            from gradcamo.causal.regions import NEIGHBOUR, OWN as MINE
            from gradcamo.figures import save_figure, swapped_crops

            title = f"Cell {crops.label}: {crops.target} against {crops.reference}"
            own, others = crops.kinds == MINE, crops.kinds == NEIGHBOUR
            shown = crops.composites[pool], own, others, crops.margins[pool], title
            save_figure(swapped_crops(*shown), path, dpi=200)
            yield path

        with self.telling():
            self.run(self.job, steps, "writing …")

    def _look(self) -> list[tuple[Any, tuple[float, float]] | None]:
        """Colours and contrast of the network's channels as the canvas shows them, None: hidden."""
        session = self.session
        checkpoint = session.checkpoint
        names = session.channels or (checkpoint.channels if checkpoint else ())
        layers = [session.channel_layers.get(name) for name in names]
        looks = [
            (layer.colormap, tuple(layer.contrast_limits)) if layer is not None else None
            for layer in layers
        ]
        seen = [
            look if layer is not None and layer.visible else None
            for layer, look in zip(layers, looks, strict=True)
        ]
        return seen if any(seen) else looks

    def _on_made(self, item: Any) -> None:
        if isinstance(item, str):
            self.message.say(f"written to {item}", GOOD)
            return
        made, pictures = item
        if made.label != self.session.cell:
            return
        if made.reason:
            self.clear()
            self.message.say(f"Cell {made.label} cannot be swapped: {made.reason}.")
            return
        self.crops, self._pictures = made, pictures
        before = max(self.pool.currentIndex(), 0)
        self.pool.clear()
        self.pool.addItem(f"filled from {made.reference}, the reference")
        self.pool.addItem(f"filled from {made.target}, its own class")
        self.pool.setCurrentIndex(before)
        depth = made.kinds.shape[0]
        with signals_blocked(self.plane):
            self.plane.setRange(0, depth - 1)
            self.plane.setValue(_middle(made.kinds))
        for part in (self.pool, self.save, self.grid, self.legend):
            part.show()
        self.plane.setVisible(depth > 1)
        self.message.say(
            f"Cell {made.label}, one draw. Below each picture: what is real, and how far "
            f"{made.target} stands above {made.reference}, in logits."
        )
        self.legend.setText(
            "&nbsp; ".join(f"{_chip(colour, True)}&nbsp;{name}" for name, colour in REGIONS)
            + "&nbsp; □&nbsp;from other cells. Below a picture stands the one with all else real."
        )
        self._show()

    def _show(self, *_: Any) -> None:
        made = self.crops
        if made is None:
            return
        pool = max(self.pool.currentIndex(), 0)
        planes = self._pictures[pool, :, self.plane.value()]
        for place, coalition in enumerate(SHOWN):
            self.pictures[place].setPixmap(_pixmap(planes[coalition]))
            self.words[place].setText(
                f"{_chips(coalition)} <b>{number(made.margins[pool, coalition], 1, '+')}</b>"
            )
            tip = _described(made, pool, coalition)
            for label in (self.pictures[place], self.words[place]):
                label.setToolTip(tip)

    def clear(self) -> None:
        self.crops = None
        for part in (self.pool, self.save, self.grid, self.plane, self.legend):
            part.hide()

    def _choose_file(self) -> None:
        from qtpy.QtWidgets import QFileDialog

        name = f"cell_{self.session.cell}_swapped.png"
        kinds = "Figures (*.png *.pdf *.svg)"
        if path := ask_path(self, "Save the figure", QFileDialog.getSaveFileName, name, kinds):
            self.save_figure(path)


def _coloured(made: SwappedCrops, look: list[tuple[Any, tuple[float, float]] | None]) -> np.ndarray:
    """The crops as the canvas would show them, outlined: (2, 8, Z, Y, X, 3) uint8."""
    from matplotlib.colors import to_rgb

    from gradcamo.causal.regions import NEIGHBOUR, OWN as MINE
    from gradcamo.views import outline_of

    shape = made.composites.shape
    pictures = np.zeros((*shape[:2], *shape[3:], 3), np.float32)
    for channel, one in enumerate(look):
        if one is not None:
            colours, (low, high) = one
            grey = (made.composites[:, :, channel].astype(np.float32) - low) / (high - low)
            steps = (grey.clip(0, 1) * 255).astype(np.uint8)
            pictures += colours.map(np.linspace(0, 1, 256))[:, :3].astype(np.float32)[steps]
    for kind, colour in ((NEIGHBOUR, NEIGHBOURS), (MINE, OWN)):
        edges = np.stack([outline_of(plane == kind) for plane in made.kinds])
        pictures[:, :, edges] = to_rgb(colour)
    return (pictures.clip(0, 1) * 255).astype(np.uint8)


def _middle(kinds: np.ndarray) -> int:
    from gradcamo.causal.regions import OWN as MINE

    planes = np.flatnonzero((kinds == MINE).any((1, 2)))
    return int(planes[len(planes) // 2])


def _pixmap(picture: np.ndarray) -> QPixmap:
    height, width, _ = picture.shape
    data = np.ascontiguousarray(picture).tobytes()
    image = QImage(data, width, height, 3 * width, QImage.Format.Format_RGB888)
    how = Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation
    return QPixmap.fromImage(image).scaled(SIZE, SIZE, *how)


def _chips(coalition: int) -> str:
    return "".join(_chip(colour, bool(coalition >> p & 1)) for p, (_, colour) in enumerate(REGIONS))


def _chip(colour: str, real: bool) -> str:
    return f"<span style='color:{colour}'>■</span>" if real else "□"


def _described(made: SwappedCrops, pool: int, coalition: int) -> str:
    """What is real in a picture, and all logits."""
    real = [name for p, (name, _) in enumerate(REGIONS) if coalition >> p & 1]
    donors = (made.reference, made.target)[pool]
    rest = "" if len(real) == len(REGIONS) else f"; the rest from cells of {donors}"
    logits = ", ".join(
        f"{name} {number(score, 1)}"
        for name, score in zip(made.classes, made.scores[pool, coalition], strict=True)
    )
    return f"real: {', '.join(real) or 'nothing'}{rest}\nlogits: {logits}"
