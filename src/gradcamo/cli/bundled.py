"""Donors for ``bundled``, the network that comes with the package."""

from __future__ import annotations

from typing import Any

from gradcamo.cli.terminal import progress_bar, shown_by


def bundled_bank() -> Any:
    """Donors for the bundled network, made behind a bar where they are not kept yet."""
    from gradcamo.samples import bundled_donors

    with progress_bar("Making donors, once") as bar:
        return bundled_donors.bundled_bank(shown_by(bar))
