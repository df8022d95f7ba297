"""What was done to a crop: its eight coalitions, side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gradcamo.colours import NEIGHBOURS, OWN
from gradcamo.figures.gallery import outline
from gradcamo.figures.paper import GREY, sheet
from gradcamo.words import number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

REAL = (
    "nothing",
    "own",
    "neighbours",
    "own + neighbours",
    "background",
    "own + background",
    "neighbours + background",
    "all",
)
"""What is real in each coalition, in the order of its bits."""


def swapped_crops(
    composites: np.ndarray,
    own: np.ndarray,
    others: np.ndarray,
    margins: np.ndarray,
    title: str = "Swapped crops",
) -> Figure:
    """The coalitions of one draw as small pictures with their margins.

    Parameters
    ----------
    composites : (8, C, Z, Y, X), intensities in the order of the coalitions' bits
    own, others : (Z, Y, X) bool, the cell and its neighbours
    margins : (8,) in logits
    title : str
    """
    planes = np.flatnonzero(own.any((1, 2)))
    z = int(planes[len(planes) // 2])
    figure = sheet(8.2, 4.9)
    for axes, picture, real, margin in zip(
        figure.subplots(2, 4).flat, composites[:, :, z], REAL, margins, strict=True
    ):
        low, high = np.quantile(picture, (0.002, 0.998), axis=(1, 2), keepdims=True)
        grey = ((picture - low) / np.maximum(high - low, 1e-9)).clip(0, 1).mean(0)
        axes.imshow(grey, cmap="gray", vmin=0, vmax=max(float(np.quantile(grey, 0.998)), 1e-9))
        outline(axes, others[z], NEIGHBOURS)
        outline(axes, own[z], OWN)
        axes.set_title(f"{real}: {number(margin, 1, '+')}", fontsize=8)
        axes.axis("off")
    figure.suptitle(title, fontsize=11)
    figure.supxlabel(
        "what is real, and the margin in logits · blue: the cell · green: its neighbours",
        fontsize=8,
        color=GREY,
    )
    return figure
