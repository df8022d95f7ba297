"""Images that CellProfiler's own table beside the cells names, joined by image number."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from gradcamo.files.single_cells.column_roles import Recognised, recognise
from gradcamo.files.single_cells.endings import whole_ending
from gradcamo.files.single_cells.table_files import open_file


def with_image_table(
    path: Path, columns: Recognised, keys: pd.DataFrame
) -> tuple[Recognised, pd.DataFrame, list[str]]:
    """With the images that CellProfiler's own table beside it names, joined by image number."""
    found = next((p for p in _image_tables(path) if p.is_file()), None)
    if found is None:
        return columns, keys, []
    beside = open_file(found)
    there = recognise([*beside.names, columns.number], found, columns.number)
    if not there.files or len(there.image_number) != len(columns.image_number):
        return columns, keys, []
    wanted = list(dict.fromkeys([*there.image_number, *there.of_image]))
    table = beside.text(wanted).drop_duplicates(list(there.image_number))
    table = table.rename(columns=dict(zip(there.image_number, columns.image_number, strict=True)))
    ours = keys[[columns.number, *columns.image_number]]
    joined = ours.merge(table, on=list(columns.image_number), how="left").fillna("")
    recognised = Recognised(
        columns.tool,
        columns.number,
        there.files,
        there.folders,
        there.labels,
        there.labels_folder,
        there.places,
        columns.image_number,
        columns.centre,
    )
    return recognised, joined, [f"images from {found.name}, by {columns.image_number[-1]}"]


def _image_tables(path: Path) -> list[Path]:
    """Where CellProfiler writes the images of ``MyExpt_Cells.csv``: ``MyExpt_Image.csv``."""
    end = path.name[-len(whole_ending(path)) :]
    start, mark, _ = path.name.removesuffix(end).rpartition("_")
    names = [f"{start}{mark}Image{end}", f"Image{end}"]
    return [path.with_name(name) for name in names if name != path.name]
