"""One run per folder of results: a second one is told who works there."""

from __future__ import annotations

import getpass
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from gradcamo.errors import GradcamoError
from gradcamo.files.landing import landing

LOCK, WHO = ".run.lock", ".run.json"


@contextmanager
def one_run(out: Path) -> Iterator[None]:
    """Inside, no other run works in the folder ``out``.

    The system gives the lock back when a process ends, however it ends, so none is ever stale.

    Raises
    ------
    GradcamoError
        If another run holds the folder, with its user, machine, process and start.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(out / LOCK, timeout=0, thread_local=False)
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise GradcamoError(
            f"another run works in {out} ({_who(out / WHO)}): wait for it, end it, or choose "
            "another folder"
        ) from error
    except (OSError, NotImplementedError):
        pass  # no locks there, or no writing, which the run will say
    try:
        if lock.is_locked:
            with landing(out / WHO) as scratch:
                scratch.write_text(json.dumps(_me()), encoding="utf-8")
        yield
    finally:
        if lock.is_locked:
            for name in (WHO, LOCK):  # whoever waits with the latter open looks again
                with suppress(OSError):
                    (out / name).unlink()
            lock.release()


def _me() -> dict[str, str | int]:
    return {
        "user": getpass.getuser(),
        "host": socket.gethostname(),
        "process": os.getpid(),
        "start": datetime.now().astimezone().isoformat(timespec="seconds"),
    }


def _who(path: Path) -> str:
    try:
        who = json.loads(path.read_text(encoding="utf-8"))
        return f"of {who['user']} on {who['host']}, process {who['process']}, since {who['start']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "it has not said yet whose it is"
