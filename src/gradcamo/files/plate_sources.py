"""Plates that are no CSV: a folder of files, an OME-Zarr plate."""

from __future__ import annotations

import warnings
from collections.abc import Generator, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd

from gradcamo.datatypes import ZStack
from gradcamo.errors import GradcamoError, GradcamoWarning
from gradcamo.files.channel_names import names_text
from gradcamo.files.folder_summary import in_words
from gradcamo.files.layouts.recognise import recognise
from gradcamo.files.layouts.rules import StackFiles, check_stacks, row_letters
from gradcamo.files.links import as_named
from gradcamo.files.patterns import checked_pattern, has_tokens
from gradcamo.files.plate_checks import STACK
from gradcamo.files.plate_layouts import LayoutColumns, laid_out
from gradcamo.files.stacks import read_stack
from gradcamo.files.told import with_told
from gradcamo.files.voxel_size import told_spacing
from gradcamo.progress import result_of


def plate_from_folder(
    folder: str | Path,
    pattern: str | None = None,
    labels: str | None = None,
    layout: str | Path | None = None,
    axes: str | None = None,
    columns: LayoutColumns | None = None,
) -> pd.DataFrame:
    """The plate of all stacks in a folder.

    Parameters
    ----------
    folder : path
    pattern : str, optional
        How files are named inside the folder. ``{plate} {well} {row} {col} {site} {channel} {z}
        {t}`` are read off it, any other ``{name}`` becomes a column; ``*`` stands for anything.
        Without ``{plate}`` the folder's name is the plate, without ``{site}`` every well has the
        site 1. By default the layouts of ImageXpress, Operetta and CellVoyager are recognised, and
        files named by well, site, channel and plane.
    labels : str, optional
        How label images are named, from the fields of the stack, with ``{z}`` where every plane
        has its own: ``"masks/{well}_s{site}_z{z}.npy"``.
    layout : path, optional
        CSV of well, treatment (and plate or site, where these differ, and any further columns).
        Without it treatments are empty.
    axes : str, optional
        Of each file, as in `read_stack`.
    columns : LayoutColumns, optional
        Which columns of the layout hold wells and treatments.

    Returns
    -------
    DataFrame
        As `read_plate`, ordered by plate, well and site. ``attrs["recognised"]`` says in words
        what was found.

    Raises
    ------
    GradcamoError
        If no file fits, a plane, a channel or a well's treatment is missing, or a stack is there
        twice.
    """
    return result_of(folder_steps(folder, pattern, labels, layout, axes, columns))


def folder_steps(
    folder: str | Path,
    pattern: str | None = None,
    labels: str | None = None,
    layout: str | Path | None = None,
    axes: str | None = None,
    columns: LayoutColumns | None = None,
) -> Generator[str, None, pd.DataFrame]:
    """`plate_from_folder` step by step: yields how far it is in words, returns the table."""
    root = Path(folder)
    if not root.is_dir():
        raise GradcamoError(f"there is no folder {folder}: check the path")
    root = as_named(root)
    found = yield from recognise(root, pattern)
    yield f"{found.name}: {len(found.stacks):,} stacks, is each of them complete"
    for stack in found.stacks:
        _complete(stack, root)
    notes = check_stacks(found.stacks)
    for note in notes:
        warnings.warn(note, GradcamoWarning, stacklevel=2)
    rows = [{"image": stack.name, **_columns(stack)} for stack in found.stacks]
    table = pd.DataFrame(rows).astype(str)
    if labels is not None:
        table["labels"] = _label_names(root, labels, found.stacks)
    table, beside = laid_out(table, layout, root, columns)
    first, why = _first_readable(table["image"], axes)
    of = {stack.name: stack for stack in found.stacks}
    said = pd.DataFrame([_said(of[name], found.prefix, first) for name in table["image"]])
    table = with_told(table.join(said.loc[:, said.any()]), axes)
    left_out = dict(found.left_out)
    if labels is not None:
        left_out.pop("label images", None)
    _note(table, found.name, first, why, left_out, [*notes, *beside])
    return table


def note_first(table: pd.DataFrame, layout: str, notes: Sequence[str] = ()) -> None:
    """Note channels, planes and voxel size of the first stack in a plate's attributes."""
    rows = (row for _, row in table.iterrows())
    _note(table, layout, *_first_readable(rows), {}, notes)


def _complete(stack: StackFiles, root: Path) -> None:
    """Plate, well and site, whatever the names say."""
    values = stack.values
    if "well" not in values:
        values["well"] = f"{row_letters(values['row'])}{int(values['col']):02d}"
    values.setdefault("plate", root.name)
    values.setdefault("site", "1")


def _columns(stack: StackFiles) -> dict[str, str]:
    return {name: text for name, text in stack.values.items() if name not in ("folder", "guid")}


def _label_names(root: Path, labels: str, stacks: list[StackFiles]) -> list[str]:
    pattern = checked_pattern(labels)
    known = {*stacks[0].values, "z"}
    if unknown := [name for name in pattern.names if name not in known]:
        raise GradcamoError(
            f"the label pattern {labels!r} holds {', '.join(unknown)}, which the stack does not "
            f"name: it names {', '.join(sorted(known - {'folder'}))}"
        )
    names = [pattern.fill(stack.values) for stack in stacks]
    return [str(as_named(root / name)) for name in names]


def _first_readable(
    stacks: Iterable[str | Mapping[str, Any] | pd.Series], axes: str | None = None
) -> tuple[ZStack | None, str]:
    """A stack that tells what all have in common, or why the first cannot be read.

    Others that cannot are named when their turn comes.
    """
    why = ""
    for stack in islice(stacks, 3):
        try:
            return read_stack(stack, axes), ""
        except GradcamoError as error:
            why = why or str(error)
    return None, why


def _said(stack: StackFiles, prefix: str, first: ZStack | None) -> dict[str, str]:
    """Names of channels and voxel size that an index tells; else a stack's own files do.

    Channels that are mere numbers in all files are called as the microscope calls them.
    """
    if first is None or not has_tokens(stack.name):
        return {"channel_names": "", "spacing_um": ""}
    names = stack.channel_names
    if not names and prefix and stack.grid and stack.grid.channels == first.channels:
        names = tuple(f"{prefix}{name}" for name in first.channels)
    return {"channel_names": names_text(names), "spacing_um": told_spacing(stack.spacing_um)}


def _note(
    table: pd.DataFrame,
    layout: str,
    first: ZStack | None,
    why: str,
    left_out: dict[str, int],
    notes: Sequence[str] = (),
) -> None:
    table.attrs["found"] = {
        "layout": layout,
        "channels": list(first.channels) if first else [],
        "planes": first.shape[1] if first else 0,
        "spacing_um": told_spacing(first.spacing_um) if first else "",
        "unread": why,
        "left_out": left_out,
        "notes": list(notes),
    }
    table.attrs["recognised"] = in_words(table)


def plate_from_zarr(
    path: str | Path,
    labels: str | None = None,
    layout: str | Path | None = None,
    columns: LayoutColumns | None = None,
) -> pd.DataFrame:
    """The fields of an OME-Zarr plate (HCS metadata, versions 0.4 and 0.5).

    Parameters
    ----------
    path : path
    labels : str, optional
        Which of the fields' label images to use. Default: the only one, where there is one.
    layout, columns : optional
        As `plate_from_folder`.

    Returns
    -------
    DataFrame
        As `read_plate`; wells are named like D02 and sites by the fields' names.

    Raises
    ------
    GradcamoError
        If it is no plate, fields are missing or have several label images to choose from.
    """
    from gradcamo.files.omezarr import ome_metadata

    path = as_named(path)
    plate = ome_metadata(path).plate if path.is_dir() else None
    if plate is None:
        raise GradcamoError(
            f"{path} is no OME-Zarr plate: read a single image with read_stack, or write a CSV "
            "with one row per stack"
        )
    found = []
    for well in plate.wells:
        row, column = well.path.split("/")
        said = ome_metadata(path / well.path).well
        for field in said.images if said else ():
            image = path / well.path / field.path
            found.append(
                {
                    "image": str(image),
                    "labels": _field_labels(image, labels),
                    "plate": plate.name or path.name.split(".")[0],
                    "well": f"{row}{column.zfill(2)}",
                    "site": field.path,
                    "acquisition": "" if field.acquisition is None else field.acquisition,
                }
            )
    table = pd.DataFrame(found, columns=["image", "labels", *STACK, "acquisition"])
    if table["acquisition"].nunique() < 2:
        table = table.drop(columns="acquisition")
    table, beside = laid_out(table, layout, path, columns)
    note_first(table, "OME-Zarr plate", beside)
    return table


def _field_labels(image: Path, wanted: str | None) -> str:
    from gradcamo.files.omezarr import is_zarr, ome_metadata

    if not is_zarr(image / "labels"):
        return ""
    names = ome_metadata(image / "labels").labels
    if wanted is not None:
        names = [name for name in names if name == wanted]
    if len(names) > 1:
        raise GradcamoError(
            f"{image} has the label images {', '.join(names)}: choose one with labels={names[0]!r}"
        )
    return str(image / "labels" / names[0]) if names else ""
