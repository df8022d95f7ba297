"""A table of cells under the names of CytoTable, coSMicQC and pycytominer.

Single cells are joined by plate, well, site and object number: image numbers are those of one run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from gradcamo.files.formats import feature_frame, refuse_repeated

if TYPE_CHECKING:
    from collections.abc import Sequence

FLAG = "Metadata_cqc_gradcamo_is_outlier"
"""The flag. pycytominer drops a row where any ``Metadata_cqc_…`` column is neither false, zero nor
empty, so that nothing else may have this prefix: no score and no note."""

KEY = "plate_well_site_objectnumber"
"""What tells a cell of any number of plates."""

NAMES = {
    "plate": "Metadata_Plate",
    "well": "Metadata_Well",
    "site": "Metadata_Site",
    "label": "Metadata_ObjectNumber",
    "flagged": FLAG,
}
"""Our columns that have names of their own there; any other one gets ``Metadata_`` before it."""


def cytomining_names(
    table: pd.DataFrame, profiles: np.ndarray | pd.DataFrame | None = None
) -> pd.DataFrame:
    """The table under the names of CytoTable, coSMicQC and pycytominer, with the key of each cell.

    Plate, well, site and label become ``Metadata_Plate``, ``Metadata_Well``, ``Metadata_Site`` and
    ``Metadata_ObjectNumber``; flagged becomes ``Metadata_cqc_gradcamo_is_outlier``; every other
    column ``Metadata_…``. Where plate, well and site are known, the key comes first, as
    ``Metadata_plate_well_site_objectnumber``.

    Parameters
    ----------
    table : DataFrame
        One row per cell.
    profiles : array or DataFrame, optional
        (cells, features). They follow as ``Cells_…``, the prefix by which features are told from
        metadata.

    Returns
    -------
    DataFrame
        The same rows in the same order, with the same ``attrs``.

    Raises
    ------
    GradcamoError
        If two columns would have one name, or there is not one profile per cell.

    Examples
    --------
    >>> import gradcamo as gc
    >>> import pandas as pd
    >>> cells = pd.DataFrame({"plate": "P1", "well": ["B02"], "site": 3, "label": 7})
    >>> gc.cytomining_names(cells).iloc[0]
    Metadata_plate_well_site_objectnumber    P1_B02_3_7
    Metadata_Plate                                   P1
    Metadata_Well                                   B02
    Metadata_Site                                     3
    Metadata_ObjectNumber                             7
    Name: 0, dtype: object
    """
    renamed = table.rename(columns=lambda name: _renamed(str(name)))
    if (keys := cell_keys(table)) is not None:
        renamed.insert(0, f"Metadata_{KEY}", keys)
    features = feature_frame(profiles, len(table)).add_prefix("Cells_").set_axis(renamed.index)
    refuse_repeated([*renamed.columns, *features.columns])
    whole = pd.concat([renamed, features], axis=1)
    whole.attrs = dict(table.attrs)
    return whole


def cell_keys(table: pd.DataFrame) -> pd.Series | None:
    """``plate_well_site_objectnumber`` of each cell; None where plate, well or site are unknown."""
    parts = [_column(table, name) for name in ("plate", "well", "site", "label")]
    if any(part is None for part in parts):
        return None
    keys = pd.Series("", table.index)
    for place, part in enumerate(parts):
        keys += ("_" if place else "") + part.astype(str)  # type: ignore[union-attr]
    return keys


def row_names(table: pd.DataFrame) -> Sequence[str]:
    """One name per row: `cell_keys` where they tell all rows apart, else numbers."""
    keys = cell_keys(table)
    if keys is None or keys.duplicated().any():
        return [str(number) for number in range(len(table))]
    return keys.tolist()


def _column(table: pd.DataFrame, name: str) -> pd.Series | None:
    for known in (name, NAMES[name]):
        if known in table and (table[known].astype(str) != "").all():
            return table[known]
    return None


def _renamed(name: str) -> str:
    return name if name.startswith("Metadata_") else NAMES.get(name, f"Metadata_{name}")
