"""What OME-Zarr says of images, wells and plates, checked before anything is made of it.

The models hold what is read of the specification (ngff.openmicroscopy.org, versions 0.1 to 0.5);
what else metadata say is left alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from gradcamo.errors import GradcamoError


def _as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _as_axis(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


def _or(nothing: Any) -> BeforeValidator:
    return BeforeValidator(lambda value: nothing if value is None else value)


Text = Annotated[str, BeforeValidator(_as_text)]
Step = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Said(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Axis(_Said):
    """An axis; versions before 0.4 give its name alone."""

    name: Annotated[str, Field(min_length=1)]
    type: str | None = None
    unit: str | None = None


class Transform(_Said):
    """A step from voxels to the world; scales alone are used."""

    type: str | None = None
    scale: list[Step] | None = None


class Level(_Said):
    """One resolution of an image."""

    path: Text
    coordinateTransformations: Annotated[list[Transform], _or([])] = []


class Multiscale(_Said):
    """An image at several resolutions, the full one first."""

    datasets: Annotated[list[Level], Field(min_length=1)]
    axes: list[Annotated[Axis, BeforeValidator(_as_axis)]] | None = None
    coordinateTransformations: Annotated[list[Transform], _or([])] = []


class Channel(_Said):
    """How a channel is called."""

    label: Text | None = None


class Omero(_Said):
    """How an image is shown."""

    channels: Annotated[list[Channel], _or([])] = []


class PlateWell(_Said):
    """Where a well lies: its row and its column."""

    path: Annotated[str, Field(pattern=r"^[^/.][^/]*/[^/.][^/]*$")]


class Plate(_Said):
    """A plate of wells."""

    name: Text | None = None
    wells: list[PlateWell] = []


class WellImage(_Said):
    """One field of a well."""

    path: Text
    acquisition: Text | None = None


class Well(_Said):
    """A well of fields."""

    images: list[WellImage] = []


class Metadata(_Said):
    """All that a group may say; what it does not say is None or empty."""

    multiscales: Annotated[list[Multiscale], _or([])] = []
    omero: Annotated[Omero, _or({})] = Omero()
    plate: Plate | None = None
    well: Well | None = None
    labels: Annotated[list[Text], _or([])] = []
    container: Annotated[Any, Field(alias="bioformats2raw.layout")] = None


def checked(attributes: Mapping[str, Any], path: Path) -> Metadata:
    """A group's attributes as `Metadata`.

    Raises
    ------
    GradcamoError
        If something is not what the specification says, with its place in the file's metadata.
    """
    try:
        return Metadata.model_validate(attributes)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "all of it"
        given = str(first["input"])[:60]
        raise GradcamoError(
            f"{path} is an OME-Zarr whose metadata say {place} = {given!r} "
            f"({first['msg'][0].lower()}{first['msg'][1:]}): correct them, or export the image "
            "again"
        ) from error
