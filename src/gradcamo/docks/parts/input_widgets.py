"""magicgui's widgets where settings want more of them: nothing, parts of a line, hundredths."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, get_args

from magicgui.type_map import TypeMap
from magicgui.widgets import CheckBox, ComboBox, FloatSpinBox, LineEdit, Slider
from magicgui.widgets.bases import ValueWidget
from qtpy.QtWidgets import QComboBox

from gradcamo.docks.parts.widgets import with_points

AUTOMATIC = "automatic"


class Line(LineEdit):
    """One line of text; an empty one is None."""

    def _post_init(self) -> None:
        super()._post_init()
        self.native.setPlaceholderText(AUTOMATIC if self._nullable else "")

    def get_value(self) -> Any:
        return super().get_value().strip() or None

    def set_value(self, value: Any) -> None:
        super().set_value("" if value is None else value)


class Parts(LineEdit):
    """Several numbers or names in one line, such as ``64 × 224 × 224``: a tuple."""

    def _post_init(self) -> None:
        super()._post_init()
        self._whole = {*get_args(self.annotation)} == {int}
        self.native.setPlaceholderText(AUTOMATIC)

    def get_value(self) -> Any:
        text = super().get_value()
        between = r"[\s,×x]+" if self._whole else "," if "," in text else r"\s+"
        return tuple(part.strip() for part in re.split(between, text) if part.strip())

    def set_value(self, value: Any) -> None:
        super().set_value((" × " if self._whole else ", ").join(map(str, value or ())))


class Number(FloatSpinBox):
    """A number with a point in every country; None, where it is allowed, is the least value."""

    def _post_init(self) -> None:
        super()._post_init()
        with_points(self.native)
        self.native.setKeyboardTracking(False)
        self.native.setSpecialValueText(AUTOMATIC if self._nullable else "")

    def get_value(self) -> Any:
        value = super().get_value()
        return None if self._nullable and value == self.min else value

    def set_value(self, value: Any) -> None:
        self.native.setValue(self.min if value is None else value)  # the nearest that is allowed


class Whole(Number):
    """A whole number; magicgui's own spin box is as wide as its value and knows no None."""

    def _post_init(self) -> None:
        super()._post_init()
        self.native.setDecimals(0)

    def get_value(self) -> Any:
        value = super().get_value()
        return None if value is None else int(value)


class Share(Slider):
    """A share in hundredths, as its bounds are."""

    def _post_init(self) -> None:
        super()._post_init()
        self.native.layout().setContentsMargins(0, 0, 0, 0)

    def get_value(self) -> Any:
        return super().get_value() / 100

    def set_value(self, value: Any) -> None:
        super().set_value(round(100 * value))


class Choice(ComboBox):
    """Values that are offered, and may be others later; what was chosen stays where it can."""

    null_string = AUTOMATIC
    value = ValueWidget.value  # not only what is offered: anything may be typed or come back

    def _post_init(self) -> None:
        self.wanted: str | None = None  # chosen, and not among what is offered now
        super()._post_init()
        box = self.native
        box.editTextChanged.connect(self._on_value_change)
        box.setMinimumContentsLength(8)
        box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)

    def _on_value_change(self, value: Any = None) -> None:
        self.wanted = None
        super()._on_value_change(value)

    def get_value(self) -> Any:
        text, chosen = self.native.currentText(), super().get_value()
        if text == AUTOMATIC:
            return None
        return text if chosen is None or text != self.current_choice else chosen

    def set_value(self, value: Any) -> None:
        if value in self.choices:
            super().set_value(value)
        elif self.native.isEditable():
            self.native.setEditText(value)
        else:
            self.wanted = value

    def offer(self, choices: Sequence[str]) -> None:
        """Offer these values; what was chosen stays chosen where it can."""
        now: Any = self.value
        before: Any = self.wanted or now
        with self.changed.blocked():
            self.native.clear()  # else magicgui leaves those that stay where they stood
            self.choices = self._default_choices = tuple(choices)
            self.value = before
        if self.value != now:
            self.changed.emit(self.value)


WIDGETS = TypeMap(simple_types={bool: CheckBox, int: Whole, float: Number, str: Line, tuple: Parts})
