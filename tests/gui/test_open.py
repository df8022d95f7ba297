"""What napari's own File > Open and drag and drop bring in becomes a Z-stack, or is asked about.

Files come by the menu, or fall onto the canvas or the dock from a file manager.
"""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from conftest import docked
from qtpy.QtCore import QMimeData, QPointF, Qt, QTimer, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QApplication, QRadioButton

from gradcamo.docks.panels.steps.load import LoadDock
from gradcamo.docks.window import window_of
from gradcamo.files.stacks import write_stack

pytestmark = pytest.mark.gui


@pytest.fixture
def load(viewer):
    return docked(viewer, LoadDock)


@pytest.mark.shown  # a window makes napari's own reader known
def test_an_imagej_stack_that_napari_opens_has_its_channels_and_voxels(
    viewer, load, tmp_path, qtbot
):
    path = tmp_path / "cells.tif"
    data = np.random.default_rng(0).integers(0, 999, (5, 2, 32, 40), np.uint16)
    about = {"axes": "ZCYX", "spacing": 0.6, "unit": "um"}
    tifffile.imwrite(path, data, imagej=True, resolution=(1 / 0.35, 1 / 0.35), metadata=about)
    viewer.open(path, plugin="napari")
    session = window_of(viewer).session
    qtbot.waitUntil(lambda: session.stack is not None, timeout=30_000)
    assert session.stack.shape == (2, 5, 32, 40)
    np.testing.assert_array_equal(session.stack.data[1], data[:, 1])
    assert session.stack.spacing_um == pytest.approx((0.6, 0.35, 0.35), rel=1e-3)
    assert [layer.data.shape for layer in viewer.layers] == [(5, 32, 40)] * 2


def drop(widget, *paths) -> bool:
    """Drag files over the middle of a widget and let go; whether they were welcome."""
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    middle = widget.rect().center()
    how = (Qt.DropAction.CopyAction, mime, Qt.MouseButton.LeftButton)
    how = (*how, Qt.KeyboardModifier.NoModifier)
    enter, fall = QDragEnterEvent(middle, *how), QDropEvent(QPointF(middle), *how)
    QApplication.sendEvent(widget, enter)
    QApplication.sendEvent(widget, fall)
    return enter.isAccepted()


def answer_which_reader() -> None:
    """napari asks where two can read a file: it does not return before it is answered."""
    (dialog,) = [w for w in QApplication.topLevelWidgets() if type(w).__name__ == "QtReaderDialog"]
    for button in dialog.findChildren(QRadioButton):
        if "gradcamo" in button.text().lower() or "grad-camo" in button.text().lower():
            button.setChecked(True)
    dialog.accept()


@pytest.mark.shown
def test_a_plain_tiff_dropped_on_the_canvas_is_opened(viewer, load, tmp_path, qtbot):
    path = tmp_path / "cells.tif"
    data = np.random.default_rng(0).integers(0, 999, (5, 2, 32, 40), np.uint16)
    about = {"axes": "ZCYX", "spacing": 0.6, "unit": "um"}
    tifffile.imwrite(path, data, imagej=True, resolution=(1 / 0.35, 1 / 0.35), metadata=about)
    assert drop(viewer.window._qt_viewer.canvas.native, path)
    session = window_of(viewer).session
    qtbot.waitUntil(lambda: session.stack is not None, timeout=30_000)
    np.testing.assert_array_equal(session.stack.data[1], data[:, 1])
    assert session.stack.spacing_um == pytest.approx((0.6, 0.35, 0.35), rel=1e-3)


@pytest.mark.shown
def test_a_file_dropped_on_the_canvas_is_opened_with_channels_and_voxels(
    viewer, load, field, tmp_path, qtbot
):
    stack, labels = field
    path, cells = tmp_path / "cells.ome.tif", tmp_path / "cells_labels.tif"
    write_stack(path, stack)
    tifffile.imwrite(cells, labels)
    QTimer.singleShot(1_000, answer_which_reader)
    assert drop(viewer.window._qt_viewer.canvas.native, path)
    session = window_of(viewer).session
    qtbot.waitUntil(lambda: session.stack is not None, timeout=30_000)
    assert session.stack.channels == stack.channels
    assert session.stack.spacing_um == pytest.approx(stack.spacing_um, rel=1e-3)
    np.testing.assert_array_equal(session.stack.data, stack.data)
    assert drop(load, cells)  # on the dock: by its name it is labels
    qtbot.waitUntil(lambda: session.labels_layer is not None, timeout=30_000)
    np.testing.assert_array_equal(session.labels_layer.data, labels)


def test_an_undeclared_tiff_that_napari_opens_asks_for_its_axes(viewer, load, tmp_path, qtbot):
    path = tmp_path / "bare.tif"
    data = np.random.default_rng(0).integers(0, 999, (5, 32, 40), np.uint16)
    tifffile.imwrite(path, data, metadata=None)
    viewer.open(path, plugin="napari")
    qtbot.waitUntil(load.axes.isVisible, timeout=30_000)
    assert window_of(viewer).session.stack is None
    load.axes.setText("zyx")
    qtbot.keyClick(load.axes, Qt.Key.Key_Return)
    session = window_of(viewer).session
    qtbot.waitUntil(lambda: session.stack is not None, timeout=30_000)
    np.testing.assert_array_equal(session.stack.data[0], data)
    assert len(viewer.layers) == 1  # the layer that napari made of it is gone
    assert not load.axes.isVisible()


def test_axes_are_asked_for_only_where_they_are_not_known(load, tmp_path, qtbot):
    broken = tmp_path / "axes" / "broken.tif"
    broken.parent.mkdir()
    broken.write_bytes(b"II*\0 and nothing more")
    load.load_stack(broken)
    qtbot.waitUntil(lambda: not load.message.text().startswith("reading"), timeout=20_000)
    assert "broken.tif" in load.message.text()
    assert not load.axes.isVisibleTo(load)


def test_a_layer_with_four_axes_is_asked_about(viewer, load, qtbot):
    data = np.random.default_rng(0).integers(0, 999, (5, 3, 32, 40), np.uint16)
    viewer.add_image(data, name="mine")
    qtbot.waitUntil(load.axes.isVisible, timeout=30_000)
    assert "5 × 3 × 32 × 40" in load.message.text()
    load.axes.setText("ZZYX")
    qtbot.keyClick(load.axes, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: "does not describe" in load.message.text(), timeout=30_000)
    load.axes.setText("ZCYX")
    qtbot.keyClick(load.axes, Qt.Key.Key_Return)
    session = window_of(viewer).session
    qtbot.waitUntil(lambda: session.stack is not None, timeout=30_000)
    np.testing.assert_array_equal(session.stack.data, np.moveaxis(data, 1, 0))


def test_an_ome_zarr_that_is_opened_has_its_names(viewer, load, field, tmp_path, qtbot):
    import zarr

    stack, _ = field
    path = tmp_path / "cells.ome.zarr"
    group = zarr.open_group(str(path), mode="w", zarr_format=2)
    group.create_array("0", data=np.asarray(stack.data))
    scale = [{"type": "scale", "scale": [1.0, *stack.spacing_um]}]
    axes = [{"name": "c", "type": "channel"}]
    axes += [{"name": a, "type": "space", "unit": "micrometer"} for a in "zyx"]
    datasets = [{"path": "0", "coordinateTransformations": scale}]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": datasets}]
    group.attrs["omero"] = {"channels": [{"label": name} for name in stack.channels]}
    viewer.open(path, plugin="napari-gradcamo")
    session = window_of(viewer).session
    qtbot.waitUntil(lambda: session.stack is not None, timeout=30_000)
    assert session.stack.channels == stack.channels
    assert session.stack.spacing_um == pytest.approx(stack.spacing_um)
