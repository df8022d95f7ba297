"""Which cells of a plate take part in a training, and on which side of the split."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from gradcamo.cells.crops import CellCrops, refuse_planes
from gradcamo.datatypes import ZStack, spacing_text
from gradcamo.errors import GradcamoError
from gradcamo.settings import CropSettings, TrainSettings
from gradcamo.training.report import describe_cells
from gradcamo.training.split import (
    SPLITS,
    TRAIN,
    VALIDATION,
    WELL,
    check_classes,
    hold_out_validation,
    leave_wells_out,
)


def training_cells(
    plate_csv: str | Path,
    settings: TrainSettings,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The cells of `index_cells` with their split, validation held out, and the classes.

    Parameters
    ----------
    plate_csv : path
        As `read_plate` takes it.
    settings : TrainSettings
    progress : called with (stacks indexed, stacks in all)

    Raises
    ------
    GradcamoError
        If the plate cannot be trained on: what is missing is named.
    """
    from gradcamo.files.misfits import refuse_misfits
    from gradcamo.files.plates import read_plate
    from gradcamo.files.told import as_told

    refuse_planes(settings.crop, settings.input_size)
    plate = leave_wells_out(as_told(read_plate(plate_csv), settings), settings)
    refuse_misfits(plate)
    cells = index_cells(plate, settings, progress)
    attrs = cells.attrs
    classes = check_classes(cells)
    cells = hold_out_validation(cells, settings)
    cells.attrs = attrs
    n = {split: int((cells["split"] == split).sum()) for split in SPLITS}
    if n[TRAIN] < settings.batch_size or not n[VALIDATION]:
        raise GradcamoError(
            f"the training wells hold {n[TRAIN]} whole cells ({n[VALIDATION]} more for "
            f"validation), a batch takes {settings.batch_size}: add stacks or lower the batch "
            "size (--batch-size)"
        )
    return cells, classes


class SplitPreview(NamedTuple):
    """Who would learn and who would be tested.

    ``wells`` has one row per well: plate, well, treatment, split, stacks and, once cells are
    counted, cells and validation_cells (of the training wells). ``unused`` stacks take no part.
    ``about`` is what `describe_cells` says, None before cells are counted.
    """

    wells: pd.DataFrame
    unused: int
    about: dict[str, Any] | None = None


def preview_split(plate_csv: str | Path, settings: TrainSettings) -> Iterator[SplitPreview]:
    """The split of a plate before any training: at once without, then with its cells.

    Raises
    ------
    GradcamoError
        As `training_cells`.
    """
    from gradcamo.files.plates import read_plate
    from gradcamo.files.told import as_told

    plate = as_told(read_plate(plate_csv), settings)
    chosen = leave_wells_out(plate, settings)
    wells = chosen.groupby([*WELL, "split"], sort=False).agg(
        treatment=("treatment", lambda names: ", ".join(dict.fromkeys(names))),
        stacks=("image", "size"),
    )
    wells = wells.reset_index()
    unused = len(plate) - len(chosen)
    yield SplitPreview(wells, unused)
    cells, classes = training_cells(plate_csv, settings)
    deciding = cells["split"] == VALIDATION
    of_well = pd.DataFrame(
        {
            "cells": cells[~deciding].groupby(WELL).size(),
            "validation_cells": cells[deciding].groupby(WELL).size(),
        }
    )
    counted = wells.join(of_well, on=WELL).fillna({"cells": 0, "validation_cells": 0})
    counted = counted.astype({"cells": int, "validation_cells": int})
    yield SplitPreview(counted, unused, describe_cells(cells, classes))


def index_cells(
    plate: pd.DataFrame,
    settings: TrainSettings,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> pd.DataFrame:
    """Every whole cell of the stacks of a plate that its crop holds.

    Parameters
    ----------
    plate : DataFrame
        As `read_plate` gives it, with a column ``split``.
    settings : TrainSettings
    progress : called with (stacks indexed, stacks in all)

    Returns
    -------
    DataFrame with the columns image, labels, label, start_z, start_y, start_x (first voxel of the
    window, may be negative), treatment, plate, well, split, one row a cell. ``attrs``:
    ``channels`` and ``spacing_um`` of the stacks, ``partial``, the number of cells left out at the
    border.

    Raises
    ------
    GradcamoError
        If a stack has no labels, no cell lies in a stack whole, or channels, voxel size or, where
        crops hold all planes, planes differ between stacks.
    """
    from gradcamo.files.labels import read_labels
    from gradcamo.files.stacks import read_stack
    from gradcamo.files.told import TOLD
    from gradcamo.files.treatments import treatment_of_cells

    tables: list[pd.DataFrame] = []
    first: ZStack | None = None
    partial = 0
    for done, (_, row) in enumerate(plate.iterrows()):
        progress(done, len(plate))
        stack = read_stack(row)
        first = first or stack
        _check_alike(stack, first, settings.crop)
        stack.warn_of_absent_chunks()
        if "labels" not in row or not isinstance(row["labels"], str) or not row["labels"]:
            raise GradcamoError(
                f"{row['image']} has no labels: segment it first (gradcamo segment) and name the "
                "result in the column labels"
            )
        crops = CellCrops(stack, read_labels(row, like=stack), settings.crop)
        partial += int(crops.table["touches_border"].sum())
        table = crops.table.loc[crops.scorable, ["label", "start_z", "start_y", "start_x"]]
        named = treatment_of_cells(row)
        table["treatment"] = [named.get(label, row["treatment"]) for label in table["label"]]
        table = table[table["treatment"] != ""]
        kept = [name for name in TOLD if name in row]
        tables.append(table.assign(**row[["image", "labels", "plate", "well", "split", *kept]]))
    progress(len(plate), len(plate))
    cells = pd.concat(tables, ignore_index=True)
    assert first is not None
    if cells.empty:
        raise GradcamoError(
            f"none of the {len(plate)} stacks that take part holds a whole cell ({partial} touch "
            "the border): check the labels, or segment again with other settings"
        )
    cells.attrs = {
        "channels": first.channels,
        "spacing_um": first.spacing_um,
        "partial": partial,
    }
    return cells


def _check_alike(stack: ZStack, first: ZStack, crop: CropSettings) -> None:
    if stack.channels != first.channels:
        raise GradcamoError(
            f"{first.source} has the channels {', '.join(first.channels)}, {stack.source} has "
            f"{', '.join(stack.channels)}: stacks that are trained on together need the same "
            "channels in the same order"
        )
    ours, theirs = (np.array(s.spacing_um or (None,) * 3, float) for s in (stack, first))
    if not np.allclose(ours, theirs, rtol=0.01, equal_nan=True):
        raise GradcamoError(
            f"{first.source} has voxels of {spacing_text(first.spacing_um)} (z, y, x), "
            f"{stack.source} of {spacing_text(stack.spacing_um)}: cells would differ in size for "
            "the network; resample or correct the metadata"
        )
    if crop.planes is None and stack.shape[1] != first.shape[1]:
        raise GradcamoError(
            f"{first.source} has {first.shape[1]} planes, {stack.source} has {stack.shape[1]}: "
            "crops hold all planes and are resized alike, so cells would differ in height for the "
            "network; give the crops a number of planes (--crop-planes), or cut the stacks to the "
            "same planes"
        )
