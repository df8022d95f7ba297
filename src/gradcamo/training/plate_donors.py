"""The donor bank of a plate: cells of the wells that a network was trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from gradcamo.causal.bank import DonorBank
from gradcamo.causal.lot import Source
from gradcamo.cells.crops import CellCrops
from gradcamo.errors import GradcamoError
from gradcamo.settings import CropSettings, DonorSettings, TrainSettings
from gradcamo.training.split import TRAIN, leave_wells_out

if TYPE_CHECKING:
    from gradcamo.networks.checkpoint import Checkpoint


def plate_donors(
    plate: str | Path | pd.DataFrame,
    checkpoint: Checkpoint,
    settings: DonorSettings | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> DonorBank:
    """Cut a donor bank from the training wells of a plate.

    Parameters
    ----------
    plate : path or DataFrame
        As `read_plate` takes or gives it. A column ``split`` says which wells were trained on, else
        the settings' ``train_columns``, else those that the checkpoint was trained on.
    checkpoint : Checkpoint
    settings : DonorSettings
    progress : called with (stacks read, stacks in all)

    Raises
    ------
    GradcamoError
        If the plate has no training wells or a stack no labels, or `DonorBank.cut` refuses.
    """
    from gradcamo.files.misfits import refuse_misfits
    from gradcamo.files.plates import read_plate
    from gradcamo.files.told import as_told

    settings = settings or DonorSettings()
    split = TrainSettings.recorded(checkpoint.recipe)
    if settings.train_columns:
        split = split.model_copy(
            update={
                "train_columns": settings.train_columns,
                "test_columns": tuple(set(split.test_columns) - set(settings.train_columns)),
            }
        )
    table = plate if isinstance(plate, pd.DataFrame) else read_plate(plate)
    rows = leave_wells_out(as_told(as_told(table, split), settings), split)
    rows = rows[rows["split"] == TRAIN]
    refuse_misfits(rows)
    stacks = _stacks(rows, checkpoint.crop, progress)
    return DonorBank.cut(stacks, checkpoint, settings.control, settings.per_class, settings.seed)


def _stacks(
    rows: pd.DataFrame, crop: CropSettings, progress: Callable[[int, int], None]
) -> Iterator[Source]:
    """Stack by stack, with the treatment of each cell."""
    from gradcamo.files.labels import read_labels
    from gradcamo.files.stacks import read_stack
    from gradcamo.files.treatments import treatment_of_cells

    for done, (_, row) in enumerate(rows.iterrows()):
        progress(done, len(rows))
        if "labels" not in row or not isinstance(row["labels"], str) or not row["labels"]:
            raise GradcamoError(
                f"{row['image']} has no labels: segment it first (gradcamo segment) and name the "
                "result in the column labels"
            )
        stack = read_stack(row)
        labels = read_labels(row, like=stack)
        own = treatment_of_cells(row)
        cells = CellCrops(stack, labels, crop).table["label"].tolist()
        named = {label: own.get(label, row["treatment"]) for label in cells}
        yield stack, labels, named, row["plate"], row["well"]
    progress(len(rows), len(rows))
