"""A step of a column of steps, and how narrow such a column is."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QScrollArea,
    QToolButton,
    QVBoxLayout,
    QWidget,
)
from superqt import QElidingLabel

from gradcamo.docks.parts.tint import FAINT, GOOD, WARN, tint

WIDTH = 372
# napari's own styles are made for wider rows
NARROW = """
QAbstractSpinBox { min-width: 40px; }
QPushButton { min-width: 0px; padding: 4px 6px; }
QComboBox { min-width: 60px; }
"""


def scrolling_column(dock: QWidget) -> QVBoxLayout:
    """The only column of a dock; it scrolls where the window is too low for it."""
    inside, scroll = QWidget(), QScrollArea()
    inside.setStyleSheet(NARROW)
    column = QVBoxLayout(inside)
    column.setContentsMargins(6, 6, 6, 6)
    scroll.setWidget(inside)
    scroll.setWidgetResizable(True)
    scroll.setFrameShape(QFrame.Shape.NoFrame)
    scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    box = QVBoxLayout(dock)
    box.setContentsMargins(0, 0, 0, 0)
    box.addWidget(scroll)
    dock.setMinimumWidth(WIDTH)
    return column


class Step(QFrame):
    """A collapsible step of the workbench: number, title, and what its state is."""

    toggled = Signal(bool)

    def __init__(self, number: int, title: str, body: QWidget, parent: QWidget | None = None):
        super().__init__(parent)
        self.body = body
        self._number = number
        self.arrow = QToolButton()
        self.arrow.setAutoRaise(True)
        self.arrow.setArrowType(Qt.ArrowType.RightArrow)
        self.arrow.setFixedSize(18, 18)
        self.arrow.setStyleSheet("background: transparent; border: none;")
        self.badge = QLabel(str(number))
        self.badge.setFixedSize(20, 20)
        self.badge.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.title = QLabel(title)
        self.title.setStyleSheet("font-weight: 600; font-size: 13px;")
        self.state = QElidingLabel()
        self.state.setElideMode(Qt.TextElideMode.ElideRight)
        self.state.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.header = QWidget()
        self.header.setCursor(Qt.CursorShape.PointingHandCursor)
        line = QHBoxLayout(self.header)
        line.setContentsMargins(6, 5, 6, 5)
        for part in (self.badge, self.title):
            line.addWidget(part)
        line.addWidget(self.state, 1)
        line.addWidget(self.arrow)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(0)
        box.addWidget(self.header)
        inner = self._inner = QVBoxLayout()
        inner.setContentsMargins(10, 2, 10, 10)
        inner.addWidget(body)
        box.addLayout(inner)
        self.setObjectName("step")
        self.setStyleSheet("QFrame#step { border: 1px solid #4a505a; border-radius: 5px; }")
        self.arrow.clicked.connect(self.toggle)
        self.set_state("", False)
        self.open(False)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.position().y() <= self.header.height():
            self.toggle()
        super().mousePressEvent(event)

    @property
    def is_open(self) -> bool:
        return not self.body.isHidden()

    def toggle(self) -> None:
        self.open(not self.is_open)
        self.toggled.emit(self.is_open)

    def open(self, opened: bool) -> None:
        self.body.setVisible(opened)
        self._inner.setContentsMargins(10, 2, 10, 10 if opened else 0)
        arrow = Qt.ArrowType.DownArrow if opened else Qt.ArrowType.RightArrow
        self.arrow.setArrowType(arrow)

    def set_state(self, text: str, done: bool, coming: bool = False, warned: bool = False) -> None:
        """What the step holds, or what it is missing.

        ``coming`` marks what is to be done next, ``warned`` what is done and not to be trusted yet.
        """
        colour = WARN if warned else GOOD if done else WARN if coming else FAINT
        self.state.setText(text)
        self.state.setToolTip(text)
        tint(self.state, colour)
        fill = "background: #5a616c; color: #ffffff;"
        if done or coming:
            fill = f"background: {GOOD if done else WARN}; color: #10151c;"
        self.badge.setText("✓" if done else str(self._number))
        self.badge.setStyleSheet(f"{fill} border-radius: 10px; font-weight: 600;")
