"""Files that are dropped on a widget."""

from __future__ import annotations

from pathlib import Path
from typing import Any


class TakesDrops:
    """A widget that takes the files that are dropped on it, once it accepts drops."""

    def take(self, paths: list[Path]) -> None:
        """Open what was dropped."""
        raise NotImplementedError

    def dragEnterEvent(self, event: Any) -> None:
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: Any) -> None:
        event.acceptProposedAction()
        self.take([Path(url.toLocalFile()) for url in event.mimeData().urls()])
