"""Donors for the bundled network: cells of the built-in plate that it was trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

import numpy as np

from gradcamo.causal.bank import DonorBank
from gradcamo.causal.bank_file import FORMAT
from gradcamo.causal.lot import Source
from gradcamo.errors import GradcamoError
from gradcamo.networks.bundled import BUNDLED
from gradcamo.networks.checkpoint import Checkpoint
from gradcamo.samples.design import PlateDesign
from gradcamo.samples.plate import make_stack


def bundled_bank(
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> DonorBank:
    """The bundled network's donor bank: made when it is first needed, then kept in a cache.

    Parameters
    ----------
    progress : called with (stacks made, stacks in all) while it is made
    """
    from platformdirs import user_cache_path

    checkpoint = Checkpoint.load(BUNDLED)
    kept = user_cache_path("napari-gradcamo") / f"{FORMAT}-{checkpoint.hash[:12]}.npz"
    with suppress(GradcamoError):  # not there yet, or damaged
        return DonorBank.load(kept)
    bank = make_bundled_bank(checkpoint, progress)
    with suppress(GradcamoError):  # it serves without being kept
        bank.save(kept)
    return bank


def make_bundled_bank(
    checkpoint: Checkpoint, progress: Callable[[int, int], None] = lambda done, total: None
) -> DonorBank:
    """Donors of the wells that a checkpoint was trained on, on the built-in plate it names."""
    recipe = checkpoint.recipe
    design = PlateDesign(**recipe["data"]["design"])
    jobs = [(well, site) for well in recipe["train_wells"] for site in range(1, design.sites + 1)]

    def stacks() -> Iterator[Source]:
        for done, (well, site) in enumerate(jobs):
            progress(done, len(jobs))
            stack, labels = make_stack(design, well, site)
            cells = dict.fromkeys(range(1, int(np.max(labels)) + 1), design.treatment(well))
            yield stack, labels, cells, f"built-in-{design.seed}", well
        progress(len(jobs), len(jobs))

    return DonorBank.cut(stacks(), checkpoint)
