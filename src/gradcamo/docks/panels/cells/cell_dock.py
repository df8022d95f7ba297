"""What docks do alike that draw the cell that is looked at beside the window."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import QWidget

from gradcamo.docks.parts.dock import Dock
from gradcamo.docks.parts.worker import Job
from gradcamo.docks.window import Window


class CellDock(Dock):
    """Draws one cell in the background, and again where another was chosen meanwhile."""

    def __init__(self, window: Window, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = window.session
        self.job = Job(self)
        self._drawn: tuple[Any, ...] = ()

    def draw(self, *_: Any) -> None:
        """Draw the cell that is looked at, unless it is drawn already."""
        session = self.session
        if lacking := session.lacking() or ([] if session.cell else ["a cell: click one"]):
            self._drawn = ()
            self.clear()
            self.message.say(f"Needed first: {' and '.join(lacking)}.")
            return
        of = (session.cell, session.version, id(session.checkpoint), session.next_settings)
        wanted = (*of, self.choice())
        if wanted != self._drawn and not self.job.running and self.may_draw():
            self._drawn = wanted
            self.begin(session.cell)

    def begin(self, label: int) -> None:
        """Run what draws this cell."""
        raise NotImplementedError

    def clear(self) -> None:
        """Show no cell."""
        raise NotImplementedError

    def choice(self) -> Any:
        """What else than the cell decides what is drawn."""
        return None

    def may_draw(self) -> bool:
        """Whether somebody looks, and nothing is in the way."""
        return True

    def _follow_cell(self) -> None:
        """Draw now, and whenever something else is to be drawn."""
        session = self.session
        self.job.failed.connect(self.message.fail)
        for signal in (
            self.job.ended,  # where another cell was chosen meanwhile
            session.cell_changed,
            session.checkpoint_changed,
            session.edited,
        ):
            signal.connect(self.draw)
        self.draw()
