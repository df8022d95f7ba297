"""Settings as rows of a form: name, bounds and tooltip are read from ``settings``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from magicgui.widgets import CheckBox
from pydantic.fields import FieldInfo
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFormLayout, QWidget

from gradcamo.docks.parts.input_widgets import WIDGETS, Choice, Line, Number, Share, Whole
from gradcamo.docks.parts.preferences import keep, recall
from gradcamo.errors import GradcamoError
from gradcamo.settings import Settings
from gradcamo.settings.refused import SettingsError

Choices = Sequence[str] | Mapping[str, str]


class SettingRows(QWidget):
    """A form for some fields of a settings model, each a widget that magicgui makes of its type.

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
        self.form = QFormLayout(self)
        self.form.setContentsMargins(0, 0, 0, 0)
        self.form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        self.inputs: dict[str, Any] = {}  # magicgui's widgets; ``native`` is Qt's
        for name in names:
            field, title = model.model_fields[name], (titles or {}).get(name)
            widget = _input(field, (choices or {}).get(name), name in sliders)
            widget.native.setObjectName(name)
            self.inputs[name] = widget
            if isinstance(widget, CheckBox):
                widget.text, title = title or "", title and ""
            title = name.replace("_", " ").capitalize() if title is None else title
            self.form.addRow(title, widget.native)
            if title:
                self.form.labelForField(widget.native).setToolTip(widget.tooltip)
            widget.changed.connect(self._on_changed)

    def keep_as(self, name: str) -> None:
        """Take up what these rows held at the last launch, and keep what they hold from now on."""
        kept = recall(name, {})
        for field, widget in self.inputs.items():
            if field in kept:
                try:
                    self.model(**{field: kept[field]})
                except SettingsError:  # a setting that another version knew
                    continue
                widget.value = kept[field]
        self._kept_as = name

    def _on_changed(self) -> None:
        if self._kept_as:
            wanted = {n: getattr(widget, "wanted", None) for n, widget in self.inputs.items()}
            keep(self._kept_as, {n: wanted[n] or value for n, value in self.values().items()})
        self.changed.emit()

    def values(self) -> dict[str, Any]:
        """What the rows hold, by field name."""
        return {name: widget.value for name, widget in self.inputs.items()}

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
        except SettingsError as error:
            raise GradcamoError(error.said_of(self._title)) from error

    def _title(self, place: Sequence[str]) -> str:
        """What stands in front of a field, or beside it."""
        widget: Any = self.inputs.get(place[0])
        label: Any = widget and self.form.labelForField(widget.native)
        title: str = (label and label.text()) or getattr(widget, "text", "")
        return title or ".".join(place)


def _input(field: FieldInfo, choices: Choices | None, slider: bool) -> Any:
    """The widget that magicgui makes of a field's type, bounds and help, at its default."""
    options: dict[str, Any] = {"tooltip": field.description or ""}
    kind, made = WIDGETS.get_widget_class(annotation=field.annotation)
    tiny = kind is Number and isinstance(field.default, float) and 0 < field.default < 0.01
    if choices is not None:
        values = choices if isinstance(choices, Mapping) else {each: each for each in choices}
        titled = [(title, value) for value, title in values.items()]
        options |= {"widget_type": Choice, "choices": titled}
    elif slider:
        low, high = _bounds(field, 0.01)
        options |= {"min": round(100 * low), "max": round(100 * high), "step": 1}
        options |= {"widget_type": Share, "readout": False}
    elif tiny:  # spin boxes round to hundredths
        options["widget_type"] = Line
    elif kind in (Number, Whole):
        least, step = (1.0, 1.0) if kind is Whole else (0.01, 0.05)
        low, high = _bounds(field, least)
        if made["nullable"]:  # one step under the smallest value stands for None
            low, step = (0.0, 1.0) if low >= 0 else (low - step, step)
        options |= {"min": low, "max": high, "step": step}
    widget: Any = WIDGETS.create_widget(annotation=field.annotation, options=options)
    widget.value = field.default
    return widget


def _bounds(field: FieldInfo, least: float) -> tuple[float, float]:
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
