"""A folder of a plate's results, opened again: cells, profiles, and the files of each stack."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gradcamo.cells.table import whole
from gradcamo.errors import GradcamoError
from gradcamo.files.links import as_named
from gradcamo.files.store import read_table
from gradcamo.plate.folder import short_hash, stack_name

MADE_HERE = ("umap_1", "umap_2", "pictured", "flagged")  # of the plate, not of a stack's audit


@dataclass(frozen=True, eq=False)
class PlateResults:
    """What `gradcamo plate` left in a folder.

    ``cells`` has one row per cell, indexed from 0; ``whitened`` says whether its map (columns
    ``umap_1, umap_2``, NaN for cells that were not laid out) is one of whitened profiles.
    """

    folder: Path
    cells: pd.DataFrame
    whitened: bool

    @property
    def name(self) -> str:
        return as_named(self.folder).name

    @property
    def recipe(self) -> dict[str, Any]:
        return dict(self.cells.attrs.get("recipe", {}))

    @property
    def cutoff(self) -> float:
        return float(self.recipe["settings"]["cutoff"])

    @property
    def checkpoint(self) -> Path:
        """The network that the plate was audited with."""
        return self.folder / f"checkpoint-{self.recipe['checkpoint'][:12]}.safetensors"

    @property
    def stacks(self) -> pd.DataFrame:
        """One row per stack: image, plate, well, site, treatment."""
        return self.cells.drop_duplicates("image").reset_index(drop=True)

    @property
    def about_map(self) -> str:
        """What the plate's own map shows, in words."""
        if not self.whitened:
            return "the plate's own map of profiles as they are"
        cells, control = self.cells, self.recipe["control"]
        chosen = (cells["treatment"] == control) & whole(cells)
        if "split" in cells and (chosen & (cells["split"] == "train")).any():
            chosen &= cells["split"] == "train"
        few = [text for text in self.recipe.get("cautions", ()) if text.startswith("few controls")]
        said = f"the plate's own map, whitened on {chosen.sum():,} whole cells of {control}"
        return said + (f" ({few[0]})" if few else "")

    def laid_out(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows (M,) of the cells on the plate's own map and their places (M, 2)."""
        places = self.cells[["umap_1", "umap_2"]].to_numpy(np.float32)
        rows = np.flatnonzero(np.isfinite(places).all(1))
        return rows, places[rows]

    def profiles(self, whitened: bool) -> tuple[np.ndarray, np.ndarray]:
        """Rows (M,) of the whole cells and their profiles (M, d).

        Raises
        ------
        GradcamoError
            If they cannot be read, or were not whitened.
        """
        import h5py

        path = self.folder / "profiles.h5ad"
        obs = read_table(path)
        if whitened and not self.whitened:
            raise GradcamoError(
                f"the profiles in {path} were not whitened: the plate's report says why"
            )
        try:
            with h5py.File(path) as file:
                values = np.asarray(file["layers/whitened" if whitened else "X"], np.float32)
        except (OSError, KeyError) as error:
            raise GradcamoError(f"{path} cannot be read: run the plate again") from error
        keys = ["image", "label"]
        every = pd.MultiIndex.from_frame(self.cells[keys])
        return every.get_indexer(pd.MultiIndex.from_frame(obs[keys])), values

    def labels_of(self, image: str) -> Path:
        """The labels that the cells of a stack were numbered in.

        Raises
        ------
        GradcamoError
            If the stack's own file is gone.
        """
        import pyarrow.parquet as pq

        name = stack_name(self.cells[self.cells["image"] == image].iloc[0])
        shelf = Path(next(iter(self.recipe["pictures"].values()))).parent.name
        path = self.folder / "cells" / shelf / f"{name}.parquet"
        try:
            recipe = json.loads((pq.read_schema(path).metadata or {})[b"recipe"])
        except (OSError, KeyError, ValueError) as error:
            raise GradcamoError(
                f"{path} cannot be read: run the plate again, it goes on where files are missing"
            ) from error
        if given := recipe["inputs"].get("labels"):
            moved = os.path.normpath(self.folder / given[-1])  # as it was seen from here
            return Path(given[0] if Path(given[0]).exists() else moved)
        made = short_hash(recipe["run"]["segment"])
        return self.folder / "labels" / made / f"{name}.ome.tif"

    def audited(self, image: str) -> pd.DataFrame:
        """The scores of one stack's cells, with the plate's columns."""
        cells = self.cells[self.cells["image"] == image]
        return cells.drop(columns=[name for name in MADE_HERE if name in cells])


def read_results(folder: str | Path) -> PlateResults:
    """Open the results of a plate.

    Parameters
    ----------
    folder : path
        What ``gradcamo plate -o`` named, or the ``cells.parquet`` in it.

    Raises
    ------
    GradcamoError
        If there are no such results.
    """
    folder = Path(folder)
    folder = folder.parent if folder.is_file() else folder
    if not (folder / "cells.parquet").is_file():
        raise GradcamoError(
            f"there is no cells.parquet in {folder}: choose the folder that 'gradcamo plate' "
            "wrote its results to (-o)"
        )
    cells = read_table(folder / "cells.parquet")
    needed = ["image", "label", "grad_camo", "well", "site", "umap_1", "umap_2"]
    if missing := [name for name in needed if name not in cells]:
        raise GradcamoError(
            f"{folder / 'cells.parquet'} lacks {', '.join(missing)}: it is not a plate's table"
        )
    return PlateResults(folder, cells, _has_whitened(folder / "profiles.h5ad"))


def _has_whitened(path: Path) -> bool:
    import h5py

    try:
        with h5py.File(path) as file:
            return "layers/whitened" in file
    except OSError:
        return False
