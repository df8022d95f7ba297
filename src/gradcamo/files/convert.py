"""Stacks and whole plates, as they were read, in one format that says all about itself."""

from __future__ import annotations

import re
import warnings
from collections.abc import Generator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from gradcamo.datatypes import unknown_axes
from gradcamo.errors import GradcamoWarning
from gradcamo.files.labels import read_labels, write_labels
from gradcamo.files.landing import landing
from gradcamo.files.misfits import refuse_misfit
from gradcamo.files.stacks import read_stack, write_stack
from gradcamo.files.told import TOLD, told
from gradcamo.files.zarr_writer import (
    landing_folder,
    well_path,
    write_image,
    write_plate_metadata,
)
from gradcamo.words import counted

Format = Literal["ome-zarr", "ome-tiff"]


def convert_plate(
    table: pd.DataFrame, out: str | Path, form: Format = "ome-zarr"
) -> Generator[int, None, Path]:
    """Write every stack of a plate with its labels, and a table that reads them.

    Parameters
    ----------
    table : DataFrame
        As `read_plate` gives it.
    out : folder
        ``plate.csv``, and an OME-Zarr 0.5 plate for each plate, or ``images`` and ``labels`` as
        OME-TIFF.
    form : ``"ome-zarr"`` or ``"ome-tiff"``

    Yields
    ------
    int
        How many stacks are written; the return value is the path of ``plate.csv``.

    Raises
    ------
    GradcamoError
        If ``out`` is there already, or a stack cannot be read or written.

    Warns
    -----
    GradcamoWarning
        If a stack's voxel size is not known along all axes.
    """
    out = Path(out)
    table = table.reset_index(drop=True)
    with landing_folder(out) as scratch:
        places = _tiff_places(table) if form == "ome-tiff" else _zarr_places(table)
        images, labels, unsized = [], [], []
        for number, (image, cells) in enumerate(places):
            row = table.iloc[number]
            stack = read_stack(row)
            if axes := unknown_axes(stack.spacing_um):
                unsized.append((stack.source, axes))
            found = read_labels(row, like=stack) if told(row, "labels") else None
            if form == "ome-tiff":
                write_stack(scratch / image, stack)
                if found is not None:
                    write_labels(scratch / cells, found, stack.spacing_um)
            else:
                (scratch / image).mkdir(parents=True)
                write_image(scratch / image, stack, found)
            images.append(image)
            labels.append("" if found is None else cells)
            yield number + 1
        if form == "ome-zarr":
            _describe_plates(table, images, scratch)
        kept = table.drop(columns=[name for name in TOLD if name in table])
        kept = kept.assign(image=images, **({"labels": labels} if any(labels) else {}))
        with landing(scratch / "plate.csv") as file:
            kept.to_csv(file, index=False)
    _warn_of_size(unsized)
    return out / "plate.csv"


def _warn_of_size(unsized: Sequence[tuple[str, str]]) -> None:
    """Say which stacks have no voxel size: whoever opens the new files lacks it, too."""
    if unsized:
        (source, axes), more = unsized[0], len(unsized) - 1
        others = f" and {counted(more, 'stack')} more" if more else ""
        warnings.warn(
            f"the voxel size of {source}{others} is unknown along {axes}, so none is written "
            "there: say it with spacing_um=… (--spacing 0.6,0.35,0.35)",
            GradcamoWarning,
            stacklevel=3,
        )


def _tiff_places(table: pd.DataFrame) -> list[tuple[str, str]]:
    names = [_plain(f"{row['plate']}_{row['well']}_s{row['site']}") for _, row in table.iterrows()]
    return [(f"images/{name}.ome.tif", f"labels/{name}.ome.tif") for name in _apart(names)]


def _zarr_places(table: pd.DataFrame) -> list[tuple[str, str]]:
    stores = _stores(table)
    wells: dict[tuple[str, str], str] = {}
    counts: dict[tuple[str, str], int] = {}
    places = []
    for _, row in table.iterrows():
        key = (str(row["plate"]), str(row["well"]))
        taken = [path for (plate, _), path in wells.items() if plate == key[0]]
        path = wells.setdefault(key, well_path(key[1], taken))
        field = counts[key] = counts.get(key, -1) + 1
        image = f"{stores[key[0]]}/{path}/{field}"
        places.append((image, f"{image}/labels/cells"))
    return places


def _stores(table: pd.DataFrame) -> dict[str, str]:
    plates = list(dict.fromkeys(table["plate"].astype(str)))
    return dict(zip(plates, (f"{n}.ome.zarr" for n in _apart(map(_plain, plates))), strict=True))


def _describe_plates(table: pd.DataFrame, images: Sequence[str], scratch: Path) -> None:
    for plate, store in _stores(table).items():
        fields: dict[str, list[str]] = {}
        for image, name in zip(images, table["plate"].astype(str), strict=True):
            if name == plate:
                row, column, field = image.split("/")[1:4]
                fields.setdefault(f"{row}/{column}", []).append(field)
        write_plate_metadata(scratch / store, plate, fields)


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name)


def _apart(names: Iterable[str]) -> list[str]:
    """Each name once."""
    seen: list[str] = []
    for name in names:
        unique, twin = name, 2
        while unique in seen:
            unique, twin = f"{name}-{twin}", twin + 1
        seen.append(unique)
    return seen


def convert_stack(out: str | Path, stack_row: Mapping[str, Any]) -> None:
    """Write one stack, and its labels where there are some, in the format of its ending.

    Parameters
    ----------
    out : path ending in .ome.zarr or .ome.tif
        OME-Zarr takes the labels in; of OME-TIFF they lie beside it, as ``…_labels.ome.tif``.
    stack_row : as `read_stack` and `read_labels` take it

    Raises
    ------
    GradcamoError
        If it cannot be read or written.

    Warns
    -----
    GradcamoWarning
        If its voxel size is not known along all axes.
    """
    stack = read_stack(stack_row)
    axes = unknown_axes(stack.spacing_um)
    labels = read_labels(stack_row, like=stack) if told(stack_row, "labels") else None
    if labels is not None:
        refuse_misfit(labels.shape, stack, told(stack_row, "labels"))
    write_stack(out, stack, labels)
    if labels is not None and Path(out).suffix.lower() != ".zarr":
        name = re.sub(r"(\.ome)?\.tiff?$", "_labels.ome.tif", Path(out).name, flags=re.IGNORECASE)
        write_labels(Path(out).with_name(name), np.asarray(labels), stack.spacing_um)
    _warn_of_size([(stack.source, axes)] if axes else [])
