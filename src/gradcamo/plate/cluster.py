"""Stacks on Dask: a local cluster sized to the machine, or any cluster by its address."""

from __future__ import annotations

import logging
import os
import re
import signal
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradcamo.errors import GradcamoError
from gradcamo.logs import log_warnings

if TYPE_CHECKING:
    from distributed import Client
    from distributed.deploy import Cluster

GIB = 1 << 30
NETWORK_BYTES = 3 * GIB // 2
"""What a worker needs beside its stack: Python, PyTorch, a network, a batch."""
ANSWER_WITHIN_S = 15


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
        "distributed.scheduler.allowed-failures": 0,  # a stack that killed its worker waits
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


def own_gpu(gpus: list[str], worker: str) -> str | None:
    """The GPU of a worker: workers of one machine, numbered at the end of their names, share out.

    A worker that sees one GPU alone, as batch systems grant it, takes that.
    """
    if not gpus:
        return None
    number = re.search(r"\d+$", worker)
    return gpus[int(number[0]) % len(gpus) if number else 0]


def gpu_devices(device: str) -> list[str]:
    """The GPUs of this machine that a setting allows; none for the CPU."""
    import torch

    if device in ("auto", "cuda") and (found := torch.cuda.device_count()):
        return [f"cuda:{n}" for n in range(found)]
    if device == "auto":
        return ["mps"] if torch.backends.mps.is_available() else []
    return [] if device == "cpu" else [device]
