"""What is docked fits on the screen of a laptop, 1366 × 768, with the table below it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from conftest import docked
from test_folders import PLATES

from gradcamo.docks.panels.cells.compare_dock import CompareDock
from gradcamo.docks.panels.cells.gallery_dock import GalleryDock
from gradcamo.docks.panels.cells.swapped_crops_dock import SwappedCropsDock
from gradcamo.docks.panels.plates.figures_dock import FiguresDock
from gradcamo.docks.panels.plates.plate_dock import PlateDock
from gradcamo.docks.panels.plates.profile_map_dock import ProfileMapDock
from gradcamo.docks.panels.steps.workbench import Workbench
from gradcamo.docks.panels.training.layers_dock import LayersDock
from gradcamo.docks.panels.training.train_dock import TrainDock
from gradcamo.docks.parts.widgets import Fold

pytestmark = pytest.mark.gui
WIDE, HIGH = 400, 460  # beside the canvas; above the table of cells
DOCKS = (
    *(CompareDock, FiguresDock, GalleryDock, LayersDock, PlateDock, ProfileMapDock),
    *(SwappedCropsDock, TrainDock, Workbench),
)


def needs(dock) -> tuple[int, int]:
    """The least width and height, with everything open that can be."""
    for fold in dock.findChildren(Fold):
        fold.button.setChecked(True)
    for step in getattr(dock, "steps", ()):
        step.open(True)
    least = dock.minimumSizeHint().expandedTo(dock.minimumSize())
    return least.width(), least.height()


@pytest.mark.parametrize("dock", DOCKS, ids=lambda dock: dock.__name__)
def test_a_dock_fits_beside_the_canvas(dock, audited, viewer):
    width, height = needs(docked(viewer, dock))
    assert width <= WIDE
    assert height <= HIGH


def test_a_plate_with_all_that_is_known_of_it_fits_too(viewer, qtbot):
    dock = docked(viewer, PlateDock)
    with qtbot.waitSignal(dock.plate.reading.ended, timeout=20_000):
        dock.load(next(path for path in sorted(PLATES.iterdir()) if path.is_dir()))
    assert dock.plates.count()
    width, height = needs(dock)
    assert width <= WIDE
    assert height <= HIGH


def test_every_layer_of_a_network_fits_too(viewer, checkpoint, qtbot):
    from matplotlib.figure import Figure
    from pandas import DataFrame

    dock = docked(viewer, LayersDock)

    class Result:
        summary = DataFrame({"layer": ["block_4"], "cells": [9]})
        cells = SimpleNamespace(attrs={"recipe": {"cautions": []}})

    dock._show(Result, Figure(), checkpoint)
    qtbot.waitUntil(dock._canvas.isVisible)
    assert needs(dock)[1] <= HIGH
