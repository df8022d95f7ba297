"""Stacks in flight: handed to workers, asked for again where one died, taken back as they end."""

from __future__ import annotations

import time
import uuid
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

from gradcamo.logs import log_warnings
from gradcamo.plate.cluster import ClusterLostError, gpu_devices, own_gpu
from gradcamo.plate.deaths import MORE_MEMORY, Deaths, heard
from gradcamo.plate.tasks import Outcome, StackJob, audit_stack

if TYPE_CHECKING:
    from distributed import Client, Future

LOST_AFTER_S = 20.0
NO_WORKER_AFTER_S = 600.0


class _Turn(NamedTuple):
    """A stack that waits or runs: attempts left, and whether nothing may run beside it."""

    job: StackJob
    left: int
    alone: bool = False


def run_jobs(
    jobs: Sequence[StackJob], client: Client, retries: int = 1
) -> Iterator[Outcome | None]:
    """Audit stacks, at most two per worker thread in flight; outcomes come as they are done.

    None comes about once a second, a moment to show progress or to stop. A stack that failed is
    tried again at the end; what it then says is its outcome. Where memory was not enough, or the
    worker died, it is tried ``1 + retries`` times at the end, with nothing else running.

    Raises
    ------
    ClusterLostError
        If the scheduler is away for 20 s, or no worker could take a stack for ten minutes.
    """
    queue = deque(_Turn(job, retries) for job in jobs)
    pending: dict[Future, _Turn] = {}
    lost_since = idle_since = None
    with ExitStack() as stack:
        deaths = stack.enter_context(heard())
        stack.callback(pending.clear)  # what nobody waits for any more is not begun
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
                    "the Dask scheduler had no worker for ten minutes, or paused them all for "
                    "their memory: what landed is kept, start workers (with --memory-limit 0) and "
                    "run the same command to go on"
                )
            while _may_start(queue, pending, 2 * threads) and client.status == "running":
                turn = queue.popleft()
                if turn.job.folder.landed(turn.job.name, turn.job.inputs):  # its worker died then
                    yield Outcome(turn.job.name)
                    continue
                deaths.last = ""
                if (future := _submit(client, turn.job, gpu)) is None:
                    queue.appendleft(turn)
                else:
                    pending[future] = turn
            for future in _some_done(pending):
                turn = pending.pop(future)
                outcome = _outcome(future, turn.job, deaths)
                if outcome is None:
                    queue.appendleft(turn)
                elif outcome.no_memory and not turn.alone:  # perhaps others took it
                    queue.append(turn._replace(alone=True))
                elif outcome.reason and turn.left and not outcome.cannot_write:
                    queue.append(turn._replace(left=turn.left - 1))
                else:
                    yield outcome
            yield None


def _may_start(queue: deque[_Turn], pending: dict[Future, _Turn], room: int) -> bool:
    """Whether the next stack may be handed out; one that is to be alone waits for all others."""
    if not queue or any(turn.alone for turn in pending.values()):
        return False
    return len(pending) < (min(1, room) if queue[0].alone else room)


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


def _outcome(future: Future, job: StackJob, deaths: Deaths) -> Outcome | None:
    """The outcome of a future that ended; None if it was lost and must be asked for again."""
    from distributed import KilledWorker

    if future.status == "finished":
        try:
            result: Outcome = future.result(timeout=30)
        except Exception:  # the worker died with the result; the file tells whether it landed
            return None
        return result
    if future.status in ("lost", "cancelled"):
        return None
    error = future.exception(timeout=30)
    if isinstance(error, KilledWorker):
        reason = f"{deaths}, though no other stack ran beside it: {MORE_MEMORY}"
        return Outcome(job.name, reason=reason, details=str(error), no_memory=True)
    return Outcome(
        job.name,
        reason=f"its worker could not run it ({type(error).__name__}: {error}): workers need this "
        "package in the same version",
        details=str(error),
    )


def _capacity(client: Client) -> tuple[int, bool]:
    """Threads of all workers that are not stuck, or of those with a GPU where some have one."""
    identity = client.sync(client.scheduler.identity, n_workers=-1, callback_timeout=10)
    workers = [worker for worker in identity["workers"].values() if not _stuck(worker)]
    tagged = [worker for worker in workers if worker.get("resources", {}).get("GPU")]
    return sum(worker["nthreads"] for worker in tagged or workers), bool(tagged)


def _stuck(worker: Mapping[str, Any]) -> bool:
    """Whether Dask paused a worker, for its memory, that runs nothing which could free it."""
    running = worker.get("metrics", {}).get("task_counts", {}).get("executing")
    return worker.get("status") == "paused" and not running
