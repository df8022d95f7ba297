"""What every settings model is, and what its numbers have to be."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from gradcamo.errors import GradcamoError
from gradcamo.settings.docstrings import with_fields
from gradcamo.settings.refused import settings_error

Alignment = Literal["paper", "receptive-field"]
Gradients = Literal["averaged", "local"]
Rescale = Literal["min-max", "percentile"]
Outputs = Literal["classes", "independent"]


LARGEST_SIZE = 65_536
"""Voxels along a side of what is cut or resized to."""


def positive(values: tuple[int, ...]) -> tuple[int, ...]:
    if min(values) < 1 or max(values) > LARGEST_SIZE:
        raise ValueError(f"each size should be from 1 to {LARGEST_SIZE:,}")
    return values


def ordered(values: tuple[float, float]) -> tuple[float, float]:
    low, high = values
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise ValueError("the first should be the smaller of two finite numbers")
    return values


def powers(values: tuple[float, float]) -> tuple[float, float]:
    if not values[0] > 0:
        raise ValueError("powers should be greater than 0")
    return ordered(values)


def lengths(value: Any) -> Any:
    """Three lengths from ``0.6,0.35,0.35``; ``?`` stands for one that is not known."""
    if not isinstance(value, str):
        return value
    parts = value.replace(",", " ").split()
    if len(parts) != 3:
        raise ValueError("a voxel size is three lengths z,y,x in µm, such as 0.6,0.35,0.35")
    return tuple(None if part == "?" else part for part in parts)


# what several settings mean alike; a field may say more of itself
Device = Annotated[str, Field(description="auto, cpu, cuda, cuda:1 or mps")]
BatchSize = Annotated[
    int | None,
    Field(
        ge=1,
        le=4096,
        description="crops that pass the network at a time (default: 8, on a GPU 32; halved until "
        "they fit)",
    ),
]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
Draws = Annotated[
    int,
    Field(
        ge=1,
        le=1000,
        description="draws of donors from each of the two pools; 8 for weak phenotypes, 1 as a "
        "preview without errors",
    ),
]
Reference = Annotated[
    str | None,
    Field(
        description="treatment that the control is told from (default: the one that the network "
        "tells from it best)"
    ),
]
DeepestLayer = Annotated[
    str | None,
    Field(description="layer to explain (default: the deepest with 6 voxels along y and x)"),
]
InputSize = Annotated[tuple[int, int, int], AfterValidator(positive)]


class Settings(BaseModel):
    """A stage's settings: validated, frozen, nothing unknown."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    if not TYPE_CHECKING:  # type checkers read the fields

        def __init__(self, /, **values: Any) -> None:
            try:
                super().__init__(**values)
            except ValidationError as error:
                raise settings_error(type(self), error) from error

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        """Let ``help`` and the reference list the fields."""
        cls.__doc__ = with_fields(cls.__doc__, cls.model_fields)

    @classmethod
    def recorded(cls, recipe: Mapping[str, Any]) -> Self:
        """What a recipe says, perhaps another version's: settings unknown today are left out.

        Parameters
        ----------
        recipe : mapping
            The recipe of a checkpoint or a table; these settings are its ``settings``.

        Raises
        ------
        GradcamoError
            If another version took a value that this one does not.
        """
        kept = recipe.get("settings", {})
        try:
            return cls(**{name: kept[name] for name in cls.model_fields if name in kept})
        except GradcamoError as error:
            raise GradcamoError(f"a recipe cannot be followed: {error}") from error
