"""What was predicted for which treatment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from gradcamo.errors import GradcamoError
from gradcamo.figures.paper import require, sheet
from gradcamo.profiles.doses import in_dose_order
from gradcamo.words import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def confusion_matrix(table: pd.DataFrame) -> Figure:
    """Predicted against given treatment, rows summing to 1.

    Parameters
    ----------
    table : DataFrame
        With ``treatment, predicted``; cells without either take no part.

    Raises
    ------
    GradcamoError
        If columns are missing or no cell has both.
    """
    require(table, ["treatment", "predicted"])
    known = table[(table["treatment"].fillna("") != "") & (table["predicted"].fillna("") != "")]
    if known.empty:
        raise GradcamoError("no cell has a treatment and a prediction: audit cells of a plate")
    names = in_dose_order([*known["treatment"], *known["predicted"]])
    given = [name for name in names if (known["treatment"] == name).any()]
    counts = pd.crosstab(known["treatment"], known["predicted"])
    counts = counts.reindex(index=given, columns=names, fill_value=0)
    share = counts.div(counts.sum(axis=1), axis=0).to_numpy()
    figure = sheet(1.9 + 0.75 * len(names), 1.5 + 0.62 * len(given))
    axes: Axes = figure.subplots()
    shown = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, column), value in np.ndenumerate(share):
        ink = "white" if value > 0.55 else "black"
        axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=ink, fontsize=8)
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
    axes.set_yticks(range(len(given)), given)
    accuracy = (known["predicted"] == known["treatment"]).mean()
    axes.set(xlabel="predicted", ylabel="treatment")
    axes.set_title(f"{accuracy:.0%} of {counted(len(known), 'cell')}", fontsize=10)
    figure.colorbar(shown, ax=axes, label="share of the row", shrink=0.8)
    return figure
