"""What CSV and AnnData need so that numbers, booleans and text come back as they went in."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gradcamo.columns import TEXT
from gradcamo.errors import GradcamoError
from gradcamo.files.landing import landing
from gradcamo.files.seal import BLANK
from gradcamo.files.spreadsheets import NOTES, guarded, unguarded


def refuse_repeated(names: Sequence[str]) -> None:
    """Raise where two columns have one name."""
    if twice := [name for name, times in Counter(names).items() if times > 1]:
        raise GradcamoError(f"columns need different names, {twice} come twice: rename them")


def storable(table: pd.DataFrame) -> pd.DataFrame:
    """A copy with row numbers as index and numbers, booleans and text as columns."""
    table = table.rename(columns=str).reset_index(drop=True)
    table.attrs = {}
    refuse_repeated(list(table.columns))
    return table.assign(**{str(name): _column(table[name]) for name in table})


def _column(column: pd.Series) -> pd.Series:
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(object)
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_complex_dtype(column):
        return column  # booleans count as numeric
    kind = pd.api.types.infer_dtype(column, skipna=True)
    if kind in ("string", "empty"):
        return column.astype(object).where(column.notna(), "").astype(str)
    if kind == "boolean":
        return column.astype("boolean")
    if kind in ("integer", "floating", "mixed-integer-float"):
        return pd.to_numeric(column)
    raise GradcamoError(
        f"column {column.name!r} holds {kind} values: a table stores numbers, booleans and text, "
        "convert it first"
    )


def storage_type(column: pd.Series) -> str:
    """``text``, or the dtype of numbers and booleans."""
    return str(column.dtype) if pd.api.types.is_numeric_dtype(column) else "text"


def feature_frame(profiles: np.ndarray | pd.DataFrame | None, rows: int) -> pd.DataFrame:
    """Profiles (cells, features) as float32 columns with names."""
    if profiles is None:
        return pd.DataFrame(index=range(rows))
    if not isinstance(profiles, pd.DataFrame):
        profiles = np.asarray(profiles)
        names = [f"profile_{i:04d}" for i in range(profiles.shape[-1])]
        profiles = pd.DataFrame(profiles, columns=names)
    if len(profiles) != rows:
        raise GradcamoError(
            f"profiles of {len(profiles)} cells do not fit a table of {rows}: one row per cell"
        )
    return profiles.rename(columns=str).astype(np.float32).reset_index(drop=True)


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write a CSV in which notes stay text and line breaks of any kind stay within their value."""
    typed = [name for name in NOTES if name in table and storage_type(table[name]) == "text"]
    table = table.assign(**{name: table[name].map(guarded) for name in typed})
    text = [name for name in table if storage_type(table[name]) == "text"]
    lone = any(table[name].str.contains("\r", regex=False).any() for name in text)
    # Python's writer leaves a carriage return that stands alone without quotes
    table.to_csv(path, index=False, quoting=csv.QUOTE_NONNUMERIC if lone else csv.QUOTE_MINIMAL)


def read_csv(path: Path, notes: Mapping[str, Any]) -> pd.DataFrame:
    """The whole CSV, each column as the type it was written from."""
    table = _read_csv(path, notes)
    typed = [name for name in NOTES if name in table and storage_type(table[name]) == "text"]
    return table.assign(**{name: table[name].map(unguarded, "ignore") for name in typed})


def _read_csv(path: Path, notes: Mapping[str, Any]) -> pd.DataFrame:
    header = list(pd.read_csv(path, nrows=0, encoding="utf-8-sig").columns)
    dtypes = {**dict.fromkeys((*TEXT, *NOTES), "text"), **notes.get("columns", {})}
    dtypes = {name: dtypes[name] for name in header if name in dtypes}
    dtypes.update({name: "float32" for name in notes.get("features", []) if name in header})
    text: dict[Any, Any] = {name: str for name, dtype in dtypes.items() if dtype == "text"}
    options: dict[str, Any] = {
        "encoding": "utf-8-sig",
        "keep_default_na": False,
        "na_values": {name: ["", "NaN", "nan"] for name in header if name not in text},
        "float_precision": "round_trip",
    }
    try:
        return pd.read_csv(path, dtype={**dtypes, **text}, **options)
    except ValueError:  # edited by hand since it was written
        return pd.read_csv(path, dtype=text, **options)


def write_obs(
    table: pd.DataFrame,
    features: pd.DataFrame,
    path: Path,
    recipe: str,
    notes: str,
    names: Sequence[str],
) -> None:
    """AnnData: X the profiles, obs the table with these names, var features, uns the recipe."""
    import anndata
    import h5py
    from anndata.io import write_elem

    text = [str(name) for name in table if storage_type(table[name]) == "text"]
    obs = table.astype(dict.fromkeys(text, "category"))
    obs = obs.rename(columns=_hdf5_key).set_axis(pd.Index(names, dtype=object))
    refuse_repeated(list(obs.columns))
    data = anndata.AnnData(
        X=features.to_numpy(np.float32),
        obs=obs,
        var=pd.DataFrame(index=features.columns.astype(str)),
        uns={"recipe": recipe, "gradcamo": notes},
    )
    # HDF5 swallows the errors of a full disk and may crash later: it writes to memory, we to disk.
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        write_elem(file, "/", data)
        file.attrs["seal"] = np.bytes_(BLANK)
    with landing(path) as scratch:
        scratch.write_bytes(buffer.getvalue())  # no copy; a view crashes Python 3.12.1 (gh-111049)


def read_obs(path: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The table and notes of an AnnData file; the profiles stay on disk."""
    import h5py
    from anndata.io import read_elem

    with h5py.File(path) as file:
        table = read_elem(file["obs"]).reset_index(drop=True)
        notes = json.loads(read_elem(file["uns/gradcamo"])) if "uns/gradcamo" in file else {}
    names = {_hdf5_key(name): name for name in notes.get("columns", {})}
    table = table.rename(columns=names)
    text = [name for name in table if isinstance(table[name].dtype, pd.CategoricalDtype)]
    return table.assign(**{name: table[name].astype(object).astype(str) for name in text}), notes


def _hdf5_key(name: str) -> str:
    return name.replace("/", "\N{DIVISION SLASH}")  # a slash would make a group
