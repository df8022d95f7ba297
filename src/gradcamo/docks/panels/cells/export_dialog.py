"""Export: which cells, what of them, and where to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QPushButton,
    QRadioButton,
    QVBoxLayout,
    QWidget,
)

from gradcamo.docks.panels.cells.caution_box import CautionBox
from gradcamo.docks.parts.dock import Dialog
from gradcamo.docks.parts.tint import GOOD
from gradcamo.docks.parts.widgets import Message
from gradcamo.docks.parts.worker import Job
from gradcamo.docks.work import export
from gradcamo.errors import GradcamoError

if TYPE_CHECKING:
    from gradcamo.docks.state.session import Session

WHICH = {
    "all": "all cells",
    "visible": "cells that the table shows now",
    "selected": "selected cells",
    "passing": "cells that pass the cut-off",
    "flagged": "flagged cells (those flagged by hand, too)",
    "unflagged": "whole cells that are not flagged",
}


class ExportDialog(Dialog):
    """Stays open, so that several things can be written one after the other."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Export cells")
        self.session = session
        self.job = Job(self)
        self.which = QComboBox()
        self.which.setToolTip("rows come in the order that the table shows")
        for which in export.CHOICES:
            self.which.addItem(WHICH[which], which)
        self.what = QButtonGroup(self)
        kinds = QVBoxLayout()
        for number, (title, explained) in enumerate(export.KINDS.values()):
            button = QRadioButton(title)
            button.setToolTip(explained)
            self.what.addButton(button, number)
            kinds.addWidget(button)
        self.what.button(0).setChecked(True)
        self.explained = Message()
        self.explained.setMinimumHeight(36)  # two lines
        self.explained.setAlignment(Qt.AlignmentFlag.AlignTop)
        kinds.addWidget(self.explained)
        self.shown_only = QCheckBox("only the columns that the table shows")
        self.shown_only.setChecked(True)
        self.shown_only.setToolTip("else every column; image and label are always written")
        self.cytomining = QCheckBox("names of CytoTable, coSMicQC and pycytominer (Metadata_…)")
        self.cytomining.setToolTip(
            "labels become Metadata_ObjectNumber, flags Metadata_cqc_gradcamo_is_outlier, by which "
            "pycytominer drops cells; where plate, well and site are known, the key "
            "plate_well_site_objectnumber comes first; profiles follow as Cells_…"
        )
        self.write_button = QPushButton("Write…")
        self.write_button.setDefault(True)
        form = QFormLayout()
        form.addRow("Cells", self.which)
        form.addRow("As", kinds)
        form.addRow("Columns", self.shown_only)
        form.addRow("", self.cytomining)
        line = QHBoxLayout()
        line.addWidget(self.message, 1)
        line.addWidget(self.write_button)
        self.cautions = CautionBox(session)
        box = QVBoxLayout(self)
        box.addLayout(form)
        box.addWidget(self.cautions)
        box.addLayout(line)
        self.setMinimumWidth(480)

        self.what.idToggled.connect(self._enable)
        self.write_button.clicked.connect(self._choose)
        self.job.stepped.connect(self._on_written)
        self.follow(self.job, self._enable)
        for signal in (session.order_changed, session.flags_changed, session.selection_changed):
            signal.connect(self._count)
        self._count()
        self._enable()

    @property
    def kind(self) -> str:
        """What is to be written, a key of ``export.KINDS``."""
        return list(export.KINDS)[self.what.checkedId()]

    def request(self) -> export.Request:
        """What the dialog asks for."""
        columns = self.session.columns if self.shown_only.isChecked() else None
        return export.Request(
            self.which.currentData(), self.kind, columns or None, self.cytomining.isChecked()
        )

    def write(self, path: str) -> None:
        """Write in the background what the dialog asks for."""
        with self.telling():
            work = export.prepare(self.session, self.request(), path)

            def steps() -> Iterator[str]:
                yield work()

            self.run(self.job, steps, "writing …")

    def _on_written(self, said: str) -> None:
        self.message.say(said, GOOD)

    def _choose(self) -> None:
        which = self.which.currentData()
        if self.kind == "maps":
            path = QFileDialog.getExistingDirectory(self, "Folder for one heatmap per cell")
        else:
            table = self.kind == "table"
            name = f"{which}.csv" if table else f"{which}_{self.kind}.ome.tif"
            kinds = export.FILES if table else export.IMAGES
            path, _ = QFileDialog.getSaveFileName(self, "Export", name, kinds)
        if path:
            self.write(path)

    def _count(self, *_: Any) -> None:
        for number, which in enumerate(export.CHOICES):
            try:
                count = len(export.chosen(self.session, which))
            except GradcamoError:
                count = 0
            self.which.setItemText(number, f"{WHICH[which]} ({count:,})")

    def _enable(self, *_: Any) -> None:
        self.explained.say(export.KINDS[self.kind][1])
        for box in (self.shown_only, self.cytomining):
            box.setEnabled(self.kind == "table")
        self.write_button.setEnabled(not self.job.running)


def open_export(session: Session, parent: QWidget) -> ExportDialog:
    """The dialog that asks which cells to write, and how, until it is closed."""
    dialog = ExportDialog(session, parent)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.show()
    return dialog
