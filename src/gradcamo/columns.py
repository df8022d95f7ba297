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

KNOWN_AS = {
    "grad_camo": "equation 5 of Grad-CAMO (Gopalakrishnan, Ma and Xie 2024, arXiv:2403.17615); on "
    "a positive map relevance mass accuracy (Arras et al. 2022, CLEVR-XAI) and the energy-based "
    "pointing game (Wang et al. 2020, Score-CAM)",
}
CAUSAL_KNOWN_AS = {
    "causal_own": "exact Shapley values over own cell, neighbours and background; coalitions are "
    "filled with other cells' voxels, of a contrasting class less those of the same class",
}
"""What a number is called elsewhere, for the files that keep it."""

CELL_COLUMNS = {
    "image": Column("the stack that the cell lies in", text=True),
    "label": Column("the cell's number in the labels image", "cell"),
    "predicted": Column("the treatment that the network takes the cell for", text=True),
    "confidence": Column("probability of what is predicted (softmax; sigmoid of one logit)"),
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
    "hot_channels": Column(
        "channels of the crop that few hot voxels stretch: all else lies in the lowest third",
        "hot channels",
        text=True,
    ),
    "touches_border": Column("cut off by the border in y or x: kept, but not scored", "at border"),
    "volume_um3": Column("volume of the cell in µm³", "volume µm³"),
    "centroid_z": Column("centre of the cell, in voxels"),
    "centroid_y": Column("centre of the cell, in voxels"),
    "centroid_x": Column("centre of the cell, in voxels"),
    "flagged": Column("scores less than the cut-off, or flagged by hand"),
}
"""The columns of an audit's table, in their order."""

CAUSAL_SHARES = ("causal_own", "causal_neighbour", "causal_background")
"""What the prediction owes to each region; they sum to 1."""

VOLUME_SHARES = ("volume_own", "volume_neighbour", "volume_background")
"""What each region fills of the crop; they sum to 1."""

CAUSAL_COLUMNS = {
    "causal_target": Column("the treatment that was explained by swapping regions", text=True),
    "causal_reference": Column("the treatment that it was told from", text=True),
    "causal_own": Column("share of the prediction that it owes to the cell itself", "owes: own"),
    "causal_neighbour": Column("share that it owes to other cells", "owes: neighbours"),
    "causal_background": Column("share that it owes to the background", "owes: background"),
    "causal_effect": Column(
        "what swapping all contents for the reference's, not for its own class's, takes away, in "
        "logits",
        "effect",
    ),
    "causal_effect_se": Column("standard error of the effect over the draws, in logits"),
    "causal_answered": Column(
        "the effect exceeds two standard errors and 0.001 logits, and is of the prediction",
        "answered",
    ),
    "causal_flips": Column("with all contents swapped for the reference's the call changes"),
    "causal_against": Column("share of the evidence that speaks against the prediction"),
    "causal_swap": Column("what swapping for its own class's contents changes, over the effect"),
    "causal_limits": Column("share that goes through the limits to which crops are rescaled"),
    "causal_layout": Column(
        "share that outlines, sizes and crowding explain, which are not swapped"
    ),
    "causal_phi_own": Column("Shapley value of the cell itself, in logits"),
    "causal_phi_neighbour": Column("Shapley value of the other cells, in logits"),
    "causal_phi_background": Column("Shapley value of the background, in logits"),
    "causal_alone_own": Column("gain when the cell alone is real, in logits"),
    "causal_alone_neighbour": Column("gain when other cells alone are real, in logits"),
    "causal_alone_background": Column("gain when the background alone is real, in logits"),
    "causal_needed_own": Column("loss when the cell alone is swapped, in logits"),
    "causal_needed_neighbour": Column("loss when other cells alone are swapped, in logits"),
    "causal_needed_background": Column("loss when the background alone is swapped, in logits"),
    "causal_unfilled_own": Column("share of the cell that no donor covered at its own place"),
    "volume_own": Column("the cell's share of the crop's voxels inside the stack"),
    "volume_neighbour": Column("other cells' share of the crop's voxels inside the stack"),
    "volume_background": Column("the background's share of the crop's voxels inside the stack"),
    "causal_draws": Column("draws of donors from each pool; 1: a preview"),
    "causal_reason": Column("why there is no answer", text=True),
}
"""What `causal_attention` adds, in their order."""

ONLY_COLUMNS = {
    "only_own": Column("what the cell is called with itself alone real", text=True),
    "only_neighbour": Column("what it is called with its neighbours alone real", text=True),
    "only_background": Column("what it is called with its background alone real", text=True),
    "only_nothing": Column("what it is called with nothing real", text=True),
}
"""What cells of held-out wells are called when the rest is filled from all classes."""

NOTE = {"note": Column("your remark (double-click to write)", text=True)}
"""What is written by hand."""

PLATE_COLUMNS = ("labels", "cells", "plate", "well", "site", "treatment", "split")
"""What a plate says of a stack beside its image: text, also where it looks like numbers."""


KNOWN = {**CELL_COLUMNS, **CAUSAL_COLUMNS, **ONLY_COLUMNS, **NOTE}

TEXT = (*PLATE_COLUMNS, *(name for name, column in KNOWN.items() if column.text))
"""Columns that are text whatever their values look like: well "02" is not the number 2."""


def title(name: str, otherwise: str | None = None) -> str:
    """What a screen calls a column, by default its name."""
    return (name in KNOWN and KNOWN[name].title) or otherwise or name


def meaning(name: str, otherwise: str = "") -> str:
    """What a column says, in one line."""
    return KNOWN[name].meaning if name in KNOWN else otherwise
