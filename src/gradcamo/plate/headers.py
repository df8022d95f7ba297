"""What a run would refuse of each stack, told by headers alone: no voxel is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from gradcamo.auditing.causal import causal_settings, refuse_unasked
from gradcamo.auditing.matching import refuse_unfit
from gradcamo.errors import GradcamoError
from gradcamo.files.many import each
from gradcamo.plate.tasks import StackJob, as_plates_say

if TYPE_CHECKING:
    from gradcamo.causal.bank import DonorBank
    from gradcamo.datatypes import ZStack
    from gradcamo.networks.checkpoint import Checkpoint

LOOKED_AT = 3


def refused(
    jobs: Sequence[StackJob],
    checkpoint: Checkpoint,
    on_read: Callable[[int, int], Any] | None = None,
    bank: DonorBank | None = None,
) -> dict[str, str]:
    """By name, the stacks that cannot be opened, or whose channels or planes do not fit, and why.

    Images, and labels where there are some, are opened as the run opens them. Damage inside of
    them is found when they are decoded, in the run. ``on_read`` is called with how many are
    opened, and of how many.
    """
    found = each(lambda job: _refused(job, checkpoint, bank), jobs, on_read)
    return {job.name: said for job, said in zip(jobs, found, strict=True) if said}


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


def _refused(job: StackJob, checkpoint: Checkpoint, bank: DonorBank | None) -> str:
    from gradcamo.files.labels import open_labels
    from gradcamo.files.stacks import read_stack
    from gradcamo.files.told import told
    from gradcamo.segmentation.planes import choose_channels

    settings = job.folder.settings
    try:
        stack = read_stack(job.row)
        _refuse(stack, job, checkpoint, bank)
        if job.labels:
            open_labels(job.labels, told(job.row, "labels_axes") or None)
        else:
            choose_channels(stack, settings.segment)
    except (GradcamoError, OSError) as error:
        return as_plates_say(str(error))
    return ""
