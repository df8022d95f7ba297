"""Reads what planted_truth.py and planted_sanity.py wrote, and says what is damaged.

A folder that cannot be read is named, with what to do: nothing is left out in silence.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pandas as pd
from planted_kinds import KINDS
from planted_measures import REGIONS

from gradcamo.errors import GradcamoError

RESULTS = Path(__file__).parent / "results" / "planted_truth"
CELL = ["image", "label"]
_WHO = (*CELL, "treatment", "predicted")
_CAUSAL = (
    "causal_effect",
    *(f"{of}_{r}" for of in ("causal", "volume", "causal_needed", "causal_alone") for r in REGIONS),
)
_MAPS = ("layer", "gradients", "grad_camo", "attainable", "chance")
COLUMNS = {
    "causal": (*_WHO, *_CAUSAL),
    "maps": (*_WHO, *_MAPS, "neighbour_share", "background_share"),
    "randomised": (*_WHO, "step", "layer", "gradients", "grad_camo", "causal_own",
                   "causal_effect", "causal_answered"),
    "faithful": ("order", "way", "insertion", "deletion"),
    "labels": (*_WHO, "labels", *(f"causal_{region}" for region in REGIONS)),
    "by_lot": ("causal_effect", "causal_answered"),
    "plates": ("plate", "says", "recipe", *(f"{t}_{what}" for t in ("treated", "untreated")
               for what in ("cells", *REGIONS))),
    "probes": ("plate", "region", "guard_um", "balanced_accuracy", "recipe"),
}  # fmt: skip
"""Of each file, the columns that tables are made of."""
_ABOUT = (
    *("kind", "seed", "plate", "network", "recipe", "right", "epochs", "ended"),
    *("accuracy", "measures", "met", "cpu_s"),
)
_MEASURES = (
    *("asked", "answered", "largest_share", "background_only", "background_only_off"),
    *(f"{region}_share" for region in REGIONS),
    *("layout", "swap", "limits", "against"),
)


def read_networks(folder: Path) -> list[dict[str, Any]]:
    """What stands in every network's folder; those whose run was stopped have no note yet.

    Raises
    ------
    GradcamoError
        If a note is damaged, incomplete or of another network.
    """
    return [read_network(path.parent) for path in sorted(folder.glob("*/network.json"))]


def read_note(folder: Path) -> dict[str, Any]:
    """``network.json`` of a network's folder, whatever edition wrote it."""
    path = folder / "network.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _damaged(path, f"cannot be read ({error})") from error
    if not isinstance(found, dict):
        raise _damaged(path, "holds something else than a note on a network")
    return found


def read_network(folder: Path) -> dict[str, Any]:
    """The same, complete."""
    path, found = folder / "network.json", read_note(folder)
    parts = (("", found, _ABOUT),)
    parts += (("measures of ", found.get("measures"), _MEASURES),)
    parts += (("accuracy of ", found.get("accuracy"), ("paired",)),)
    for of, part, names in parts:
        if lacking := [name for name in names if not isinstance(part, dict) or name not in part]:
            raise _damaged(path, f"lacks {of}{', '.join(lacking)}")
    if found["kind"] not in KINDS or folder.name != f"{found['kind']}-{found['seed']}":
        raise _damaged(path, f"is of {found['kind']}, seed {found['seed']}")
    return found


def stopped(folder: Path) -> list[str]:
    """Names of networks whose folder is there, but not complete: their run was stopped."""
    there = {f"{kind}-{seed}" for kind in KINDS for seed in range(KINDS[kind].seeds)}
    there = {name for name in there if (folder / name).is_dir()}
    return sorted(name for name in there if not (folder / name / "network.json").is_file())


def read_cells(path: Path, part: str) -> pd.DataFrame:
    """A table of cells of a network's folder, or of ``sanity``.

    Raises
    ------
    GradcamoError
        If it is not there, damaged, or lacks rows or columns.
    """
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise _damaged(path, f"cannot be read ({error})") from error
    return _complete(path, table, COLUMNS[part])


def read_plates(folder: Path, part: str, needed: Collection[str] = ()) -> pd.DataFrame:
    """``plates.csv`` or ``probes.csv``, with a row of each plate that is needed.

    Raises
    ------
    GradcamoError
        If it is not there, damaged, or lacks rows or columns.
    """
    path = folder / f"{part}.csv"
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise _damaged(path, f"cannot be read ({error})") from error
    table = _complete(path, table, COLUMNS[part])
    if table["recipe"].isna().any():  # the last column
        raise _damaged(path, "ends in the middle of a row")
    if lacking := sorted(set(needed) - set(table["plate"])):
        raise _damaged(path, f"has no row of plate {', '.join(lacking)}")
    return table


def run(main: Callable[[], None]) -> None:
    """A command that ends in a line, not in a traceback, where results are damaged."""
    try:
        main()
    except GradcamoError as error:
        raise SystemExit(str(error)) from None


def _complete(path: Path, table: pd.DataFrame, columns: Collection[str]) -> pd.DataFrame:
    if lacking := [name for name in columns if name not in table]:
        raise _damaged(path, f"lacks the columns {', '.join(lacking)}")
    if table.empty:
        raise _damaged(path, "holds no row")
    return table


def _damaged(path: Path, what: str) -> GradcamoError:
    sanity = path.parent.name == "sanity"
    remove = path if sanity or path.suffix == ".csv" else path.parent
    again = "planted_sanity.py" if sanity else "planted_truth.py"
    return GradcamoError(
        f"{path} {what}: remove {remove} and run 'python benchmarks/{again}' again, which makes "
        "what is missing"
    )
