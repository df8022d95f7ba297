"""What a run over a plate would do, before it does it."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from gradcamo.errors import GradcamoError
from gradcamo.plate.folder import PlateFolder
from gradcamo.plate.run import open_checkpoint, open_plate, stack_jobs
from gradcamo.plate.tasks import StackJob
from gradcamo.settings import PlateSettings

if TYPE_CHECKING:
    from gradcamo.networks.checkpoint import Checkpoint

SAMPLED = 3
PICTURE_BYTES = 4_000
ROW_BYTES = 200


@dataclass(frozen=True)
class PlatePlan:
    """What is to do, and about what it takes.

    ``cells`` is None where no labels tell; ``minutes`` is for ``workers`` on this machine, and
    None where cells are unknown. ``notes`` say where the figures come from.
    """

    stacks: int
    landed: int
    to_segment: int
    cells: int | None
    bytes_read: int
    bytes_written: int
    minutes: float | None
    workers: int
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        to_do = self.stacks - self.landed
        lines = [
            f"{self.stacks} stacks: {self.landed} are there already, {to_do} to audit, "
            f"{self.to_segment} of them to segment first",
            f"cells to audit: {'unknown' if self.cells is None else f'about {self.cells:,}'}",
            f"to read {_size(self.bytes_read)}, to write about {_size(self.bytes_written)}",
        ]
        if self.minutes is not None:
            lines.append(f"about {_time(self.minutes)} with {self.workers} local worker(s)")
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


def plan_plate(
    plate: str | Path | pd.DataFrame,
    checkpoint: str | Path | Checkpoint,
    out: str | Path,
    settings: PlateSettings | None = None,
) -> PlatePlan:
    """Say what `audit_plate` would do (a dry run): nothing is written.

    Cells are counted in the labels of a few stacks, the network is timed on one batch, Cellpose
    on a few planes.

    Raises
    ------
    GradcamoError
        If the plate or the checkpoint cannot be read.
    """
    from gradcamo.plate.cluster import local_workers

    settings = settings or PlateSettings()
    network = open_checkpoint(checkpoint)
    folder = PlateFolder(Path(out).absolute(), network.hash, settings).with_layer(network)
    jobs = stack_jobs(open_plate(plate, settings), folder)
    left = [job for job in jobs if not folder.landed(job.name, job.inputs)]
    to_segment = sum(job.labels is None for job in left)
    notes: list[str] = []
    counts, voxels = _sampled([job for job in left if job.labels], notes)
    if not counts:
        counts = _counted_before([job for job in jobs if job not in left], folder)
    cells = round(float(np.mean(counts)) * len(left)) if counts else (None if left else 0)
    workers = min(
        len(left) or 1,
        local_workers(max(voxels, default=0) * 2, settings.workers, settings.audit.device),
    )
    minutes = None
    if cells is not None:
        each = _seconds_per_cell(network, settings) if left else 0.0
        seconds = each * cells
        if to_segment:
            seconds += to_segment * _seconds_to_segment(left, settings)
        if left:
            notes.append(f"one cell takes {each * 1000:.0f} ms here, measured on one batch")
        minutes = seconds / workers / 60
    features = network.layers[folder.settings.audit.layer or network.layer].channels
    written = (cells or 0) * (4 * features + ROW_BYTES) * 3  # per stack, and twice as a whole
    written += len(left) * settings.thumbnails * PICTURE_BYTES
    return PlatePlan(
        stacks=len(jobs),
        landed=len(jobs) - len(left),
        to_segment=to_segment,
        cells=cells,
        bytes_read=sum(_bytes(Path(job.image)) for job in left),
        bytes_written=written,
        minutes=minutes,
        workers=workers,
        notes=tuple(notes),
    )


def _sampled(jobs: list[StackJob], notes: list[str]) -> tuple[list[int], list[int]]:
    """Cells and voxels (of all channels) of a few stacks that have labels."""
    from gradcamo.files.stacks import read_labels, read_stack

    counts, voxels = [], []
    chosen = jobs[:: max(1, ceil(len(jobs) / SAMPLED))]
    for job in chosen:
        try:
            labels = read_labels(str(job.labels))
            voxels.append(int(np.prod(read_stack(job.image).shape)))
        except (GradcamoError, OSError) as error:
            notes.append(f"{job.name} cannot be read and would fail: {error}")
            continue
        counts.append(np.count_nonzero(np.unique(labels)))
    if counts and len(counts) < len(jobs):
        notes.append(f"cells were counted in {len(counts)} of {len(jobs)} labelled stacks")
    return counts, voxels


def _counted_before(jobs: list[StackJob], folder: PlateFolder) -> list[int]:
    """Cells of stacks that are there already."""
    import pyarrow.parquet as pq

    return [pq.read_metadata(folder.cells(job.name)).num_rows for job in jobs]


def _seconds_per_cell(checkpoint: Checkpoint, settings: PlateSettings) -> float:
    """Time of one batch of noise, the second of two: the first one warms up."""
    from gradcamo.networks.infer import explain
    from gradcamo.types import CellCrop

    rng = np.random.default_rng(0)
    audit = settings.audit
    planes = checkpoint.input_size[0] if len(checkpoint.input_size) == 3 else 1
    shape = (planes, *checkpoint.crop.size_yx)
    image = rng.random((len(checkpoint.channels), *shape), np.float32)
    labels = np.zeros(shape, np.int32)
    labels[..., shape[1] // 3 : shape[1] // 2, shape[2] // 3 : shape[2] // 2] = 1
    crop = CellCrop(1, image, labels, (0, 0, 0), False)
    n = audit.batch_size
    batches = explain(
        itertools.repeat(crop, 2 * n),
        checkpoint,
        (audit.layer or checkpoint.layer,),
        alignment=audit.alignment,
        batch_size=n,
        device=audit.device,
    )
    next(batches)
    start = time.monotonic()
    next(batches)
    return (time.monotonic() - start) / n


def _seconds_to_segment(jobs: list[StackJob], settings: PlateSettings) -> float:
    """Time of one plane of the first stack that opens, times its planes."""
    from gradcamo.files.stacks import read_stack
    from gradcamo.segmentation.planes import segment_planes

    for job in jobs:
        if job.labels is None:
            try:
                planes = segment_planes(read_stack(job.image), settings.segment)
                total = next(planes).total
                start = time.monotonic()
                next(planes, None)
            except (GradcamoError, OSError):
                continue
            return (time.monotonic() - start) * total
    return 0.0


def _bytes(path: Path) -> int:
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size if path.is_file() else 0


def _size(n: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if n < 1000:
            return f"{n:.0f} {unit}" if unit == "bytes" else f"{n:.1f} {unit}"
        n /= 1000
    return f"{n:.1f} TB"


def _time(minutes: float) -> str:
    if minutes < 1:
        return "a minute"
    return f"{minutes:.0f} minutes" if minutes < 90 else f"{minutes / 60:.1f} hours"
