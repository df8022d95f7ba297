"""The small network that comes with the package: where its file lies, and the word for it."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

BUNDLED = Path(str(files("gradcamo") / "weights" / "demo_checkpoint.safetensors"))
"""A small network trained on the built-in plate, for the demo and to try things."""


def checkpoint_path(path: str | Path) -> Path:
    """Where a checkpoint lies; ``bundled`` names the one that comes with this package."""
    return BUNDLED if str(path) == "bundled" else Path(path)
