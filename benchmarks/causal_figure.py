"""Draws docs/images/causal_swaps.png: what causal attention does to one cell of the built-in plate.

python benchmarks/causal_figure.py
"""

from pathlib import Path

import numpy as np

import gradcamo as gc
from gradcamo.causal.attention import causal_batches
from gradcamo.causal.donors import donors_for
from gradcamo.causal.game import composites
from gradcamo.causal.question import question
from gradcamo.causal.regions import NEIGHBOUR, OWN
from gradcamo.cells.crops import CellCrops
from gradcamo.figures.swaps import swapped_crops
from gradcamo.networks.bundled import BUNDLED
from gradcamo.networks.checkpoint import Checkpoint
from gradcamo.samples.bundled_donors import bundled_bank
from gradcamo.samples.design import PlateDesign
from gradcamo.samples.plate import make_stack

checkpoint, bank = Checkpoint.load(BUNDLED), bundled_bank()
stack, labels = make_stack(PlateDesign(), "E03", 1)
crops = CellCrops(stack, labels, checkpoint.crop)
shares = [(labels == label).sum() for label in crops.table["label"][crops.scorable]]
label = int(crops.table["label"][crops.scorable].iloc[int(np.argmax(shares))])
settings = gc.CausalSettings(draws=1, device="cpu")
*_, batch = causal_batches(crops, checkpoint, bank, settings, [label], "built-in-0", "E03")
(game,) = batch.games
donors = donors_for(bank, question(checkpoint, settings), settings)
names = donors.classes
figure = swapped_crops(
    composites(donors, game.cell, game.pairs[0][0]),
    game.cell.kinds == OWN,
    game.cell.kinds == NEIGHBOUR,
    game.margins.contrast[0],
    f"A cell of {names[game.k]}, its regions swapped for those of {names[game.r]}: "
    "logits of the one over the other",
)
path = Path(__file__).parents[1] / "docs" / "images" / "causal_swaps.png"
figure.savefig(path, dpi=110)
print(f"written to {path}")
