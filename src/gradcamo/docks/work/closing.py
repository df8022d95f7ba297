"""A window that is closed leaves no work behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QObject

from gradcamo.docks.parts.worker import Job

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from gradcamo.docks.state.session import Session


class Closing(QObject):
    """Stops what runs for a window, in the session and in its docks, when it is closed."""

    def __init__(self, session: Session, viewer: ViewerModel) -> None:
        super().__init__()
        self.session = session
        self._asked = False
        window = getattr(viewer, "window", None)
        if window is not None:
            window._qt_window.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Close:  # napari may ask, and the user may say no
            self._asked = True
        elif event.type() == QEvent.Type.Hide and self._asked and not event.spontaneous():
            self._hush(watched, True)
        elif event.type() == QEvent.Type.Show and self._asked:  # hidden after a no, and back
            self._asked = False
            self._hush(watched, False)
        return False

    def _hush(self, window: QObject, hush: bool) -> None:
        """Leave what runs and say nothing more: those that would listen go in any order."""
        for job in (*self.session.findChildren(Job), *window.findChildren(Job)):
            job.abandon()
            job.blockSignals(hush)
        self.session.blockSignals(hush)
