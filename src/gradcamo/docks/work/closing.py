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
            for job in self._jobs(watched):
                job.abandon()
            self._hush(watched, True)  # those that would listen go one before the other
        elif event.type() == QEvent.Type.Show and self.session.signalsBlocked():
            self._asked = False  # it was hidden after a no, and is back
            self._hush(watched, False)
        return False

    def _jobs(self, window: QObject) -> list[Job]:
        return [*self.session.findChildren(Job), *window.findChildren(Job)]

    def _hush(self, window: QObject, hush: bool) -> None:
        for one in (self.session, *self._jobs(window)):
            one.blockSignals(hush)
