"""What audits brought, batch by batch, keyed by label."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcamo.cells.table import fails, passes, scored, whole
from gradcamo.columns import KNOWN
from gradcamo.datatypes import voxel_um3
from gradcamo.docks.state.causal_answers import CausalAnswers
from gradcamo.docks.state.explained_cells import (
    ExplainedCell,
    alike,
    from_arrays,
    of_batch,
    to_arrays,
)
from gradcamo.docks.state.marks import Marks

if TYPE_CHECKING:
    import pandas as pd

    from gradcamo.auditing.stack import AuditBatch
    from gradcamo.datatypes import Spacing
    from gradcamo.networks.checkpoint import Checkpoint
    from gradcamo.settings import AuditSettings

KINDS = ("cells", "whole", "border", "scored", "passing", "outside", "silent", "flagged")


class Results:
    """Scores, maps and profiles of the cells of one labels image.

    ``table`` has one row per audited cell, indexed by label, in ascending order. Its ``flagged``
    column follows the cut-off, except for cells that somebody flagged or cleared by hand. Where
    cells were asked causally, their columns stand beside.
    """

    def __init__(self, cutoff: float) -> None:
        self.recipe: dict[str, Any] = {}  # how the scores were made
        self.audited = False  # else the cells that are there were only looked at
        self.marks = Marks()  # set by hand
        self.stale: set[int] = set()
        self._cutoff = cutoff
        self._cells: dict[int, ExplainedCell] = {}
        self.causal = CausalAnswers()
        self._parts: list[pd.DataFrame] = []
        self._carried: pd.DataFrame | None = None  # a plate's columns, which no audit knows
        self._table: pd.DataFrame | None = None

    def add(self, batch: AuditBatch) -> None:
        """Take in a batch, or nothing of it; a cell that was audited before is replaced."""
        table = batch.table
        cells = of_batch(batch) if len(batch.maps) else {}
        if self._carried is not None:
            others = self._carried.columns.difference(table.columns)
            table = table.join(self._carried[others], on="label")
        self._parts.append(table)
        self._table = None
        self.stale.difference_update(table["label"].tolist())
        self._cells.update(cells)

    def add_causal(self, table: pd.DataFrame, recipe: Mapping[str, Any]) -> None:
        """Take in what cells were asked causally, a table of `causal_attention`.

        Cells that were asked otherwise before (another network, bank, target or channels) are let
        go: a table keeps to one question.
        """
        self.causal.add(table, recipe)
        self._table = None

    def fresh(self, recipe: Mapping[str, Any] | None = None) -> Results:
        """The flags and notes alone; what cells owe to their regions stays for the same question.

        Parameters
        ----------
        recipe : of the audit that comes; without one nothing else stays
        """
        results = Results(self._cutoff)
        results.marks = self.marks
        if recipe and self.causal.asked_like(recipe):
            results.causal = copy(self.causal)
        return results

    def differ_from(self, checkpoint: Checkpoint, settings: AuditSettings) -> str:
        """In what these scores differ from what would be found now; empty where they do not.

        Rows name their layer and alignment themselves, so these may differ from row to row.
        """
        recipe = self.recipe
        if not recipe:
            return ""
        if recipe.get("checkpoint") != checkpoint.hash:
            return "another network"
        if recipe["channels"] != list(settings.channels or checkpoint.channels):
            return "other channels"
        if recipe["settings"].get("target") != settings.target:
            return "another choice of treatment"
        return ""

    def respace(self, before: Spacing | None, after: Spacing | None) -> None:
        """Volumes for another voxel size; where it was not known, the next audit counts them."""
        if len(self):
            self._gathered()["volume_um3"] *= voxel_um3(after) / voxel_um3(before)
            self._table = None
            self.recipe = {**self.recipe, "spacing_um": after and list(after)}

    def expire(self, labels: set[int]) -> None:
        """The scores of these cells are out of date, and their maps are let go."""
        self.stale |= labels
        for label in labels:
            self._cells.pop(label, None)
        if self.causal.forget(labels):
            self._table = None

    def outdate(self, places: np.ndarray) -> None:
        """The shares of the cells whose crops hold any of these voxels are out of date.

        ``places`` are (z, y, x), (N, 3). Their maps are not, since no label enters a map.
        """
        table = self.table
        if not len(table) or not self.recipe:
            return
        inside = table[whole(table)]
        crop = self.recipe["crop"]
        size = np.array([crop.get("planes") or np.inf, *crop["size_yx"]])  # inf: all planes
        # where the crop lies is not known without a map: too many rather than too few
        middle = inside[["centroid_z", "centroid_y", "centroid_x"]].to_numpy(float)
        first, last = middle - size, middle + size
        for row, label in enumerate(inside["label"].tolist()):
            if label in self._cells:
                first[row] = self._cells[label].start
                last[row] = first[row] + size - 1
        low, high = places.min(0), places.max(0)
        near = np.flatnonzero(((first <= high) & (last >= low)).all(1))
        sees = [((places >= first[row]) & (places <= last[row])).all(1).any() for row in near]
        seen = set(inside["label"].to_numpy()[near[sees]].tolist())
        self.stale |= seen
        if self.causal.forget(seen):  # whose every voxel is has changed
            self._table = None

    def forget(self, labels: set[int]) -> None:
        """These cells are no more."""
        if not labels:
            return
        self.expire(labels)
        self.stale -= labels
        if len(self):
            table = self._gathered()
            self._parts = [table[~table["label"].isin(labels)]]
            self._table = None

    @classmethod
    def of_table(
        cls, table: pd.DataFrame, cutoff: float, arrays: Mapping[str, np.ndarray] | None = None
    ) -> Results:
        """Results read back; maps that ``arrays`` lacks are made again when they are asked for."""
        results = cls(cutoff)
        if "predicted" in table:  # files write missing text as empty text
            named = table["predicted"] != ""
            table = table.assign(predicted=table["predicted"].where(named, None))
        recipe = table.attrs.get("recipe", {})
        results.recipe = {k: v for k, v in recipe.items() if k not in ("run", "causal")}
        if "causal_effect" in table:
            results.causal, table = CausalAnswers.of_table(table, recipe.get("causal"))
        results._parts = [table]
        results.audited = True
        results._cells = from_arrays(arrays or {}, table)
        others = [name for name in table if name not in KNOWN]
        if others:
            results._carried = table.set_index("label")[others]
        return results

    def arrays(self) -> Callable[[], dict[str, np.ndarray]]:
        """What gathers the present maps and profiles (`to_arrays`), in any thread."""
        cells = self._cells.copy()
        return lambda: to_arrays(cells)

    def __len__(self) -> int:
        return len(self.table) if self._parts else 0

    @property
    def columns(self) -> list[str]:
        """Names of the table's columns; none where nothing was audited."""
        return self.table.columns.tolist() if self._parts else []

    @property
    def table(self) -> pd.DataFrame:
        import pandas as pd  # half a second, which a dock that opens empty need not wait

        if self._table is None:
            if not self._parts:
                return pd.DataFrame({"label": np.zeros(0, np.int64)}, index=pd.Index([], name="id"))
            self._table = self.causal.joined_to(self._gathered())
            self.reflag()
        return self._table

    def _gathered(self) -> pd.DataFrame:
        """The rows of all audits, by label."""
        import pandas as pd

        if len(self._parts) > 1 or self._parts[0].index.name != "id":
            table = pd.concat(self._parts, ignore_index=True)
            table = table.drop_duplicates("label", keep="last").sort_values("label")
            table.index = pd.Index(table["label"].to_numpy(), name="id")
            self._parts = [table]
        return self._parts[0]

    @property
    def cutoff(self) -> float:
        return self._cutoff

    @cutoff.setter
    def cutoff(self, cutoff: float) -> None:
        self._cutoff = float(cutoff)
        self.reflag()

    def mark(self, labels: Iterable[int], flagged: bool | None) -> None:
        """Flag or clear cells by hand, or (None) let the cut-off decide again."""
        self.marks.flag(labels, flagged)
        self.reflag()

    def note(self, label: int, text: str) -> None:
        """Keep a remark on a cell."""
        self.marks.note(label, text)
        self.reflag()

    def take_up(self, kept: Mapping[str, Any]) -> None:
        """Add flags, notes and what is out of date, as kept; marks that are there count more."""
        self.marks.take_up(kept)
        self.stale.update(kept.get("stale", ()))
        self.reflag()

    def read_back(self, found: pd.DataFrame) -> tuple[int, int, list[int]]:
        """Take up flags and notes, indexed by label (`Marks.read_back`).

        Returns how many flags and notes changed, and labels that have no score: theirs are kept
        until they have one.
        """
        known = set(self.table.index)
        now = self.table["flagged"] if len(self) else None
        flags, notes = self.marks.read_back(found, now)
        self.reflag()
        unknown = [label for label in found.index.tolist() if label not in known]
        return len(flags & known), len(notes), unknown

    def cam(self, label: int) -> tuple[np.ndarray, np.ndarray] | None:
        """The coarse map of a cell and the first voxel of its crop, where there is one."""
        cell = self._cells.get(label)
        return None if cell is None else (cell.cam, cell.start)

    def placement_of(self, label: int) -> Any:
        """Where the grid of a cell's map lies in its crop, None for the published way."""
        cell = self._cells.get(label)
        return None if cell is None else cell.placement

    def profiles(self) -> tuple[np.ndarray, np.ndarray]:
        """Labels (N,) and profiles (N, C') of the cells that were explained in the same way."""
        cells = alike(self._cells)
        labels = np.array(sorted(cells), np.int64)
        return labels, np.array([cells[label].profile for label in labels.tolist()])

    def with_profiles(self, table: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray | None]:
        """The rows that have a profile, and their profiles; all rows and None if none has."""
        cells = alike(self._cells)
        if not cells:
            return table, None
        table = table[table["label"].isin(list(cells))].reset_index(drop=True)
        return table, np.array([cells[label].profile for label in table["label"].tolist()])

    def counts(self) -> dict[str, int]:
        """How many cells there are of each kind."""
        if not len(self):
            return dict.fromkeys(KINDS, 0)
        table = self.table
        inside, seen = whole(table), scored(table)
        outside = inside & (table.get("cell_in_crop", 1.0) == 0)
        return {
            "cells": len(table),
            "whole": int(inside.sum()),
            "border": int((~inside).sum()),
            "scored": int(seen.sum()),
            "passing": int(passes(table, self._cutoff).sum()),
            "outside": int(outside.sum()),
            "silent": int((inside & ~outside & ~seen).sum()),
            "flagged": int(table["flagged"].to_numpy(bool).sum()),
        }

    def flags_at(self, cutoff: float) -> np.ndarray:
        """Which rows would be flagged at a cut-off, hand-made flags included."""
        table = self.table
        flagged = fails(table, cutoff).to_numpy(copy=True)
        by_hand = self._rows_of(table, self.marks.flagged)
        there = by_hand >= 0
        flagged[by_hand[there]] = np.fromiter(self.marks.flagged.values(), bool)[there]
        return flagged

    @staticmethod
    def _rows_of(table: pd.DataFrame, labels: Iterable[int]) -> np.ndarray:
        """The rows of labels, -1 where there is none."""
        import pandas as pd

        return table.index.get_indexer(pd.Index(np.array([*labels], np.int64)))

    def reflag(self) -> None:
        """Write flags and notes into the table."""
        if self._table is None:
            return
        table = self._table
        table["flagged"] = self.flags_at(self._cutoff)
        notes = np.full(len(table), "", object)
        said = self.marks.notes
        for row, text in zip(self._rows_of(table, said), said.values(), strict=True):
            if row >= 0:
                notes[row] = text
        table["note"] = notes
