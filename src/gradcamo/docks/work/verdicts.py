"""What a table that others made gets back: flags, why, notes and scores of each cell."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradcamo.cells.table import scored, whole
from gradcamo.docks.state.results import Results
from gradcamo.files.kept import MARKS, SCORES, fingerprint, homes_of, read_kept

if TYPE_CHECKING:
    import pandas as pd

    from gradcamo.files.single_cells.cells import SingleCells

BY_HAND, CLEARED = "by hand", "cleared by hand"
ANY = "*"


def verdicts(results: Results) -> pd.DataFrame:
    """Flags, reasons, notes and scores, indexed by label, of the cells that have any."""
    import pandas as pd

    from gradcamo.files.single_cells.writing import COLUMNS

    table = results.table
    labels = {*table.index.tolist(), *results.marks.flagged, *results.marks.notes}
    known = pd.Index(sorted(labels), dtype="int64")
    found = pd.DataFrame({"flagged": False, "reason": "", "note": ""}, known.rename("label"))
    if len(results):
        found.loc[table.index, "flagged"] = table["flagged"].to_numpy(bool)
        below = table["flagged"] & scored(table)
        found.loc[table.index[below], "reason"] = f"Grad-CAMO below {results.cutoff:g}"
        silent = table["flagged"] & whole(table) & table["grad_camo"].isna()
        found.loc[table.index[silent], "reason"] = "no Grad-CAMO: its map is empty"
        scores = [name for name in COLUMNS if name in table and name not in found]
        fresh = table[~table.index.isin(list(results.stale))]
        found = found.join(fresh[scores])
    for label, flagged in results.marks.flagged.items():
        found.loc[label, ["flagged", "reason"]] = flagged, BY_HAND if flagged else CLEARED
    for label, text in results.marks.notes.items():
        found.loc[label, "note"] = text
    return found


def kept_verdicts(
    cells: SingleCells, but: int, cutoff: float
) -> tuple[dict[int, pd.DataFrame], list[str]]:
    """Those that were kept with the labels of all images but one, by image.

    Also what of it could not be read and was set aside, in words.
    """
    from gradcamo.files.labels import read_labels

    found: dict[int, pd.DataFrame] = {}
    damaged: list[str] = []
    names: dict[Path, set[str]] = {}  # of labels beside which something is kept, by folder
    for image, (name, labels) in enumerate(cells.images[["image", "labels"]].to_numpy().tolist()):
        path = Path(labels)
        if image == but or not (name and labels):
            continue
        if path.parent not in names:
            names[path.parent] = _kept_in(path.parent)
        if names[path.parent].isdisjoint({path.name.split(".")[0], ANY}):
            continue  # reading the labels themselves, which tell what was kept, is not worth it
        kept = read_kept(homes_of(path, fingerprint(read_labels(cells.row(image)), name)))
        damaged += kept.damaged
        if kept.table is not None or kept.marks:
            results = Results(kept.marks.get("cutoff", cutoff))
            if kept.table is not None:
                results = Results.of_table(kept.table, results.cutoff)
            results.take_up(kept.marks)
            found[image] = verdicts(results)
    return found, damaged


def _kept_in(folder: Path) -> set[str]:
    if not os.access(folder, os.W_OK):  # then it is kept in the user's folder
        return {ANY}
    files = (path.name for path in folder.glob("*.gradcamo-*") if path.suffix in (MARKS, SCORES))
    return {name.split(".")[0] for name in files}


def marks_of(told: pd.DataFrame) -> dict[str, Any]:
    """Flags and notes that a table was written back with, as they are kept."""
    marks: dict[str, Any] = {"flagged_by_hand": {}, "notes": {}}
    reasons = told["reason"] if "reason" in told else [""] * len(told)
    if "flagged" in told:
        for label, flagged, reason in zip(told.index, told["flagged"], reasons, strict=True):
            if flagged or reason == CLEARED:
                marks["flagged_by_hand"][int(label)] = bool(flagged)
    if "note" in told:
        texts = zip(told.index.tolist(), told["note"], strict=True)
        marks["notes"] = {label: text for label, text in texts if text.strip()}
    return marks
