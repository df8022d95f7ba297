"""Stacks in flight: handed to workers, asked for again where one died, taken back as they end."""

from __future__ import annotations

import time
import uuid
from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from gradcamo.logs import log_warnings
from gradcamo.plate.cluster import ClusterLostError, gpu_devices, own_gpu
from gradcamo.plate.tasks import Outcome, StackJob, audit_stack

if TYPE_CHECKING:
    from distributed import Client, Future

LOST_AFTER_S = 20.0
NO_WORKER_AFTER_S = 600.0


def run_jobs(
    jobs: Sequence[StackJob], client: Client, retries: int = 1
) -> Iterator[Outcome | None]:
    """Audit stacks, at most two per worker thread in flight; outcomes come as they are done.

    None comes about once a second, a moment to show progress or to stop. A stack that failed is
    tried again at the end; what it then says is its outcome.

    Raises
    ------
    ClusterLostError
        If the scheduler is away for 20 s, or there was no worker for ten minutes.
    """
    queue = deque((job, retries) for job in jobs)
    pending: dict[Future, tuple[StackJob, int]] = {}
    lost_since = idle_since = None
    try:
        while queue or pending:
            if client.status != "running":
                lost_since = lost_since or time.monotonic()
                if time.monotonic() - lost_since > LOST_AFTER_S:
                    raise ClusterLostError(
                        "the Dask scheduler went away: what landed is kept, start it again and "
                        "run the same command to go on"
                    )
                queue.extendleft(pending.values())  # a scheduler that comes back knows nothing
                pending.clear()
                time.sleep(0.5)
                yield None
                continue
            lost_since = None
            try:
                threads, gpu = _capacity(client)
            except (OSError, TimeoutError):
                time.sleep(0.5)
                yield None
                continue
            idle_since = None if threads else idle_since or time.monotonic()
            if idle_since and time.monotonic() - idle_since > NO_WORKER_AFTER_S:
                raise ClusterLostError(
                    "the Dask scheduler had no worker for ten minutes: what landed is kept, start "
                    "workers and run the same command to go on"
                )
            while queue and len(pending) < 2 * threads and client.status == "running":
                job, left = queue.popleft()
                if job.folder.landed(job.name, job.inputs):  # its worker died just after
                    yield Outcome(job.name)
                elif (future := _submit(client, job, gpu)) is None:
                    queue.appendleft((job, left))
                else:
                    pending[future] = job, left
            for future in _some_done(pending):
                job, left = pending.pop(future)
                outcome = _outcome(future, job)
                if outcome is None:
                    queue.appendleft((job, left))
                elif outcome.reason and left and not outcome.cannot_write:
                    queue.append((job, left - 1))
                else:
                    yield outcome
            yield None
    finally:
        pending.clear()  # what nobody waits for any more is not begun


def _on_worker(job: StackJob) -> Outcome:
    """`audit_stack` on this worker's device: one process, one GPU."""
    import dask
    from distributed import get_worker

    log_warnings()
    gpus = gpu_devices(job.folder.settings.audit.device)
    # else planes are read through the cluster, and while a task waits for them another one starts
    with dask.config.set(scheduler="synchronous"):
        return audit_stack(job, own_gpu(gpus, str(get_worker().name)))


def _submit(client: Client, job: StackJob, gpu: bool) -> Future | None:
    """The future of a stack; None if the scheduler has just gone."""
    try:
        return client.submit(
            _on_worker,
            job,
            key=f"{job.name}-{uuid.uuid4().hex[:8]}",
            resources={"GPU": 1} if gpu else None,
            pure=False,
        )
    except Exception:
        if client.status == "running":
            raise
        return None


def _some_done(pending: dict[Future, Any]) -> list[Future]:
    """Futures that ended, looking for up to a second; asks nobody, so nobody can hold it up."""
    for _ in range(10):
        if ended := [future for future in pending if future.status != "pending"]:
            return ended
        time.sleep(0.1)
    return []


def _outcome(future: Future, job: StackJob) -> Outcome | None:
    """The outcome of a future that ended; None if it was lost and must be asked for again."""
    if future.status == "finished":
        try:
            result: Outcome = future.result(timeout=30)
        except Exception:  # the worker died with the result; the file tells whether it landed
            return None
        return result
    if future.status in ("lost", "cancelled"):
        return None
    error = future.exception(timeout=30)
    return Outcome(
        job.name,
        reason=f"its worker died or could not run it ({type(error).__name__}): often the memory "
        "was too small; use fewer workers",
        details=str(error),
    )


def _capacity(client: Client) -> tuple[int, bool]:
    """Threads of all workers, or of those with a GPU where some have one."""
    identity = client.sync(client.scheduler.identity, n_workers=-1, callback_timeout=10)
    workers = identity["workers"].values()
    tagged = [worker for worker in workers if worker.get("resources", {}).get("GPU")]
    return sum(worker["nthreads"] for worker in tagged or workers), bool(tagged)
