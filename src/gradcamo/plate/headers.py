"""What a run would refuse of each stack, told by headers alone: no voxel is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from gradcamo.auditing.causal import causal_settings, refuse_unasked
from gradcamo.auditing.matching import refuse_unfit
from gradcamo.errors import GradcamoError
from gradcamo.files.many import each
from gradcamo.files.misfits import misfit_of_row
from gradcamo.plate.tasks import StackJob, as_plates_say

if TYPE_CHECKING:
    import pandas as pd

    from gradcamo.causal.bank import DonorBank
    from gradcamo.datatypes import ZStack
    from gradcamo.networks.checkpoint import Checkpoint

LOOKED_AT = 3


class Header(NamedTuple):
    """What the files of a stack say: why its labels do not fit, why a run would fail on it, both
    empty if nothing speaks against it, and the bytes that it takes in memory."""

    misfit: str = ""
    refused: str = ""
    bytes_held: int = 0


def look_at(
    rows: pd.DataFrame,
    jobs: Sequence[StackJob],
    checkpoint: Checkpoint,
    on_read: Callable[[int, int], Any] | None = None,
    bank: DonorBank | None = None,
) -> list[Header]:
    """What the headers of the stacks say, each opened once, as the run opens them.

    Damage inside of them is found when they are decoded, in the run. ``rows`` of the plate are
    those of the jobs; ``on_read`` is called with how many are opened, and of how many.
    """
    both = zip((row for _, row in rows.iterrows()), jobs, strict=True)
    return each(lambda one: _look_at(*one, checkpoint, bank), both, on_read)


def refuse_misfit(
    jobs: Sequence[StackJob], checkpoint: Checkpoint, bank: DonorBank | None = None
) -> None:
    """Refuse a plate of which no stack fits network and donors, before anything is started.

    A few are looked at first, and all others where none of these fits.

    Raises
    ------
    GradcamoError
        If so. Stacks that cannot be opened do not count: a run names them.
    """
    said = [_misfit(job, checkpoint, bank) for job in jobs[:LOOKED_AT]]
    rest = jobs[LOOKED_AT:]
    if said and all(said) and all(each(lambda job: _misfit(job, checkpoint, bank), rest)):
        raise GradcamoError(f"no stack of the plate fits the network: {said[0]}")


def _refuse(stack: ZStack, job: StackJob, checkpoint: Checkpoint, bank: DonorBank | None) -> None:
    settings = job.folder.settings
    refuse_unfit(stack, checkpoint, settings.audit)
    if bank is not None and settings.causal:
        refuse_unasked(stack, checkpoint, bank, causal_settings(settings, settings.audit))


def _misfit(job: StackJob, checkpoint: Checkpoint, bank: DonorBank | None) -> str:
    from gradcamo.files.stacks import read_stack

    try:
        stack = read_stack(job.row)
    except (GradcamoError, OSError):
        return ""
    try:
        _refuse(stack, job, checkpoint, bank)
    except GradcamoError as error:
        return as_plates_say(str(error))
    return ""


def _look_at(
    row: pd.Series, job: StackJob, checkpoint: Checkpoint, bank: DonorBank | None
) -> Header:
    from gradcamo.cells.windows import bytes_held
    from gradcamo.files.gaps import has_gaps
    from gradcamo.files.labels import open_labels
    from gradcamo.files.stacks import read_stack
    from gradcamo.files.told import told
    from gradcamo.segmentation.planes import choose_channels

    settings, misfit, refused, size = job.folder.settings, "", "", 0
    try:
        stack = read_stack(job.row)
        size = bytes_held(stack)
        if job.labels:
            labels = open_labels(job.labels, told(job.row, "labels_axes") or None)
            misfit = misfit_of_row(row, labels.shape, stack.shape[1:])
        _refuse(stack, job, checkpoint, bank)
        if not job.labels:
            choose_channels(stack, settings.segment)
    except (GradcamoError, OSError) as error:
        refused = as_plates_say(str(error))
    if misfit and has_gaps(str(job.labels)):  # a run finds that when it puts them together
        misfit, refused = "", refused or misfit
    return Header(misfit, refused, size)
