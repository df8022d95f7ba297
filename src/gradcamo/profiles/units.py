"""Treatments, wells and sites as units that are unique on a whole set of plates."""

from __future__ import annotations

import pandas as pd

from gradcamo.errors import GradcamoError


def units_of(table: pd.DataFrame) -> pd.DataFrame:
    """Treatment, well and site of each cell, with names that are unique on the whole plate set.

    Raises
    ------
    GradcamoError
        If the table lacks one of these columns, or plate.
    """
    if missing := [name for name in ("plate", "well", "site", "treatment") if name not in table]:
        raise GradcamoError(
            f"confounding is measured between wells and sites: the table lacks {', '.join(missing)}"
        )
    text = table[["plate", "well", "site", "treatment"]].astype(str).reset_index(drop=True)
    # cells of one well may be treated differently: then it holds several units
    well = text["plate"] + "\x1f" + text["well"] + "\x1f" + text["treatment"]
    return pd.DataFrame(
        {"treatment": text["treatment"], "well": well, "site": well + "\x1f" + text["site"]}
    )
