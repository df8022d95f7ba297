"""What an audit found in one cell beside its row: map and profile, and how they were made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gradcamo.columns import HOW

if TYPE_CHECKING:
    import pandas as pd

    from gradcamo.auditing.stack import AuditBatch


class ExplainedCell(NamedTuple):
    """Coarse map (*grid), profile (C',) and the crop's first voxel (3,) of one cell.

    ``placement`` says where the grid lies in the crop, as in `AuditBatch`; ``made`` are the values
    of the columns `HOW`.
    """

    cam: np.ndarray
    profile: np.ndarray
    start: np.ndarray
    placement: Any
    made: tuple[str, ...]


def of_batch(batch: AuditBatch) -> dict[int, ExplainedCell]:
    """The cells of a batch by label."""
    made = _how(batch.table)
    rows = zip(batch.table["label"], batch.maps, batch.profiles, batch.starts, made, strict=True)
    return {
        int(label): ExplainedCell(
            np.array(cam), np.array(profile), np.array(start), batch.placement, how
        )
        for label, cam, profile, start, how in rows
    }


def _how(table: pd.DataFrame) -> Iterator[tuple[str, ...]]:
    """Row by row; tables of an earlier version say nothing of gradients, which were averaged."""
    return zip(*(table.get(name, ["averaged"] * len(table)) for name in HOW), strict=True)


def alike(cells: Mapping[int, ExplainedCell]) -> dict[int, ExplainedCell]:
    """The cells that were explained in the commonest way; only their profiles compare."""
    if not cells:
        return {}
    ((made, _),) = Counter(cell.made for cell in cells.values()).most_common(1)
    return {label: cell for label, cell in cells.items() if cell.made == made}


def to_arrays(cells: Mapping[int, ExplainedCell]) -> dict[str, np.ndarray]:
    """Labels (N,), maps, profiles and starts, and the placement, of those that are `alike`."""
    if not cells:
        return {}
    kept = alike(cells)
    found = list(kept.values())
    arrays = {
        "labels": np.array(list(kept), np.int64),
        "maps": np.stack([cell.cam for cell in found]),
        "profiles": np.stack([cell.profile for cell in found]),
        "starts": np.stack([cell.start for cell in found]),
    }
    placement = found[0].placement
    return arrays if placement is None else {**arrays, "placement": np.array(placement)}


def from_arrays(arrays: Mapping[str, np.ndarray], table: pd.DataFrame) -> dict[int, ExplainedCell]:
    """The cells that `to_arrays` took, and how they were made, which their rows tell."""
    from gradcamo.cells.upsampling import Placement

    if not arrays:
        return {}
    placement = None
    if "placement" in arrays:
        placement = Placement(*(tuple(row) for row in arrays["placement"].tolist()))
    made = dict(zip(table["label"], _how(table), strict=True))
    names = ("maps", "profiles", "starts")
    rows = zip(arrays["labels"].tolist(), *(arrays[name] for name in names), strict=True)
    return {
        label: ExplainedCell(cam, profile, start, placement, made[label])
        for label, cam, profile, start in rows
        if label in made
    }
