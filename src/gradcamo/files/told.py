"""What no file says and its owner tells: axes, names of channels, voxel size."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradcamo.files.channel_names import named, names_text, renamed
from gradcamo.files.folder_summary import in_words
from gradcamo.files.voxel_size import filled, told_spacing
from gradcamo.settings import LabelReadSettings, ReadSettings

if TYPE_CHECKING:
    import pandas as pd

TOLD = (
    *("axes", "channel_names", "spacing_um"),
    *("labels_axes", "labels_stitch", "labels_coarser", "connected"),
)
"""Columns of a plate's table that `read_stack` and `read_labels` take up."""


def told(row: Any, name: str) -> str:
    """The value of a column of a row, empty where there is none."""
    value = row.get(name, "")
    return value.strip() if isinstance(value, str) else ""


def said_of(row: Any) -> dict[str, str]:
    """What was told of a row, by its columns."""
    return {name: said for name in TOLD if (said := told(row, name))}


def with_told(
    table: pd.DataFrame,
    axes: str | None = None,
    channels: Sequence[str] | Mapping[str, str] | str | None = None,
    spacing_um: Sequence[float | None] | str | None = None,
) -> pd.DataFrame:
    """A plate's table whose stacks are all read with these."""
    given: dict[str, str | list[str]] = {"axes": axes or ""}
    if channels:
        if "channel_names" not in table and (found := table.attrs.get("found", {}).get("channels")):
            named(found, channels, "the plate")  # else every stack would say so in its turn
        given["channel_names"] = _over(
            table, "channel_names", names_text(channels), lambda known: renamed(known, channels)
        )
    if said := told_spacing(spacing_um):
        given["spacing_um"] = _over(table, "spacing_um", said, lambda known: filled(said, known))
    return _assigned(table, given)


def _over(
    table: pd.DataFrame, name: str, said: str, merged: Callable[[str], str]
) -> str | list[str]:
    """What is told for a column, together with what stands in it already."""
    if name not in table:
        return said
    known = (told(row, name) for row in table[[name]].to_dict("records"))
    return [merged(text) if text else said for text in known]


def _assigned(table: pd.DataFrame, given: Mapping[str, str | list[str]]) -> pd.DataFrame:
    """With what is given in columns, and what is known of the folder in words again."""
    about = dict(table.attrs)
    table = table.assign(**{name: said for name, said in given.items() if len(said)})
    table.attrs = about
    if said := in_words(table):
        table.attrs["recognised"] = said
    return table


def says_yes(row: Any, name: str) -> bool:
    """Whether a column of a row says yes."""
    return told(row, name).lower() in ("yes", "true", "1")


def row_of(
    image: str | Path, settings: ReadSettings, labels: str | Path | None = None
) -> dict[str, str]:
    """One stack as a row that `read_stack` and `read_labels` take, with what settings tell."""
    import pandas as pd  # half a second, which a window that opens empty need not wait

    row = {"image": str(image), "labels": str(labels or "")}
    if not isinstance(settings, LabelReadSettings):
        settings = LabelReadSettings(**settings.model_dump())
    one = as_told(pd.DataFrame([row]), settings).iloc[0]
    return {str(name): str(value) for name, value in one.items()}


def as_told(table: pd.DataFrame, settings: LabelReadSettings) -> pd.DataFrame:
    """A plate's table whose stacks and labels are all read as the settings tell."""
    default = type(settings).model_fields["labels_stitch"].default
    table = with_told(table, settings.axes, settings.channel_names or None, settings.spacing)
    labels = {
        "labels_axes": settings.labels_axes or "",
        "labels_stitch": "" if settings.labels_stitch == default else f"{settings.labels_stitch:g}",
        "labels_coarser": "yes" if settings.labels_coarser else "",
        "connected": "yes" if settings.connected else "",
    }
    return _assigned(table, labels)
