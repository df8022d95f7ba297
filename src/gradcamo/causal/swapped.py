"""What was done to one cell's crop, and what the network said of each of its eight coalitions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gradcamo.settings import CausalSettings

if TYPE_CHECKING:
    from gradcamo.causal.bank import DonorBank
    from gradcamo.cells.crops import CellCrops
    from gradcamo.networks.checkpoint import Checkpoint


class SwappedCrops(NamedTuple):
    """The first draw of both pools (contrast, same) of one cell.

    ``composites`` (2, 8, C, Z, Y, X) are intensities as they were read, coalitions in the order of
    their bits: own 1, neighbours 2, background 4; ``kinds`` (Z, Y, X) says whose each voxel is
    (`gradcamo.causal.regions`). ``scores`` (2, 8, K) are logits of ``classes``, ``margins`` (2, 8)
    those of ``target`` minus those of ``reference``. Where there is no game, ``reason`` says why
    and there are no composites.
    """

    label: int
    target: str
    reference: str
    reason: str
    classes: tuple[str, ...]
    kinds: np.ndarray
    composites: np.ndarray
    scores: np.ndarray
    margins: np.ndarray


def swapped_crops(
    crops: CellCrops,
    label: int,
    checkpoint: Checkpoint,
    bank: DonorBank,
    settings: CausalSettings | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    between: Callable[[], None] = lambda: None,
) -> SwappedCrops:
    """Swap the regions of one cell once, as the first draw of `gc.causal_attention` does.

    Parameters
    ----------
    crops : CellCrops
    label : a whole cell
    checkpoint : Checkpoint
    bank : DonorBank
    settings : CausalSettings
    progress, between : as `gradcamo.causal.attention.causal_batches` calls them

    Raises
    ------
    GradcamoError
        As `gc.causal_attention`.
    """
    from gradcamo.causal.attention import causal_batches
    from gradcamo.causal.donors import donors_for
    from gradcamo.causal.game import composites
    from gradcamo.causal.question import question

    settings = settings or CausalSettings()
    once = settings.model_copy(update={"draws": 1})
    batches = causal_batches(
        crops, checkpoint, bank, once, [label], progress=progress, between=between
    )
    batch = next(iter(batches))
    row = batch.table.iloc[0]
    names = label, str(row["causal_target"]), str(row["causal_reference"]), row["causal_reason"]
    asks, none = question(checkpoint, settings), np.empty(0)
    game = batch.games[0] if batch.games else None
    if game is None or game.logits is None or game.margins is None:
        return SwappedCrops(*names, asks.classes, none, none, none, none)
    donors = donors_for(bank, asks, settings)
    made = [composites(donors, game.cell, pool[0]) for pool in game.pairs]
    margins = np.stack([game.margins.contrast[0], game.margins.same[0]])
    scores = game.logits[:, 0]
    return SwappedCrops(*names, asks.classes, game.cell.kinds, np.stack(made), scores, margins)
