"""The steps of the workbench, with real files, a real network and real errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import docked, scored_label
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt

from gradcamo.docks.panels.cells.cells_dock import CellsDock
from gradcamo.docks.panels.steps.explain import ExplainDock
from gradcamo.docks.panels.steps.load import LoadDock
from gradcamo.docks.panels.steps.model import ModelDock
from gradcamo.docks.panels.steps.workbench import Workbench, open_docks
from gradcamo.docks.parts.steps import WIDTH
from gradcamo.docks.window import window_of
from gradcamo.settings import AuditSettings, SegmentSettings, TrainSettings

pytestmark = pytest.mark.gui


def last_notification() -> str:
    return str(notification_manager.records[-1].message)


@pytest.fixture
def files(field, tmp_path):
    import tifffile

    stack, labels = field
    image, cells = tmp_path / "stack.ome.tif", tmp_path / "cells.tif"
    tifffile.imwrite(
        image,
        np.moveaxis(np.asarray(stack.data), 0, 1),
        ome=True,
        metadata={
            "axes": "ZCYX",
            "Channel": {"Name": list(stack.channels)},
            **{f"PhysicalSize{a}": s for a, s in zip("ZYX", stack.spacing_um, strict=True)},
        },
    )
    tifffile.imwrite(cells, labels, metadata={"axes": "ZYX"})
    return image, cells


def test_a_stack_and_labels_are_loaded_from_files(viewer, files, field, qtbot):
    dock = docked(viewer, LoadDock)
    session = window_of(viewer).session
    for load, path in ((dock.load_stack, files[0]), (dock.load_labels, files[1])):
        with qtbot.waitSignal(session.loading.ended, timeout=30_000):
            load(path)
    stack, labels = field
    assert session.stack.channels == stack.channels
    assert [layer.name for layer in viewer.layers] == [*stack.channels, "cells"]
    np.testing.assert_array_equal(session.labels_layer.data, labels)
    assert session.labels_layer.scale == pytest.approx(stack.spacing_um)
    assert [line.text() for line in dock.spacing.lines] == [f"{s:.5g}" for s in stack.spacing_um]


def test_a_missing_file_is_reported_and_the_dock_goes_on(viewer, files, qtbot, tmp_path):
    dock = docked(viewer, LoadDock)
    session = window_of(viewer).session
    with qtbot.waitSignal(session.loading.ended, timeout=30_000):
        dock.load_stack(tmp_path / "nowhere.tif")
    assert "nowhere.tif" in dock.message.text()
    assert "nowhere.tif" in last_notification()
    assert dock.open_stack.isEnabled()
    with qtbot.waitSignal(session.loading.ended, timeout=30_000):
        dock.load_stack(files[0])
    assert session.stack is not None


def test_a_stack_that_does_not_declare_its_axes_asks_for_them(viewer, qtbot, tmp_path):
    import tifffile

    path = tmp_path / "bare.tif"
    tifffile.imwrite(path, np.zeros((5, 32, 32), np.uint16), metadata=None)
    dock = docked(viewer, LoadDock)
    session = window_of(viewer).session
    with qtbot.waitSignal(session.loading.ended, timeout=30_000):
        dock.load_stack(path)
    assert dock.axes.isVisible()
    dock.axes.setText("zyx")
    with qtbot.waitSignal(session.loading.ended, timeout=30_000):
        qtbot.keyClick(dock.axes, Qt.Key.Key_Return)
    assert session.stack.shape == (1, 5, 32, 32)
    assert not dock.axes.isVisible()


def test_labels_of_another_shape_are_refused(session, viewer, qtbot, tmp_path):
    import tifffile

    path = tmp_path / "other.tif"
    tifffile.imwrite(path, np.ones((9, 50, 50), np.uint16), metadata={"axes": "ZYX"})
    dock, before = docked(viewer, LoadDock), session.labels_layer
    with qtbot.waitSignal(session.loading.ended, timeout=30_000):
        dock.load_labels(path)
    assert "(9, 50, 50)" in dock.message.text()
    assert session.labels_layer is before


def test_layers_that_are_open_already_are_taken_up(viewer, field, qtbot):
    stack, labels = field
    for name, channel in zip(stack.channels, stack.data, strict=True):
        viewer.add_image(channel, name=name, scale=stack.spacing_um, units=("um",) * 3)
    dock = docked(viewer, LoadDock)
    session = window_of(viewer).session
    qtbot.waitUntil(lambda: session.stack is not None, timeout=30_000)
    assert session.stack.channels == stack.channels
    assert session.stack.spacing_um == pytest.approx(stack.spacing_um)
    viewer.add_labels(labels, name="mine")
    assert session.labels_layer is viewer.layers["mine"]
    assert dock.labels.currentText() == "mine"


def test_a_mask_is_refused_with_a_button_that_labels_its_pieces(viewer, qtbot):
    cases = Path(__file__).parents[1] / "data" / "cases"
    dock = docked(viewer, LoadDock)
    session = window_of(viewer).session

    def load(call, *given):
        with qtbot.waitSignal(session.loading.ended, timeout=30_000):
            call(*given)

    load(dock.load_stack, cases / "images" / "ome_no_z_spacing.ome.tif")
    assert not dock.pieces.isVisibleTo(dock)
    load(dock.load_labels, cases / "labels" / "binary_255.tif")
    assert "binary_255.tif is a mask" in dock.message.text()
    assert dock.pieces.isVisibleTo(dock)
    assert session.labels_layer is None
    load(qtbot.mouseClick, dock.pieces, Qt.MouseButton.LeftButton)
    assert session.labels_layer.data.max() == 3
    assert not dock.pieces.isVisibleTo(dock)
    load(dock.load_labels, cases / "labels" / "half_resolution.tif")
    assert "half the resolution" in dock.message.text()
    assert session.labels_layer.data.shape == (4, 64, 64)


def test_a_typed_voxel_size_reaches_stack_and_layers(session, viewer, qtbot):
    dock = docked(viewer, LoadDock)
    for line, text in zip(dock.spacing.lines, ("1.2", "0.5", "0.5"), strict=True):
        line.setText(text)
    qtbot.keyClick(dock.spacing.lines[-1], Qt.Key.Key_Return)
    assert session.stack.spacing_um == (1.2, 0.5, 0.5)
    assert session.labels_layer.scale == pytest.approx((1.2, 0.5, 0.5))


def test_a_voxel_size_is_typed_axis_by_axis(session, viewer, qtbot):
    dock = docked(viewer, LoadDock)
    session.set_spacing(None)
    assert [line.text() for line in dock.spacing.lines] == ["", "", ""]
    for number, spacing in ((1, (None, 0.5, None)), (2, (None, 0.5, 0.4)), (0, (1.2, 0.5, 0.4))):
        assert "not known" in dock.message.text()
        dock.spacing.lines[number].setText(str(spacing[number]))
        qtbot.keyClick(dock.spacing.lines[number], Qt.Key.Key_Return)
        assert session.stack.spacing_um == spacing
    assert "not known" not in dock.message.text()
    assert session.labels_layer.scale == pytest.approx((1.2, 0.5, 0.4))


def test_settings_rows_take_name_bounds_and_help_from_the_settings(viewer):
    dock = docked(viewer, Workbench).segment
    for rows in (dock.rows, dock.more):
        for name, widget in rows.inputs.items():
            assert widget.tooltip == SegmentSettings.model_fields[name].description
    assert dock.rows.settings(**dock.more.values()) == SegmentSettings()
    flow = dock.more.inputs["flow_threshold"]
    assert (flow.min, flow.max) == (0, 3)


def test_auditing_scores_every_cell_as_the_library_does(session, checkpoint, viewer, qtbot):
    from gradcamo import audit

    dock = docked(viewer, ExplainDock)
    session.set_checkpoint(checkpoint, "small")
    with qtbot.waitSignal(session.auditing.ended, timeout=60_000):
        qtbot.mouseClick(dock.audit_all, Qt.MouseButton.LeftButton)
    expected = audit(session.stack, session.labels_layer.data, checkpoint)
    got = session.results.table[list(expected.columns)].reset_index(drop=True)
    pd.testing.assert_frame_equal(got, expected, check_dtype=False)
    assert "scored" in dock.message.text()


def test_cancelling_an_audit_keeps_the_cells_that_are_done(
    session, checkpoint, viewer, qtbot, window
):
    dock = docked(viewer, ExplainDock)
    session.set_checkpoint(checkpoint, "small")
    session.auditing.stepped.connect(dock.progress.cancel.click)  # at the first batch
    with qtbot.waitSignal(session.auditing.ended, timeout=60_000) as ended:
        window.audits.start(AuditSettings(batch_size=1))
    assert ended.args == [False]
    cells = len(np.unique(session.labels_layer.data)) - 1
    assert 0 < len(session.results) < cells
    assert "kept" in dock.message.text()
    assert dock.audit_all.isEnabled()


def test_a_runtime_error_in_the_network_reaches_the_user(
    session, checkpoint, viewer, qtbot, window
):
    from dataclasses import replace

    import torch

    class Bursting(torch.nn.Module):
        def forward(self, x):
            raise RuntimeError("CUDA out of memory")

    broken = replace(checkpoint)
    _ = broken.layers
    object.__setattr__(broken, "network", Bursting())
    dock = docked(viewer, ExplainDock)
    session.set_checkpoint(broken, "broken")
    notification_manager.records.clear()
    with qtbot.waitSignal(session.auditing.ended, timeout=60_000):
        window.audits.start(AuditSettings(layer=checkpoint.layer))
    assert dock.audit_all.isEnabled()
    assert dock.message.text()
    assert notification_manager.records


def test_an_audit_that_fails_at_its_checks_takes_no_scores_away(audited, viewer, qtbot, window):
    dock = docked(viewer, ExplainDock)
    before = audited.results.table
    with qtbot.waitSignal(audited.auditing.ended, timeout=60_000):
        window.audits.start(AuditSettings(layer="block_99"))
    assert "block_99" in dock.message.text()
    pd.testing.assert_frame_equal(audited.results.table, before)


def test_channels_with_other_names_are_matched_by_hand(session, checkpoint, viewer, qtbot):
    from dataclasses import replace

    renamed = replace(checkpoint, channels=("DNA", "concanavalin", "actin"))
    explain, dock = docked(viewer, ExplainDock), docked(viewer, ModelDock)
    session.set_checkpoint(renamed, "renamed")
    assert list(dock.matches) == ["DNA", "concanavalin", "actin"]
    assert dock.matches["concanavalin"].currentText() == "concanavalin"
    for channel, name in (("DNA", "Hoechst"), ("actin", "phalloidin")):
        dock.matches[channel].setCurrentText(name)
    with qtbot.waitSignal(session.auditing.ended, timeout=60_000):
        explain.start()
    assert session.audit_settings.channels == ("Hoechst", "concanavalin", "phalloidin")
    assert session.results.counts()["scored"] > 0


@pytest.mark.shown
def test_the_workbench_opens_the_next_step_and_the_table(
    session, checkpoint, viewer, qtbot, window
):
    bench = docked(viewer, Workbench)
    opened = lambda: [step.title.text() for step in bench.steps if step.is_open]  # noqa: E731
    assert opened() == ["Model"]
    assert bench.steps[2].state.text() == "open a network"
    session.set_checkpoint(checkpoint, "small")
    assert opened() == ["Explain"]
    assert bench.steps[3].state.text() == "audit the cells"
    session.auditing.stepped.connect(lambda _: seen.append(opened()))
    seen = []
    with qtbot.waitSignal(session.auditing.ended, timeout=60_000):
        window.audits.start(AuditSettings(batch_size=2))
    assert set(map(tuple, seen)) == {("Explain",)}  # where Cancel is
    assert opened() == ["Review"]
    assert any(isinstance(widget, CellsDock) for widget in open_docks(viewer))
    for step in bench.steps:  # nothing is cut off in a dock of this width
        step.open(True)
        assert step.minimumSizeHint().width() <= WIDTH - 30


@pytest.mark.shown
def test_closing_docks_and_deleting_layers_breaks_nothing(audited, viewer, qtbot):
    bench, cells = docked(viewer, Workbench), docked(viewer, CellsDock)
    audited.choose(scored_label(audited), "table")
    for widget in (bench, cells):
        viewer.window.remove_dock_widget(widget)
        widget.deleteLater()
    qtbot.wait(20)
    audited.set_cutoff(0.4)
    audited.choose(scored_label(audited, 1), "table")
    reopened = docked(viewer, Workbench)
    assert reopened.review.cut.value.value() == 0.4
    viewer.layers.remove("Grad-CAM")
    audited.choose(scored_label(audited, 2), "table")
    viewer.layers.remove(audited.labels_layer)
    assert audited.labels_layer is None
    viewer.layers.clear()
    assert audited.stack is None


@pytest.mark.shown
def test_closing_the_window_during_an_audit_ends_quietly(audited, viewer, qtbot, window):
    window.audits.start(AuditSettings(batch_size=1))
    job = audited.auditing
    viewer.close()
    qtbot.waitUntil(lambda: not job.running, timeout=30_000)


def test_every_control_of_the_workbench_has_a_tooltip(session, viewer):
    from qtpy.QtWidgets import QAbstractButton, QAbstractSlider, QAbstractSpinBox, QComboBox

    bench = docked(viewer, Workbench)
    kinds = (QAbstractButton, QAbstractSlider, QAbstractSpinBox, QComboBox)
    silent = [
        f"{type(widget).__name__} {widget.objectName() or getattr(widget, 'text', str)()}"
        for kind in kinds
        for step in bench.steps
        for widget in step.body.findChildren(kind)
        if not widget.toolTip()
        and not isinstance(widget.parent(), (QComboBox, QAbstractSpinBox))
        and "scroll" not in type(widget).__name__.lower()
        and not (isinstance(widget, QAbstractSpinBox) and widget.isHidden())  # of a slider
    ]
    assert not silent


def test_renamed_and_deleted_layers_break_nothing(audited, viewer, qtbot, window):
    bench = docked(viewer, Workbench)
    audited.choose(scored_label(audited), "table")
    pinned = window.heatmap.pin()
    qtbot.waitUntil(lambda: "chosen cell" in viewer.layers)
    for name in ("Grad-CAM", "chosen cell", "Hoechst", audited.labels_layer.name):
        viewer.layers[name].name = f"my {name}"
    audited.choose(scored_label(audited, 1), "table")
    assert viewer.layers["my Grad-CAM"].metadata["cell"] == f"cell {scored_label(audited, 1)}"
    viewer.layers.remove(pinned)
    viewer.layers.remove("my chosen cell")
    audited.choose(scored_label(audited, 2), "table")
    viewer.layers.remove("my Grad-CAM")
    bench.review.heatmap.inputs["opacity"].value = 0.3
    bench.review.heatmap.pin.click()
    audited.choose(scored_label(audited), "table")
    assert viewer.layers["Grad-CAM"].opacity == 0.3
    viewer.layers.remove("my Hoechst")
    assert audited.stack is not None
    viewer.layers.clear()
    assert [step.title.text() for step in bench.steps if step.is_open] == ["Load"]


@pytest.mark.shown
def test_docks_closed_while_they_work_and_a_window_closed_while_a_cell_is_explained(
    session, checkpoint, viewer, qtbot
):
    from gradcamo.docks.panels.cells.compare_dock import CompareDock

    session.set_checkpoint(checkpoint, "small")
    compare = docked(viewer, CompareDock)
    labels = [int(n) for n in np.unique(session.labels_layer.data)[1:4]]
    session.choose(labels[0], "canvas")
    viewer.window.remove_dock_widget(compare)
    compare.deleteLater()
    qtbot.waitUntil(lambda: not session.explaining.running, timeout=60_000)
    session.choose(labels[1], "canvas")
    viewer.close()
    qtbot.waitUntil(lambda: not session.explaining.running, timeout=60_000)


def test_choices_are_there_at_the_next_launch(audited, viewer, qtbot, window):
    from gradcamo.docks.panels.cells.gallery_dock import GalleryDock
    from gradcamo.docks.panels.plates.figures_dock import FiguresDock
    from gradcamo.docks.panels.steps.review import ReviewDock
    from gradcamo.docks.panels.training.train_dock import TrainDock

    def choose(box, data):
        box.setCurrentIndex(box.findData(data))
        box.activated.emit(box.currentIndex())

    for column in ("treatment", "site", "well"):
        audited.results.table[column] = "one"
    review, figures, train = ReviewDock(viewer), FiguresDock(viewer), TrainDock(viewer)
    gallery = GalleryDock(viewer)
    choose(review.mode, "flagged")
    review.outlines.setChecked(False)
    choose(figures.kind, "budget")
    train.main.inputs["epochs"].value = 7
    train.crop.inputs["size_yx"].native.setText("40, 48")
    train.more.inputs["network"].value = "efficientnet-b1"
    train.split.inputs["test_columns"].native.setText("02")
    cells = CellsDock(viewer)
    cells.toolbar.pictures.setChecked(False)
    actions = {action.data(): action for action in cells.toolbar.columns.menu().actions()}
    actions["chance"].trigger()
    actions["centroid_z"].trigger()
    choose(gallery.order, "attainable")
    gallery.descending.setChecked(True)
    choose(figures.group, "site")
    window.colours.mode, window.colours.outlines = "score", True
    again = TrainDock(viewer).settings()
    assert (again.epochs, again.crop.size_yx, again.network) == (7, (40, 48), "efficientnet-b1")
    assert again.test_columns == TrainSettings().test_columns  # those are of another plate
    figures = FiguresDock(viewer)
    assert (figures.kind.currentData(), figures.group.currentData()) == ("budget", "site")
    gallery = GalleryDock(viewer)
    assert (gallery.order.currentData(), gallery.descending.isChecked()) == ("attainable", True)
    review = ReviewDock(viewer)
    assert (review.mode.currentData(), review.outlines.isChecked()) == ("flagged", False)
    assert (window.colours.mode, window.colours.outlines) == ("flagged", False)
    cells = CellsDock(viewer)
    assert not cells.toolbar.pictures.isChecked()
    assert "chance" not in cells.model.columns
    assert {"centroid_z", "well"} <= set(cells.model.columns)
