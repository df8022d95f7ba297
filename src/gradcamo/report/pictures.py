"""Pictures of cells that the workers kept, as the page shows them."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gradcamo.errors import GradcamoError
from gradcamo.files.seal import check_seal

MOST = 2_500
"""Pictures in a page; at about 4 KB each they are most of its size."""
SHOWN = 12
_CELL = ["image", "label", "plate", "well", "site", "treatment", "predicted", "grad_camo"]


def read_pictures(folder: Path, table: pd.DataFrame, recipe: Mapping[str, Any]) -> pd.DataFrame:
    """Cells with a picture: their rows of the table and ``picture``, a data address.

    Of more than 2,500 an even sample by score is taken.
    """
    files = _files(folder, recipe)
    if not files:
        return pd.DataFrame(columns=[*_CELL, "picture"])
    kept = pd.concat([_of(path, image) for image, path in files.items()], ignore_index=True)
    cells = table.merge(kept.drop(columns="grad_camo"), on=["image", "label"])
    cells = cells.sort_values("grad_camo", ascending=False, kind="stable", ignore_index=True)
    if len(cells) > MOST:
        cells = cells.iloc[np.linspace(0, len(cells) - 1, MOST).round().astype(int)]
    addresses = ["data:image/jpeg;base64," + b64encode(jpeg).decode() for jpeg in cells["jpeg"]]
    return cells.drop(columns="jpeg").assign(picture=addresses)


def galleries(pictures: pd.DataFrame) -> list[dict[str, Any]]:
    """Best, typical and worst cells, the typical ones from around the median."""
    if pictures.empty:
        return []
    n = min(SHOWN, len(pictures))
    middle = max(0, len(pictures) // 2 - n // 2)
    parts = {
        "Best": pictures.head(n),
        "Typical": pictures.iloc[middle : middle + n],
        "Worst": pictures.tail(n)[::-1],
    }
    return [{"name": name, "cells": cells.to_dict("records")} for name, cells in parts.items()]


def _files(folder: Path, recipe: Mapping[str, Any]) -> dict[str, Path]:
    """The pictures that belong to this very table, by image."""
    names = recipe.get("pictures", {})
    if not isinstance(names, Mapping):  # as 0.1.0 listed them: they tell their image
        names = {str(name): name for name in names}
    return {image: path for image, name in names.items() if (path := folder / str(name)).is_file()}


def _of(path: Path, image: str) -> pd.DataFrame:
    check_seal(path)
    try:
        kept = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise GradcamoError(
            f"{path} cannot be read ({error}): remove it, and the report has no pictures of its "
            "stack, or run the plate again"
        ) from error
    return kept if "image" in kept else kept.assign(image=image)
