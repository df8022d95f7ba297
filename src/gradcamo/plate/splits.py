"""Which wells of a plate a network was trained on, and which it never saw."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from gradcamo.errors import GradcamoError
from gradcamo.files.wells import well_name, well_place
from gradcamo.plate.folder import PlateFolder

if TYPE_CHECKING:
    from gradcamo.networks.checkpoint import Checkpoint


def known_splits(checkpoint: Checkpoint) -> dict[tuple[str, str], str]:
    """The split of each plate and well that the checkpoint remembers."""
    return {
        (str(group["plate"]), well_name(group["well"])): group["split"]
        for group in checkpoint.recipe.get("cells_per_well", ())
        if group["split"] in ("train", "test")
    }


def splits_of(rows: pd.DataFrame, folder: PlateFolder) -> pd.Series:
    """Each stack's split (train, test, ...), "" where nobody knows.

    Wells, plate columns and plates that the settings name are held out. Of the others the plate's
    column ``split`` tells, else the checkpoint.

    Raises
    ------
    GradcamoError
        If nothing lies where the settings name it.
    """
    if "split" in rows:
        split = rows["split"].fillna("").astype(str).str.strip()
    else:
        wells = zip(rows["plate"].astype(str), rows["well"].map(well_name), strict=True)
        split = pd.Series([folder.known.get(well, "") for well in wells], rows.index, dtype="str")
    for name in folder.settings.held_out:
        here = _lies_in(rows, name)
        if not here.any():
            names = sorted(set(rows["well"].map(well_name)))
            raise GradcamoError(
                f"nothing of the plate lies in {name!r}, which was named as held out: expected a "
                f"well, a column number or a plate; the wells are {', '.join(names[:6])}"
                f"{' …' * (len(names) > 6)}"
            )
        split = split.mask(here, "test")
    return split


def _lies_in(rows: pd.DataFrame, name: str) -> pd.Series:
    """Whether each stack lies in a plate column (02), a well (D02) or a plate, in this order."""
    columns = rows["well"].map(lambda well: (well_place(well) or ("", -1))[1])
    candidates = [
        columns == int(name) if name.isdecimal() else columns != columns,
        rows["well"].map(well_name) == well_name(name),
        rows["plate"].astype(str) == name,
    ]
    return next((here for here in candidates if here.any()), candidates[0])
