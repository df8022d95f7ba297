"""How the heatmap is drawn, as controls: colours, opacity, what is hidden, pins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QComboBox, QPushButton, QVBoxLayout, QWidget
from superqt.utils import signals_blocked

from gradcamo.docks.parts.preferences import keep, recall
from gradcamo.docks.parts.rows import SettingRows
from gradcamo.docks.parts.widgets import Fold, line_of
from gradcamo.docks.state.look import RENDERINGS, Look

if TYPE_CHECKING:
    from gradcamo.docks.canvas.heatmap import HeatmapView
    from gradcamo.docks.state.session import Session

MORE = ("opacity", "hide_below", "rendering", "crop_outline", "cell_outline", "only_cell")
TITLES = {
    "shown": "show",
    "rendering": "In 3D",
    "crop_outline": "outline of the crop",
    "cell_outline": "outline of the cell",
    "only_cell": "inside the cell only",
}


class HeatmapOptions(QWidget):
    """Shows and changes the session's look of heatmaps."""

    def __init__(
        self, session: Session, heatmap: HeatmapView, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.session = session
        self.first = SettingRows(Look, ("shown", "colormap"), titles=TITLES, parent=self)
        self.first.hide()  # its inputs stand in a line of ours
        self.more = SettingRows(
            Look, MORE, {"rendering": RENDERINGS}, TITLES, ("opacity", "hide_below")
        )
        self.inputs = {**self.first.inputs, **self.more.inputs}
        whole = QComboBox.SizeAdjustPolicy.AdjustToContents
        self.inputs["rendering"].native.setSizeAdjustPolicy(whole)
        self.fold = Fold("Heatmap options", self.more, "heatmap options")
        self.pin = QPushButton("Pin")
        self.pin.setToolTip("keep this heatmap as a layer of its own, to compare it with others")
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        shown, colours = self.inputs["shown"].native, self.inputs["colormap"].native
        box.addLayout(line_of(shown, colours, self.pin, widest=colours))
        box.addWidget(self.fold)

        try:
            look = Look.recorded({"settings": recall("heatmap", {})})
        except ValueError:  # another version took a value that this one does not know
            look = Look()
        session.set_look(look.model_copy(update={"shown": True}))
        self._on_look()
        for rows in (self.first, self.more):
            rows.changed.connect(self._on_change)
        self.pin.clicked.connect(heatmap.pin)
        session.look_changed.connect(self._on_look)

    def look(self) -> Look:
        """What the controls say."""
        return Look(**self.first.values(), **self.more.values())

    def _on_change(self) -> None:
        look = self.look()
        if look != self.session.look:
            self.session.set_look(look)
            keep("heatmap", look.model_dump())

    def _on_look(self) -> None:
        with signals_blocked(self.first), signals_blocked(self.more):
            for name, widget in self.inputs.items():
                widget.value = getattr(self.session.look, name)
