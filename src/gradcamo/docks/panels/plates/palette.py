"""What colours stand for: a brush for every value, and a legend that says it."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QRectF, QSize, Qt
from qtpy.QtGui import QColor, QLinearGradient, QPainter
from qtpy.QtWidgets import QLabel, QSizePolicy, QVBoxLayout, QWidget

from gradcamo.docks.canvas.colouring import FLAGGED, PASSING, SCORE_COLORMAP, STEPS, UNSCORED
from gradcamo.docks.parts.tint import ink_on
from gradcamo.profiles.doses import in_dose_order

# Okabe and Ito's without black, then lighter ones; told apart with every common colour vision
PALETTE = (
    *("#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#0072B2", "#D55E00", "#F0E442"),
    *("#999999", "#88CCEE", "#DDCC77", "#AA4499", "#44AA99"),
)

if TYPE_CHECKING:
    import pandas as pd
OTHERS = "others"


class Colours:
    """The colour of every value of a column.

    ``codes`` (N,) point into ``inks``, a list of QColor; ``names`` are the categories in the order
    of the inks, or None where the column is a number that runs from ``low`` to ``high``.
    """

    def __init__(self, values: pd.Series) -> None:
        self.names: list[str] | None = None
        self.low = self.high = 0.0
        known = values.dropna()
        if values.dtype.kind in "bO" and len(known) and set(known.unique()) <= {True, False}:
            self._two(values)
        elif values.dtype.kind in "fiu" and values.nunique() > len(PALETTE):
            self._range(values)
        else:
            self._categories(values)

    def _two(self, values: pd.Series) -> None:
        self.names = ["no", "yes"]
        self.inks = [QColor.fromRgbF(*colour) for colour in (PASSING, FLAGGED, UNSCORED)]
        self.codes = values.astype("boolean").astype("Int64").fillna(2).to_numpy(int)

    def _range(self, values: pd.Series) -> None:
        number = values.to_numpy(float)
        seen = number[np.isfinite(number)]
        self.low, self.high = (float(seen.min()), float(seen.max())) if len(seen) else (0.0, 1.0)
        span = self.high - self.low or 1.0
        steps = np.nan_to_num((number - self.low) / span) * (STEPS - 1)
        self.codes = np.where(np.isfinite(number), np.rint(steps), STEPS).astype(int)
        self.inks = [*ramp(), QColor.fromRgbF(*UNSCORED)]

    def _categories(self, values: pd.Series) -> None:
        words = values.map(_word)
        order = in_dose_order(sorted(set(words)))
        if len(order) > len(PALETTE):  # more colours than these nobody can tell apart
            common = words[words != ""].value_counts().index[: len(PALETTE) - 1]
            order = [name for name in order if name in set(common)]
            words = words.where(words.isin(order), OTHERS)
            self.names = [*order, OTHERS]
        else:
            self.names = order
        places = {name: i for i, name in enumerate(self.names)}
        grey = QColor.fromRgbF(*UNSCORED)
        self.inks = [grey if n == OTHERS else QColor(PALETTE[i]) for n, i in places.items()]
        self.inks.append(grey)  # of what has no value
        self.codes = words.map(places).fillna(len(places)).to_numpy(int)


def ramp() -> list[QColor]:
    """The colours from a low to a high number."""
    from napari.utils.colormaps import ensure_colormap

    colours = ensure_colormap(SCORE_COLORMAP).map(np.linspace(0, 1, STEPS))
    return [QColor.fromRgbF(*map(float, colour)) for colour in colours]


class Legend(QWidget):
    """Names beside their colours, or a bar from the lowest to the highest number."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.names = QLabel()
        self.names.setWordWrap(True)
        self.names.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.bar = _Bar()
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.addWidget(self.names)
        box.addWidget(self.bar)
        self.hide()

    def show_colours(self, title: str, colours: Colours | None) -> None:
        """Say what the colours mean; nothing without colours."""
        self.setVisible(colours is not None)
        if colours is None:
            return
        numeric = colours.names is None
        self.bar.setVisible(numeric)
        self.names.setVisible(not numeric)
        if colours.names is None:
            self.bar.show_range(title, colours.low, colours.high)
            return
        entries = (
            f"<span style='background-color:{ink.name()}; color:{ink_on(ink).name()}'>"
            f"&nbsp;{escape(name) or 'none'}&nbsp;</span>"
            for name, ink in zip(colours.names, colours.inks, strict=False)
        )
        self.names.setText(f"{escape(title)}: " + " ".join(entries))


class _Bar(QWidget):
    def __init__(self) -> None:
        super().__init__()
        self._title, self._low, self._high = "", 0.0, 1.0
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        return QSize(200, 30)

    def show_range(self, title: str, low: float, high: float) -> None:
        self._title, self._low, self._high = title, low, high
        self.update()

    def paintEvent(self, event: Any) -> None:
        painter = QPainter(self)
        box = QRectF(0, 2, self.width(), 9)
        gradient = QLinearGradient(box.left(), 0, box.right(), 0)
        inks = ramp()
        for i, ink in enumerate(inks):
            gradient.setColorAt(i / (len(inks) - 1), ink)
        painter.fillRect(box, gradient)
        painter.setPen(self.palette().color(self.foregroundRole()))
        words = self.rect().adjusted(0, 12, 0, 0)
        align = Qt.AlignmentFlag
        painter.drawText(words, align.AlignLeft | align.AlignVCenter, f"{self._low:z.3g}")
        painter.drawText(words, align.AlignHCenter | align.AlignVCenter, self._title)
        painter.drawText(words, align.AlignRight | align.AlignVCenter, f"{self._high:z.3g}")


def _word(value: Any) -> str:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return ""
    return f"{value:zg}" if isinstance(value, float) else str(value)
