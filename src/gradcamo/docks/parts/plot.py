"""A plot whose paper and axes follow napari's theme."""

from __future__ import annotations

from typing import Any

import pyqtgraph as pg

from gradcamo.docks.parts.tint import INK, PAPER, legible


class Plot(pg.PlotWidget):
    """What is drawn on it takes its colours in `follow_theme`."""

    def __init__(self, parent: Any = None, **options: Any) -> None:
        super().__init__(parent, **options)
        self.hideButtons()

    def follow_theme(self) -> None:
        """Draw in the colours of the theme; called again when it is another."""
        self.setBackground(legible(PAPER, self))
        for side in ("left", "bottom"):
            axis = self.getAxis(side)
            axis.setPen(legible(INK, self))
            axis.setTextPen(legible(INK, self))
