"""Every column that an audit gives a cell: its name, what it means, and how it is titled."""

from __future__ import annotations

from typing import NamedTuple


class Column(NamedTuple):
    """``title`` is what a screen calls it, by default its name; values are text, or numbers."""

    meaning: str
    title: str = ""
    text: bool = False


HOW = ("layer", "alignment", "gradients")
"""What a score depends on beside the cell and the network."""

SHARES = ("grad_camo", "neighbour_share", "background_share")
"""Where the map lies; they sum to 1."""

SCORES = (*SHARES, "chance", "ceiling", "attainable")
"""Equation 5 and its companions."""

CELL_COLUMNS = {
    "image": Column("the stack that the cell lies in", text=True),
    "label": Column("the cell's number in the labels image", "cell"),
    "predicted": Column("the treatment that the network takes the cell for", text=True),
    "confidence": Column("probability of the predicted treatment (softmax)"),
    "layer": Column("the layer that was explained", text=True),
    "alignment": Column("how the maps were laid over the crop", text=True),
    "gradients": Column(
        "averaged over the layer's grid (Grad-CAM) or each voxel's own (HiResCAM)", text=True
    ),
    "grad_camo": Column(
        "share of the network's attention that lies on the cell itself", "Grad-CAMO"
    ),
    "neighbour_share": Column("share of the attention that lies on other cells", "neighbours"),
    "background_share": Column("share of the attention that lies outside all cells", "background"),
    "chance": Column("what a flat map scores: the cell's share of the crop's voxels"),
    "ceiling": Column("the best that any map on this layer's grid can score for this cell"),
    "attainable": Column("0 = no better than a flat map, 1 = as good as this layer allows"),
    "cell_in_crop": Column("share of the cell that fits into its crop"),
    "touches_border": Column("cut off by the border in y or x: kept, but not scored", "at border"),
    "volume_um3": Column("volume of the cell in µm³", "volume µm³"),
    "centroid_z": Column("centre of the cell, in voxels"),
    "centroid_y": Column("centre of the cell, in voxels"),
    "centroid_x": Column("centre of the cell, in voxels"),
    "flagged": Column("scores less than the cut-off, or flagged by hand"),
}
"""The columns of an audit's table, in their order."""

NOTE = {"note": Column("your remark (double-click to write)", text=True)}
"""What is written by hand."""

PLATE_COLUMNS = ("labels", "cells", "plate", "well", "site", "treatment", "split")
"""What a plate says of a stack beside its image: text, also where it looks like numbers."""


KNOWN = {**CELL_COLUMNS, **NOTE}

TEXT = (*PLATE_COLUMNS, *(name for name, column in KNOWN.items() if column.text))
"""Columns that are text whatever their values look like: well "02" is not the number 2."""


def title(name: str, otherwise: str | None = None) -> str:
    """What a screen calls a column, by default its name."""
    return (name in KNOWN and KNOWN[name].title) or otherwise or name


def meaning(name: str, otherwise: str = "") -> str:
    """What a column says, in one line."""
    return KNOWN[name].meaning if name in KNOWN else otherwise
