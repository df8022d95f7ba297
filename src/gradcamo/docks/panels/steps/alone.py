"""Each step of the workbench as a dock of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from qtpy.QtWidgets import QWidget

from gradcamo.docks.panels.steps.explain import ExplainDock
from gradcamo.docks.panels.steps.load import LoadDock
from gradcamo.docks.panels.steps.model import ModelDock
from gradcamo.docks.panels.steps.review import ReviewDock
from gradcamo.docks.panels.steps.segment import SegmentDock
from gradcamo.docks.parts.steps import scrolling_column

if TYPE_CHECKING:
    import napari


class Alone(QWidget):
    """A step with room around it, which scrolls where the window is low."""

    step: ClassVar[type[QWidget]]

    def __init__(self, napari_viewer: napari.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.body = self.step(napari_viewer)
        column = scrolling_column(self)
        column.addWidget(self.body)
        column.addStretch(1)


class Load(Alone):
    step = LoadDock


class Segment(Alone):
    step = SegmentDock


class Model(Alone):
    step = ModelDock


class Explain(Alone):
    step = ExplainDock


class Review(Alone):
    step = ReviewDock
