"""Settings as rows of a form: name, bounds and tooltip are read from ``settings.py``."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError
from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QLineEdit,
    QSpinBox,
    QWidget,
)

from gradcamo.docks.parts.memory import keep, recall
from gradcamo.docks.parts.widgets import NumberBox
from gradcamo.errors import GradcamoError
from gradcamo.settings import Settings

AUTOMATIC = "automatic"


class SettingRows(QWidget):
    """A form for some fields of a settings model."""

    changed = Signal()

    def __init__(
        self,
        model: type[Settings],
        names: Sequence[str],
        choices: dict[str, Sequence[str]] | None = None,
        titles: dict[str, str] | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.model = model
        self._kept_as = ""
        self._wanted: dict[str, str] = {}  # chosen, and not among what is offered now
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        self.inputs: dict[str, QWidget] = {}
        for name in names:
            field = model.model_fields[name]
            widget = _input(field, (choices or {}).get(name))
            widget.setToolTip(field.description)
            widget.setObjectName(name)
            self.inputs[name] = widget
            form.addRow((titles or {}).get(name, name.replace("_", " ").capitalize()), widget)
            _changed(widget).connect(self._on_changed)
            form.labelForField(widget).setToolTip(field.description)

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


def _input(field: Any, choices: Sequence[str] | None) -> QWidget:
    kinds, optional = _kinds(field.annotation)
    if choices is not None:
        box = QComboBox()
        box.addItems(([AUTOMATIC] if optional else []) + list(choices))
        box.setMinimumContentsLength(8)
        box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        if field.default is not None:
            box.setCurrentText(str(field.default))
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
    low, high = -1e6, 1e6
    step = 1 if whole else 0.05
    for bound in field.metadata:
        low = getattr(bound, "ge", low)
        high = getattr(bound, "le", high)
        if (above := getattr(bound, "gt", None)) is not None:
            low = above + (1 if whole else 0.01)
        if (below := getattr(bound, "lt", None)) is not None:
            high = below - (1 if whole else 0.01)
    box = QSpinBox() if whole else NumberBox()
    if optional:  # one step under the smallest value stands for None
        low, step = (0, 1) if low >= 0 else (low - step, step)
        box.setSpecialValueText(AUTOMATIC)
        box.setProperty("optional", True)
    box.setRange(int(low) if whole else low, int(high) if whole else high)
    box.setSingleStep(step)
    box.setValue(box.minimum() if field.default is None else field.default)
    box.setKeyboardTracking(False)
    return box


def _value(widget: QWidget) -> Any:
    if isinstance(widget, QComboBox):
        text = widget.currentText()
        return None if text == AUTOMATIC else text
    if isinstance(widget, QCheckBox):
        return widget.isChecked()
    if isinstance(widget, PartsLine):
        return widget.parts()
    if isinstance(widget, (QSpinBox, QDoubleSpinBox)):
        at_bottom = widget.value() == widget.minimum()
        return None if widget.property("optional") and at_bottom else widget.value()
    return widget.text().strip() or None


def put(widget: QWidget, value: Any) -> None:
    if isinstance(widget, QComboBox):
        widget.setCurrentText(AUTOMATIC if value is None else str(value))
    elif isinstance(widget, QCheckBox):
        widget.setChecked(bool(value))
    elif isinstance(widget, (QSpinBox, QDoubleSpinBox)):
        widget.setValue(widget.minimum() if value is None else value)
    elif isinstance(widget, PartsLine):
        widget.put(value or ())
    else:
        widget.setText("" if value is None else str(value))


def _changed(widget: QWidget) -> Any:
    """The signal of an input that its value is another."""
    if isinstance(widget, QComboBox):
        return widget.currentTextChanged
    if isinstance(widget, QCheckBox):
        return widget.toggled
    if isinstance(widget, (QSpinBox, QDoubleSpinBox)):
        return widget.valueChanged
    return widget.textChanged
