"""Stacks on Dask: a local cluster sized to the machine, or any cluster by its address."""

from __future__ import annotations

import logging
import os
import re
import signal
import time
import uuid
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradcamo.errors import GradcamoError
from gradcamo.logs import log_warnings
from gradcamo.plate.tasks import Outcome, StackJob, audit_stack

if TYPE_CHECKING:
    from distributed import Client, Future
    from distributed.deploy import Cluster

GIB = 1 << 30
NETWORK_BYTES = 3 * GIB // 2
"""What a worker needs beside its stack: Python, PyTorch, a network, a batch."""
ANSWER_WITHIN_S = 15
LOST_AFTER_S = 20.0
NO_WORKER_AFTER_S = 600.0


class ClusterLostError(GradcamoError):
    """The scheduler went away, or no worker came."""


def local_workers(stack_bytes: int, wanted: int = 0, device: str = "auto") -> int:
    """How many processes this machine carries: one per GPU, else one per core that has memory.

    Parameters
    ----------
    stack_bytes : size of the largest stack in memory
    wanted : takes precedence where it is not 0
    device : as in the settings; on the CPU, GPUs do not count
    """
    import psutil

    if wanted:
        return wanted
    if gpus := gpu_devices(device):
        return len(gpus)
    fitting = psutil.virtual_memory().available // (NETWORK_BYTES + 3 * stack_bytes)
    return int(max(1, min(_cores(), fitting)))


def threads_each(workers: int, device: str = "auto") -> int:
    """Cores of each worker: one on the CPU; those that feed a GPU share all of them."""
    return max(1, _cores() // workers) if gpu_devices(device) else 1


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def cluster(
    scheduler: str | Cluster | None, workers: int, device: str = "auto"
) -> Iterator[Client]:
    """A client of the cluster at ``scheduler``, or of a local one that ends with the block.

    Raises
    ------
    ClusterLostError
        If nobody answers at the address, or no local worker starts.
    """
    with ExitStack() as stack:
        client = _remote(scheduler) if scheduler is not None else _local(workers, device, stack)
        stack.callback(_close, client, 5)
        yield client


@contextmanager
def certificates(
    scheduler: str | None, ca_file: Path | None, cert: Path | None, key: Path | None
) -> Iterator[None]:
    """Inside, clients of a scheduler at ``tls://…`` show these certificates, all three or none.

    Raises
    ------
    GradcamoError
        If one is missing, or the address is not of that kind.
    """
    import dask

    given = {"ca-file": ca_file, "client.cert": cert, "client.key": key}
    if not any(given.values()):
        yield
        return
    if not (scheduler or "").startswith("tls://"):
        raise GradcamoError(
            f"certificates are for a scheduler at tls://HOST:PORT, got {scheduler or 'none'}: give "
            "its address with --scheduler"
        )
    if lacking := [name for name, path in given.items() if not (path and path.is_file())]:
        flags = ", ".join(f"--tls-{name.removeprefix('client.')}" for name in lacking)
        raise GradcamoError(f"a scheduler with TLS wants three files; {flags}: no such file")
    with dask.config.set({f"distributed.comm.tls.{n}": str(path) for n, path in given.items()}):
        yield


def _remote(scheduler: str | Cluster) -> Client:
    from distributed import Client

    try:
        return Client(scheduler, timeout=ANSWER_WITHIN_S, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise ClusterLostError(
            f"no Dask scheduler answers at {scheduler} ({error}): start one with "
            "'dask scheduler', or leave the address out to run on this machine"
        ) from error


def _local(workers: int, device: str, stack: ExitStack) -> Client:
    import dask
    from distributed import Client, LocalCluster
    from distributed.security import Security

    limits = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    threads = dict.fromkeys(limits, str(threads_each(workers, device)))
    settings = {
        "distributed.nanny.pre-spawn-environ": threads,
        "distributed.worker.profile.enabled": False,  # its samples pile up, unseen
        # whoever may talk to a worker can run code as its user: nobody else can
        "distributed.scheduler.http.routes": [],
        "distributed.worker.http.routes": [],
    }
    # distributed leaves here what it sets for its workers
    stack.callback(_set_environment, {k: os.environ.get(k) for k in (*threads, "PYTHONHASHSEED")})
    try:
        with dask.config.set(settings), warnings.catch_warnings():
            # two runs at a time find ports of their own
            warnings.filterwarnings("ignore", r"(?s)\s*Port \d+ is already in use")
            local = LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                dashboard_address=None,
                protocol="tls://",
                security=Security.temporary(),  # keys of this run alone, never on disk
                silence_logs=logging.CRITICAL,
                memory_limit=None,  # few stacks are in flight, and a killed worker helps nobody
                resources={"GPU": 1} if gpu_devices(device) else None,
                preload=[__name__],
            )
        stack.callback(_close, local, 60)
        return Client(local, set_as_default=False)
    except (OSError, TimeoutError, RuntimeError) as error:
        raise ClusterLostError(
            f"no local workers could be started ({error}): close other programs, or use fewer "
            "--workers"
        ) from error


def dask_setup(_worker: Any) -> None:
    """What each local worker starts with: Ctrl-C is for the client, which ends its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    log_warnings(lambda *_, **__: None)  # the client says them


def _set_environment(values: dict[str, str | None]) -> None:
    for name, value in values.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


def _close(what: Any, timeout: int) -> None:
    # a machine too busy to end its processes in time must not spoil a run that is done
    with suppress(TimeoutError, OSError):
        what.close(timeout=timeout)


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


def own_gpu(gpus: list[str], worker: str) -> str | None:
    """The GPU of a worker: workers of one machine, numbered at the end of their names, share out.

    A worker that sees one GPU alone, as batch systems grant it, takes that.
    """
    if not gpus:
        return None
    number = re.search(r"\d+$", worker)
    return gpus[int(number[0]) % len(gpus) if number else 0]


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


def gpu_devices(device: str) -> list[str]:
    """The GPUs of this machine that a setting allows; none for the CPU."""
    import torch

    if device in ("auto", "cuda") and (found := torch.cuda.device_count()):
        return [f"cuda:{n}" for n in range(found)]
    if device == "auto":
        return ["mps"] if torch.backends.mps.is_available() else []
    return [] if device == "cpu" else [device]
