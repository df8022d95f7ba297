"""How long work tells how far it is, and how it is asked to end."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import NamedTuple, TypeVar

from gradcamo.errors import GradcamoError

Result = TypeVar("Result")


def result_of(steps: Generator[object, None, Result]) -> Result:
    """Run steps to their end, for what they return."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def seconds_left(
    began: float, ended: Sequence[float], at_once: int, total: int, now: float
) -> float | None:
    """How long work takes yet whose parts are done several at once; None before one is done.

    It is what parts took on average, but for the first ones, which wait for imports; and less as
    time passes, until the next part is due.

    Parameters
    ----------
    began : when the first parts were begun, in s
    ended : when each part that is done was, ascending, in s
    at_once : how many are worked on at a time
    total : how many there are
    now : in s

    Examples
    --------
    >>> [seconds_left(0, [70, 100], 1, 5, now) for now in (100, 110, 150)]
    [90.0, 80.0, 60.0]
    """
    if not ended:
        return None
    starts = [*[began] * at_once, *ended]  # a part begins where another one ends
    took = [end - start for start, end in zip(starts, ended, strict=False)]
    usual = took[at_once:] or took
    each = sum(usual) / len(usual) / at_once
    left = total - len(ended)
    return max(left * each - (now - ended[-1]), (left - 1) * each, 0.0)


class EpochResult(NamedTuple):
    """One epoch (from 1 on): mean losses, and shares of cells that were classified correctly.

    Training values are those of the augmented cells while the weights change; ``train_grad_camo``
    is there where Grad-CAMO is part of the loss.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float
    train_grad_camo: float | None = None


class TrainingProgress(NamedTuple):
    """How far a training is.

    ``stage`` is reading, statistics, training, validation, testing or donors; ``done`` of ``total``
    steps of it are done (batches while training), and ``batches_done`` of at most ``batches`` in
    all epochs. ``loss`` is the last batch's, ``history`` holds the epochs that ended, ``note`` says
    what the user should know.
    """

    stage: str
    done: int
    total: int
    epoch: int = 0
    epochs: int = 0
    loss: float | None = None
    history: tuple[EpochResult, ...] = ()
    note: str = ""
    batches_done: int = 0
    batches: int = 0


class StoppedEarly(GradcamoError):
    """Stopped before there was anything to keep."""

    def __init__(self) -> None:
        super().__init__(
            "the training was stopped before its first epoch ended: there is nothing to keep"
        )


class Watch:
    """Who is told how far a training is, and who may end it; by default nobody."""

    def __init__(
        self,
        progress: Callable[[TrainingProgress], None] | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> None:
        self._progress, self._stop = progress, stop

    def tell(self, event: TrainingProgress) -> None:
        if self._progress is not None:
            self._progress(event)

    def stopped(self) -> bool:
        return self._stop is not None and self._stop()

    def stage(self, name: str) -> Callable[[int, int], None]:
        """Progress of a stage before the first epoch, as a function of (done, total)."""

        def report(done: int, total: int) -> None:
            self.tell(TrainingProgress(name, done, total))
            if self.stopped():
                raise StoppedEarly

        return report
