"""Does a stack fit a checkpoint? Which channels, cells and treatment are asked for?"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gradcamo.cells.crops import CellCrops, refuse_depth
from gradcamo.cells.windows import held
from gradcamo.datatypes import ZStack, refuse_no_stack
from gradcamo.errors import GradcamoError
from gradcamo.files.spellings import meant, refuse_spellings
from gradcamo.files.treatments import treatments_of
from gradcamo.settings import AuditSettings

if TYPE_CHECKING:
    import pandas as pd

    from gradcamo.networks.checkpoint import Checkpoint


def fitting_stack(stack: ZStack, checkpoint: Checkpoint, settings: AuditSettings) -> ZStack:
    """The stack's channels that the checkpoint expects, in its order; in memory if small.

    Raises
    ------
    GradcamoError
        If channels are missing, or one is 2D and the other 3D.
    """
    refuse_unfit(stack, checkpoint, settings)
    return held(stack.select(settings.channels or checkpoint.channels))


def refuse_unfit(stack: ZStack, checkpoint: Checkpoint, settings: AuditSettings) -> None:
    """`fitting_stack` without reading a voxel.

    Raises
    ------
    GradcamoError
        As `fitting_stack`.
    """
    refuse_no_stack(stack, "an audit")
    wanted = settings.channels or checkpoint.channels
    names = ", ".join(checkpoint.channels)
    expected = f"the checkpoint expects {len(checkpoint.channels)} channels ({names})"
    if len(wanted) != len(checkpoint.channels):
        raise GradcamoError(f"{expected}, --channels names {len(wanted)}: name one for each")
    if any(name not in stack.channels for name in wanted):
        cure = "choose which to use with --channels"
        if len(stack.channels) < len(wanted):
            cure = "a network that was trained on these is needed"
        raise GradcamoError(
            f"{expected}, {stack.source or 'the stack'} has {len(stack.channels)} "
            f"({', '.join(stack.channels)}): {cure}"
        )
    refuse_depth(stack, checkpoint.crop, checkpoint.input_size)


def chosen_cells(crops: CellCrops, only: Collection[int] | None, stack: ZStack) -> np.ndarray:
    """Positions of the cells to audit among the crops.

    Raises
    ------
    GradcamoError
        If there are no cells, or one of those asked for is missing.
    """
    if not len(crops):
        raise GradcamoError(
            f"the labels of {stack.source or 'the stack'} hold no cells: segment it again, with "
            "another diameter or model"
        )
    return crops.rows_of(only)


def refuse_other_spellings(plate: pd.DataFrame, checkpoint: Checkpoint, source: str | Path) -> None:
    """Refuse a plate whose treatments are the checkpoint's classes, but written otherwise.

    Raises
    ------
    GradcamoError
        If so: its cells would count as none of the classes.
    """
    uses = treatments_of(plate, source)
    refuse_spellings(uses, "treatment", source, checkpoint.classes, "the checkpoint")


def target_class(checkpoint: Checkpoint, settings: AuditSettings) -> int | None:
    """Number of the class to explain, None for the predicted one.

    Raises
    ------
    GradcamoError
        If the checkpoint does not know it.
    """
    from gradcamo.networks.meaning import check_target

    check_target(settings.target, checkpoint.classes, checkpoint.outputs)
    if settings.target is None:
        return None
    if settings.target not in checkpoint.classes:
        raise GradcamoError(
            f"the checkpoint knows no treatment {settings.target!r}: "
            f"{meant(settings.target, checkpoint.classes)}"
        )
    return checkpoint.classes.index(settings.target)
