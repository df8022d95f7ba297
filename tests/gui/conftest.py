"""A viewer, with a window where one is the point, a small stack, and a small network."""

from __future__ import annotations

import gc
import os
import tempfile

import numpy as np
import pytest
from qtpy.QtWidgets import QWidget

from gradcamo.docks.parts.threads import working
from gradcamo.docks.parts.worker import Job

# before napari is imported: neither read nor write anybody's settings
os.environ["NAPARI_CONFIG"] = ""
os.environ["HOME"] = os.environ["XDG_CONFIG_HOME"] = tempfile.mkdtemp(prefix="gradcamo-home-")


@pytest.fixture(autouse=True)
def _fresh_home(qtbot, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))  # scores are kept there
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))  # what docks remember
    gc.freeze()  # a closing window collects garbage: what was imported need not be looked at
    yield
    for thread in working():
        thread.join(20)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """What refers to itself goes here and now: no other thread may destroy a thing of Qt's."""
    try:
        return (yield)
    finally:
        if item.get_closest_marker("gui"):  # pytest asks for tests of other folders, too
            gc.collect()


@pytest.fixture
def viewer(request):
    """A viewer without a window, or for a test marked ``shown`` one on the screen, 1200 × 800."""
    from napari.components import ViewerModel

    if request.node.get_closest_marker("shown"):
        viewer = request.getfixturevalue("make_napari_viewer")(show=True)
        viewer.window.resize(1200, 800)
        yield viewer
    else:
        viewer = ViewerModel()
        yield viewer
        end(viewer)


_STANDING: list[QWidget] = []


def docked(viewer, widget, **where):
    """A widget, or one of its class for the viewer, in the viewer's window or standing alone."""
    widget = widget(viewer) if isinstance(widget, type) else widget
    if hasattr(viewer, "window"):
        viewer.window.add_dock_widget(widget, **where)
    else:
        _STANDING.append(widget)
        widget.show()
    return widget


def end(viewer):
    """What closing a window does: work is left, widgets go."""
    from gradcamo.docks.window import window_of

    for owner in (window_of(viewer).session, *_STANDING):
        for job in owner.findChildren(Job):
            job.abandon()
    while _STANDING:
        widget = _STANDING.pop()
        widget.close()
        widget.deleteLater()


@pytest.fixture(scope="session")
def field():
    """Stack (3, 9, 160, 160) and labels with gaps in their ids, anisotropic voxels."""
    from gradcamo.samples.design import PlateDesign
    from gradcamo.samples.plate import make_stack

    design = PlateDesign(field_px=160, planes=9, cells_per_field=14, cell_um=22)
    stack, labels = make_stack(design, "E03", 1)
    stack = stack.select(("Hoechst", "concanavalin", "phalloidin"))
    return stack, np.where(labels > 0, labels * 37 + 1000, 0).astype(np.int32)


@pytest.fixture(scope="session")
def checkpoint(field):
    """An untrained network for the three channels; its maps are as good as any for the window."""
    import torch

    from gradcamo.networks.checkpoint import Checkpoint
    from gradcamo.networks.efficientnet import efficientnet3d
    from gradcamo.settings import CropSettings

    torch.manual_seed(0)
    stack, _ = field
    architecture = {
        "name": "efficientnet-b0",
        "in_channels": len(stack.channels),
        "num_classes": 3,
        "width": 0.25,
    }
    return Checkpoint(
        network=efficientnet3d(**architecture),
        classes=("control", "low", "high"),
        channels=stack.channels,
        channel_mean=(0.2,) * len(stack.channels),
        channel_std=(0.2,) * len(stack.channels),
        crop=CropSettings(size_yx=(64, 64)),
        input_size=(64, 64, 64),
        layer="block_4",
        spacing_um=stack.spacing_um,
        architecture=architecture,
    )


@pytest.fixture
def window(viewer):
    """What works on and shows the session of the viewer."""
    from gradcamo.docks.window import window_of

    return window_of(viewer)


@pytest.fixture
def session(window, viewer, field):
    """The field, open in the window, with its labels."""
    from gradcamo.docks.canvas.sites import site_of

    stack, labels = field
    window.sites.show(site_of(stack, labels.copy()))
    return window.session


@pytest.fixture(scope="session")
def batches(field, checkpoint):
    """What an audit of the field brings; computed once for all windows."""
    from gradcamo.auditing.stack import audit_batches
    from gradcamo.docks.canvas.colouring import warm_up

    stack, labels = field
    warm_up(labels.dtype)
    return list(audit_batches(stack, labels, checkpoint))


@pytest.fixture
def audited(session, checkpoint, batches, window):
    """The same with every cell scored."""
    from gradcamo.auditing.recipe import audit_recipe
    from gradcamo.settings import AuditSettings

    session.set_checkpoint(checkpoint, "small")
    session.audit_settings = AuditSettings()
    window.audits._recipe = audit_recipe(session.stack, checkpoint, session.audit_settings)
    for batch in batches:
        session.auditing.stepped.emit(batch)
    session.auditing.ended.emit(True)
    return session


def scored_label(session, rank: int = 0) -> int:
    """A cell that has a score, the largest first."""
    table = session.results.table
    table = table[table["grad_camo"].notna()]
    return int(table.sort_values("volume_um3", ascending=False)["label"].iloc[rank])


def centre_of(session, label: int) -> tuple[float, ...]:
    """World position of a cell's centre."""
    row = session.results.table.loc[label]
    voxel = [row["centroid_z"], row["centroid_y"], row["centroid_x"]]
    return session.labels_layer.data_to_world(voxel)
