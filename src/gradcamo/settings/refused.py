"""Values that a setting cannot take: which setting, what it should be, what came."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt

from gradcamo.errors import GradcamoError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import BaseModel, ValidationError
    from pydantic.fields import FieldInfo

Place = tuple[str, ...]
_BOUNDS = {Ge: "at least", Gt: "more than", Le: "at most", Lt: "less than"}
_ONE = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
_MOST = 60  # characters of a value that are repeated


class Problem(NamedTuple):
    """Names of settings from the outside in, and what is wrong there."""

    place: Place
    said: str


class SettingsError(GradcamoError):
    """Says of each setting that is wrong what it should be, what came and what its default is."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = problems
        super().__init__(self.said_of(".".join))

    def said_of(self, name: Callable[[Place], str]) -> str:
        """The same with settings called as they are where they were typed."""
        return "; ".join(f"{name(place)}{said}" for place, said in self.problems)


def settings_error(model: type[BaseModel], error: ValidationError) -> SettingsError:
    """What pydantic says of a model's values in words of ours, once for each setting."""
    said: dict[Place, str] = {}
    for place, text in _problems(model, error):
        said.setdefault(place, text)
    return SettingsError([Problem(*found) for found in said.items()])


def bounds(metadata: Sequence[Any]) -> str:
    """``at least 0 and at most 1``, of what a field says beside its type."""
    limits = (
        f"{_BOUNDS[type(bound)]} {getattr(bound, type(bound).__name__.lower()):,.12g}"
        for bound in metadata
        if type(bound) in _BOUNDS
    )
    return " and ".join(limits)


def _problems(model: type[BaseModel], error: ValidationError) -> Iterator[Problem]:
    for found in error.errors():
        place = tuple(map(str, found["loc"]))
        inner = found.get("ctx", {}).get("error")
        info = model.model_fields.get(place[0])
        if isinstance(inner, SettingsError):  # of a model within this one
            yield from (Problem((*place, *part.place), part.said) for part in inner.problems)
        elif info is None:
            yield Problem(place, _unknown(place[0], model))
        else:
            given = repr(found["input"])
            given = given if len(given) <= _MOST else f"{given[:_MOST]}…"
            wanted = f" should be {_expected(info.annotation, info.metadata)}"
            if found["type"] == "value_error":
                wanted = f": {found['msg'].removeprefix('Value error, ')}"
            cure = f": correct it, or leave it out{_default(info)}"
            yield Problem(place[:1], f"{wanted}, got {given}{cure}")


def _unknown(name: str, model: type[BaseModel]) -> str:
    near = get_close_matches(name, model.model_fields, 1)
    known = f"did you mean {near[0]}?" if near else f"there are {', '.join(model.model_fields)}"
    return f" is no setting of {model.__name__}: {known}"


def _default(info: FieldInfo) -> str:
    default = info.get_default(call_default_factory=True)
    told = type(default) in _ONE or (isinstance(default, tuple) and default)
    return f" for {default!r}" if told else ""


def _expected(annotation: Any, metadata: Sequence[Any] = ()) -> str:
    """The kind of value that a field takes, None apart, and its bounds."""
    if get_origin(annotation) is Annotated:
        return _expected(get_args(annotation)[0], get_args(annotation)[1].metadata)
    return ", ".join(filter(None, (_kind(annotation), bounds(metadata))))


def _kind(annotation: Any) -> str:
    parts = get_args(annotation)
    if get_origin(annotation) is Literal:
        return " or ".join(map(repr, parts))
    if get_origin(annotation) is tuple:
        count = "" if Ellipsis in parts else f"{len(parts)} "
        return f"{count}values, each {_expected(parts[0])}"
    if parts:  # a union with None
        return _expected(parts[0])
    return _ONE.get(annotation, annotation.__name__)
