"""The rows of a plate, checked before any of its stacks is read."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from gradcamo.errors import GradcamoError
from gradcamo.settings import PlateSettings


def open_plate(
    plate: str | Path | pd.DataFrame,
    settings: PlateSettings | None = None,
) -> pd.DataFrame:
    """The plate's rows: of a CSV, an OME-Zarr plate, a folder of named files, or as given.

    Raises
    ------
    GradcamoError
        If it or a table of its cells cannot be read, it is no plate as `read_plate` has it (a stack
        or an image twice, a name spelled in two ways), a column has the name of one that the audit
        adds, or nothing has the control's treatment.
    """
    from gradcamo.columns import CELL_COLUMNS
    from gradcamo.files.plate_checks import checked
    from gradcamo.files.plates import plate_as_told
    from gradcamo.files.spellings import meant
    from gradcamo.files.told import as_told
    from gradcamo.files.treatments import treatments_of
    from gradcamo.plate.reading import MADE_HERE

    settings = settings or PlateSettings()
    if isinstance(plate, pd.DataFrame):
        rows = plate.reset_index(drop=True)
        rows = as_told(checked(rows, "the plate", may_be_empty=("treatment",)), settings)
    else:
        rows = plate_as_told(plate, settings).reset_index(drop=True)
    others = ("p_value", "q_value", "_index")  # the last is AnnData's
    added = {*CELL_COLUMNS, *MADE_HERE, *others} - {"image"}
    if taken := [str(name) for name in rows if name in added]:
        raise GradcamoError(
            f"the plate has the columns {', '.join(taken)}, which the table of cells has of its "
            "own: rename them"
        )
    if settings.control is not None:
        names = [name for name, _ in treatments_of(rows, "the plate")]
        if settings.control not in names:
            raise GradcamoError(
                f"nothing has the treatment {settings.control!r} that was given as control: "
                f"{meant(settings.control, names)}"
            )
    return rows
