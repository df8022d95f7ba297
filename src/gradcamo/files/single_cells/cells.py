"""Single cells that another tool measured, joined to the label images of their objects."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gradcamo.errors import GradcamoError
from gradcamo.files.single_cells.column_roles import (
    PLACES,
    Recognised,
    holds_single_cells,
    is_ours,
    recognise,
)
from gradcamo.files.single_cells.endings import SUFFIXES, suffix_of
from gradcamo.files.single_cells.found_images import images_of
from gradcamo.files.single_cells.image_numbers import with_image_table
from gradcamo.files.single_cells.table_files import File, open_file
from gradcamo.files.text_tables import rows as rows_in_words
from gradcamo.words import counted


@dataclass(frozen=True, eq=False)
class SingleCells:
    """A table of single cells on disk, one row per object.

    Attributes
    ----------
    path : Path
    images : DataFrame
        One row per image: ``image`` (its name, empty where none was found), ``files`` (what
        `read_stack` takes: a path, or one by channel), ``labels``, ``plate``, ``well``, ``site``
        and ``cells``, how many rows it has.
    recognised : str
        What was recognised, in words.
    columns : Recognised
        Which columns tell what.
    image_of, number_of : arrays, (rows,)
        For each row of the table its row in ``images``, and the number of its object (0: none).
    how : mapping
        The arguments that it was read with.

    Examples
    --------
    >>> import gradcamo as gc
    >>> measured = gc.read_table("cells.h5ad")[["image", "label", "volume_um3"]]
    >>> measured.to_csv("measured.csv", index=False)
    >>> cells = gc.read_single_cells("measured.csv")
    >>> cells.images[["well", "cells"]].to_dict("records")
    [{'well': '', 'cells': 18}]
    >>> cells.cells_of(0)["volume_um3"].tolist() == measured["volume_um3"].tolist()
    True
    """

    path: Path
    images: pd.DataFrame
    recognised: str
    columns: Recognised
    image_of: np.ndarray
    number_of: np.ndarray
    how: Mapping[str, Any]
    _file: File = field(repr=False)
    _stamp: tuple[int, int] = field(repr=False)

    def __repr__(self) -> str:
        """In words; the rows are on disk."""
        return f"<SingleCells {self.path.name}: {self.recognised}>"

    @property
    def names(self) -> list[str]:
        """The table's columns, in its order."""
        return list(self._file.names)

    def text(self, names: Sequence[str]) -> pd.DataFrame:
        """Columns of the table, every value as text, missing ones empty."""
        return self._file.text(names)

    def rows_of(self, image: int) -> np.ndarray:
        """The numbers of the table's rows of an image, ascending."""
        return np.flatnonzero(self.image_of == image)

    def cells_of(self, image: int) -> pd.DataFrame:
        """The table's own columns for the cells of an image, indexed by object number.

        Rows without an object number are left out, and so are values that are no numbers, text,
        booleans or dates.

        Raises
        ------
        GradcamoError
            If the file can no longer be read.
        """
        rows = self.rows_of(image)
        rows = rows[self.number_of[rows] > 0]
        index = pd.Index(self.number_of[rows], name="label")
        return self._file.rows(rows).set_axis(index)

    def row(self, image: int) -> dict[str, Any]:
        """An image as `read_stack` and `read_labels` take it.

        Raises
        ------
        GradcamoError
            If its files were not found.
        """
        row = self.images.iloc[image]
        if not row["image"]:
            raise GradcamoError(
                f"the files of {row['name']} were not found, neither where {self.path.name} says "
                f"nor beside it: say where they lie with images=… (--images FOLDER)"
            )
        at = {name: str(row[name]) for name in (*PLACES, "labels")}
        return {**(self.how["told"] or {}), **at, "image": row["files"]}

    def refuse_changed(self) -> None:
        """Raise where the file is another than when it was read."""
        if _stamp_of(self.path) != self._stamp:
            raise GradcamoError(f"{self.path} was changed since it was opened: open it again")


def is_single_cells(path: str | Path) -> bool:
    """Whether a file is a table with a column for the number of an object."""
    path = Path(path)
    if suffix_of(path) not in SUFFIXES or not path.is_file():
        return False
    try:
        return holds_single_cells(open_file(path).names)
    except GradcamoError:
        return False


def read_single_cells(
    path: str | Path,
    labels: str | Path | None = None,
    images: str | Path | None = None,
    object_number: str | None = None,
    told: Mapping[str, str] | None = None,
) -> SingleCells:
    """Open a table of single cells that CytoTable, CellProfiler, coSMicQC or we made.

    Parameters
    ----------
    path : path
        ``.parquet``, ``.csv``, ``.csv.gz`` or ``.tsv``, one row per object. Images are told by
        ``Image_FileName_…`` (and ``Image_PathName_…``, one file per channel), else by ``image``; of
        a table that has image numbers alone, by the ``Image.csv`` beside it.
    labels : path, optional
        Label images of the objects: a folder in which they are called as their images, a pattern
        such as ``"masks/{Metadata_Well}_s{Metadata_Site}.tif"``, relative to the table, or one
        file. Default: the columns ``Image_ObjectsFileName_…`` or ``labels``, else label images that
        lie beside the images and are called as they are.
    images : path, optional
        Folder in, or anywhere below, which the images lie, where they were moved.
    object_number : str, optional
        Column of the number that each object has in its label image. Default: its usual names,
        such as ``Metadata_ObjectNumber``.
    told : mapping of str, optional
        What no file says, as columns of a plate do: ``{"axes": "ZYX", "spacing_um": "1,0.1,0.1"}``.

    Returns
    -------
    SingleCells

    Raises
    ------
    GradcamoError
        If the file is missing, damaged, has no column that tells objects or images, has an object
        number that is no whole number or comes twice in an image, or if files are called alike.

    Examples
    --------
    >>> import gradcamo as gc
    >>> measured = gc.read_table("cells.h5ad")[["image", "label", "volume_um3"]]
    >>> measured.to_csv("measured.csv", index=False)  # as CellProfiler would
    >>> cells = gc.read_single_cells("measured.csv", labels="plate/labels")
    >>> print(cells.recognised)
    Grad-CAMO: 18 cells in 1 image; object numbers in label; images in image; 1 of 1 images found;
    1 of 1 label images found
    >>> gc.read_labels(cells.row(0)).shape == gc.read_stack(cells.row(0)).shape[1:]
    True
    """
    path = Path(path)
    stamp = _stamp_of(path) if path.is_file() else (0, 0)
    file = open_file(path)
    columns = recognise(file.names, path, object_number)
    wanted = (columns.number, *columns.of_image, *columns.image_number)
    keys = file.text(list(dict.fromkeys(wanted)))
    said = []
    if not columns.files and columns.image_number:
        columns, keys, beside = with_image_table(path, columns, keys)
        said += beside
    if not columns.telling:
        raise GradcamoError(
            f"{path} has no column that tells images: expected Image_FileName_… (or image), or an "
            "Image.csv beside it for its ImageNumber"
        )
    image_of = keys.groupby(columns.telling, sort=False, dropna=False).ngroup().to_numpy()
    number_of = _numbers(keys[columns.number], path)
    _refuse_twice(image_of, number_of, path)
    firsts = keys.drop_duplicates(columns.telling).reset_index(drop=True)
    listed = images_of(path, firsts, columns, labels, images)
    listed["cells"] = np.bincount(image_of, minlength=len(listed))
    return SingleCells(
        path,
        listed,
        _in_words(file, columns, listed, number_of, said),
        columns,
        image_of,
        number_of,
        {"labels": labels, "images": images, "object_number": object_number, "told": told},
        file,
        stamp,
    )


def _stamp_of(path: Path) -> tuple[int, int]:
    state = os.stat(path)  # noqa: PTH116
    return state.st_size, state.st_mtime_ns


def _numbers(text: pd.Series, path: Path) -> np.ndarray:
    numbers = pd.to_numeric(text.replace("", "0"), errors="coerce")
    wrong = numbers.isna() | (numbers % 1 != 0) | (numbers < 0)
    if wrong.any():
        raise GradcamoError(
            f"{path} has {text[wrong].iloc[0]!r} in its column {text.name}, in "
            f"{rows_in_words(np.flatnonzero(wrong)[:1])}: an object's number is a whole number; "
            "name the column that holds it with object_number=… (--object-number)"
        )
    return numbers.to_numpy(np.int64)


def _refuse_twice(image_of: np.ndarray, number_of: np.ndarray, path: Path) -> None:
    pairs = pd.DataFrame({"image": image_of, "number": number_of})[number_of > 0]
    twice = pairs.duplicated(keep=False)
    if twice.any():
        first = pairs[twice].iloc[0]
        same = pairs.index[(pairs == first).all(axis=1)]
        raise GradcamoError(
            f"{path} names object {first['number']} of one image twice, in {rows_in_words(same)}: "
            "one row per object is joined to its label; give the table of one kind of object, or "
            "name the column of its numbers with object_number=… (--object-number)"
        )


def _in_words(
    file: File,
    columns: Recognised,
    images: pd.DataFrame,
    numbers: np.ndarray,
    said: list[str],
) -> str:
    count = len(images)
    cells = counted(len(numbers), "cell")
    parts = [f"{columns.tool}: {cells} in {counted(count, 'image')}"]
    parts.append(f"object numbers in {columns.number}")
    if columns.files:
        names = list(columns.files.values())
        parts.append(f"images in {', '.join(names[:4])}{' …' * (len(names) > 4)}")
    parts += said
    for name, what in (("image", "images"), ("labels", "label images")):
        there = int((images[name] != "").sum())
        parts.append(f"{there:,} of {count:,} {what} found")
    if without := int((numbers == 0).sum()):
        parts.append(f"{without:,} rows have no object number")
    flags = [n for n in file.names if n.startswith(("Metadata_cqc_", "cqc.")) and not is_ours(n)]
    if flags:
        parts.append(f"flags of coSMicQC in {', '.join(flags[:3])}{' …' * (len(flags) > 3)}")
    if any(is_ours(name) for name in file.names):
        parts.append("flags and notes that were written back before")
    return "; ".join(parts)
