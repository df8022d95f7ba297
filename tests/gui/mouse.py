"""Real mouse events at world positions of the canvas."""

from __future__ import annotations

from qtpy.QtCore import QPoint, Qt


def canvas_position(viewer, world) -> QPoint:
    """Where a world position lies on the canvas, in logical pixels."""
    view = viewer.window._qt_viewer.canvas.view
    shown = [world[axis] for axis in viewer.dims.displayed][::-1]
    x, y, _, w = (view.transform * view.scene.transform).map([*[*shown, 0][:3], 1])
    return QPoint(round(x / w), round(y / w))


def click(viewer, qtbot, world, modifier=Qt.KeyboardModifier.NoModifier) -> None:
    """Press and release the left button over a world position."""
    native = viewer.window._qt_viewer.canvas.native
    qtbot.mouseClick(native, Qt.MouseButton.LeftButton, modifier, canvas_position(viewer, world))


def drag(viewer, qtbot, world, pixels: int) -> None:
    """Press over a world position, move the mouse, and release."""
    native = viewer.window._qt_viewer.canvas.native
    start = canvas_position(viewer, world)
    qtbot.mousePress(native, Qt.MouseButton.LeftButton, pos=start)
    qtbot.mouseMove(native, start + QPoint(pixels, pixels))
    qtbot.mouseRelease(native, Qt.MouseButton.LeftButton, pos=start + QPoint(pixels, pixels))
