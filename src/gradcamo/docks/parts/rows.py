"""Settings as rows of a form: name, bounds and tooltip are read from ``settings``."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QLineEdit,
    QSlider,
    QSpinBox,
    QWidget,
)

from gradcamo.docks.parts.preferences import keep, recall
from gradcamo.docks.parts.widgets import NumberBox
from gradcamo.errors import GradcamoError
from gradcamo.settings import Settings

AUTOMATIC = "automatic"
Choices = Sequence[str] | Mapping[str, str]


class SettingRows(QWidget):
    """A form for some fields of a settings model.

    ``titles`` stand in front of a field, of a yes or no beside it; ``choices`` are offered values,
    or values with their titles; ``sliders`` are fields between 0 and 1, in hundredths.
    """

    changed = Signal()

    def __init__(
        self,
        model: type[Settings],
        names: Sequence[str],
        choices: Mapping[str, Choices] | None = None,
        titles: Mapping[str, str] | None = None,
        sliders: Sequence[str] = (),
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.model = model
        self._kept_as = ""
        self._wanted: dict[str, str] = {}  # chosen, and not among what is offered now
        self.form = QFormLayout(self)
        self.form.setContentsMargins(0, 0, 0, 0)
        self.form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        self.inputs: dict[str, Any] = {}  # a box, a line, a slider: as the field's type asks for
        for name in names:
            field = model.model_fields[name]
            about, title = field.description or "", (titles or {}).get(name)
            widget = _slider(field) if name in sliders else _input(field, (choices or {}).get(name))
            widget.setToolTip(about)
            widget.setObjectName(name)
            self.inputs[name] = widget
            if isinstance(widget, QCheckBox) and title is not None:
                widget.setText(title)
                title = ""
            elif title is None:
                title = name.replace("_", " ").capitalize()
            self.form.addRow(title, widget)
            if title:
                self.form.labelForField(widget).setToolTip(about)
            _changed(widget).connect(self._on_changed)

    def keep_as(self, name: str) -> None:
        """Take up what these rows held at the last launch, and keep what they hold from now on."""
        kept = recall(name, {})
        for field, widget in self.inputs.items():
            if field in kept:
                try:
                    self.model(**{field: kept[field]})
                except ValidationError:  # a setting that another version knew
                    continue
                put(widget, kept[field])
                if kept[field] is not None and _value(widget) is None:
                    self._wanted[field] = kept[field]
        self._kept_as = name

    def _on_changed(self) -> None:
        if self._kept_as:
            values = self.values()
            wanted = {n: v for n, v in self._wanted.items() if values[n] is None}
            keep(self._kept_as, {**values, **wanted})
        self.changed.emit()

    def set_choices(self, name: str, choices: Sequence[str]) -> None:
        """Offer these values; what was chosen stays chosen where it can."""
        box = self.inputs[name]
        now = box.currentText()
        before = self._wanted.pop(name, now)
        box.blockSignals(True)
        items = [*choices]
        if self.model.model_fields[name].default is None:
            items.insert(0, AUTOMATIC)
        box.clear()
        box.addItems(items)
        if before in items or box.isEditable():
            box.setCurrentText(before or items[0])
        elif before not in ("", AUTOMATIC):
            self._wanted[name] = before
        box.blockSignals(False)
        if box.currentText() != now:
            self.changed.emit()

    def values(self) -> dict[str, Any]:
        """What the rows hold, by field name."""
        return {name: _value(widget) for name, widget in self.inputs.items()}

    def settings(self, **others: Any) -> Any:
        """The settings that the rows describe.

        Raises
        ------
        GradcamoError
            Where a value is not allowed.
        """
        try:
            given = {**self.values(), **others}
            fields = self.model.model_fields
            empty = [n for n, v in given.items() if v == () and fields[n].default is None]
            return self.model(**{**given, **dict.fromkeys(empty)})
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise GradcamoError(f"{where}: {first['msg']}, got {first['input']!r}") from error


class PartsLine(QLineEdit):
    """Several numbers or names in one line, such as ``64 × 224 × 224``."""

    def __init__(self, parts: Sequence[Any]) -> None:
        super().__init__()
        self._whole = bool(parts) and all(isinstance(part, int) for part in parts)
        self.put(parts)
        self.setPlaceholderText(AUTOMATIC)

    def put(self, parts: Sequence[Any]) -> None:
        self.setText((" × " if self._whole else ", ").join(map(str, parts)))

    def parts(self) -> tuple[str, ...]:
        between = r"[\s,×x]+" if self._whole else "," if "," in self.text() else r"\s+"
        return tuple(part.strip() for part in re.split(between, self.text()) if part.strip())


def _slider(field: Any) -> QSlider:
    slider = QSlider(Qt.Orientation.Horizontal)
    low, high = _bounds(field)
    slider.setRange(round(100 * low), round(100 * high))
    slider.setValue(round(100 * field.default))
    return slider


def _input(field: Any, choices: Choices | None) -> QWidget:
    kinds, optional = _kinds(field.annotation)
    if choices is not None:
        box = QComboBox()
        box.addItems([AUTOMATIC] if optional else [])
        for value, title in _titled(choices):
            box.addItem(title, value)
        box.setMinimumContentsLength(8)
        box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        if field.default is not None:
            put(box, field.default)
        return box
    if kinds and isinstance(kinds[0], str):
        box = QComboBox()
        box.addItems(kinds)
        box.setCurrentText(str(field.default))
        return box
    if bool in kinds:
        check = QCheckBox()
        check.setChecked(bool(field.default))
        return check
    tiny = isinstance(field.default, float) and 0 < field.default < 0.01
    if (int in kinds or float in kinds) and not tiny:  # spin boxes round to hundredths
        return _spin(field, whole=float not in kinds, optional=optional)
    if any(typing.get_origin(kind) is tuple for kind in kinds):
        return PartsLine(field.default or ())
    line = QLineEdit("" if field.default is None else str(field.default))
    line.setPlaceholderText(AUTOMATIC if optional else "")
    return line


def _kinds(annotation: Any) -> tuple[list[Any], bool]:
    """The types (or the literal values) that an annotation allows, and whether None is one."""
    origin = typing.get_origin(annotation)
    if origin is typing.Literal:
        return list(typing.get_args(annotation)), False
    if origin in (types.UnionType, typing.Union):
        parts = [part for part in typing.get_args(annotation) if part is not type(None)]
        return parts, True
    return [annotation], False


def _spin(field: Any, whole: bool, optional: bool) -> QWidget:
    low, high = _bounds(field, 1 if whole else 0.01)
    step = 1 if whole else 0.05
    box: Any = QSpinBox() if whole else NumberBox()
    if optional:  # one step under the smallest value stands for None
        low, step = (0, 1) if low >= 0 else (low - step, step)
        box.setSpecialValueText(AUTOMATIC)
        box.setProperty("optional", True)
    box.setRange(int(low) if whole else low, int(high) if whole else high)
    box.setSingleStep(step)
    box.setValue(box.minimum() if field.default is None else field.default)
    box.setKeyboardTracking(False)
    return box


def _bounds(field: Any, least: float = 0.01) -> tuple[float, float]:
    """The lowest and the highest value that a field takes, in steps of ``least``."""
    low, high = -1e6, 1e6
    for bound in field.metadata:
        low = getattr(bound, "ge", low)
        high = getattr(bound, "le", high)
        if (above := getattr(bound, "gt", None)) is not None:
            low = above + least
        if (below := getattr(bound, "lt", None)) is not None:
            high = below - least
    return low, high


def _titled(choices: Choices) -> list[tuple[str, str]]:
    return [*choices.items()] if isinstance(choices, Mapping) else [(c, c) for c in choices]


def _value(widget: Any) -> Any:
    if isinstance(widget, QSlider):
        return widget.value() / 100
    if isinstance(widget, QComboBox):
        text, place = widget.currentText(), widget.currentIndex()
        titled = widget.itemData(place) if widget.itemText(place) == text else None
        return None if text == AUTOMATIC else titled or text
    if isinstance(widget, QCheckBox):
        return widget.isChecked()
    if isinstance(widget, PartsLine):
        return widget.parts()
    if isinstance(widget, (QSpinBox, QDoubleSpinBox)):
        at_bottom = widget.value() == widget.minimum()
        return None if widget.property("optional") and at_bottom else widget.value()
    return widget.text().strip() or None


def put(widget: Any, value: Any) -> None:
    """Let an input hold this value."""
    if isinstance(widget, QSlider):
        widget.setValue(round(100 * value))
    elif isinstance(widget, QComboBox):
        place = -1 if value is None else widget.findData(value)
        title = AUTOMATIC if value is None else str(value)
        widget.setCurrentText(title if place < 0 else widget.itemText(place))
    elif isinstance(widget, QCheckBox):
        widget.setChecked(bool(value))
    elif isinstance(widget, QSpinBox):
        widget.setValue(widget.minimum() if value is None else int(value))
    elif isinstance(widget, QDoubleSpinBox):
        widget.setValue(widget.minimum() if value is None else float(value))
    elif isinstance(widget, PartsLine):
        widget.put(value or ())
    else:
        widget.setText("" if value is None else str(value))


def _changed(widget: Any) -> Any:
    """The signal of an input that its value is another."""
    if isinstance(widget, QComboBox):
        return widget.currentTextChanged
    if isinstance(widget, QCheckBox):
        return widget.toggled
    if isinstance(widget, (QSlider, QSpinBox, QDoubleSpinBox)):
        return widget.valueChanged
    return widget.textChanged
