"""A whole plate: every stack audited, wherever the workers are, and one table of it all.

Each stack lands as a file of its own; a run that was killed goes on with the stacks that miss.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from gradcamo.auditing.matching import refuse_other_spellings
from gradcamo.errors import GradcamoError
from gradcamo.files.landing import refuse_full
from gradcamo.files.links import as_named
from gradcamo.logs import hand_on
from gradcamo.plate.belonging import refuse_another_plate
from gradcamo.plate.checked_rows import open_plate
from gradcamo.plate.folder import PlateFolder, load_named
from gradcamo.plate.headers import refuse_misfit
from gradcamo.plate.jobs import largest, least_bytes, stack_jobs
from gradcamo.plate.lock import one_run
from gradcamo.plate.run_summary import PlateProgress, PlateSummary, write_summary
from gradcamo.plate.splits import known_splits
from gradcamo.plate.tasks import Outcome, StackJob
from gradcamo.progress import seconds_left
from gradcamo.settings import PlateSettings

if TYPE_CHECKING:
    from distributed.deploy import Cluster

    from gradcamo.causal.bank import DonorBank
    from gradcamo.networks.checkpoint import Checkpoint


def audit_plate(
    plate: str | Path | pd.DataFrame,
    checkpoint: str | Path | Checkpoint,
    out: str | Path,
    settings: PlateSettings | None = None,
    scheduler: str | Cluster | None = None,
    progress: Callable[[PlateProgress], Any] | None = None,
    bank: DonorBank | None = None,
) -> PlateSummary:
    """Audit every stack of a plate, whiten, lay out, measure confounding, write a report.

    Parameters
    ----------
    plate : path or DataFrame
        A CSV, an OME-Zarr plate or a folder of files, as `read_plate` takes them. Stacks without
        labels are segmented.
    checkpoint : path or Checkpoint
        The network to audit.
    out : path
        A folder: ``cells/`` one Parquet per stack, ``labels/``, ``cells.parquet``,
        ``profiles.h5ad``, ``confounding.csv``, ``cutoffs.csv``, ``figures/``, ``report.html``,
        ``summary.json``. Stacks that are there already, made from the same files by the same
        settings and checkpoint, are not computed again.
    settings : PlateSettings, optional
        What to do with each stack, and what to make of all.
    scheduler : Cluster or str, optional
        A Dask cluster, or the address of its scheduler, such as ``tcp://10.0.0.1:8786``. Its
        workers must see ``out`` and the images under the same paths. By default a local cluster is
        started and stopped.
    progress : callable, optional
        Called with a PlateProgress about once a second; an exception it raises stops the run, and
        what landed stays.
    bank : DonorBank, optional
        Donors for ``settings.causal``; by default those that the settings name, else those beside
        the checkpoint's file.

    Returns
    -------
    PlateSummary
        What the run came to; ``exit_status`` is 0 if every stack is in the table, and the
        table has cells.

    Raises
    ------
    GradcamoError
        If the plate or checkpoint cannot be read, no scheduler answers, or the folder cannot be
        written, or holds results of another plate. A stack that fails is named in the summary and
        stops nothing.

    Examples
    --------
    >>> import gradcamo as gc
    >>> settings = gc.PlateSettings(workers=1, umap_cells=0)
    >>> summary = gc.audit_plate("plate/plate.csv", "bundled", "results", settings)
    >>> summary.stacks, summary.exit_status
    (4, 0)
    >>> len(gc.read_table("results/cells.parquet")) == summary.cells
    True
    """
    steps = plate_steps(plate, checkpoint, out, settings, scheduler, bank)
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            return end.value
        if progress is not None:
            progress(step)


def plate_steps(
    plate: str | Path | pd.DataFrame,
    checkpoint: str | Path | Checkpoint,
    out: str | Path,
    settings: PlateSettings | None = None,
    scheduler: str | Cluster | None = None,
    bank: DonorBank | None = None,
) -> Generator[PlateProgress, None, PlateSummary]:
    """`audit_plate` step by step; its return value is the summary. Closing it stops the run."""
    from gradcamo.files.misfits import refuse_misfits
    from gradcamo.networks.resolve import as_checkpoint

    settings = settings or PlateSettings()
    rows = open_plate(plate, settings)
    refuse_another_plate(rows, out)
    refuse_misfits(rows)
    network = as_checkpoint(checkpoint, "an audit of a plate")
    refuse_other_spellings(rows, network, "the plate")
    if settings.causal and bank is None:
        bank = bank_of(checkpoint, settings)
    folder = open_folder(network, out, settings, bank)
    with one_run(folder.out):
        return (yield from _steps(rows, network, folder, scheduler, bank))


def _steps(
    rows: pd.DataFrame,
    network: Checkpoint,
    folder: PlateFolder,
    scheduler: str | Cluster | None,
    bank: DonorBank | None,
) -> Generator[PlateProgress, None, PlateSummary]:
    from gradcamo.plate.assemble import Assembled, finish
    from gradcamo.report.findings import NOT_DONE

    start = time.monotonic()
    settings = folder.settings
    jobs = stack_jobs(rows, folder)
    mended = _without_damage(jobs, folder)
    waiting = [job for job in jobs if not folder.landed(job.name, job.inputs)]
    outcomes: list[Outcome] = []
    trouble = ""
    refuse_full(folder.out, least_bytes(waiting, settings))
    if len(waiting) == len(jobs):
        refuse_misfit(waiting, network, bank)
    if waiting:
        room = bank.nbytes // 2 if bank is not None else 0
        trouble = yield from _compute(waiting, len(jobs), scheduler, settings, outcomes, room)
    failed = {outcome.name: outcome.reason for outcome in outcomes if outcome.reason}
    landed = [job.name for job in jobs if folder.landed(job.name, job.inputs)]
    missing = [job.name for job in jobs if job.name not in {*landed, *failed}]
    failed = {name: reason for name, reason in failed.items() if name not in landed}
    found = sum(outcome.cells for outcome in outcomes)
    yield PlateProgress(
        "whitening, map and report", len(landed) + len(failed), len(jobs), len(failed), found
    )
    made = Assembled(0, (), "")
    if landed:
        try:
            lacking = {**dict.fromkeys(missing, NOT_DONE), **failed}
            made = finish(rows, folder, landed, lacking)
        except GradcamoError as error:
            trouble = "; ".join(filter(None, [trouble, str(error)]))
    if not missing and not trouble:
        folder.sweep()
    summary = PlateSummary(
        out=folder.out,
        stacks=len(jobs),
        computed=sum(not outcome.reason for outcome in outcomes),
        failed=failed,
        missing=tuple(missing),
        cells=made.cells,
        seconds=time.monotonic() - start,
        trouble=trouble,
        cautions=made.cautions,
        causal=made.causal,
        mended=mended,
        aside=made.aside,
    )
    write_summary(summary)
    logging.getLogger("gradcamo.plate").info("%s", summary)
    return summary


def _without_damage(jobs: list[StackJob], folder: PlateFolder) -> tuple[str, ...]:
    """Remove files that do not hold what was written, so that they are made again; which."""
    damaged = [path for job in jobs for path in folder.damaged(job.name)]
    for path in damaged:
        logging.getLogger("gradcamo.plate").warning("%s was damaged: it is made again", path)
        path.unlink(missing_ok=True)
    return tuple(str(path.relative_to(folder.out)) for path in damaged)


def _compute(
    jobs: list[StackJob],
    total: int,
    scheduler: str | Cluster | None,
    settings: PlateSettings,
    outcomes: list[Outcome],
    room: int,
) -> Generator[PlateProgress, None, str]:
    """Run the jobs, adding to ``outcomes``; returns what stopped them early, if anything did.

    ``room`` is the memory that each worker needs beside stacks and network.
    """
    from gradcamo.plate.cluster import ClusterLostError, cluster, local_workers
    from gradcamo.plate.scheduling import run_jobs

    before, ends = total - len(jobs), []
    device = settings.audit.device
    workers = 0
    if scheduler is None:
        workers = min(len(jobs), local_workers(largest(jobs) + room, settings.workers, device))
    yield PlateProgress("starting workers", before, total)
    try:
        with cluster(scheduler, workers, device) as client:
            began = time.monotonic()
            for outcome in run_jobs(jobs, client, settings.retries):
                if outcome is not None:
                    outcomes.append(outcome)
                    _log(outcome)
                    ends.append(time.monotonic())
                    if outcome.cannot_write:
                        return outcome.reason
                at_once = workers or max(len({outcome.process for outcome in outcomes}), 1)
                yield PlateProgress(
                    "auditing",
                    before + len(outcomes),
                    total,
                    sum(bool(outcome.reason) for outcome in outcomes),
                    sum(outcome.cells for outcome in outcomes),
                    seconds_left(began, ends, at_once, len(jobs), time.monotonic()),
                )
    except ClusterLostError as error:
        if not outcomes and before == 0:
            raise
        return str(error)
    return ""


def _log(outcome: Outcome) -> None:
    hand_on(outcome.records, outcome.name)
    log = logging.getLogger("gradcamo.plate")
    if outcome.reason:
        log.error("%s: %s\n%s", outcome.name, outcome.reason, outcome.details)
    else:
        log.info("%s: %d cells", outcome.name, outcome.cells)


def open_folder(
    checkpoint: Checkpoint, out: str | Path, settings: PlateSettings, bank: DonorBank | None = None
) -> PlateFolder:
    """The folder of results, made if missing, with checkpoint and donors in it for the workers."""
    donors = bank.hash if bank is not None and settings.causal else ""
    folder = PlateFolder(as_named(out), checkpoint.hash, settings, donors)
    folder = replace(folder.with_layer(checkpoint), known=known_splits(checkpoint))
    if not _holds(folder.checkpoint, checkpoint.load, "network"):
        checkpoint.save(folder.checkpoint)
    if donors and bank and not _holds(folder.donors, bank.load, "donor bank"):
        bank.save(folder.donors)
    return folder


def _holds(path: Path, load: Callable[[Path], Any], what: str) -> bool:
    """Whether a file is there and is what its name says; what is not is said, and written anew."""
    if not path.is_file():
        return False
    try:
        load_named(path, load, what)
    except GradcamoError as error:
        logging.getLogger("gradcamo.plate").warning("written anew: %s", error)
        return False
    return True


def bank_of(checkpoint: str | Path | Checkpoint, settings: PlateSettings) -> DonorBank:
    """The donors that the settings name, else those beside the checkpoint's file.

    Raises
    ------
    GradcamoError
        If there are none.
    """
    from gradcamo.auditing.causal import find_bank

    if settings.donors is None and not isinstance(checkpoint, str | Path):
        raise GradcamoError(
            "causal attention needs a donor bank: name one (--donors); 'gradcamo donors' makes it"
        )
    return find_bank(settings.donors, checkpoint if isinstance(checkpoint, str | Path) else "")
