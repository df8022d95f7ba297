"""The Grad-CAMO workbench: Load, Segment, Model, Explain, Review, one below the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import QLabel, QMainWindow, QWidget

from gradcamo.docks.panels.plates.single_cells_dock import show_single_cells
from gradcamo.docks.panels.steps.explain import ExplainDock
from gradcamo.docks.panels.steps.load import LoadDock
from gradcamo.docks.panels.steps.model import ModelDock
from gradcamo.docks.panels.steps.review import ReviewDock
from gradcamo.docks.panels.steps.segment import SegmentDock
from gradcamo.docks.panels.steps.stack_choice import StackChoice
from gradcamo.docks.parts.steps import WIDTH, Step, scrolling_column
from gradcamo.docks.parts.widgets import line_of
from gradcamo.docks.window import window_of
from gradcamo.words import counted

if TYPE_CHECKING:
    import napari

CELLS_HEIGHT = 220
CELLS_NAME = "Cells (Grad-CAMO)"  # the name that napari gives it from the Plugins menu


class Workbench(QWidget):
    """Walks from a stack to flagged cells; each step says what it holds or what it lacks."""

    def __init__(self, napari_viewer: napari.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        window = window_of(napari_viewer)
        self._window, self.session = window, window.session
        self.load = LoadDock(napari_viewer)
        self.segment = SegmentDock(napari_viewer)
        self.model = ModelDock(napari_viewer)
        self.explain = ExplainDock(napari_viewer)
        self.review = ReviewDock(napari_viewer)
        titles = ("Load", "Segment", "Model", "Explain", "Review")
        bodies = (self.load, self.segment, self.model, self.explain, self.review)
        self.steps = [
            Step(number, title, body)
            for number, (title, body) in enumerate(zip(titles, bodies, strict=True), 1)
        ]
        column = scrolling_column(self)
        column.setSpacing(6)
        self.image = StackChoice(window)
        column.addLayout(line_of(QLabel("Image"), self.image, widest=self.image))
        for step in self.steps:
            column.addWidget(step)
        column.addStretch(1)
        self.setMaximumWidth(WIDTH + 8)

        self._next = -1
        session = self.session
        for signal in (
            session.stack_changed,
            session.labels_changed,
            session.checkpoint_changed,
            session.results_changed,
            session.flags_changed,
            session.edited,
            session.cautions_changed,
        ):
            signal.connect(self._update)
        session.results_changed.connect(self._show_cells)
        window.single_cells.changed.connect(self._show_single_cells)
        self._update()

    def sizeHint(self) -> QSize:
        return QSize(WIDTH, 640)

    def _update(self) -> None:
        session = self.session
        counts, stale = session.results.counts(), len(session.results.stale)
        stack, labels, network = session.stack, session.labels_layer, session.checkpoint
        size = "" if stack is None else " × ".join(str(n) for n in stack.shape[1:])
        scored = counts["scored"] > 0 and not session.auditing.running
        explained = f"{counts['scored']} scored" + (f", {stale} changed" if stale else "")
        cautions = len(session.cautions)
        mind = f", {counted(cautions, 'caution')}" if cautions else ""
        ready = "audit the cells" if not session.lacking() else "needs cells and a network"
        states = [
            (f"{stack.shape[0]} channels, {size}" if stack else "open a Z-stack", stack),
            (labels.name if labels is not None else "find the cells", labels is not None),
            (session.checkpoint_name if network else "open a network", network),
            (explained if scored else ready, scored),
            (f"{counts['flagged']} flagged{mind}" if scored else "no scores yet", scored),
        ]
        done = [bool(there) for _, there in states]
        coming = done.index(False) if False in done else len(done)
        for number, (step, (text, _)) in enumerate(zip(self.steps, states, strict=True)):
            warned = step is self.steps[-1] and bool(cautions) and scored
            step.set_state(text, done[number], number == coming, warned)
        self._open_next(coming if coming < len(done) else len(done) - 1)

    def _open_next(self, coming: int) -> None:
        # open the first step that is not done, once; what the user opens or closes then stays
        if coming != self._next:
            self._next = coming
            for number, step in enumerate(self.steps):
                step.open(number == coming)

    def _show_cells(self) -> None:
        viewer, session = self._window.viewer, self.session
        if hasattr(viewer, "window") and (len(session.results) or session.measured is not None):
            show_cells(viewer)

    def _show_single_cells(self) -> None:
        viewer = self._window.viewer
        if hasattr(viewer, "window"):
            show_single_cells(viewer)


def show_cells(viewer: napari.Viewer) -> Any:
    """The table below the canvas, opened where it is not yet."""
    from gradcamo.docks.panels.cells.cells_dock import CellsDock

    if not any(isinstance(widget, CellsDock) for widget in open_docks(viewer)):
        cells = CellsDock(viewer)
        dock = viewer.window.add_dock_widget(cells, name=CELLS_NAME, area="bottom")
        main = cells.window()
        if isinstance(main, QMainWindow):  # leave the layer list its height
            main.setCorner(Qt.Corner.BottomLeftCorner, Qt.DockWidgetArea.LeftDockWidgetArea)
            main.resizeDocks([dock], [CELLS_HEIGHT], Qt.Orientation.Vertical)


def open_docks(viewer: napari.Viewer) -> list[Any]:
    """The widgets that are docked in a viewer's window."""
    return list(viewer.window.dock_widgets.values())
