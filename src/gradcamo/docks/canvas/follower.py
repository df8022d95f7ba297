"""What keeps a viewer in step with what is worked on."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from gradcamo.docks.state.session import Session


class Follower(QObject):
    """Listens to a session and to a viewer, which may be gone before."""

    def __init__(self, session: Session, viewer: ViewerModel) -> None:
        super().__init__()
        self.session = session
        self._viewer = weakref.ref(viewer)

    @property
    def viewer(self) -> ViewerModel | None:
        """The viewer, None after it was closed."""
        return self._viewer()
