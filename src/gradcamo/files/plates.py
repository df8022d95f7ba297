"""Plates as tables: one row per stack, from a CSV, a folder of files or an OME-Zarr plate."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from pathlib import Path

import pandas as pd

from gradcamo.errors import GradcamoError
from gradcamo.files.gaps import is_there
from gradcamo.files.links import as_named
from gradcamo.files.omezarr import is_zarr
from gradcamo.files.plate_checks import PATHS, REQUIRED, checked
from gradcamo.files.plate_layouts import LayoutColumns
from gradcamo.files.plate_sources import folder_steps, note_first, plate_from_zarr
from gradcamo.files.text_tables import read_text_table
from gradcamo.files.told import as_told, with_told
from gradcamo.progress import result_of
from gradcamo.settings import FolderSettings


def read_plate(
    path: str | Path,
    pattern: str | None = None,
    labels: str | None = None,
    layout: str | Path | None = None,
    axes: str | None = None,
    channels: Sequence[str] | Mapping[str, str] | None = None,
    spacing_um: Sequence[float | None] | str | None = None,
    well_column: str | None = None,
    treatment_column: str | None = None,
) -> pd.DataFrame:
    """Read and check the table of a plate: one row per stack.

    Parameters
    ----------
    path : path
        A CSV, or a Parquet file, with the columns image, plate, well, site, treatment, optionally
        labels, cells (a table of label, treatment for single cells), axes, channel_names,
        spacing_um and any others;
        paths in it are relative to it (of a link: to the link, where nothing lies there to the
        table that it leads to) and may have gaps, as in `read_stack`.
        Or a folder of files, whose layout is recognised, or an OME-Zarr plate.
    pattern : str, optional
        How the files of a folder are named, such as ``"{well}_s{site}_z{z}_{channel}.tif"``. By
        default the layout is recognised; ``attrs["recognised"]`` says how.
    labels : str, optional
        How label images in the folder are named, from the same fields, or which labels of an
        OME-Zarr plate to use.
    layout : path, optional
        CSV of well, treatment and any further columns for a folder or an OME-Zarr plate. Wells
        match however they are padded.
    axes : str, optional
        Order of the axes of every file, such as ``"ZYX"``, where files do not declare it.
    channels : sequence of str or mapping, optional
        Names of the channels in order, or new names by old ones.
    spacing_um : tuple of float, optional
        Voxel size (z, y, x) in µm, for all stacks.
    well_column, treatment_column : str, optional
        Columns of the layout. Default: by their usual names (well, well_position, Metadata_Well;
        treatment, compound and the like).

    Returns
    -------
    DataFrame
        One row per stack, every value as the text that stands in the file (``"02"``, ``"0.06"``),
        missing ones as empty text, paths absolute, as they were
        named: links are kept.

    Raises
    ------
    GradcamoError
        If columns, values or files are missing, a stack or an image is there twice, a name is
        spelled in two ways, or a stack of many files is not complete: well, site, plane and file
        are named.

    Examples
    --------
    >>> import gradcamo as gc
    >>> plate = gc.read_plate("plate/plate.csv")
    >>> plate[["well", "site", "treatment"]]
      well site treatment
    0  D02    1   control
    1  E02    1    40.00x
    2  D03    1   control
    3  E03    1    40.00x
    >>> gc.read_stack(plate.iloc[1]).shape
    (6, 9, 160, 160)
    """
    columns = LayoutColumns(well_column, treatment_column)
    table = result_of(_steps(Path(path), pattern, labels, layout, axes, columns))
    return with_told(table, axes, channels, spacing_um)


def _steps(
    path: Path,
    pattern: str | None,
    labels: str | None,
    layout: str | Path | None,
    axes: str | None,
    columns: LayoutColumns,
) -> Generator[str, None, pd.DataFrame]:
    if not path.is_dir():
        if given := [k for k, v in (("pattern", pattern), ("layout", layout)) if v is not None]:
            raise GradcamoError(
                f"{path} is a table, which names its images and treatments itself: {given[0]}=… is "
                "for a folder of files"
            )
        return _from_table(path)
    if is_zarr(path):
        return plate_from_zarr(path, labels, layout, columns)
    return (yield from folder_steps(path, pattern, labels, layout, axes, columns))


def _from_table(path: Path) -> pd.DataFrame:
    table = read_text_table(path, REQUIRED)
    names = [name for name in PATHS if name in table]
    folder = _folder_of(path, [value for name in names for value in table[name] if value])
    for name in names:
        table[name] = [str(as_named(folder / value)) if value else "" for value in table[name]]
    return checked(table, path).reset_index(drop=True)


def _folder_of(path: Path, values: Sequence[str]) -> Path:
    """The folder that a table's paths count from: its own; of a link the table's that it leads to,
    where something lies there and nothing beside the link."""
    values = [value for value in values if not Path(value).is_absolute()]
    folders = [path.parent, path.resolve().parent] if path.is_symlink() else [path.parent]
    found = (at for at in folders if any(is_there(at / value) for value in values))
    return next(found, path.parent)


def plate_as_told(path: str | Path, settings: FolderSettings) -> pd.DataFrame:
    """`read_plate`, as settings tell: where stacks lie, and what files do not say.

    Raises
    ------
    GradcamoError
        As `read_plate`.
    """
    table = read_plate(
        path,
        settings.pattern,
        settings.labels,
        settings.layout,
        settings.axes,
        well_column=settings.well_column,
        treatment_column=settings.treatment_column,
    )
    return as_told(table, settings)


def untold_plate(path: str | Path, settings: FolderSettings) -> Generator[str, None, pd.DataFrame]:
    """A plate found as settings tell, but for names and voxel size: as its files have them.

    Yields how far it is in words. In ``attrs["found"]`` of the table that it returns stand the
    channels, planes and voxel size of the first stack that can be read, of a CSV too.

    Raises
    ------
    GradcamoError
        As `read_plate`.
    """
    columns = LayoutColumns(settings.well_column, settings.treatment_column)
    where = settings.pattern, settings.labels, settings.layout, settings.axes
    table = yield from _steps(Path(path), *where, columns)
    table = with_told(table, settings.axes)
    if "found" not in table.attrs:
        note_first(table, "table")
    return table
