"""Which columns of a table are shown, and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gradcamo.columns import KNOWN

if TYPE_CHECKING:
    import pandas as pd

FIRST_SHOWN = (
    "label",
    "flagged",
    "grad_camo",
    "neighbour_share",
    "background_share",
    "chance",
    "ceiling",
    "attainable",
    "causal_own",
    "causal_neighbour",
    "causal_background",
    "causal_answered",
    "predicted",
    "confidence",
    "volume_um3",
    "touches_border",
    "note",
)


class ShownColumns:
    """The usual columns of any table, but for what the user took away or added."""

    def __init__(self) -> None:
        self.hidden: set[str] = set()  # that the user took away from the usual ones
        self.added: list[str] = []

    def choose(self, columns: Sequence[str], table: pd.DataFrame | None) -> None:
        """Show these of a table; what it lacks stays hidden or added for others."""
        usual, there = _usual(table), set(_there(table))
        self.hidden = (self.hidden - there) | (set(usual) - set(columns))
        self.added = [name for name in self.added if name not in there]
        self.added += [name for name in columns if name not in usual]

    def of(self, table: pd.DataFrame | None) -> list[str]:
        """The columns of a table that are shown, ``label`` where none would be."""
        shown = [name for name in _usual(table) if name not in self.hidden]
        shown += [name for name in self.added if name in _there(table)]
        return shown or ["label"]


def _there(table: pd.DataFrame | None) -> list[str]:
    return [] if table is None else table.columns.tolist()


def _usual(table: pd.DataFrame | None) -> list[str]:
    there = _there(table)
    own = [name for name in FIRST_SHOWN if name in there]
    others = [name for name in there if name not in KNOWN]  # the plate's own columns
    if table is not None and "usual" in table.attrs:  # another tool's
        return own + [name for name in table.attrs["usual"] if name in others]
    return own + others
