"""Threads beside the window, which never destroy a thing of Qt's."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable

JOB = "gradcamo-job"
_WORK: dict[threading.Thread, Callable[[], None]] = {}


def begin(work: Callable[[], None], name: str = JOB) -> threading.Thread:
    """Do this in a thread of its own, which Python waits for before it ends.

    Whoever lets go of an object last destroys it, and a window may have been closed meanwhile: what
    the work refers to is therefore kept until the thread is over, and let go of by `let_go`.
    """
    thread = threading.Thread(target=work, name=name)
    thread.start()
    _WORK[thread] = work
    return thread


def let_go() -> None:
    """Forget what threads that are over have worked with; for the GUI thread alone."""
    for thread in [thread for thread in tuple(_WORK) if not thread.is_alive()]:
        del _WORK[thread]


atexit.register(let_go)  # before Qt's application goes


def working(name: str = JOB) -> list[threading.Thread]:
    """The threads of this name that are not over yet."""
    return [thread for thread in threading.enumerate() if thread.name == name]
