"""What a stack of a plate takes, measured on a few of them: cells, seconds, bytes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from gradcamo.errors import GradcamoError
from gradcamo.plate.tasks import StackJob
from gradcamo.settings import PlateSettings

if TYPE_CHECKING:
    from gradcamo.cells.crops import CellCrops
    from gradcamo.datatypes import ZStack
    from gradcamo.networks.checkpoint import Checkpoint

SAMPLED = 3
"""Stacks that are looked into."""


@dataclass(frozen=True)
class StackCost:
    """One stack: its ``cells``, those of them that are ``whole``, and seconds."""

    cells: int
    whole: int
    read_s: float
    segment_s: float


def spread(jobs: Sequence[StackJob]) -> Sequence[StackJob]:
    """A few of the jobs, from all over the plate."""
    return jobs[:: max(1, ceil(len(jobs) / SAMPLED))]


def sample_stacks(
    jobs: Sequence[StackJob], checkpoint: Checkpoint, settings: PlateSettings, failing: list[str]
) -> tuple[list[StackCost], float]:
    """The cost of a few stacks, and the seconds that a whole cell takes on one worker.

    Cells of stacks without labels are those that Cellpose finds in the middle plane. What cannot
    be read is added to ``failing``.
    """
    from gradcamo.networks.threads import in_threads

    costs: list[StackCost] = []
    per_cell = 0.0
    with in_threads(1):  # as local workers do
        for job in spread(jobs):
            try:
                cost, crops = _look_into(job, checkpoint, settings)
            except (GradcamoError, OSError) as error:
                failing.append(f"{job.name} would fail: {error}")
                continue
            costs.append(cost)
            if not per_cell and cost.whole:
                per_cell = _seconds_per_cell(crops, checkpoint, settings)
    return costs, per_cell


def _look_into(
    job: StackJob, checkpoint: Checkpoint, settings: PlateSettings
) -> tuple[StackCost, CellCrops]:
    from gradcamo.auditing.matching import fitting_stack
    from gradcamo.cells.crops import CellCrops
    from gradcamo.files.labels import read_labels
    from gradcamo.files.stacks import read_stack

    start = time.monotonic()
    stack = read_stack(job.row)
    chosen = fitting_stack(stack, checkpoint, settings.audit)
    read_s, segment_s = time.monotonic() - start, 0.0
    if job.labels:
        labels = read_labels(job.row, like=stack)
    else:
        plane, each = _middle_plane(stack, settings)
        labels, segment_s = np.broadcast_to(plane, stack.shape[1:]), each * stack.shape[1]
    crops = CellCrops(chosen, labels, checkpoint.crop)
    return StackCost(len(crops), int(crops.scorable.sum()), read_s, segment_s), crops


def _middle_plane(stack: ZStack, settings: PlateSettings) -> tuple[np.ndarray, float]:
    """Masks of the middle plane, and the seconds that Cellpose took over it, once warm."""
    from gradcamo.segmentation.planes import segment_planes

    middle = stack.shape[1] // 2
    planes = replace(stack, data=stack.data[:, max(0, middle - 1) : middle + 1])
    start = time.monotonic()
    for found in segment_planes(planes, settings.segment):
        masks, seconds = found.masks, time.monotonic() - start
        start = time.monotonic()
    return masks, seconds


def _seconds_per_cell(crops: CellCrops, checkpoint: Checkpoint, settings: PlateSettings) -> float:
    """Three batches of real cells, cut and explained; two warm up, which a GPU records."""
    from gradcamo.networks.infer import explain, usual_batch_size
    from gradcamo.networks.preprocess import choose_device

    audit = settings.audit
    size = audit.batch_size or usual_batch_size(choose_device(audit.device))
    whole = np.flatnonzero(crops.scorable).tolist()
    cells = (crops[i] for i in islice(cycle(whole), 3 * size))
    batches = explain(
        cells,
        checkpoint,
        (audit.layer or checkpoint.layer,),
        alignment=audit.alignment,
        batch_size=size,
        device=audit.device,
        gradients=audit.gradients,
    )
    next(batches)
    next(batches)
    start = time.monotonic()
    seen = next(batches)
    return (time.monotonic() - start) / len(seen[0].labels)
