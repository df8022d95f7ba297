"""What no file says and its owner tells: axes, names of channels, voxel size."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradcamo.datatypes import Spacing
from gradcamo.errors import GradcamoError
from gradcamo.files.folder_summary import in_words
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


def names_of(text: str) -> list[str]:
    """Names with commas between them; a name that holds a comma stands in quotes."""
    return [part.strip() for part in next(csv.reader(io.StringIO(text), skipinitialspace=True), [])]


def names_text(names: Sequence[str] | Mapping[str, str] | str) -> str:
    """Names, or ``old=new`` pairs, as the text that stands in a table."""
    if isinstance(names, str):
        return names
    if isinstance(names, Mapping):
        names = [f"{old}={new}" for old, new in names.items()]
    line = io.StringIO()
    csv.writer(line).writerow(names)
    return line.getvalue().strip()


def named(
    declared: Sequence[str], given: Sequence[str] | Mapping[str, str] | str, path: Any
) -> list[str]:
    """The names of channels after what was told: all in order, or ``old=new`` for some.

    Raises
    ------
    GradcamoError
        If there are more or fewer names than channels, or no channel has the old name.
    """
    if isinstance(given, str):
        given = names_of(given)
    if not isinstance(given, Mapping):
        given = [str(name) for name in given]
        pairs = [name.partition("=") for name in given]
        if given and all(sign for _, sign, _ in pairs):
            given = {old.strip(): new.strip() for old, _, new in pairs}
    if isinstance(given, Mapping):
        if unknown := [o for o, new in given.items() if o not in declared and new not in declared]:
            raise GradcamoError(
                f"{path} has the channels {', '.join(declared)}, and no {', '.join(unknown)}: name "
                "them as old=new, or give all names in order"
            )
        return [given.get(name, name) for name in declared]
    if len(given) != len(declared):
        raise GradcamoError(
            f"{path} has {len(declared)} channels, {len(given)} names were given ({given}): give "
            "one per channel"
        )
    return list(given)


def spacing_of(value: Sequence[float | None] | str) -> Spacing:
    """A voxel size (z, y, x) in µm; ``?`` stands for a length that is not known.

    Raises
    ------
    GradcamoError
        If it is not three lengths.
    """
    parts: Sequence[Any] = value
    if isinstance(value, str):
        parts = re.split(r"[,;\s×x]+", value.strip().strip("()"))
    try:
        z, y, x = (None if part in (None, "?", "None") else float(part) for part in parts)
    except (TypeError, ValueError) as error:
        raise GradcamoError(
            f"a voxel size is three lengths z,y,x in µm, such as 0.6,0.35,0.35 (? for one that is "
            f"not known), got {value!r}"
        ) from error
    return z, y, x


def spacing_text(spacing: Sequence[float | None] | str | None) -> str:
    """A voxel size as the text that stands in a table, empty where nothing of it is known."""
    if spacing is None:
        return ""
    lengths = spacing_of(spacing)
    if lengths == (None, None, None):
        return ""
    return ",".join("?" if length is None else f"{length:.6g}" for length in lengths)


def with_told(
    table: pd.DataFrame,
    axes: str | None = None,
    channels: Sequence[str] | Mapping[str, str] | str | None = None,
    spacing_um: Sequence[float | None] | str | None = None,
) -> pd.DataFrame:
    """A plate's table whose stacks are all read with these."""
    names = names_text(channels) if channels else ""
    if channels and "channel_names" in table:
        renamed = {
            known: names_text(named(names_of(known), channels, "the plate")) if known else names
            for known in table["channel_names"].unique()
        }
        table = table.assign(channel_names=table["channel_names"].map(renamed))
        names = ""
    given = {"axes": axes or "", "channel_names": names, "spacing_um": spacing_text(spacing_um)}
    return _assigned(table, given)


def _assigned(table: pd.DataFrame, given: Mapping[str, str]) -> pd.DataFrame:
    """With what is given in columns, and what is known of the folder in words again."""
    about = dict(table.attrs)
    table = table.assign(**{name: text for name, text in given.items() if text})
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
