"""The docstring of a settings model lists its fields as numpydoc does, read off the model."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import cleandoc
from typing import Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from gradcamo.settings.refused import bounds

_RAISES = """Raises
------
GradcamoError
    If a value is out of bounds or there is no such setting; it says which and what it should be."""


def with_fields(docstring: str | None, fields: Mapping[str, FieldInfo]) -> str:
    """The docstring with types, defaults, helps and bounds of all fields, before its examples."""
    said, heading, code = cleandoc(docstring or "").partition("Examples\n--------")
    parameters = "\n".join(map(_parameter, fields, fields.values()))
    listed = f"{said.rstrip()}\n\nParameters\n----------\n{parameters}\n\n{_RAISES}"
    return f"{listed}\n\n{heading}{code}" if heading else listed


def _parameter(name: str, info: FieldInfo) -> str:
    default = "optional" if info.default is None else f"default: {info.default!r}"
    about = info.description
    if isinstance(info.default, BaseModel):
        default = f"default: {type(info.default).__name__}()"
        about = about or (info.default.__doc__ or "").partition("\n")[0]
    said = "; ".join(filter(None, (about, bounds(info.metadata))))
    return f"{name} : {_kind(info)}, {default}\n    {said}".rstrip()


def _kind(info: FieldInfo) -> str:
    if get_origin(info.annotation) is Literal:
        return f"{{{', '.join(map(repr, get_args(info.annotation)))}}}"
    return info.annotation.__name__ if isinstance(info.annotation, type) else str(info.annotation)
