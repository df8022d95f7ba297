"""Profile map: cells with similar profiles lie close to each other (UMAP)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtWidgets import QCheckBox, QComboBox, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from gradcamo.columns import meaning, title
from gradcamo.docks.panels.plates.palette import Colours, Legend
from gradcamo.docks.panels.plates.scatter import PointPlot
from gradcamo.docks.panels.plates.source import CellSource
from gradcamo.docks.parts.dock import Dock
from gradcamo.docks.parts.preferences import keep_choice
from gradcamo.docks.parts.widgets import JobRow, Message
from gradcamo.docks.parts.worker import Job
from gradcamo.docks.window import window_of
from gradcamo.files.titles import stack_title
from gradcamo.profiles.umap_process import UmapProcess
from gradcamo.words import counted

if TYPE_CHECKING:
    import napari

FIRST = ("treatment", "predicted", "grad_camo", "well", "site", "flagged", "attainable")
NOT_OFFERED = ("image", "label", "umap_1", "umap_2", "pictured", "note")
SPACES = {False: "profiles as they are", True: "whitened profiles"}


class ProfileMapDock(Dock):
    """Points are cells; click or lasso to choose them everywhere."""

    def __init__(self, napari_viewer: napari.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        window = window_of(napari_viewer)
        self.session, self._plate = window.session, window.plate
        self.job = Job(self)
        self.umap = UmapProcess()
        self.destroyed.connect(self.umap.close)
        self.rows = np.zeros(0, np.int64)  # of the table: labels of a stack, rows of a plate
        self._layouts: dict[tuple[str, bool], tuple[np.ndarray, np.ndarray, str]] = {}
        self._elsewhere = np.zeros(0, np.int64)  # chosen rows that lie in other stacks
        self.source = CellSource(self.session, self._plate)
        self.space = _box("profiles of the layer as they are, or whitened: varying alike in all "
                          "directions where control cells do")  # fmt: skip
        for whitened, name in SPACES.items():
            self.space.addItem(name, whitened)
        keep_choice(self.space, "profiles")
        self.colour = _box("what the colours of the points stand for")
        self.lasso = QCheckBox("lasso")
        self.lasso.setToolTip("drag a line around points to choose their cells")
        self.again = QPushButton("Lay out")
        self.again.setToolTip("UMAP of all whole cells' profiles; the same for the same cells")
        self.plot = PointPlot()
        self.plot.setToolTip(
            "cells with similar profiles lie close to each other (UMAP). Click a point to choose "
            "its cell, with Shift to add it; drag to move, turn the wheel to zoom"
        )
        self.legend = Legend()
        self.progress = JobRow(self.job, "steps")
        self.progress.cancel.setToolTip("stop at once; the map that is shown stays")
        self.offer = QPushButton()
        self.offer.setToolTip("opens the stack with its labels, scores and network")
        self.offer.hide()
        self.about = Message()  # what the map shows

        top, below = QHBoxLayout(), QHBoxLayout()
        top.addWidget(self.source, 1)
        top.addWidget(self.space, 1)
        below.addWidget(self.colour, 1)
        below.addWidget(self.lasso)
        below.addWidget(self.again)
        box = QVBoxLayout(self)
        box.addLayout(top)
        box.addLayout(below)
        box.addWidget(self.plot, 1)
        for part in (self.legend, self.about, self.progress, self.message, self.offer):
            box.addWidget(part)

        self.source.changed.connect(self._on_source)
        self.space.activated.connect(self._on_space)
        self.colour.activated.connect(self._paint)
        self.lasso.toggled.connect(self._on_lasso)
        self.again.clicked.connect(self.start)
        self.offer.clicked.connect(self._open_offered)
        self.plot.clicked.connect(self._on_click)
        self.plot.lassoed.connect(self._on_lassoed)
        self.job.stepped.connect(self._on_step)
        self.job.failed.connect(self.message.fail)
        self.job.ended.connect(self._on_end)
        session = self.session
        session.results_changed.connect(self._on_results)
        session.flags_changed.connect(self._on_flags)
        session.selection_changed.connect(self._on_selection)
        self._plate.moved.connect(self._mark)
        self._plate.said.connect(self.message.say)
        self._on_source()

    @property
    def places(self) -> np.ndarray:
        """Where the points are drawn, (N, 2), in the order of ``rows``."""
        return self.plot.places

    def start(self) -> None:
        """Lay the profiles out in the background."""
        whitened, plate = bool(self.space.currentData()), self.source.plate
        key = self._key()
        labels, profiles = self.session.results.profiles()
        table = self.session.results.table
        job, umap = self.job, self.umap

        def steps() -> Iterator[Any]:
            from gradcamo.profiles.whiten import whiten_stack

            if plate is not None:
                yield "reading profiles"
                rows, values = plate.profiles(whitened)
                said = "all whole cells of the plate"
            else:
                rows, values, said = labels, profiles, "profiles as they are"
                if whitened:
                    values, said = whiten_stack(table.loc[labels], profiles)
            for step in umap.steps(values, 0, lambda: job.cancelling):
                yield step if isinstance(step, str) else (key, rows, step, said)

        with self.telling():
            self.run(job, steps, gentle=True)
        self._enable()

    def _key(self) -> tuple[str, bool]:
        plate = self.source.plate
        return ("stack" if plate is None else str(plate.folder), bool(self.space.currentData()))

    def _on_step(self, item: Any) -> None:
        if isinstance(item, str):
            self.progress.text.say(f"{item} …")
            return
        key, *layout = item
        self._layouts[key] = tuple(layout)
        if key == self._key():
            self._show_layout()

    def _on_end(self, complete: bool) -> None:
        if self.job.cancelling:
            self.message.say("stopped")
        self._enable()

    def _on_source(self) -> None:
        plate = self.source.plate
        if plate is not None:
            self.space.setCurrentIndex(self.space.findData(plate.whitened))
            rows, places = plate.laid_out()
            if len(rows):
                self._layouts[self._key()] = (rows, places, plate.about_map)
        self.offer.hide()
        self._list_columns()
        self._show_layout()

    def _on_space(self, *_: Any) -> None:
        self._show_layout()

    def _on_results(self) -> None:
        labels, _ = self.session.results.profiles()
        for key in [key for key in self._layouts if key[0] == "stack"]:
            if not np.array_equal(self._layouts[key][0], labels):
                del self._layouts[key]
        if self.source.plate is None:
            self._list_columns()
            self._show_layout()

    def _on_flags(self) -> None:
        if self.source.plate is None and self.colour.currentData() == "flagged":
            self._paint()

    def _show_layout(self) -> None:
        rows, places, said = self._layouts.get(
            self._key(), (np.zeros(0, np.int64), np.zeros((0, 2), np.float32), "")
        )
        self.rows, self._elsewhere = rows, np.zeros(0, np.int64)
        self._paint(places)
        self.about.say(f"{counted(len(rows), 'cell')}, {said}" if len(rows) else self._missing())
        self.message.say("")
        self._enable()

    def _missing(self) -> str:
        if self.source.plate is not None:
            return "These profiles are not laid out yet: press Lay out."
        n = len(self.session.results.profiles()[0])
        if n > 3:
            return f"{n:,} profiles: press Lay out."
        return "Audit four cells or more: profiles come with the scores. Or open a plate's results."

    def _list_columns(self) -> None:
        before = self.colour.currentData()
        offered = [name for name in self.source.columns if name not in NOT_OFFERED]
        offered.sort(key=lambda name: FIRST.index(name) if name in FIRST else len(FIRST))
        self.colour.clear()
        for name in offered:
            self.colour.addItem(title(name, name.replace("_", " ")), name)
        self.colour.setCurrentIndex(max(0, self.colour.findData(before)))

    def _paint(self, places: Any = None) -> None:
        places = places if isinstance(places, np.ndarray) else self.plot.places
        column = self.colour.currentData()
        drawn = len(self.rows) > 0 and column is not None
        colours = Colours(self.source.table().loc[self.rows, column]) if drawn else None
        self.plot.show_points(places, colours)
        self.legend.show_colours(self.colour.currentText(), colours)
        self.legend.setToolTip(meaning(column))
        self._mark()

    def _here(self) -> np.ndarray:
        """Labels of the points, 0 where a point lies in a stack that is not open."""
        plate = self.source.plate
        if plate is None:
            return self.rows
        cells = plate.cells.loc[self.rows]
        open_stack = (cells["image"] == self._plate.here).to_numpy()
        return np.where(open_stack, cells["label"].to_numpy(), 0)

    def _mark(self, *_: Any) -> None:
        chosen = np.isin(self._here(), self.session.selection)
        self.plot.mark(chosen | np.isin(self.rows, self._elsewhere))

    def _on_selection(self, labels: np.ndarray) -> None:
        self._elsewhere = np.zeros(0, np.int64)
        self.offer.hide()
        self.message.say("")
        self._mark()

    def _on_click(self, point: int, add: bool) -> None:
        label = int(self._here()[point])
        if label and add:
            self.session.select({*self.session.selection.tolist(), label})
        elif label:
            self.session.choose(label, "map")
        else:
            self._choose_elsewhere(np.array([self.rows[point]]))

    def _on_lassoed(self, points: np.ndarray) -> None:
        here = self._here()[points]
        labels, elsewhere = here[here > 0], self.rows[points[here == 0]]
        if len(labels):
            if self.session.cell not in labels:
                self.session.choose(int(labels[0]), "map")
            self.session.select(labels)
        if len(elsewhere):
            self._choose_elsewhere(elsewhere, len(labels))
        elif len(labels):
            self.message.say(f"{counted(len(labels), 'cell')} chosen")

    def _choose_elsewhere(self, rows: np.ndarray, n_here: int = 0) -> None:
        self._elsewhere = rows
        cells = self.source.table().loc[rows]
        first = cells.iloc[0]
        stack = stack_title(first["image"], first)
        self.offer.setText(f"Open {stack} at cell {first['label']}")
        self.offer.show()
        stacks = cells["image"].nunique()
        if len(rows) == 1 and not n_here:
            said = f"cell {first['label']} of {stack} ({first['treatment']}): "
            said += f"Grad-CAMO {first['grad_camo']:.2f}, taken for {first['predicted']}"
        else:
            said = f"{len(rows) + n_here:,} cells chosen, {n_here} of them in the open stack, "
            said += f"the others in {counted(stacks, 'other')}"
        self.message.say(said)
        self._mark()

    def _open_offered(self) -> None:
        self.offer.hide()
        with self.telling():
            self._plate.open_cell(int(self._elsewhere[0]))

    def _on_lasso(self, on: bool) -> None:
        self.plot.box.lasso = on

    def _enable(self) -> None:
        n = len(self.session.results.profiles()[0])
        plate = self.source.plate
        ready = n > 3 if plate is None else plate.whitened or not self.space.currentData()
        self.again.setEnabled(ready and not self.job.running)
        self.lasso.setEnabled(len(self.rows) > 0)


def _box(tip: str) -> QComboBox:
    box = QComboBox()
    box.setToolTip(tip)
    box.setMinimumContentsLength(8)
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    return box
