"""What was found of a plate on disk, and what only its owner can tell of it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QFileDialog,
    QFormLayout,
    QHeaderView,
    QLineEdit,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from gradcamo.docks.parts.dock import Dock
from gradcamo.docks.parts.lengths import Lengths
from gradcamo.docks.parts.preferences import TABLES, ask_path
from gradcamo.docks.parts.tint import WARN
from gradcamo.docks.parts.widgets import Fold, JobRow, Message, line_of, without_numbers
from gradcamo.settings import FolderSettings

if TYPE_CHECKING:
    from gradcamo.docks.work.plate_on_disk import PlateOnDisk

COLUMNS = ("Wells", "Sites", "Channels", "Planes", "Voxel z, y, x (µm)")
WHERE = {
    "pattern": ("Pattern", "{well}_s{site}_z{z}_{channel}.tif"),
    "axes": ("Axes", "such as ZYX"),
    "labels": ("Labels", "masks/{well}_s{site}_labels.tif"),
    "layout": ("Treatments", "a table of well, treatment"),
}


class FoundPlate(Dock):
    """A small table of what was recognised; channels are named and the voxel size typed here."""

    def __init__(self, plate: PlateOnDisk, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.plate = plate
        self.title = Message()
        self.table = QTableWidget(1, len(COLUMNS))
        self.table.setHorizontalHeaderLabels(COLUMNS)
        without_numbers(self.table)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.table.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.table.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.table.setStyleSheet("QHeaderView::section { padding: 1px; }")  # columns are narrow
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setStretchLastSection(True)
        header.setMinimumSectionSize(20)
        self.names: list[QLineEdit] = []
        self._raw: list[str] = []
        self.form = QFormLayout()
        self.form.setContentsMargins(0, 0, 0, 0)
        self.spacing = Lengths()
        self.form.addRow("Voxel (µm)", self.spacing)
        self.where = {name: self._line(name) for name in WHERE}
        self.browse = QPushButton("…")
        self.browse.setToolTip("choose the table of treatments")
        self.save = QPushButton("Save table…")
        self.save.setToolTip(
            "write the table of all stacks as CSV, with what is told here: every command takes it"
        )
        more, lines = QWidget(), QFormLayout()
        lines.setContentsMargins(0, 0, 0, 0)
        for name, line in self.where.items():
            shown: Any = line_of(line, self.browse, widest=line) if name == "layout" else line
            lines.addRow(WHERE[name][0], shown)
        lines.addRow("", self.save)
        more.setLayout(lines)
        self.fold = Fold("How its files are named and read", more)
        self.row = JobRow(plate.reading, "files")
        self.row.cancel.setToolTip("stop reading the folder")

        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        for part in (self.title, self.row, self.table):
            box.addWidget(part)
        box.addLayout(self.form)
        box.addWidget(self.fold)
        box.addWidget(self.message)

        self.spacing.typed.connect(self._on_spacing)
        self.browse.clicked.connect(self._choose_layout)
        self.save.clicked.connect(self._choose_file)
        plate.changed.connect(self._show)
        plate.said.connect(self.message.say)
        plate.failed.connect(self._on_failed)
        plate.reading.stepped.connect(self._on_step)
        for signal in (plate.reading.began, plate.reading.ended):
            signal.connect(self._enable)
        self._show()

    def _line(self, name: str) -> QLineEdit:
        line = QLineEdit()
        line.setPlaceholderText(WHERE[name][1])
        line.setToolTip(FolderSettings.model_fields[name].description or "")
        line.editingFinished.connect(partial(self._on_where, name))
        return line

    def _show(self) -> None:
        plate = self.plate
        self.setVisible(plate.path is not None)
        for name, line in self.where.items():
            line.setText(getattr(plate.told, name) or "")
        there = plate.table is not None
        for part in (self.table, self.spacing, self.title):
            part.setVisible(there)
        self.form.setRowVisible(self.spacing, there)
        self.save.setEnabled(there)
        self._show_table()
        self._enable()

    def _show_table(self) -> None:
        from gradcamo.files.folder_summary import channels_of, spacing_in
        from gradcamo.files.voxel_size import spacing_of

        plate = self.plate
        if plate.table is None or plate.found is None:
            self._list_names([], [])
            return
        table, about = plate.table, plate.table.attrs["found"]
        names = channels_of(table)
        size = spacing_in(table)
        spacing = spacing_of(size) if size else None
        known = bool(about["channels"])
        wells = table.drop_duplicates(["plate", "well"])
        plates = wells["plate"].nunique()
        left = ", ".join(f"{n} {what}" for what, n in about["left_out"].items() if n)
        several = f", {plates} plates" if plates > 1 else ""
        layout = about["layout"][:1].upper() + about["layout"][1:]
        self.title.say(f"{layout}{several}: {_name(plate)}{f'; left out: {left}' if left else ''}")
        self.title.setToolTip(table.attrs["recognised"])
        texts = (
            f"{len(wells):,}",
            f"{len(table):,}",
            str(len(names)) if known else "?",
            str(about["planes"]) if known else "?",
            ", ".join("?" if step is None else f"{step:.4g}" for step in spacing or (None,)),
        )
        for column, text in enumerate(texts):
            item = QTableWidgetItem(text)
            item.setTextAlignment(Qt.AlignmentFlag.AlignCenter)
            item.setToolTip(table.attrs["recognised"])
            self.table.setItem(0, column, item)
        self.table.resizeRowsToContents()
        height = self.table.horizontalHeader().sizeHint().height() + self.table.rowHeight(0) + 2
        self.table.setFixedHeight(height)
        self._list_names(channels_of(plate.found), names)
        self.spacing.show_lengths(spacing)
        if notes := about["notes"]:
            more = f" (and {len(notes) - 1} more like it)" if len(notes) > 1 else ""
            self.message.say(f"{notes[0]}{more}", WARN)
        if not known:
            self.message.say(f"No stack could be read: {about['unread']}", WARN)
            self.fold.button.setChecked(True)

    def _list_names(self, raw: list[str], names: list[str]) -> None:
        if raw != self._raw:  # else the line that is being left stays the one that is left
            for line in self.names:
                self.form.removeRow(line)
            self._raw, self.names = raw, []
            for number, name in enumerate(raw):
                line = QLineEdit()
                line.setPlaceholderText(name)
                line.setToolTip(f"the name of channel {name}, for the whole plate")
                line.editingFinished.connect(self._on_names)
                self.form.insertRow(number, f"Channel {number + 1}", line)
                self.names.append(line)
        for line, name in zip(self.names, names, strict=True):
            line.setText(name)

    def _enable(self, *_: Any) -> None:
        for part in (*self.names, self.spacing, *self.where.values(), self.browse):
            part.setEnabled(not self.plate.reading.running)

    def _on_step(self, item: Any) -> None:
        if isinstance(item, str):
            self.row.text.say(f"{item} …")

    def _on_failed(self, error: Exception) -> None:
        self.message.say_error(error)
        if self.plate.table is None:
            self.fold.button.setChecked(True)

    def _tell(self, **said: Any) -> None:
        try:
            with self.telling():
                self.plate.tell(**said)
        finally:
            self._show()

    def _on_names(self) -> None:
        raw = self._raw
        names = [line.text().strip() or name for line, name in zip(self.names, raw, strict=True)]
        if any("=" in name for name in names):
            self.message.say("The name of a channel holds no =", WARN)
            self._show()
            return
        told = tuple(f"{old}={new}" for old, new in zip(raw, names, strict=True) if old != new)
        if any("=" in name for name in raw) and told:
            told = tuple(names)
        if told != self.plate.told.channel_names:
            self._tell(channel_names=told)

    def _on_spacing(self, lengths: Any) -> None:
        self._tell(spacing=None if lengths == (None, None, None) else lengths)

    def _on_where(self, name: str) -> None:
        text = self.where[name].text().strip() or None
        if name == "axes" and text:
            text = text.upper()
        if text != getattr(self.plate.told, name):
            self._tell(**{name: text})

    def _choose_layout(self) -> None:
        path = ask_path(self, "Open the treatments of wells", filters=TABLES)
        if path:
            self._tell(layout=path)

    def _choose_file(self) -> None:
        path = ask_path(
            self, "Save the plate's table", QFileDialog.getSaveFileName, "plate.csv", "*.csv"
        )
        if path:
            with self.telling():
                self.plate.save_table(path)


def _name(plate: PlateOnDisk) -> str:
    return "" if plate.path is None else plate.path.name
