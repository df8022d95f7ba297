"""How the heatmap is drawn, as controls: colours, opacity, what is hidden, pins."""

from __future__ import annotations

from dataclasses import asdict, fields, replace
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFormLayout,
    QPushButton,
    QSlider,
    QVBoxLayout,
    QWidget,
)

from gradcamo.docks.parts.memory import keep, recall
from gradcamo.docks.parts.widgets import Fold, line_of
from gradcamo.docks.state.look import COLORMAPS, RENDERINGS, Look

if TYPE_CHECKING:
    from gradcamo.docks.canvas.heatmap import HeatmapView
    from gradcamo.docks.state.session import Session


class HeatmapOptions(QWidget):
    """Shows and changes the session's look of heatmaps."""

    def __init__(
        self, session: Session, heatmap: HeatmapView, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.session = session
        self.shown = QCheckBox("show")
        self.shown.setToolTip("the Grad-CAM of the cell that is looked at (key H)")
        self.colormap = QComboBox()
        self.colormap.addItems(COLORMAPS)
        self.colormap.setToolTip("colours of the heatmap; all read the same to everybody")
        self.pin = QPushButton("Pin")
        self.pin.setToolTip("keep this heatmap as a layer of its own, to compare it with others")
        self.opacity = _slider(5, "opacity of the heatmap")
        self.hide_below = _slider(
            0, "hides what is weaker than this share of the map's maximum; scores do not change"
        )
        self.hide_below.setMaximum(95)
        self.only_cell = QCheckBox("inside the cell only")
        self.only_cell.setToolTip("hides the map outside the cell; scores do not change")
        self.crop_outline = QCheckBox("outline of the crop")
        self.crop_outline.setToolTip("a box around what the network saw of this cell")
        self.cell_outline = QCheckBox("outline of the cell")
        self.cell_outline.setToolTip("a white line around the cell, in 2D")
        self.rendering = QComboBox()
        for rendering, title in RENDERINGS.items():
            self.rendering.addItem(title, rendering)
        self.rendering.setToolTip("how the heatmap is drawn in 3D")

        more = QWidget()
        form = QFormLayout(more)
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow("Opacity", self.opacity)
        form.addRow("Hide below", self.hide_below)
        form.addRow("In 3D", self.rendering)
        for check in (self.crop_outline, self.cell_outline, self.only_cell):
            form.addRow("", check)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        top = line_of(self.shown, self.colormap, self.pin)
        top.setStretch(1, 1)
        box.addLayout(top)
        box.addWidget(Fold("Heatmap options", more, "heatmap options"))

        self._put(session.look)
        self._take_up(recall("heatmap", {}))
        for check in (self.shown, self.only_cell, self.crop_outline, self.cell_outline):
            check.toggled.connect(self._on_change)
        for slider in (self.opacity, self.hide_below):
            slider.valueChanged.connect(self._on_change)
        for combo in (self.colormap, self.rendering):
            combo.activated.connect(self._on_change)
        self.pin.clicked.connect(heatmap.pin)
        session.look_changed.connect(self._on_look)

    def look(self) -> Look:
        """What the controls say."""
        return Look(
            shown=self.shown.isChecked(),
            colormap=self.colormap.currentText(),
            opacity=self.opacity.value() / 100,
            hide_below=self.hide_below.value() / 100,
            only_cell=self.only_cell.isChecked(),
            crop_outline=self.crop_outline.isChecked(),
            cell_outline=self.cell_outline.isChecked(),
            rendering=self.rendering.currentData(),
        )

    def _take_up(self, kept: dict[str, Any]) -> None:
        # what another version kept is passed over
        known = {f.name: kept[f.name] for f in fields(Look) if f.name in kept}
        self._put(replace(self.session.look, **known))
        self.session.set_look(replace(self.look(), shown=True))
        self.shown.setChecked(True)

    def _on_change(self, *_: Any) -> None:
        look = self.look()
        if look != self.session.look:
            self.session.set_look(look)
            keep("heatmap", asdict(look))

    def _on_look(self) -> None:
        if self.session.look != self.look():
            self._put(self.session.look)

    def _put(self, look: Look) -> None:
        controls = (self.shown, self.only_cell, self.crop_outline, self.cell_outline)
        controls = (*controls, self.opacity, self.hide_below, self.colormap, self.rendering)
        for control in controls:
            control.blockSignals(True)
        self.shown.setChecked(look.shown)
        self.only_cell.setChecked(look.only_cell)
        self.crop_outline.setChecked(look.crop_outline)
        self.cell_outline.setChecked(look.cell_outline)
        self.opacity.setValue(round(100 * look.opacity))
        self.hide_below.setValue(round(100 * look.hide_below))
        self.colormap.setCurrentText(look.colormap)
        self.rendering.setCurrentIndex(max(0, self.rendering.findData(look.rendering)))
        for control in controls:
            control.blockSignals(False)


def _slider(low: int, tip: str) -> QSlider:
    slider = QSlider(Qt.Orientation.Horizontal)
    slider.setRange(low, 100)
    slider.setToolTip(tip)
    return slider
