"""Workers that died, most often of memory: how it is known, and what is told of it."""

from __future__ import annotations

import errno
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

MORE_MEMORY = (
    "use fewer --workers, a smaller --audit-batch-size or --segment-batch-size, or a machine with "
    "more memory, and run the same command again"
)
_SAID = re.compile(r"killed by signal (\d+)|exited with status (\d+)")


class Deaths(logging.Handler):
    """How the last worker of this machine ended; of those elsewhere nothing is heard."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.last = ""

    def emit(self, record: logging.LogRecord) -> None:
        if found := _SAID.search(record.getMessage()):
            self.last = found[0]

    def __str__(self) -> str:
        if self.last == "killed by signal 9":
            return "its worker was killed (signal 9), as the system does where memory runs out"
        return f"its worker died ({self.last or 'nobody said how'}), most often of memory"


@contextmanager
def heard() -> Iterator[Deaths]:
    """Inside, ends of workers are heard: their nannies log them."""
    log, deaths = logging.getLogger("distributed.nanny"), Deaths()
    before = log.level
    log.addHandler(deaths)
    log.setLevel(logging.INFO)  # whatever the user wants to read of Dask
    try:
        yield deaths
    finally:
        log.removeHandler(deaths)
        log.setLevel(before)


def lacks_memory(error: BaseException | None) -> bool:
    """Whether an error, or what it came of, is that memory was not enough."""
    while error is not None:
        text = str(error)
        if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
            return True
        if isinstance(error, OSError) and error.errno == errno.ENOMEM:
            return True
        # PyTorch's own words on the CPU of Linux, and of Windows
        if isinstance(error, RuntimeError) and re.search(r"can't allocate|not enough memory", text):
            return True
        error = error.__cause__ or error.__context__
    return False
