"""The images of a table of single cells and the labels of their objects, found on disk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gradcamo.errors import GradcamoError
from gradcamo.files.file_sequence import name_of_channels
from gradcamo.files.gaps import is_there
from gradcamo.files.single_cells.column_roles import PLACES, Recognised
from gradcamo.files.single_cells.places import NAMED_LABELS, Places, filled, labels_in


def images_of(
    path: Path,
    firsts: pd.DataFrame,
    columns: Recognised,
    labels: str | Path | None,
    folder: str | Path | None,
) -> pd.DataFrame:
    """One row per image, with what was found of its files."""
    places = Places(path, folder)
    rows = []
    for _, row in firsts.iterrows():
        wanted = [(name, row[column]) for name, column in columns.files.items() if row[column]]
        found: dict[str, str] = {}
        for channel, name in wanted:
            within = row[columns.folders[channel]] if channel in columns.folders else ""
            there = places.find(name, within)
            if not there and is_there(name):  # a name with gaps
                there = name
            if there not in found.values():  # all channels may lie in one file
                found[channel] = there
        whole = all(found.values()) and bool(found)
        alone = len(found) == len(wanted) and "" not in found  # one file for each channel
        files: Any = found if found and alone else next(iter(found.values()), "")
        of_labels = row[columns.labels] if columns.labels else ""
        within = row[columns.labels_folder] if columns.labels_folder else ""
        at = {name: row[columns.places[name]] if name in columns.places else "" for name in PLACES}
        rows.append(
            {
                "name": wanted[0][1] if wanted else _called(row, columns),
                "image": "" if not whole else _name(files),
                "files": files if whole else "",
                "labels": places.find(of_labels, within) if of_labels else "",
                **at,
            }
        )
    table = pd.DataFrame(rows)
    if labels is None:
        lacking = (table["labels"] == "") & (table["image"] != "")
        for number in np.flatnonzero(lacking):
            table.loc[number, "labels"] = _beside(table["files"][number])
        return table
    table["labels"] = _told_labels(path, firsts, table, columns, str(labels))
    return table


def _name(files: Any) -> str:
    return files if isinstance(files, str) else name_of_channels(files)


def _called(row: pd.Series, columns: Recognised) -> str:
    return ", ".join(f"{name} {row[name]}" for name in columns.telling)


def _beside(files: Any) -> str:
    """The label image that lies beside an image and is called as it is, where there is just one."""
    for file in [files] if isinstance(files, str) else files.values():
        folder = Path(file).parent
        if not folder.is_dir():
            continue
        try:
            found = next(labels_in(folder, [file]))
        except GradcamoError:
            continue
        if found and NAMED_LABELS.search(Path(found).name):
            return found
    return ""


def _told_labels(
    path: Path, firsts: pd.DataFrame, table: pd.DataFrame, columns: Recognised, labels: str
) -> list[str]:
    place = Path(labels)
    if place.is_dir() and place.suffix != ".zarr":
        found = []
        for files, name in zip(table["files"], table["name"], strict=True):
            names = list(files.values()) if isinstance(files, Mapping) else [files or name]
            each = [path for path in labels_in(place, names) if path]
            if len(set(each)) > 1:
                raise GradcamoError(
                    f"{each[0]} and {each[1]} are both called as channels of one image: say which "
                    "holds its labels with a pattern, such as 'masks/{image}_cells.tif'"
                )
            found.append(each[0] if each else "")
        if not any(found):
            raise GradcamoError(
                f"no file in {labels} is called as an image of {path.name}, such as "
                f"{table['name'].iloc[0]}: say how they are called with a pattern, such as "
                "'masks/{image}_cells.tif'"
            )
        return found
    if "{" in labels and not place.exists():
        paths = []
        tell = firsts.drop(columns=columns.number).to_dict("records")
        for values, image, called in zip(tell, table["image"], table["name"], strict=True):
            told = {str(name): str(value) for name, value in values.items()}
            paths.append(filled(labels, told, image or called, path))
        if not any(is_there(one) for one in paths):
            raise GradcamoError(f"there is no file {paths[0]}: check the pattern {labels!r}")
        return [one if is_there(one) else "" for one in paths]
    if not is_there(place):
        raise GradcamoError(f"there are no labels {labels}: check the path")
    if len(table) > 1:
        raise GradcamoError(
            f"{path} is about {len(table)} images and {labels} is one label image: give the folder "
            "of their label images, or a pattern such as 'masks/{image}_cells.tif'"
        )
    return [labels]
