"""Command-line flags from settings: name, default, bounds and help are read off the models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from gradcamo.errors import GradcamoError
from gradcamo.settings import Settings
from gradcamo.settings.refused import SettingsError

IMAGE = click.argument("image", type=click.Path(path_type=Path))
OUT: dict[str, Any] = {"type": click.Path(path_type=Path), "required": True}
NETWORK = click.option(
    "--checkpoint",
    "checkpoint_path",
    **OUT,
    help="the network (.safetensors); bundled: the small one that comes with this package",
)
KEYS: dict[str, Any] = {"type": click.Path(path_type=Path, exists=True, dir_okay=False)}
FOLDER: dict[str, Any] = {"type": click.Path(path_type=Path, file_okay=False)}
CYTOMINING = click.option(
    "--cytomining",
    is_flag=True,
    help="names of CytoTable, coSMicQC and pycytominer: Metadata_ObjectNumber, Cells_…, "
    "Metadata_cqc_gradcamo_is_outlier",
)


def settings_options(
    model: type[Settings], called: str = "settings"
) -> Callable[[Callable], Callable]:
    """Give a command one flag per setting and hand it the settings under a name."""

    def decorate(command: Callable) -> Callable:
        def run(**given: Any) -> Any:
            values = {name: given.pop(name) for name in _flat(model) if name in given}
            return command(**{called: build(model, values)}, **given)

        run.__name__, run.__doc__ = command.__name__, command.__doc__
        run.__click_params__ = getattr(command, "__click_params__", [])  # type: ignore[attr-defined]
        wrapped: Callable = run
        for name, info in reversed(list(_flat(model).items())):
            wrapped = _option(name, info)(wrapped)
        return wrapped

    return decorate


def build(model: type[Settings], values: dict[str, Any]) -> Settings:
    """The settings from flat values, those left out (None) at their default.

    Raises
    ------
    GradcamoError
        If a value is out of bounds.
    """
    try:
        return model(**_nested(model, values))
    except SettingsError as error:
        raise GradcamoError(error.said_of(_flag)) from error


def _flag(place: Sequence[str]) -> str:
    return f"--{'-'.join(place).replace('_', '-')}"


def _nested(model: Any, values: dict[str, Any]) -> dict[str, Any]:
    """Flat values as the model takes them: crop_size -> crop: size."""
    given = {}
    for name, info in model.model_fields.items():
        if _is_model(info.annotation):
            parts = _flat(info.annotation)
            inner = {part: values.get(f"{name}_{part}") for part in parts}
            given[name] = _nested(info.annotation, inner)
        elif values.get(name) not in (None, ()):
            given[name] = values[name]
    return given


def _flat(model: Any) -> dict[str, FieldInfo]:
    """Fields by name; those of a nested model follow its own name: crop, size -> crop_size."""
    flat: dict[str, FieldInfo] = {}
    for name, info in model.model_fields.items():
        if _is_model(info.annotation):
            flat |= {f"{name}_{part}": inner for part, inner in _flat(info.annotation).items()}
        else:
            flat[name] = info
    return flat


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _option(name: str, info: FieldInfo) -> Callable:
    default = info.get_default(call_default_factory=True)
    shown = "" if default in (None, ()) else f"  [default: {_shown(default)}]"
    flag = _flag([name])
    if info.annotation is bool:
        return click.option(f"{flag}/--no-{flag[2:]}", name, default=None, help=_help(info) + shown)
    return click.option(flag, name, default=None, help=_help(info) + shown, **_type(info))


def _help(info: FieldInfo) -> str:
    return info.description or ""


def _shown(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _type(info: FieldInfo) -> dict[str, Any]:
    kinds = [kind for kind in (get_args(info.annotation) or (info.annotation,)) if kind]
    if get_origin(info.annotation) is Literal:
        return {"type": click.Choice([str(k) for k in kinds])}
    annotation = next((k for k in kinds if k is not type(None)), str)
    if get_origin(info.annotation) is tuple:
        annotation = info.annotation
    if get_origin(annotation) is tuple:
        parts = get_args(annotation)
        if type(None) in get_args(parts[0]):
            return {"type": str, "metavar": "Z,Y,X"}
        if Ellipsis in parts:
            metavar = "NAME,NAME…" if parts[0] is str else "NUMBER,NUMBER…"
            return {"type": _Names(), "metavar": metavar}
        kind = get_args(parts[0])[0] if get_origin(parts[0]) is Annotated else parts[0]
        return {"type": kind, "nargs": len(parts)}
    return {"type": annotation}


class _Names(click.ParamType):
    name = "names"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        return tuple(part.strip() for part in value.split(",") if part.strip())
