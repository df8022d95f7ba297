"""Flags and notes read back from a table that was exported, perhaps edited meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from gradcamo.errors import GradcamoError
from gradcamo.files.cytomining import NAMES

_OTHER_NAMES = {
    "Metadata_image": "image",
    NAMES["label"]: "label",
    NAMES["flagged"]: "flagged",
    "Metadata_note": "note",
}
_YES = {"true": True, "yes": True, "1": True, "1.0": True}
_NO = {"false": False, "no": False, "0": False, "0.0": False}


def read_flags(path: str | Path, image: str = "") -> pd.DataFrame:
    """Flags and notes of one stack's cells, under our names or those of cytomining tools.

    Parameters
    ----------
    path : path
        ``.csv``, ``.parquet`` or ``.h5ad``.
    image : str, optional
        The stack; of a table of several, the rows that name it (or its file) are taken.

    Returns
    -------
    DataFrame indexed by label, with ``flagged`` (bool) and ``note`` (text) where the file has them.

    Raises
    ------
    GradcamoError
        If the file is no such table, speaks of other stacks, or names a cell twice.
    """
    from gradcamo.files.store import read_table

    table = read_table(path).rename(columns=_OTHER_NAMES)
    if "label" not in table or not {"flagged", "note"} & set(table):
        raise GradcamoError(
            f"{path} has the columns {list(table.columns)[:8]}: flags are read from a table with "
            "'label' and 'flagged' or 'note', as the export writes it"
        )
    table = _of_image(table, image, path)
    labels = pd.to_numeric(table["label"], errors="coerce")
    if labels.isna().any() or (labels % 1 != 0).any():
        raise GradcamoError(f"{path}: labels are whole numbers, some in the column 'label' are not")
    if labels.duplicated().any():
        twice = int(labels[labels.duplicated()].iloc[0])
        raise GradcamoError(f"{path} names cell {twice} twice: keep one row for each cell")
    found = pd.DataFrame(index=pd.Index(labels.astype("int64"), name="label"))
    if "flagged" in table:
        found["flagged"] = [yes_or_no(value, path) for value in table["flagged"]]
    if "note" in table:
        found["note"] = table["note"].fillna("").astype(str).to_numpy()
    return found


def _of_image(table: pd.DataFrame, image: str, path: str | Path) -> pd.DataFrame:
    if "image" not in table or not image:
        return table
    names = table["image"].fillna("").astype(str)
    same = names == image
    if not same.any():  # moved to another folder
        same = names.map(_file_name) == _file_name(image)
    if not same.any():
        others = ", ".join(dict.fromkeys(names.map(_file_name)))[:200]
        raise GradcamoError(
            f"{path} speaks of the cells of {others}, the stack that is open is "
            f"{_file_name(image)}: open that stack first"
        )
    return table[same]


def _file_name(image: str) -> str:
    return image.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]


def yes_or_no(value: Any, path: str | Path) -> bool:
    """What a table says of a flag, false where it says nothing."""
    word = str(value).strip().lower()
    if word in ("", "nan", "none", "<na>"):
        return False
    answer = {**_YES, **_NO}.get(word)
    if answer is None:
        raise GradcamoError(f"{path}: flagged is true or false, one cell has {value!r}")
    return answer
