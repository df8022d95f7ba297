"""What there is to do on a plate: a job for each stack."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from gradcamo.errors import GradcamoError
from gradcamo.files.many import each
from gradcamo.files.wells import well_name
from gradcamo.plate.folder import PlateFolder, stack_inputs, stack_name
from gradcamo.plate.splits import splits_of
from gradcamo.plate.tasks import StackJob
from gradcamo.settings import PlateSettings

PICTURE_BYTES, REPORT_BYTES = 5_000, 6_000_000
"""About what a picture of a cell and the report take."""


def stack_jobs(rows: pd.DataFrame, folder: PlateFolder) -> list[StackJob]:
    """One job per row of the plate.

    Raises
    ------
    GradcamoError
        If nothing lies where the settings say that wells were held out.
    """
    from gradcamo.files.told import said_of

    shares, splits = _causal_shares(rows, folder.settings), splits_of(rows, folder)
    jobs, told = [], [_told(series) for _, series in rows.iterrows()]
    for row, inputs, share, split in zip(
        told, each(stack_inputs, told), shares, splits, strict=True
    ):
        name = stack_name(row)
        held_out = folder.settings.causal and split == "test"
        inputs |= {"held_out": True} if held_out else {}
        said = said_of(row)
        well = (str(row["plate"]), str(row["well"]))
        jobs.append(
            StackJob(
                *(name, str(row["image"]), row["labels"], inputs, folder, said, well, share),
                held_out=held_out,
            )
        )
    return jobs


def _told(series: pd.Series) -> dict[str, Any]:
    """A row of the plate, its labels a path or None."""
    row: dict[str, Any] = {str(name): value for name, value in series.items()}
    labels = row.get("labels")
    row["labels"] = str(labels) if isinstance(labels, str | Path) and str(labels) else None
    return row


def _causal_shares(rows: pd.DataFrame, settings: PlateSettings) -> list[int | None]:
    """How many cells of each stack are asked causally: a well's in equal parts; None: all."""
    if not settings.causal:
        return [0] * len(rows)
    if not settings.causal_cells:
        return [None] * len(rows)
    wells = rows["plate"].astype(str) + " " + rows["well"].map(well_name)
    stacks, turn = wells.groupby(wells).transform("size"), wells.groupby(wells).cumcount()
    n = settings.causal_cells
    return [n // of + (i < n % of) for of, i in zip(stacks, turn, strict=True)]


def least_bytes(jobs: list[StackJob], settings: PlateSettings) -> int:
    """What the results of these stacks, the pictures and the report take, at least."""
    return REPORT_BYTES + len(jobs) * min(settings.thumbnails, 4) * PICTURE_BYTES


def largest(jobs: list[StackJob]) -> int:
    """Bytes of the largest of a few stacks in memory."""
    from gradcamo.cells.windows import bytes_held
    from gradcamo.files.stacks import read_stack

    sizes = [0]
    for job in jobs[:: max(1, len(jobs) // 3)]:
        try:
            sizes.append(bytes_held(read_stack(job.row)))
        except (GradcamoError, OSError):
            continue  # named when its turn comes
    return max(sizes)
