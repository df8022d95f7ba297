"""The same keys on the canvas and in the table."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QObject
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QWidget

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from gradcamo.docks.state.session import Session

# napari's own keys for images and labels leave these free
KEYS = (
    ("J", "next cell", "next_cell"),
    ("K", "previous cell", "previous_cell"),
    ("G", "flag or clear the chosen cells", "toggle_flag"),
    ("H", "hide or show the heatmap", "toggle_heatmap"),
)


class Keys(QObject):
    """What the keys do, in order of the rows that are shown."""

    def __init__(self, session: Session, viewer: ViewerModel) -> None:
        super().__init__()
        self.session = session
        for key, _, name in KEYS:
            viewer.bind_key(key, _forgetting_viewer(getattr(self, name)), overwrite=True)

    def bind(self, widget: QWidget) -> None:
        """Let the keys work while a widget has the focus."""
        widget.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if (
            isinstance(event, QKeyEvent)
            and event.type() == QEvent.Type.KeyPress
            and not event.modifiers()
        ):
            for key, _, name in KEYS:
                if event.text().upper() == key:
                    getattr(self, name)()
                    return True
        return False

    def next_cell(self) -> None:
        self._step(1)

    def previous_cell(self) -> None:
        self._step(-1)

    def toggle_flag(self) -> None:
        session = self.session
        cells = session.cells
        labels = [n for n in session.selection.tolist() if n in cells.index]
        if labels:
            all_flagged = cells.loc[labels, "flagged"].all()
            session.mark(labels, not all_flagged)

    def toggle_heatmap(self) -> None:
        self.session.set_look(self.session.look.toggled())

    def _step(self, by: int) -> None:
        session = self.session
        order = session.order.tolist()
        if not order:
            return
        if session.cell in order:
            session.choose(order[(order.index(session.cell) + by) % len(order)], "keys")
        else:
            session.choose(order[0 if by > 0 else -1], "keys")


def _forgetting_viewer(method: Callable[[], None]) -> Callable[[Any], None]:
    def call(_viewer: Any) -> None:
        method()

    call.__doc__ = method.__name__.replace("_", " ")
    return call
