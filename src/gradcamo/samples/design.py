"""What the built-in plate is made of: layout, optics, doses and where the signal lives."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gradcamo.errors import GradcamoError
from gradcamo.settings import Settings

CHANNELS = ("Hoechst", "concanavalin", "SYTO14", "WGA", "phalloidin", "MitoTracker")
DOSES = {"D": 0.0, "B": 0.06, "C": 0.32, "G": 1.60, "F": 8.00, "E": 40.0}
"""Plate row -> multiple of the drug's peak concentration (Table 1 of the paper)."""
TREATED_ROWS = ("E", "F", "G")
"""Rows of the treated wells on a plate with a planted signal."""

Signal = Literal["dose", "own", "neighbour", "background", "own+background"]


class PlateDesign(Settings):
    """The recipe of a plate; the same recipe gives the same voxels.

    Examples
    --------
    >>> import gradcamo as gc
    >>> design = gc.PlateDesign(rows=("D", "E"))
    >>> {well: design.treatment(well) for well in design.wells}
    {'D02': 'control', 'E02': '40.00x', 'D03': 'control', 'E03': '40.00x'}
    """

    field_px: int = Field(224, ge=64, description="height and width of a stack, in pixels")
    planes: int = Field(21, ge=3, description="planes of a stack")
    spacing_um: tuple[float, float, float] = Field(
        (0.6, 0.701, 0.701), description="voxel size z, y, x in µm (twice the paper's pixel)"
    )
    cells_per_field: int = Field(
        30, ge=1, description="cells centred in a stack; about two thirds of them lie in it whole"
    )
    cell_um: float = Field(25.0, gt=5, le=100, description="mean width of a cell in µm")
    rows: tuple[str, ...] = Field(tuple(DOSES), description="plate rows to make")
    columns: tuple[str, ...] = Field(("02", "03"), description="plate columns to make")
    sites: int = Field(2, ge=1, description="stacks per well; the paper has 4")
    seed: int = Field(0, ge=0, description="another seed, another plate")
    signal: Signal = Field(
        "dose",
        description="where the class can be read: dose: all cells of a well respond; own: only "
        "the central cell; neighbour: only a cell beside it; background: only between cells; "
        "own+background: both",
    )
    phenotype: Literal["response", "speckles"] = Field(
        "response",
        description="what a responding cell looks like: response: all textures shift with the "
        "dose; speckles: the cytoplasm holds speckles that stain for DNA, as mycoplasma do, and "
        "nothing else changes",
    )
    cell_contrast: float = Field(
        1.0, gt=0, le=1, description="strength of a planted signal in cells, 1: as the peak dose"
    )
    background: Literal["paired", "removed", "shuffled"] = Field(
        "paired",
        description="background signal: with the treated wells, in no well, or in stacks drawn "
        "by lot",
    )
    background_contrast: float = Field(
        150.0, ge=0, description="strength of the background signal, in camera counts"
    )
    haze: float = Field(
        0.1, ge=0, le=1, description="share of the light that spreads over 6 µm around"
    )
    crop_px: int = Field(
        64, ge=8, description="crop for which a planted signal has to hold, in pixels"
    )

    @property
    def wells(self) -> tuple[str, ...]:
        """Well names such as ``B02``, column by column."""
        return tuple(row + column for column in self.columns for row in self.rows)

    def treatment(self, well: str) -> str:
        """The treatment that a well received, as the plate table names it."""
        row = self._row(well)
        if self.signal != "dose":
            return "treated" if row in TREATED_ROWS else "untreated"
        return "control" if DOSES[row] == 0 else f"{DOSES[row]:.2f}x"

    def response(self, well: str) -> float:
        """Strength of the mean response in [0, 1): a Hill curve of the dose."""
        dose = DOSES[self._row(well)]
        return dose**0.7 / (dose**0.7 + 1.6**0.7)

    def entropy(self, well: str, site: int) -> list[int]:
        """Seed of one stack, whatever else is made and in which order."""
        self._row(well)
        return [self.seed, *well.encode(), site]

    def _row(self, well: str) -> str:
        if well[:1] not in DOSES:
            raise GradcamoError(
                f"the built-in plate has the rows {', '.join(DOSES)}, well {well!r} is in none: "
                f"use one of {', '.join(self.wells)}"
            )
        return well[0]
