"""The plates and networks of planted_truth.py, and what has to find each shortcut.

`PLATES` say what was planted where, `KINDS` which network is trained on which plate and which
number, within which bound, says what it uses. Data only: nothing here computes.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from gradcamo.samples.design import PlateDesign
from gradcamo.settings import CausalSettings, CropSettings, Settings, TrainSettings

EDITION = 2
"""Part of every recipe: raise it when code changes what a plate or a number is."""
CELLS, CAUSAL = 40, CausalSettings(draws=4, seed=0)
"""Held-out cells of each class that are asked, by lot with seed 0, and how."""
LEARNT = 0.05
"""Validation loss at which a training without Grad-CAMO in its loss ends: nothing is left."""

Change = Literal["", "blur", "vignette", "focus"]
Region = Literal["own", "neighbour", "background"]


class Plate(NamedTuple):
    """``designs`` lie side by side on one plate; ``change`` is done to stacks once they are made.

    ``amount`` is how much of it: voxels along y and x by which a blurred stack is smoothed, half as
    many along z; what is left of the light in the dim corner. ``glow`` is light of the medium, in
    photons a voxel, so that a region without cells has something to show. ``signal`` names the
    regions that hold what was planted, none where it is everywhere.
    """

    says: str
    designs: tuple[PlateDesign, ...]
    signal: tuple[Region, ...] = ()
    change: Change = ""
    amount: float = 0
    glow: float = 0

    @property
    def recipe(self) -> tuple[object, ...]:
        """All that its stacks follow from."""
        changed = (self.change, *filter(None, (self.amount, self.glow)))
        return self.designs, " ".join(map(str, changed))


# wells and sites are chosen so that both classes have about as many cells
CLEAN = PlateDesign(haze=0)  # light of a planted signal is not to reach other regions
SPECKLES = CLEAN.model_copy(
    update={"phenotype": "speckles", "rows": ("E", "F", "G", "D"), "sites": 5}
)
CLOUDS = CLEAN.model_copy(update={"signal": "background", "rows": ("E", "D"), "sites": 5})
EMPTY = CLOUDS.model_copy(update={"background": "removed"})
BOTH = SPECKLES.model_copy(update={"signal": "own+background"})
PLATES = {
    "own": Plate(
        "treated cells stand alone and hold speckles that stain for DNA; no crop shows another",
        (SPECKLES.model_copy(update={"signal": "own"}),),
        ("own",),
    ),
    "own-diffuse": Plate(
        "treated cells stand alone; all their textures shift as at the highest dose",
        (SPECKLES.model_copy(update={"signal": "own", "phenotype": "response"}),),
        ("own",),
    ),
    "neighbour": Plate(
        "the central cell never has speckles, the class says whether a neighbour has",
        (SPECKLES.model_copy(update={"signal": "neighbour", "rows": ("E", "F", "D")}),),
        ("neighbour",),
    ),
    "background": Plate("faint clouds between the cells", (CLOUDS,), ("background",)),
    "own-background": Plate(
        "speckles of 0.4 of the brightness, and clouds",
        (BOTH.model_copy(update={"cell_contrast": 0.4}),),
        ("own", "background"),
    ),
    "own-background-0.6": Plate(
        "speckles of 0.6 of the brightness, and clouds",
        (BOTH.model_copy(update={"cell_contrast": 0.6}),),
        ("own", "background"),
    ),
    "blur": Plate(
        "stacks of treated wells are smoothed by a Gaussian of 1.4 µm",
        (EMPTY,),
        change="blur",
        amount=2,
    ),
    "vignette": Plate(
        "light, also that of the medium, falls off to a tenth across the field of treated wells",
        (EMPTY,),
        change="vignette",
        amount=0.1,
        glow=150,
    ),
    "focus": Plate(
        "stacks of treated wells begin 3.6 µm higher above the glass, which glows into the medium; "
        "cells float up to 3.6 µm higher or lower whatever their class",
        (EMPTY.model_copy(update={"planes": 27}),),
        change="focus",
        glow=500,
    ),
    "density": Plate(
        "treated wells hold a sixth of the cells of untreated ones, which cover their fields",
        (
            EMPTY.model_copy(update={"rows": ("D",), "cells_per_field": 60, "sites": 3}),
            EMPTY.model_copy(update={"rows": ("E",), "cells_per_field": 10, "sites": 14}),
        ),
    ),
    "idle": Plate(
        "the own plate, and clouds in stacks drawn by lot whatever their class",
        (BOTH.model_copy(update={"background": "shuffled"}),),
        ("own",),
    ),
}
"""Wells of column 02 are trained on, wells of column 03 are asked."""


class Sampled(Settings):
    """Of what a network was asked; part of its recipe."""

    cells_per_class: int = CELLS
    causal: CausalSettings = CAUSAL
    edition: int = EDITION


PLAIN = TrainSettings(
    width=0.25,
    input_size=(64, 64, 64),
    crop=CropSettings(size_yx=(64, 64)),
    epochs=20,
    patience=6,
    learning_rate=1e-3,
    brightness_probability=0,  # a training this short has no steps to spare for it
    batch_norm_cells=96,
)
SLOW = PLAIN.model_copy(update={"patience": 10})
SAME_POWER = PLAIN.model_copy(update={"gamma_probability": 0})  # nor for the intensities' power
EVEN = SAME_POWER.model_copy(update={"epochs": 24, "patience": 12})
LATE = SAME_POWER.model_copy(update={"epochs": 30, "patience": 30})
REGULARISED = SAME_POWER.model_copy(
    update={
        "regularise_weight": 10.0,
        "regularise_layers": ("block_0", "block_2"),  # block_1 between them is for the check
        "regularise_alignment": "receptive-field",
        "epochs": 15,
        "patience": 15,
    }
)
GAMED = REGULARISED.model_copy(update={"regularise_weight": 3.0})


class Bound(NamedTuple):
    """What a column has to say: ``measure`` is one of `planted_measures.measures`."""

    measure: str
    comparison: Literal[">=", "<="]
    bound: float


class Kind(NamedTuple):
    """A network and the question.

    ``right`` is the region that it must use; by removal: the background where removing the clouds
    costs more than half of its accuracy above chance, else own; empty where it is no single one.
    ``variants`` are its test wells with the clouds removed or dealt by lot. ``network`` names the
    kind whose network is shown this plate, if it has none of its own.
    """

    title: str
    plate: str
    training: TrainSettings
    seeds: int
    bounds: tuple[Bound, ...]
    right: Region | Literal["by removal", ""] = ""
    variants: tuple[Literal["removed", "shuffled"], ...] = ()
    network: str = ""


def _right(least: float) -> tuple[Bound, ...]:
    return (Bound("right_region", ">=", least),)


EVERYWHERE = (Bound("background_only", ">=", 0.9), Bound("largest_share", "<=", 0.6))
IDLE = (Bound("background_share", "<=", 0.05), Bound("background_only_off", "<=", 2.0))

KINDS = {
    "own": Kind("own", "own", PLAIN, 5, _right(0.98), "own"),
    "own-diffuse": Kind("own, diffuse", "own-diffuse", SLOW, 5, _right(0.95), "own"),
    "neighbour": Kind("neighbour", "neighbour", LATE, 5, _right(0.98), "neighbour"),
    "background": Kind(
        "background", "background", PLAIN, 5, _right(0.98), "background", ("removed",)
    ),
    "own-background": Kind(
        "own+background, plain",
        "own-background",
        SAME_POWER,
        5,
        _right(0.98),
        "by removal",
        ("removed", "shuffled"),
    ),
    "own-background-10": Kind(
        "own+background, Grad-CAMO in the loss (λ = 10)",
        "own-background",
        REGULARISED,
        5,
        _right(0.98),
        "by removal",
        ("removed", "shuffled"),
    ),
    "own-background-3": Kind(
        "own+background, Grad-CAMO in the loss (λ = 3)",
        "own-background-0.6",
        GAMED,
        5,
        _right(0.98),
        "by removal",
        ("removed", "shuffled"),
    ),
    "blur": Kind("blur", "blur", EVEN, 2, EVERYWHERE),
    "vignette": Kind("vignette", "vignette", EVEN, 2, EVERYWHERE),
    "focus": Kind("focus", "focus", EVEN, 2, EVERYWHERE),
    "density": Kind("density", "density", EVEN, 2, (Bound("layout", ">=", 0.5),)),
    "idle": Kind("own, trained among idle clouds", "idle", PLAIN, 2, IDLE, "own"),
    "own-idle": Kind("own, shown idle clouds", "idle", PLAIN, 2, IDLE, "own", network="own"),
}
"""The first seven are the core: five seeds; the others have two."""
