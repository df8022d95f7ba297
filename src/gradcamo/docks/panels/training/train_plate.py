"""What is trained on: a plate or the open stacks, and how its wells are split."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QFileDialog,
    QHeaderView,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from gradcamo.docks.panels.training import curves
from gradcamo.docks.panels.training.stack_table import StackTable
from gradcamo.docks.parts.dock import Dock
from gradcamo.docks.parts.preferences import PLATES, ask_path
from gradcamo.docks.parts.tint import FAINT, GOOD, WARN, fill
from gradcamo.docks.parts.widgets import line_of
from gradcamo.docks.parts.worker import Job
from gradcamo.settings import TrainSettings

if TYPE_CHECKING:
    from gradcamo.docks.window import Window
    from gradcamo.training.cell_index import SplitPreview

COLOURS = {**curves.COLOURS, "test": FAINT}
USED_FOR = 2  # of the columns: train, validation or test


class TrainPlate(Dock):
    """Choose the plate; see who would learn and who would be tested."""

    changed = Signal()

    def __init__(
        self,
        window: Window,
        settings: Callable[[], TrainSettings],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._window, self.settings = window, settings
        self.job = Job(self)
        self.path: Path | None = None
        self.ready = False
        self._again = False
        self.open = QPushButton("Open plate…")
        self.open.setToolTip("a table with the columns image, labels, plate, well, site, treatment")
        self.take = QPushButton("Add open stacks")
        self.take.setToolTip(
            "list the stacks that are open with labels; open further ones and add them too"
        )
        self.stacks = StackTable()
        self.stacks.setFixedHeight(128)
        self.make = QPushButton("Make a plate of these…")
        self.make.setToolTip("choose a folder for the table, the labels and unsaved images")
        self.wells = QTableWidget(0, 4)
        self.wells.setHorizontalHeaderLabels(("Well", "Treatment", "Used for", "Cells"))
        self.wells.verticalHeader().hide()
        self.wells.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.wells.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self.wells.setFixedHeight(190)
        self.wells.setToolTip(
            "wells are left out as a whole; of the training wells some cells (after the +) decide "
            "when to stop"
        )
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.addLayout(line_of(self.open, self.take))
        for part in (self.stacks, self.make, self.wells, self.message):
            box.addWidget(part)
        for part in (self.stacks, self.make, self.wells):
            part.hide()
        self.message.say("Open a plate, or stacks with cell labels and add them.")

        self.open.clicked.connect(self._choose)
        self.take.clicked.connect(self.add_open_stacks)
        self.make.clicked.connect(self._choose_folder)
        self.job.stepped.connect(self._on_step)
        self.job.failed.connect(self.message.fail)
        self.job.ended.connect(self._on_end)

    def load(self, path: str | Path) -> None:
        """Show how the wells of a plate would be split, at once; then count their cells."""
        self.path = Path(path)
        self.ready = False
        self.stacks.hide()
        self.make.hide()
        self.check()

    def check(self, *_: Any) -> None:
        """Work the split out again, with the settings of now."""
        if self.path is None:
            return
        if self.job.running:
            self._again = True
            return
        self.ready, self._again = False, False
        path = self.path

        def steps() -> Iterator[Any]:
            from gradcamo.training.cell_index import preview_split

            yield from preview_split(path, settings)

        with self.telling():
            settings = self.settings()
            self.run(self.job, steps, f"reading {path.name} …")
        self.changed.emit()

    def add_open_stacks(self) -> None:
        """List the labelled stacks that are open."""
        viewer = self._window.viewer
        added = self.stacks.add(viewer) if viewer is not None else 0
        if not self.stacks.rowCount():
            self.message.say("No open stack has labels of its shape: segment one first.", WARN)
            return
        self.path, self.ready = None, False
        self.wells.hide()
        self.stacks.show()
        self.make.show()
        news = f"{added} more. " if added else "No further stack with labels is open. "
        self.message.say(f"{news}Type the treatment of each, and the same well for stacks of one.")
        self.changed.emit()

    def make_plate(self, folder: str | Path) -> None:
        """Write the listed stacks as a plate into a folder, and take it."""
        entries = self.stacks.entries()
        folder = Path(folder)

        def steps() -> Iterator[Any]:
            from gradcamo.files.plate_writer import write_plate

            for done in write_plate(folder, entries):
                yield f"writing stack {done} of {len(entries)} …"
            yield folder / "plate.csv"

        with self.telling():
            self.run(self.job, steps, "writing …")

    def _on_step(self, item: Any) -> None:
        if isinstance(item, str):
            self.message.say(item)
        elif isinstance(item, Path):
            self.path, self._again = item, True
            self.stacks.hide()
            self.make.hide()
        else:
            self._show(item)

    def _on_end(self, complete: bool) -> None:
        if self._again:
            self.check()
        else:
            self.changed.emit()

    def _show(self, preview: SplitPreview) -> None:
        self.wells.show()
        self.wells.setRowCount(len(preview.wells))
        for number, well in enumerate(preview.wells.to_dict("records")):
            count = ""
            if "cells" in well:
                kept = well["validation_cells"] if well["split"] == "train" else 0
                cells = well["cells"] if well["split"] != "validation" else well["validation_cells"]
                count = f"{cells} + {kept}" if kept else str(cells)
            for column, text in enumerate((well["well"], well["treatment"], well["split"], count)):
                item = QTableWidgetItem(str(text))
                item.setToolTip(f"{well['plate']} {well['well']}: {well['stacks']} stacks")
                item.setTextAlignment(Qt.AlignmentFlag.AlignCenter)
                if column == USED_FOR:
                    fill(item, COLOURS[well["split"]])
                self.wells.setItem(number, column, item)
        self.ready = preview.about is not None
        if preview.about is None:
            self.message.say("counting cells …")
            return
        notes = preview.about["notes"]
        name = "" if self.path is None else self.path.name
        lines = [f"{name}: {described(preview)}", *notes]
        self.message.say(". ".join(lines), WARN if notes else GOOD)

    def _choose(self) -> None:
        path = ask_path(self, "Open a plate", filters=PLATES)
        if path:
            self.load(path)

    def _choose_folder(self) -> None:
        folder = ask_path(self, "A folder for the plate", QFileDialog.getExistingDirectory)
        if folder:
            self.make_plate(folder)


def described(preview: SplitPreview) -> str:
    """The split in one line."""
    about = preview.about
    if about is None:
        return "cells are being counted"
    n = {split: sum(of.values()) for split, of in about["cells"].items()}
    wells = preview.wells["split"].value_counts()
    parts = [f"{n['train']} cells of {wells.get('train', 0)} wells to train on"]
    parts.append(f"{n['validation']} to decide when to stop")
    if n["test"]:
        parts.append(f"{n['test']} of {wells.get('test', 0)} wells held out")
    if preview.unused:
        parts.append(f"{preview.unused} stacks take no part")
    largest = max(about["cells"]["train"], key=about["cells"]["train"].get)
    return (
        f"{', '.join(parts)}; the largest class ({largest}) has {about['imbalance']:.1f} times "
        "the cells of the smallest"
    )
