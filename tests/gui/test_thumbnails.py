"""Pictures in the table: of the right cell, of rows in sight alone, and again after an audit."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import docked, scored_label
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QWidget

from gradcamo.docks.canvas.heatmap import crop_map
from gradcamo.docks.panels.cells.cells_dock import CellsDock
from gradcamo.docks.work.thumbnails import SIZE, drawer

pytestmark = pytest.mark.gui


@pytest.fixture
def cells(audited, viewer, qtbot):
    dock = docked(viewer, CellsDock, area="bottom")
    qtbot.waitUntil(lambda: bool(dock.thumbnails._pictures), timeout=20_000)
    qtbot.waitUntil(lambda: not dock.thumbnails.job.running, timeout=20_000)
    return dock


def pixels(image) -> np.ndarray:
    """A QImage as RGB (Y, X, 3)."""
    image = image.convertToFormat(image.Format.Format_RGB888)
    rows = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), -1)
    return rows[:, : 3 * image.width()].reshape(image.height(), image.width(), 3).astype(int)


def icon_of(cells, label):
    return cells.model.data(
        cells.model.index(cells.model.row_of(label), 0), Qt.ItemDataRole.DecorationRole
    )


def test_the_picture_shows_the_plane_of_the_cell_with_its_heat(audited, cells):
    label = scored_label(audited)
    labels = audited.labels_layer.data
    draw = drawer(audited.stack, labels, audited.results, (len(labels), 64, 64), 64)
    cam, image = draw(label)
    assert cam is audited.results.cam(label)[0]
    heat, _ = crop_map(audited, label)
    plane = round(audited.results.table.at[label, "centroid_z"])
    red_over_blue = pixels(image.scaled(64, 64))[..., 0] - pixels(image.scaled(64, 64))[..., 2]
    assert np.corrcoef(red_over_blue.ravel(), heat[plane].ravel())[0, 1] > 0.5


def test_pictures_are_drawn_for_rows_in_sight_and_for_others_when_they_come(audited, cells, qtbot):
    drawn = set(cells.thumbnails._pictures)
    bottom = cells.view.rowAt(cells.view.viewport().height() - 1)
    in_sight = set(cells.model.labels()[: bottom + 1].tolist())
    assert drawn == in_sight
    assert len(drawn) < cells.model.rowCount()
    cells.view.scrollToBottom()
    last = cells.model.label_at(cells.model.rowCount() - 1)
    qtbot.waitUntil(lambda: last in cells.thumbnails._pictures, timeout=20_000)
    icon = icon_of(cells, last)
    size = icon.actualSize(cells.view.iconSize())
    assert (size.width(), size.height()) == (SIZE, SIZE)
    plain, selected = (icon.pixmap(size, mode) for mode in (icon.Mode.Normal, icon.Mode.Selected))
    assert (pixels(plain.toImage()) == pixels(selected.toImage())).all()


def test_a_cell_audited_again_is_drawn_again(audited, cells, batches, qtbot):
    label = cells.model.label_at(0)
    before = pixels(icon_of(cells, label).pixmap(SIZE, SIZE).toImage())
    batch = next(b for b in batches if label in b.table["label"].to_numpy() and b.maps.ndim > 1)
    flipped = type(batch)(
        **{**vars(batch), "maps": np.ascontiguousarray(batch.maps.max() - batch.maps)}
    )
    audited.results.add(flipped)
    audited.results_changed.emit()
    cells.view.scrollTo(cells.model.index(cells.model.row_of(label), 0))

    def changed() -> bool:
        return (pixels(icon_of(cells, label).pixmap(SIZE, SIZE).toImage()) != before).any()

    qtbot.waitUntil(changed, timeout=20_000)


def test_pictures_can_be_hidden_and_rows_are_low_again(audited, cells, qtbot):
    header = cells.view.verticalHeader()
    assert header.defaultSectionSize() > SIZE
    qtbot.mouseClick(cells.toolbar.pictures, Qt.MouseButton.LeftButton)
    assert header.defaultSectionSize() < SIZE
    assert icon_of(cells, cells.model.label_at(0)) is None
    qtbot.mouseClick(cells.toolbar.pictures, Qt.MouseButton.LeftButton)
    assert icon_of(cells, cells.model.label_at(0)) is not None


def test_deleting_labels_and_stack_while_pictures_are_drawn_breaks_nothing(
    audited, cells, viewer, qtbot
):
    cells.thumbnails._forget()
    cells.view.viewport().update()
    cells.view.scrollToBottom()
    viewer.layers.clear()
    qtbot.wait(200)
    qtbot.waitUntil(lambda: not cells.thumbnails.job.running, timeout=20_000)
    assert cells.model.rowCount() == 0


def test_cells_that_an_audit_brings_while_pictures_are_drawn_wait_their_turn(
    session, checkpoint, batches, qtbot
):
    from gradcamo.auditing.recipe import audit_recipe
    from gradcamo.docks.work.thumbnails import Thumbnails
    from gradcamo.settings import AuditSettings

    session.set_checkpoint(checkpoint, "small")
    results = session.results
    results.recipe = audit_recipe(session.stack, checkpoint, AuditSettings())
    border, scored = batches[0], batches[1]
    results.add(border)
    table, failed = QWidget(), []
    qtbot.addWidget(table)
    pictures = Thumbnails(session, table)
    pictures.job.failed.connect(failed.append)
    early = border.table["label"].tolist()
    late = scored.table["label"].tolist()
    for label in early:
        pictures.picture(label)
    pictures._start()  # with the cells that are there
    results.add(scored)
    for label in [*late, 999_999]:  # of which the last is no cell
        pictures.picture(label)
    qtbot.waitUntil(lambda: {*early, *late} <= {*pictures._pictures}, timeout=20_000)
    qtbot.waitUntil(lambda: not pictures.job.running, timeout=20_000)
    assert not failed
    assert not pictures._wanted
