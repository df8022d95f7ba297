"""The open, labelled stacks: which well each came from and what was done to it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QHeaderView, QTableWidget, QTableWidgetItem, QWidget
from superqt.utils import signals_blocked

from gradcamo.datatypes import ZStack
from gradcamo.docks.canvas.layer_origins import may_hold_cells, open_images, stacks_in
from gradcamo.docks.canvas.layers import stack_from_layers
from gradcamo.files.titles import stack_title

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
        fresh = [(stack, labels) for stack, labels in found if stack.source not in known]
        for stack, labels in fresh:
            self._append(stack, labels)
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

    def _append(self, stack: ZStack, labels: list[tuple[str, np.ndarray]]) -> None:
        row = self.rowCount()
        self._stacks.append(stack)
        self._labels.append(labels)
        with signals_blocked(self):
            self.insertRow(row)
            name = QTableWidgetItem(stack_title(stack.source))
            name.setToolTip(stack.source)
            name.setFlags(name.flags() & ~Qt.ItemFlag.ItemIsEditable)
            self.setItem(row, STACK, name)
            self.setCellWidget(row, LABELS, _box([text for text, _ in labels]))
            self.setItem(row, WELL, QTableWidgetItem(_well_in(stack.source) or str(row + 1)))
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


def labelled_stacks(viewer: napari.Viewer) -> list[tuple[ZStack, list[tuple[str, np.ndarray]]]]:
    """The stacks of a viewer with the labels of their shape, those in their order first."""
    images = [layer for layer in open_images(viewer) if layer.ndim == 3]
    labels = [layer for layer in viewer.layers if may_hold_cells(layer)]
    found: list[tuple[ZStack, list[tuple[str, np.ndarray]]]] = []
    taken: dict[tuple[int, ...], int] = {}
    for number, channels in enumerate(stacks_in(images), 1):
        stack = stack_from_layers(channels)
        source = stack.source
        if source in {known.source for known, _ in found}:
            source = f"{source} ({number})"
        shape = stack.shape[1:]
        fitting = [layer for layer in labels if tuple(layer.data.shape) == shape]
        if fitting:
            first = taken.setdefault(shape, 0) % len(fitting)
            taken[shape] += 1
            fitting = fitting[first:] + fitting[:first]
            choices = [(layer.name, layer.data) for layer in fitting]
            found.append((replace(stack, source=source), choices))
    return found


def _well_in(source: str) -> str:
    match = re.search(r"(?<![A-Za-z0-9])([A-P]\d{1,2})(?![0-9])", Path(source).name)
    return match[1] if match else ""


def _box(items: Any) -> QComboBox:
    box = QComboBox()
    box.addItems(items)
    box.setMinimumContentsLength(3)
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    return box
