"""A training so small that it can be run for real: settings, and edits of its plate."""

import torch

from gradcamo.files.plates import read_plate
from gradcamo.settings import CropSettings, TrainSettings

SMALL = TrainSettings(
    crop=CropSettings(size_yx=(40, 40)),
    input_size=(64, 64, 64),
    width=0.1,
    layer="block_4",
    epochs=2,
    learning_rate=3e-3,
    batch_size=4,
)
FLAGS = (
    *("--crop-size-yx", "40", "40", "--input-size", "64", "64", "64", "--width", "0.1"),
    *("--layer", "block_4", "--epochs", "2", "--learning-rate", "0.003", "--batch-size", "4"),
)
"""`SMALL` on the command line."""


def settings(**changes):
    return SMALL.model_copy(update=changes)


def edited(plate_csv, folder, change):
    """A plate's table, changed and written elsewhere."""
    table = change(read_plate(plate_csv))
    table.to_csv(folder / "plate.csv", index=False)
    return folder / "plate.csv"


def same_weights(a, b):
    ours, theirs = a.network.state_dict(), b.network.state_dict()
    return all(torch.equal(ours[key], theirs[key]) for key in ours)
