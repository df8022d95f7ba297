"""What a run over a plate would do, before it does it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from gradcamo.auditing.causal import passes
from gradcamo.auditing.matching import refuse_other_spellings
from gradcamo.files.landing import refuse_full
from gradcamo.files.links import as_named
from gradcamo.files.misfits import refuse_found
from gradcamo.plate.belonging import refuse_another_plate
from gradcamo.plate.checked_rows import open_plate
from gradcamo.plate.estimate import sample_stacks
from gradcamo.plate.folder import PlateFolder
from gradcamo.plate.headers import look_at
from gradcamo.plate.jobs import PICTURE_BYTES, REPORT_BYTES, least_bytes, stack_jobs
from gradcamo.plate.run import bank_of
from gradcamo.plate.run_summary import PlateProgress, counting
from gradcamo.plate.tasks import StackJob
from gradcamo.settings import PlateSettings

if TYPE_CHECKING:
    from gradcamo.causal.bank import DonorBank
    from gradcamo.networks.checkpoint import Checkpoint

START_S = 10.0
FINISH_S, FINISH_S_PER_CELL = 10.0, 0.0015
UMAP_S, UMAP_S_PER_CELL = 20.0, 0.001
"""What is not measured for this plate: see "How it scales" in docs/plates.md."""
ROW_BYTES = 200
SHOWN = 20
"""Stacks that would fail, named on the terminal."""
LABELS_SHARE = 0.02
"""Of the bytes of an image: what its compressed labels take."""


@dataclass(frozen=True)
class PlatePlan:
    """What is to do, and about what it takes.

    ``cells`` is None where no stack could be looked into. ``seconds`` says what each part of the
    run takes with ``workers`` on this machine; it is empty where cells are unknown. ``notes`` say
    where the figures come from, ``failing`` which stacks would fail, and why.
    """

    stacks: int
    landed: int
    to_segment: int
    cells: int | None
    bytes_read: int
    bytes_written: int
    seconds: Mapping[str, float]
    workers: int
    notes: tuple[str, ...] = ()
    failing: tuple[str, ...] = ()

    @property
    def exit_status(self) -> int:
        """0, or 1 if a stack would fail, as a run that misses one has it."""
        return int(bool(self.failing))

    def __str__(self) -> str:
        to_do = self.stacks - self.landed
        failing = list(self.failing[:SHOWN])
        if more := len(self.failing) - len(failing):
            failing.append(f"{more:,} more stacks would fail")
        lines = [
            f"{self.stacks} stacks: {self.landed} are there already, {to_do} to audit, "
            f"{self.to_segment} of them to segment first",
            f"cells to audit: {'unknown' if self.cells is None else f'about {self.cells:,}'}",
            f"to read {_size(self.bytes_read)}, to write about {_size(self.bytes_written)}",
        ]
        if self.seconds:
            parts = ", ".join(f"{_time(s)} for {part}" for part, s in self.seconds.items())
            whole = _time(sum(self.seconds.values()))
            lines.append(f"about {whole} with {self.workers} local worker(s): {parts}")
        return "\n".join([*lines, *(f"note: {note}" for note in (*failing, *self.notes))])


def plan_plate(
    plate: str | Path | pd.DataFrame,
    checkpoint: str | Path | Checkpoint,
    out: str | Path,
    settings: PlateSettings | None = None,
    bank: DonorBank | None = None,
    progress: Callable[[PlateProgress], Any] | None = None,
) -> PlatePlan:
    """Say what `audit_plate` would do (a dry run): nothing is written.

    All stacks that are to do are opened, so that what a run would refuse of their headers is told.
    A few are looked into: cells are counted in their labels, or in the middle plane after Cellpose
    where they have none; the network is timed on a batch of real cells, Cellpose on a plane.
    ``progress`` is called with a PlateProgress as `audit_plate` does.

    Raises
    ------
    GradcamoError
        If the plate or the checkpoint cannot be read, or the folder holds results of another plate.
    """
    from gradcamo.networks.resolve import as_checkpoint
    from gradcamo.plate.cluster import local_workers

    settings = settings or PlateSettings()
    network = as_checkpoint(checkpoint, "a plan of a plate")
    if settings.causal and bank is None:
        bank = bank_of(checkpoint, settings)
    donors = bank.hash if bank and settings.causal else ""
    folder = PlateFolder(as_named(out), network.hash, settings, donors).with_layer(network)
    rows = open_plate(plate, settings)
    refuse_another_plate(rows, out)
    refuse_other_spellings(rows, network, "the plate")
    jobs = stack_jobs(rows, folder)
    places = [i for i, job in enumerate(jobs) if not folder.landed(job.name, job.inputs)]
    left = [jobs[i] for i in places]
    refuse_full(folder.out, least_bytes(left, settings))
    start = time.monotonic()
    opening = counting("opening", progress)
    headers = look_at(rows.iloc[places], left, network, opening, bank)
    refuse_found(header.misfit for header in headers)
    bad = {job.name: it.refused for job, it in zip(left, headers, strict=True) if it.refused}
    failing = [f"{name} would fail: {said}" for name, said in bad.items()]
    sound = [job for job in left if job.name not in bad]
    unlabelled = [job for job in left if job.labels is None]
    notes = [f"all {len(left):,} stacks opened, in {_time(time.monotonic() - start)}"] * bool(left)
    cells, seconds, swaps = 0.0, 0.0, 0.0
    known = not left
    for part in ([job for job in sound if job.labels], [job for job in sound if not job.labels]):
        costs, per_cell = sample_stacks(part, network, settings, failing)
        if costs:
            mean = pd.DataFrame(costs).mean()
            cells += len(part) * mean["cells"]
            seconds += len(part) * (mean["read_s"] + mean["segment_s"] + mean["whole"] * per_cell)
            asked = sum(_asked(job, mean["whole"]) for job in part)
            swaps += asked
            seconds += asked * passes(settings.draws) * per_cell
            notes.append(_measured(len(costs), len(part), mean, per_cell, not part[0].labels))
            known = True
    if swaps:
        notes.append(
            f"about {swaps:,.0f} whole cells are asked causally, {passes(settings.draws)} passes "
            "each"
        )
    room = max((header.bytes_held for header in headers), default=0)
    room += bank.nbytes // 2 if bank else 0
    workers = min(len(left) or 1, local_workers(room, settings.workers, settings.audit.device))
    read = sum(job.image_bytes for job in left)
    features = network.layers[folder.settings.audit.layer or network.layer].channels
    written = cells * (4 * features + ROW_BYTES) * 3  # per stack, and twice as a whole
    written += len(left) * settings.thumbnails * PICTURE_BYTES + REPORT_BYTES
    written += LABELS_SHARE * sum(job.image_bytes for job in unlabelled)
    return PlatePlan(
        stacks=len(jobs),
        landed=len(jobs) - len(left),
        to_segment=len(unlabelled),
        cells=round(cells) if known else None,
        bytes_read=read,
        bytes_written=round(written),
        seconds=_parts(seconds, cells, workers, settings) if known else {},
        workers=workers,
        notes=tuple(notes),
        failing=tuple(failing),
    )


def _asked(job: StackJob, whole: float) -> float:
    """How many of a stack's whole cells are asked causally."""
    return whole if job.causal_cells is None else min(whole, job.causal_cells)


def _parts(audit_s: float, cells: float, workers: int, settings: PlateSettings) -> dict[str, float]:
    """Seconds of each part of a run; ``audit_s`` is for one worker."""
    finish = FINISH_S + FINISH_S_PER_CELL * cells
    if settings.umap_cells:
        finish += UMAP_S + UMAP_S_PER_CELL * min(cells, settings.umap_cells)
    start = {"the start of workers": START_S, "stacks": audit_s / workers} if audit_s else {}
    return {**start, "whitening, map and report": finish}


def _measured(looked: int, of: int, mean: pd.Series, per_cell: float, segmented: bool) -> str:
    """Where the figures of one kind of stack come from."""
    where = "the middle plane after Cellpose" if segmented else "their labels"
    said = (
        f"{looked} of {of} stacks {'without' if segmented else 'with'} labels looked into: about "
        f"{mean['cells']:.0f} cells by {where}, {mean['whole']:.0f} of them whole; a whole cell "
        f"takes {1000 * per_cell:.0f} ms of one worker"
    )
    return said + (f", Cellpose {mean['segment_s']:.0f} s per stack" if segmented else "")


def _size(n: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if n < 1000:
            return f"{n:.0f} {unit}" if unit == "bytes" else f"{n:.1f} {unit}"
        n /= 1000
    return f"{n:.1f} TB"


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
