"""The open, labelled stacks: which well each came from and what was done to it."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QHeaderView, QTableWidget, QTableWidgetItem, QWidget
from superqt.utils import signals_blocked

from gradcamo.datatypes import ZStack
from gradcamo.docks.canvas.layer_origins import may_hold_cells, name_of, open_images, stacks_in
from gradcamo.docks.canvas.layers import stack_from_layers

if TYPE_CHECKING:
    import napari

    from gradcamo.files.plate_writer import LabelledStack

STACK, LABELS, WELL, TREATMENT, SPLIT = range(5)
COLUMNS = ("Stack", "Labels", "Well", "Treatment", "Used for")
UNUSED = "nothing"
SPLITS = ("train", "validation", "test", UNUSED)


class StackTable(QTableWidget):
    """One row per open stack; well and treatment are typed, the split is proposed."""

    typed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, len(COLUMNS), parent)
        self.setHorizontalHeaderLabels(COLUMNS)
        self.verticalHeader().hide()
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        header.setMinimumSectionSize(40)
        self.setToolTip(
            "type the well and the treatment of each stack; stacks of one well carry the same "
            "name, because wells are left out as a whole"
        )
        self._stacks: list[ZStack] = []
        self._labels: list[list[tuple[str, np.ndarray]]] = []
        self._own_split: set[int] = set()
        self.itemChanged.connect(self._on_typed)

    def add(self, viewer: napari.Viewer) -> int:
        """Add the stacks of a viewer that have labels and are not listed; how many these were."""
        found = labelled_stacks(viewer)
        known = {stack.source for stack in self._stacks}
        fresh = [one for one in found if one.stack.source not in known]
        for one in fresh:
            self._append(one)
        self._propose()
        return len(fresh)

    def entries(self) -> list[LabelledStack]:
        """The stacks that are used for something, as typed."""
        from gradcamo.files.plate_writer import LabelledStack

        return [
            LabelledStack(
                stack=self._stacks[row],
                labels=np.array(self._labels[row][self._choice(row, LABELS).currentIndex()][1]),
                well=self._text(row, WELL),
                treatment=self._text(row, TREATMENT),
                split=self.split(row),
            )
            for row in range(self.rowCount())
            if self.split(row) != UNUSED
        ]

    def split(self, row: int) -> str:
        return self._choice(row, SPLIT).currentText()

    def _choice(self, row: int, column: int) -> QComboBox:
        choice = self.cellWidget(row, column)
        assert isinstance(choice, QComboBox)
        return choice

    def _text(self, row: int, column: int) -> str:
        item = self.item(row, column)
        return "" if item is None else item.text()

    def _append(self, one: OpenStack) -> None:
        row = self.rowCount()
        self._stacks.append(one.stack)
        self._labels.append(one.labels)
        with signals_blocked(self):
            self.insertRow(row)
            name = QTableWidgetItem(one.title)
            name.setToolTip(one.stack.source)
            name.setFlags(name.flags() & ~Qt.ItemFlag.ItemIsEditable)
            self.setItem(row, STACK, name)
            self.setCellWidget(row, LABELS, _box([text for text, _ in one.labels]))
            self.setItem(row, WELL, QTableWidgetItem(_well_in(one.title) or str(row + 1)))
            self.setItem(row, TREATMENT, QTableWidgetItem(""))
            splits = _box(SPLITS)
            splits.setToolTip("cells of one well are all trained on or all held out for the test")
            splits.activated.connect(self._on_split)
            self.setCellWidget(row, SPLIT, splits)

    def _on_split(self, _: int) -> None:
        self._own_split |= {
            row for row in range(self.rowCount()) if self.cellWidget(row, SPLIT) is self.sender()
        }
        self.typed.emit()

    def _on_typed(self, _: Any) -> None:
        self._propose()
        self.typed.emit()

    def _propose(self) -> None:
        import pandas as pd

        from gradcamo.training.split import propose_split

        rows = range(self.rowCount())
        text = {
            name: [self._text(row, column).strip() for row in rows]
            for name, column in (("well", WELL), ("treatment", TREATMENT))
        }
        for row, split in enumerate(propose_split(pd.DataFrame(text).assign(plate=""))):
            if row not in self._own_split:
                self._choice(row, SPLIT).setCurrentText(split)


class OpenStack(NamedTuple):
    """A stack that is open, how it is called, and names and voxels of the labels of its shape."""

    stack: ZStack
    title: str
    labels: list[tuple[str, np.ndarray]]


def labelled_stacks(viewer: napari.Viewer) -> list[OpenStack]:
    """The stacks of a viewer with the labels of their shape, those in their order first."""
    images = [layer for layer in open_images(viewer) if layer.ndim == 3]
    labels = [layer for layer in viewer.layers if may_hold_cells(layer)]
    found: list[OpenStack] = []
    taken: dict[tuple[int, ...], int] = {}
    for number, channels in enumerate(stacks_in(images), 1):
        stack = stack_from_layers(channels)
        source, title = stack.source, name_of(channels)
        if source in {known.stack.source for known in found}:
            source, title = f"{source} ({number})", f"{title} ({number})"
        shape = stack.shape[1:]
        fitting = [layer for layer in labels if tuple(layer.data.shape) == shape]
        if fitting:
            first = taken.setdefault(shape, 0) % len(fitting)
            taken[shape] += 1
            fitting = fitting[first:] + fitting[:first]
            choices = [(layer.name, layer.data) for layer in fitting]
            found.append(OpenStack(replace(stack, source=source), title, choices))
    return found


def _well_in(title: str) -> str:
    match = re.search(r"(?<![A-Za-z0-9])([A-P]\d{1,2})(?![0-9])", title)
    return match[1] if match else ""


def _box(items: Any) -> QComboBox:
    box = QComboBox()
    box.addItems(items)
    box.setMinimumContentsLength(3)
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    return box
