"""``bundled`` names the network that comes with the package, as it does for Cellpose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gradcamo.cli.terminal import progress_bar, shown_by


def checkpoint_file(path: Path) -> Path:
    """The file of a checkpoint that was named on the command line."""
    from gradcamo.networks.checkpoint import BUNDLED

    return BUNDLED if str(path) == "bundled" else path


def bundled_bank() -> Any:
    """Donors for the bundled network, made behind a bar where they are not kept yet."""
    from gradcamo.samples import bundled_donors

    with progress_bar("Making donors, once") as bar:
        return bundled_donors.bundled_bank(shown_by(bar))
