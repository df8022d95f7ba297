"""Open stacks become a plate: a table, the labels, and images where no file holds them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from gradcamo.datatypes import ZStack
from gradcamo.errors import GradcamoError
from gradcamo.files.labels import write_labels
from gradcamo.files.landing import landing
from gradcamo.files.links import as_named
from gradcamo.files.stacks import read_stack, write_stack


class LabelledStack(NamedTuple):
    """A stack, its cells (Z, Y, X), and what was done to them."""

    stack: ZStack
    labels: np.ndarray
    well: str
    treatment: str
    split: str
    plate: str = "open stacks"


def write_plate(folder: str | Path, stacks: Sequence[LabelledStack]) -> Iterator[int]:
    """Write ``folder/plate.csv`` with the column ``split``, stack by stack.

    Images that are files of the same voxels already are named, not copied.

    Yields
    ------
    int
        How many stacks are written; the table is there after the last.

    Raises
    ------
    GradcamoError
        If a stack has no well or treatment, or something cannot be written.
    """
    folder = Path(folder)
    for number, entry in enumerate(stacks, 1):
        for what in ("well", "treatment"):
            if not getattr(entry, what).strip():
                raise GradcamoError(f"stack {number} ({entry.stack.source}) has no {what}: type it")
    rows = []
    for number, entry in enumerate(stacks, 1):
        name = f"{number:02d}_{re.sub(r'[^A-Za-z0-9_-]+', '_', entry.well)}"
        labels = folder / "labels" / f"{name}.ome.tif"
        write_labels(labels, entry.labels, entry.stack.spacing_um)
        image = _file_of(entry.stack)
        if image is None:
            image = folder / "images" / f"{name}.ome.tif"
            write_stack(image, entry.stack)
        rows.append(
            {
                "image": str(as_named(image)),
                "labels": str(as_named(labels)),
                "plate": entry.plate,
                "well": entry.well.strip(),
                "site": str(number),
                "treatment": entry.treatment.strip(),
                "split": entry.split,
            }
        )
        yield number
    with landing(folder / "plate.csv") as scratch:
        pd.DataFrame(rows).to_csv(scratch, index=False)


def _file_of(stack: ZStack) -> Path | None:
    """The file that a stack was opened from, if it still says the same about its voxels."""
    try:
        found = read_stack(stack.source)
    except GradcamoError:
        return None
    alike = (found.channels, found.shape, found.spacing_um) == (
        stack.channels,
        stack.shape,
        stack.spacing_um,
    )
    return Path(stack.source) if alike else None
