"""What was said of cells by hand: flags and notes, which outlive their scores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


class Marks:
    """Flags (set or cleared) and notes by label."""

    def __init__(self) -> None:
        self.flagged: dict[int, bool] = {}
        self.notes: dict[int, str] = {}

    def __bool__(self) -> bool:
        return bool(self.flagged or self.notes)

    def flag(self, labels: Iterable[int], flagged: bool | None) -> None:
        """Flag or clear cells, or (None) let the cut-off decide again."""
        for label in labels:
            if flagged is None:
                self.flagged.pop(int(label), None)
            else:
                self.flagged[int(label)] = flagged

    def note(self, label: int, text: str) -> None:
        """Keep a remark on a cell; an empty one takes it away."""
        if text.strip():
            self.notes[label] = text
        else:
            self.notes.pop(label, None)

    def kept(self) -> dict[str, Any]:
        """Flags and notes as files keep them."""
        return {"flagged_by_hand": dict(self.flagged), "notes": dict(self.notes)}

    def take_up(self, kept: Mapping[str, Any]) -> None:
        """Add flags and notes that were kept; those that are there count more."""
        self.flagged = {**kept.get("flagged_by_hand", {}), **self.flagged}
        self.notes = {**kept.get("notes", {}), **self.notes}

    def read_back(self, found: pd.DataFrame, now: pd.Series | None) -> tuple[set[int], set[int]]:
        """Take up flags and notes of a table indexed by label.

        Parameters
        ----------
        found : with ``flagged``, ``note`` or both; a note that differs from ours joins it
        now : what is flagged now, by label; None where nothing was scored: what is not flagged
            stays so

        Returns
        -------
        The labels whose flags, and those whose notes changed.
        """
        flags: dict[int, bool] = {}
        if "flagged" in found:
            labels = found.index
            flagged = (
                [self.flagged.get(label, False) for label in labels.tolist()]
                if now is None
                else now.reindex(labels).tolist()
            )
            changed = found.loc[(found["flagged"] != flagged).to_numpy(), "flagged"]  # missing: too
            flags = dict(zip(changed.index.tolist(), changed.tolist(), strict=True))
            self.flagged.update(flags)
        notes = set()
        said = found["note"] if "note" in found else found.iloc[:0, 0]
        for label, text in zip(said.index.tolist(), said.tolist(), strict=True):
            ours = self.notes.get(label, "")
            if text.strip() and text not in ours:
                self.notes[label] = f"{ours} / {text}" if ours and ours not in text else text
                notes.add(label)
        return set(flags), notes
