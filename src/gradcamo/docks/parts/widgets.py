"""Small parts that the docks share: messages, progress, folds."""

from __future__ import annotations

import time
from typing import Any

from qtpy.QtCore import QLocale, Qt
from qtpy.QtGui import QDoubleValidator, QValidator
from qtpy.QtWidgets import (
    QAbstractButton,
    QDoubleSpinBox,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QTableView,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from gradcamo.docks.parts.preferences import keep, recall
from gradcamo.docks.parts.tint import BAD, FAINT, WARN, tint
from gradcamo.docks.parts.worker import Job
from gradcamo.errors import GradcamoError
from gradcamo.logs import unforeseen


class Message(QLabel):
    """One line or a few that say what is missing, what was found, or what went wrong."""

    def __init__(self, text: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWordWrap(True)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.say(text)

    def say(self, text: str, colour: str = FAINT) -> None:
        tint(self, colour)
        self.setText(text)
        self.setVisible(bool(text))

    def say_error(self, error: Exception) -> None:
        """Show an error here alone: whoever works for the docks told napari of it."""
        said = str(error) if isinstance(error, GradcamoError) else unforeseen(error, "this step")
        self.say(said, BAD)

    def fail(self, error: Exception) -> None:
        """Show an error here and in napari's corner."""
        self.say_error(error)
        notify(error)


def notify(error: Exception) -> None:
    """Tell the user through napari: the message of an expected error, all of an unexpected one."""
    from napari.utils.notifications import notification_manager, show_error

    if isinstance(error, GradcamoError):
        show_error(str(error))
    else:
        notification_manager.receive_error(type(error), error, error.__traceback__)


def line_of(*widgets: QWidget, widest: QWidget | None = None) -> QHBoxLayout:
    """Widgets side by side; ``widest`` takes the room that is left."""
    line = QHBoxLayout()
    line.setContentsMargins(0, 0, 0, 0)
    for widget in widgets:
        line.addWidget(widget, int(widget is widest))
    return line


def without_numbers(table: QTableView) -> None:
    """Hide the numbers of a table's rows; the button above them is silenced with them."""
    table.verticalHeader().hide()
    table.setCornerButtonEnabled(False)
    for corner in table.findChildren(QAbstractButton):
        corner.setToolTip("choose all")


class PointValidator(QDoubleValidator):
    """Numbers with a point, as in tables and filters, in every country; a comma becomes one."""

    def __init__(self, low: float, high: float, decimals: int) -> None:
        super().__init__(low, high, decimals)
        self.setLocale(QLocale.c())

    def validate(self, text: str, at: int) -> Any:
        return super().validate(text.replace(",", "."), at)


class _Points(QValidator):
    """What a spin box takes, with a point for a comma."""

    def validate(self, text: str, at: int) -> Any:
        box: Any = self.parent()
        if text == box.specialValueText():
            return self.State.Acceptable, text, at
        return box.validate(text.replace(",", "."), at)


def with_points(box: QDoubleSpinBox) -> QDoubleSpinBox:
    """Let a spin box show a point in every country; a comma that is typed becomes one."""
    box.setLocale(QLocale.c())
    box.lineEdit().setValidator(_Points(box))
    return box


class JobRow(QWidget):
    """Progress and Cancel of a job; seen only while it runs."""

    def __init__(self, job: Job, unit: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._job, self._unit = job, unit
        self._began = 0.0
        self._done, self._total = 0, 0
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(8)
        self.cancel = QPushButton("Cancel")
        self.cancel.setToolTip(f"stop; the {unit} that are done are kept")
        self.text = Message("starting …")
        line = QHBoxLayout()
        line.setContentsMargins(0, 0, 0, 0)
        line.addWidget(self.bar, 1)
        line.addWidget(self.cancel)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(2)
        box.addLayout(line)
        box.addWidget(self.text)
        self.cancel.clicked.connect(self._cancel)
        job.began.connect(self._begin)
        job.ended.connect(self._end)
        self.setVisible(job.running)

    def show_progress(self, done: int, total: int, seconds: float | None = None) -> None:
        """So many of so many are done; ``seconds`` are left, where somebody knows better."""
        if self._done == 0 and done:  # the first step warms up and would spoil the estimate
            self._began, self._first = time.monotonic(), done
        self._done, self._total = done, total
        self.bar.setRange(0, total)
        self.bar.setValue(done)
        if not self._job.cancelling:
            self.text.say(f"{done} of {total} {self._unit}{self._left(seconds)}")

    def show_steps(self, unit: str, done: int, total: int) -> None:
        """The same of another unit; with a total of 0 nobody knows how many there are."""
        if unit != self._unit:
            self._unit, self._done = unit, 0
        if total:
            self.show_progress(done, total)
        elif not self._job.cancelling:
            self.bar.setRange(0, 0)
            self.text.say(f"{unit} …")

    def _left(self, seconds: float | None) -> str:
        done = self._done - getattr(self, "_first", 0)
        if self._done >= self._total or (seconds is None and done <= 0):
            return ""
        if seconds is None:
            seconds = (time.monotonic() - self._began) / done * (self._total - self._done)
        return f" · about {_spoken(seconds)} left"

    def _begin(self) -> None:
        self._done = self._total = 0
        self.bar.setRange(0, 0)
        self.text.say("starting …")
        self.cancel.setEnabled(True)
        self.show()

    def _cancel(self) -> None:
        self._job.cancel()
        self.cancel.setEnabled(False)
        step = self._job.seconds_per_step
        when = f"in about {_spoken(step)}" if step and step > 1 else "in a moment"
        self.text.say(f"stopping {when}, after the present step", WARN)

    def _end(self, complete: bool) -> None:
        self.hide()


class Fold(QWidget):
    """A line that opens what is seldom needed."""

    def __init__(
        self, title: str, body: QWidget, name: str = "", parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.body = body
        self._name = name  # under which it is kept whether it is open
        self.button = QToolButton()
        self.button.setText(title)
        self.button.setToolTip("show or hide these settings")
        self.button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.button.setArrowType(Qt.ArrowType.RightArrow)
        self.button.setCheckable(True)
        tint(self.button, FAINT, "border: none; background: transparent; ")
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.addWidget(self.button)
        box.addWidget(body)
        body.hide()
        self.button.toggled.connect(self._toggle)
        self.button.setChecked(bool(name and recall(name, False)))

    def _toggle(self, opened: bool) -> None:
        self.body.setVisible(opened)
        if self._name:
            keep(self._name, opened)
        self.button.setArrowType(Qt.ArrowType.DownArrow if opened else Qt.ArrowType.RightArrow)


def _spoken(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
