"""Tables of cells: they land whole, with the recipe that made them, and are read with it."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gradcamo.datatypes import Profiles
from gradcamo.errors import GradcamoError, GradcamoWarning
from gradcamo.files.beside_csv import changed, csv_notes, hash_of, keep_changed, recipe_path
from gradcamo.files.cytomining import row_names
from gradcamo.files.formats import (
    feature_frame,
    read_csv,
    read_obs,
    refuse_repeated,
    storable,
    storage_type,
    write_csv,
    write_obs,
)
from gradcamo.files.landing import ending_of, landing, to_json
from gradcamo.files.seal import BLANK, check_seal

TABLE_SUFFIXES = (".csv", ".parquet", ".h5ad")


def write_table(
    table: pd.DataFrame,
    path: str | Path,
    recipe: Mapping[str, Any] | None = None,
    profiles: np.ndarray | pd.DataFrame | None = None,
) -> None:
    """Write a table of cells, whole or not at all.

    Parameters
    ----------
    table : DataFrame
        One row per cell; numbers, booleans and text. Missing text is written as empty text.
    path : path
        ``.csv`` (recipe beside it in ``*.recipe.json``), ``.parquet`` (recipe in the schema's
        metadata) or ``.h5ad`` (AnnData: X the profiles as float32, obs the table, uns the recipe;
        cells are named plate_well_site_objectnumber where that tells them apart, else numbered).
        In a CSV, notes that a spreadsheet would take for formulas have an apostrophe before them,
        which `read_table` takes away again. A CSV that was changed since it was written is kept
        under another name before it is written anew.
    recipe : mapping, optional
        How the table was made. Default: ``table.attrs["recipe"]``.
    profiles : array or DataFrame, (cells, features), optional
        Morphological profiles; a DataFrame's columns name the features.

    Raises
    ------
    GradcamoError
        For another suffix, columns that cannot be stored or a file that cannot be written.
    """
    path, suffix = Path(path), ending_of(path, TABLE_SUFFIXES)
    recipe = dict(table.attrs.get("recipe", {}) if recipe is None else recipe)
    table, features = storable(table), feature_frame(profiles, len(table))
    noted = {
        "recipe": recipe,
        "columns": {name: storage_type(table[name]) for name in table},
        "features": list(features),
    }
    notes = to_json(noted)
    if suffix == ".h5ad":
        write_obs(table, features, path, to_json(recipe), notes, row_names(table))
        return
    refuse_repeated([*table.columns, *features.columns])
    whole = pd.concat([table, features], axis=1) if features.shape[1] else table
    if suffix == ".csv":
        if copy := keep_changed(path):
            warnings.warn(
                f"{path} was changed since it was written, by hand or by damage: it is written "
                f"anew, and what stood there is kept as {copy.name}",
                GradcamoWarning,
                stacklevel=2,
            )
        with landing(recipe_path(path)) as beside, landing(path) as scratch:
            write_csv(whole, scratch)
            noted |= {"sha256": hash_of(scratch), "seal": BLANK}
            beside.write_text(to_json(noted), encoding="utf-8")
            # Between the two renames a table without recipe is honest, a wrong one is not.
            recipe_path(path).unlink(missing_ok=True)
    else:
        import pyarrow as pa
        import pyarrow.parquet as pq

        arrow = pa.Table.from_pandas(whole, preserve_index=False)
        arrow = arrow.replace_schema_metadata(
            {
                **(arrow.schema.metadata or {}),
                "recipe": to_json(recipe),
                "gradcamo": notes,
                "seal": BLANK,
            }
        )
        with landing(path) as scratch:
            text = [name for name in table if storage_type(table[name]) == "text"]
            # numbers seldom repeat
            pq.write_table(arrow, scratch, use_dictionary=text, write_page_checksum=True)


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a table of cells without its profiles.

    Parameters
    ----------
    path : path
        A ``.csv``, ``.parquet`` or ``.h5ad`` that an audit wrote. A CSV may have been edited since,
        which is warned of, and becomes a caution of its recipe.

    Returns
    -------
    DataFrame
        One row per cell; the recipe that it was made by is in ``.attrs["recipe"]``.

    Raises
    ------
    GradcamoError
        If the file is missing, damaged or of another kind.

    Examples
    --------
    >>> import gradcamo as gc
    >>> cells = gc.read_table("cells.h5ad")
    >>> len(cells), cells.attrs["recipe"]["settings"]["layer"]
    (18, 'block_4')
    """
    with _reading(path) as (path, suffix):
        if suffix == ".csv":
            notes = csv_notes(path)
            table = read_csv(path, notes).drop(columns=notes.get("features", []))
        elif suffix == ".parquet":
            import pyarrow.parquet as pq

            schema = pq.read_schema(path)
            notes = json.loads((schema.metadata or {}).get(b"gradcamo", b"{}"))
            features = set(notes.get("features", []))
            table = pd.read_parquet(
                path, columns=[name for name in schema.names if name not in features]
            )
        else:
            table, notes = read_obs(path)
        table.attrs = {"recipe": _told_if_changed(path, suffix, notes.get("recipe", {}))}
        return table


def _told_if_changed(path: Path, suffix: str, recipe: dict[str, Any]) -> dict[str, Any]:
    """The recipe of a table; of a CSV that changed, with a caution that says so."""
    if suffix != ".csv" or not changed(path):
        return recipe
    said = (
        f"{path.name} was changed since it was written, by hand or by damage: what stands there "
        "now was read, and its recipe tells of what was written"
    )
    warnings.warn(said, GradcamoWarning, stacklevel=4)
    return {**recipe, "cautions": [*recipe["cautions"], said]} if "cautions" in recipe else recipe


def read_profiles(path: str | Path) -> Profiles:
    """Read the profiles of a table with the table and its recipe.

    Parameters
    ----------
    path : path
        As `read_table`.

    Returns
    -------
    Profiles
        ``values`` (N, d) float32, and the table of the same N cells. Cells without a score have
        no profile: NaN.

    Raises
    ------
    GradcamoError
        As `read_table`, and if the table was written without profiles.

    Examples
    --------
    >>> import gradcamo as gc
    >>> profiles = gc.read_profiles("cells.h5ad")
    >>> len(profiles.values) == len(profiles.table)
    True
    """
    table = read_table(path)
    with _reading(path) as (path, suffix):
        if suffix == ".h5ad":
            import anndata

            values = np.asarray(anndata.read_h5ad(path).to_df(), np.float32)
        else:
            if suffix == ".csv":
                notes = csv_notes(path)
                whole = read_csv(path, notes)
            else:
                whole = pd.read_parquet(path)
            values = whole.drop(columns=list(table.columns)).to_numpy(np.float32)
    if not values.shape[1]:
        raise GradcamoError(f"{path} holds no profiles: write it with profiles, or audit again")
    return Profiles(values, table, table.attrs["recipe"])


@contextmanager
def _reading(path: str | Path) -> Iterator[tuple[Path, str]]:
    path, suffix = Path(path), ending_of(path, TABLE_SUFFIXES)
    if not path.is_file():
        raise GradcamoError(f"there is no table {path}: check the path")
    try:
        if suffix != ".csv":  # which people edit
            check_seal(path)
        yield path, suffix
    except GradcamoError:
        raise
    except (OSError, ValueError, KeyError) as error:
        raise GradcamoError(
            f"{path} cannot be read as a {suffix} table ({error}): it may be damaged or of "
            "another kind"
        ) from error
