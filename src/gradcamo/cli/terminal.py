"""What the terminal shows: progress, warnings and cautions, each once; and Ctrl-C."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from gradcamo.errors import GradcamoWarning

if TYPE_CHECKING:
    from gradcamo.plate.run_summary import PlateProgress
    from gradcamo.progress import TrainingProgress

T = TypeVar("T")
_said: set[str] = set()


def forget_said() -> None:
    """Start anew: nothing has been said."""
    _said.clear()


def caution(texts: Iterable[str]) -> None:
    """Say what a reader of the scores has to know, but for what was said before."""
    for text in texts:
        if text not in _said:
            _said.add(text)
            click.echo(f"caution: {text}")


def show_warning(message: Any, category: type[Warning], *_: Any, **__: Any) -> None:
    """Our own in one line; what the libraries below say to developers is left out."""
    if issubclass(category, GradcamoWarning) and str(message) not in _said:
        _said.add(str(message))
        click.echo(f"Note: {message}", err=True)


def track_cells(batches: Iterable[Any], what: str = "Auditing") -> Iterator[Any]:
    """Pass batches of cells on behind a bar."""
    with progress_bar(what) as bar:
        show = shown_by(bar)
        for batch in batches:
            show(batch.done, batch.total)
            yield batch


def track(steps: Iterable[T], what: str, total: int) -> Iterator[T]:
    """Pass steps on behind a bar."""
    with progress_bar(what, total) as bar:
        for step in steps:
            bar.update(1)
            yield step


@contextmanager
def training_bar() -> Iterator[Callable[[TrainingProgress], None]]:
    """A bar per stage and one line per epoch."""
    bar: Any = None
    shown: Any = None
    epochs = 0

    def show(step: TrainingProgress) -> None:
        nonlocal bar, shown, epochs
        for epoch in step.history[epochs:]:
            click.echo(
                f"\repoch {epoch.epoch}: loss {epoch.train_loss:.3f}, validation "
                f"{epoch.validation_loss:.3f}, accuracy {epoch.validation_accuracy:.0%}",
                err=True,
            )
        epochs = len(step.history)
        if step.note:
            click.echo(f"\rNote: {step.note}", err=True)
        if shown != (step.stage, step.epoch):
            shown = (step.stage, step.epoch)
            what = f"epoch {step.epoch} of {step.epochs}" if step.epoch else step.stage
            bar = click.progressbar(length=step.total, label=what, file=sys.stderr, show_pos=True)
        bar.update(step.done - bar.pos)

    try:
        yield show
    finally:
        click.echo(err=True)


@contextmanager
def ctrl_c() -> Iterator[Callable[[], bool]]:
    """The first Ctrl-C asks to stop, the second insists."""
    asked = False

    def ask(*_: Any) -> None:
        nonlocal asked
        asked = True
        signal.signal(signal.SIGINT, before)
        click.echo("\nstopping after this batch; Ctrl-C again to lose what was not saved", err=True)

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def progress_bar(what: str, total: int | None = None) -> Iterator[Any]:
    with click.progressbar(length=total or 1, label=what, file=sys.stderr, show_pos=True) as bar:
        yield bar


def shown_by(bar: Any) -> Callable[[int, int], None]:
    """What moves a bar to so many done, of so many."""

    def show(done: int, total: int) -> None:
        bar.length = total
        bar.update(done - bar.pos)

    return show


@contextmanager
def plate_line() -> Iterator[Callable[[PlateProgress], None]]:
    """One line that says where a plate stands and how long it will take."""

    def show(step: PlateProgress) -> None:
        left = "" if step.seconds_left is None else f", {_minutes(step.seconds_left)} left"
        failed = f", {step.failed} failed" if step.failed else ""
        cells = f", {step.cells:,} cells" if step.cells else ""
        text = f"{step.stage}: {step.done} of {step.total} stacks{cells}{failed}{left}"
        click.echo(f"\r{text:<78}", nl=False, err=True)

    try:
        yield show
    finally:
        click.echo(err=True)


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
