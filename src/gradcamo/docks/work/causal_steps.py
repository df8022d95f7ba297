"""What asking cells causally brings, step by step, in a thread: how far it is, answers, its end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from gradcamo.docks.parts.threads import begin
from gradcamo.docks.parts.worker import Job
from gradcamo.settings import AuditSettings, SwapSettings

if TYPE_CHECKING:
    from gradcamo.causal.bank import DonorBank
    from gradcamo.cells.crops import CellCrops
    from gradcamo.networks.checkpoint import Checkpoint

T = TypeVar("T")

AT_ONCE = 4  # crops of a batch: on a processor, between two of which one waits for a cancel
OFTEN = 0.1  # seconds between two words on how far it is


class Told(NamedTuple):
    """How far the work is: so many of so many (0: not known) of what is named."""

    text: str
    done: int
    total: int


class Asked(NamedTuple):
    """Cells that were asked, of labels as they were (``version``), and how."""

    batch: Any
    version: int
    recipe: dict[str, Any]


class Audited(NamedTuple):
    """Cells that had no score yet, and how they were scored."""

    batch: Any
    version: int
    recipe: dict[str, Any]
    settings: AuditSettings


class Stopped(Exception):
    """Nobody waits for the rest any more."""


class Teller:
    """Says from within the work how far it is; ends it where it was cancelled."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self._last = 0.0

    def __call__(self, text: str, done: int, total: int) -> None:
        """Say that so many of so many (0: not known) are done; raises `Stopped`."""
        if self.job.cancelling:
            raise Stopped
        now = time.monotonic()
        if done in (0, total) or now - self._last > OFTEN:
            self._last = now
            self.job.tell(Told(text, done, total))


def left_on_cancel(work: Callable[[Callable[[str, int, int], None]], T], tell: Teller) -> T:
    """What ``work`` gives; on Cancel it is left at once, and ends itself at its next word.

    Raises
    ------
    Stopped
        If it was cancelled, and what ``work`` raises.
    """
    gone, brought = threading.Event(), SimpleQueue[tuple[Any, Exception | None]]()

    def told(text: str, done: int, total: int) -> None:
        if gone.is_set():
            raise Stopped
        tell(text, done, total)

    def run() -> None:
        try:
            brought.put((work(told), None))
        except Exception as error:
            brought.put((None, error))

    begin(run)
    while True:
        try:
            value, error = brought.get(timeout=OFTEN)
        except Empty:
            if tell.job.cancelling:
                gone.set()
                raise Stopped from None
            continue
        if error is not None:
            raise error
        given: T = value
        return given


Ask = Callable[[list[int], int, Callable[[], bool]], Iterator[Asked]]
"""Asks cells of these labels with so many draws, until they are left."""


def asker(
    bank: DonorBank,
    crops: CellCrops,
    checkpoint: Checkpoint,
    swap: SwapSettings,
    audit: AuditSettings,
    version: int,
    tell: Teller,
) -> Ask:
    """What asks some of these cells, in any thread."""
    from gradcamo.auditing.causal import causal_settings
    from gradcamo.causal.attention import causal_recipe
    from gradcamo.networks.infer import usual_batch_size
    from gradcamo.networks.preprocess import choose_device

    how = causal_settings(swap, audit)
    recipe = causal_recipe(checkpoint, bank, how)
    recipe["stack_channels"] = list(audit.channels or checkpoint.channels)
    where = choose_device(how.device)
    most = AT_ONCE if where.type == "cpu" else usual_batch_size(where)
    how = how.model_copy(update={"batch_size": how.batch_size or most})

    def ask(labels: list[int], draws: int, left: Callable[[], bool]) -> Iterator[Asked]:
        from gradcamo.auditing.causal import passes
        from gradcamo.causal.attention import causal_batches

        every, seen, one = passes(draws), 0, len(labels) == 1

        def between() -> None:
            nonlocal seen
            if tell.job.cancelling or left():
                raise Stopped
            if one:
                tell(f"swapped crops of cell {labels[0]}", seen, every)
            seen += 1

        with_draws = how.model_copy(update={"draws": draws})
        batches = causal_batches(
            crops,
            checkpoint,
            bank,
            with_draws,
            labels,
            progress=lambda done, total: tell("donors seen", done, total),
            between=between,
        )
        try:
            for batch in batches:
                said = {"cautions": list(batch.cautions)}
                yield Asked(batch, version, recipe | said)
                if not one:
                    tell("cells asked causally", batch.done, batch.total)
        except Stopped:
            if tell.job.cancelling:
                raise

    return ask


def until_stopped(steps: Callable[[], Iterator[Any]]) -> Callable[[], Iterator[Any]]:
    """The same steps; that nobody waits for the rest is no error."""

    def quietly() -> Iterator[Any]:
        try:
            yield from steps()
        except Stopped:
            return

    return quietly
