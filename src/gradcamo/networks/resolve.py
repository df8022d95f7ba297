"""Which checkpoint is meant: itself, its file, or ``bundled``."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from gradcamo.errors import GradcamoError
from gradcamo.networks.bundled import BUNDLED
from gradcamo.networks.checkpoint import Checkpoint


def as_checkpoint(given: Checkpoint | str | Path | None, taker: str = "an audit") -> Checkpoint:
    """A checkpoint as a user names it: itself, its file, or ``bundled``.

    Raises
    ------
    GradcamoError
        If it is something else, or cannot be read.
    """
    if isinstance(given, str | Path):
        return Checkpoint.load(given)
    if not isinstance(given, Checkpoint):
        raise GradcamoError(
            f"{taker} takes a checkpoint, got {type(given).__name__}: name its file or 'bundled', "
            "or bring a network of your own in gc.Checkpoint.around(network, channels, layer, "
            "input_size)"
        )
    given.renew()
    return given


@cache
def _bundled() -> Checkpoint:
    return Checkpoint.load(BUNDLED)


def is_bundled(checkpoint: Checkpoint | None) -> bool:
    """Whether that is the network that comes with the package, wherever its file lies."""
    if checkpoint is None or checkpoint.architecture != _bundled().architecture:
        return False  # which is told without a hash
    return bool(checkpoint.hash == _bundled().hash)
