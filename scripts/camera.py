"""A hand and a camera for a napari window: press what a user presses, keep what a user sees."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np

COLOURS = 256  # of a picture; more make files larger and nothing clearer
MARGIN = 6


class Camera:
    """Writes pictures of the window, or of parts of it, with few enough colours to be small."""

    def __init__(self, viewer: Any, out: Path) -> None:
        self.viewer, self.out = viewer, out
        self.taken: dict[str, int] = {}
        out.mkdir(parents=True, exist_ok=True)

    def window(self, name: str) -> None:
        """The whole window."""
        wait(seconds=0.8)
        self._write(name, self.viewer.window.screenshot(canvas_only=False, flash=False))

    def canvas(self, name: str) -> None:
        """What the canvas shows."""
        wait(seconds=0.8)
        self._write(name, self.viewer.window.screenshot(canvas_only=True, flash=False))

    def widget(self, name: str, widget: Any, height: int | None = None) -> None:
        """One widget as it lies in the window, its upper part if a height is given."""
        wait(seconds=0.8)
        picture = widget.grab().toImage().convertToFormat(_rgb())
        stride, size = picture.bytesPerLine(), (picture.height(), picture.width())
        pixels = np.frombuffer(picture.constBits(), np.uint8).reshape(size[0], stride)
        pixels = pixels[:, : 3 * size[1]].reshape(*size, 3)
        self._write(name, pixels if height is None else pixels[:height])

    def _write(self, name: str, pixels: np.ndarray) -> None:
        from PIL import Image

        picture = Image.fromarray(np.ascontiguousarray(pixels[..., :3]))
        picture = picture.quantize(COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        path = self.out / f"{name}.png"
        picture.save(path, optimize=True)
        self.taken[name] = path.stat().st_size
        click.echo(f"{path.name:24} {picture.width:5} × {picture.height:4} {_kb(path)}")


def press(parent: Any, *words: str) -> bool:
    """Click the first button that can be clicked and begins with one of these words."""
    from qtpy.QtCore import Qt
    from qtpy.QtTest import QTest
    from qtpy.QtWidgets import QAbstractButton

    for word in words:
        for button in parent.findChildren(QAbstractButton):
            if button.text().startswith(word) and button.isEnabled():
                QTest.mouseClick(button, Qt.MouseButton.LeftButton)
                wait(seconds=0.2)
                return True
    return False


def pick(parent: Any, name: str, text: str) -> None:
    """Choose an entry of the combo box of this name, as a user does."""
    from qtpy.QtWidgets import QComboBox

    for box in parent.findChildren(QComboBox, name):
        if box.findText(text) >= 0:
            box.setCurrentIndex(box.findText(text))
            box.activated.emit(box.currentIndex())


def click_cell(viewer: Any, session: Any, label: int) -> None:
    """Click on a cell on the canvas, at its centre on its middle plane."""
    from qtpy.QtCore import QPoint, Qt
    from qtpy.QtTest import QTest

    row = session.results.table.loc[label]
    voxel = [row["centroid_z"], row["centroid_y"], row["centroid_x"]]
    world = session.labels_layer.data_to_world(voxel)
    viewer.dims.set_point(0, world[0])
    wait(seconds=0.5)
    view = viewer.window._qt_viewer.canvas.view
    x, y, _, w = (view.transform * view.scene.transform).map([world[2], world[1], 0, 1])
    native = viewer.window._qt_viewer.canvas.native
    QTest.mouseClick(
        native,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
        QPoint(round(x / w), round(y / w)),
    )
    wait(lambda: session.cell == label, 20)


def wait(until: Callable[[], bool] | None = None, seconds: float = 900) -> None:
    """Let the window live until something is so, or for a while."""
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + seconds
    while time.monotonic() < end and not (until and until()):
        QApplication.processEvents()
        time.sleep(0.01)
    if until and not until():
        raise SystemExit("the window did not come to where the next picture is taken")


def _kb(path: Path) -> str:
    return f"{path.stat().st_size / 1000:6.0f} kB"


def _rgb() -> Any:
    from qtpy.QtGui import QImage

    return QImage.Format.Format_RGB888
