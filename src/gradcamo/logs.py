"""A record of what was said, warned of and went wrong, for a file that a user can send.

Each floor writes to the logger of its name (``gradcamo.auditing``, ``gradcamo.plate``, …). Nothing
of it is printed (`gradcamo.__init__`), since whoever shows a caution says it in its own place.
"""

from __future__ import annotations

import logging
import platform
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from gradcamo.errors import GradcamoError, GradcamoWarning

ROOT = logging.getLogger("gradcamo")
FORMAT = "%(asctime)s %(levelname)-7s %(name)s [%(process)d] %(message)s"
HERE = Path(__file__).parent


@contextmanager
def logged_to(path: str | Path) -> Iterator[None]:
    """Add all records of the block to a file, after those that stand there.

    Parameters
    ----------
    path : path of a text file

    Raises
    ------
    GradcamoError
        If it cannot be written.
    """
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(path, encoding="utf-8")
    except OSError as error:
        raise GradcamoError(
            f"the log {path} cannot be written ({error.strerror or error}): name another file"
        ) from error
    handler.setFormatter(logging.Formatter(FORMAT))
    handler.addFilter(_not_held)
    before = ROOT.level
    ROOT.addHandler(handler)
    ROOT.setLevel(logging.INFO)
    try:
        ROOT.info(
            "napari-gradcamo %s, Python %s, %s: %s",
            version("napari-gradcamo"),
            platform.python_version(),
            platform.platform(),
            " ".join(sys.argv[1:]),
        )
        yield
    finally:
        ROOT.removeHandler(handler)
        ROOT.setLevel(before)
        handler.close()


def unforeseen(error: BaseException, doing: str) -> str:
    """What a user is told of an error that nobody foresaw; its traceback is kept in a file.

    Parameters
    ----------
    error : what came
    doing : what was done, and with which files
    """
    from platformdirs import user_log_path

    text = str(error).strip().partition("\n")[0] or "no more is known"
    if isinstance(error, MemoryError):
        return f"{doing}: the memory of this machine was not enough ({text}); use smaller batches"
    said = f"{doing}: an error that was not foreseen ({type(error).__name__}: {text})"
    path = user_log_path("napari-gradcamo") / "errors.log"
    try:
        with logged_to(path):
            logging.getLogger("gradcamo").error("%s", said, exc_info=error)
    except GradcamoError:
        return f"{said}; please report it, --log keeps what led to it"
    return f"{said}; please report it with {path}, which tells what led to it"


def log_warnings(show: Callable[..., Any] | None = None) -> None:
    """From now on each `GradcamoWarning` is a record, too, every time that it is given.

    Parameters
    ----------
    show : what shows warnings, as `warnings.showwarning` does; by default what shows them now
    """
    if show is None and getattr(warnings.showwarning, "logs", False):
        return
    shown = show or warnings.showwarning

    def log_and_show(
        message: Any, category: type[Warning], filename: str, *rest: Any, **more: Any
    ) -> None:
        if issubclass(category, GradcamoWarning):
            logging.getLogger(_floor(filename)).warning("%s", message)
        shown(message, category, filename, *rest, **more)

    log_and_show.logs = True  # type: ignore[attr-defined]
    warnings.simplefilter("always", GradcamoWarning)
    warnings.showwarning = log_and_show


def _floor(filename: str) -> str:
    """The logger of the floor that a file stands on."""
    try:
        first = Path(filename).relative_to(HERE).parts[0]
    except ValueError:
        return "gradcamo"
    return f"gradcamo.{first.removesuffix('.py')}"


_holding: set[int] = set()  # threads whose records wait until they are handed on


def _not_held(record: logging.LogRecord) -> bool:
    return hasattr(record, "handed_on") or record.thread not in _holding


class _Collected(logging.Handler):
    """Keeps the records of one thread."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.thread = threading.get_ident()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self.thread and not hasattr(record, "handed_on"):
            record.msg, record.args = record.getMessage(), None  # whatever it was made of stays
            record.exc_info = None
            self.records.append(record)


@contextmanager
def collected() -> Iterator[list[logging.LogRecord]]:
    """The records that this thread gives in the block, for `hand_on`, perhaps elsewhere."""
    handler, before = _Collected(), ROOT.level
    ROOT.addHandler(handler)
    ROOT.setLevel(logging.INFO)
    _holding.add(handler.thread)
    try:
        yield handler.records
    finally:
        _holding.discard(handler.thread)
        ROOT.removeHandler(handler)
        ROOT.setLevel(before)


def hand_on(records: Iterable[logging.LogRecord], about: str) -> None:
    """Log what was collected, in another process perhaps, under its names, times and numbers."""
    for record in records:
        record.handed_on = True
        record.msg = f"{about}: {record.msg}"
        logging.getLogger(record.name).handle(record)
