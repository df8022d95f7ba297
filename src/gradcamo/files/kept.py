"""The files that keep scores, flags and notes of a labels image, found again by its content.

``NAME.gradcamo-HASH.parquet`` holds the scores, ``….json`` flags and notes, ``….maps.safetensors``
maps and profiles. The hash is that of the labels and of the image's name: other labels have other
files, and so have the same ones on another image.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcamo.errors import GradcamoError
from gradcamo.files.landing import landing
from gradcamo.files.seal import BLANK, check_seal

if TYPE_CHECKING:
    import pandas as pd

SCORES, MARKS, MAPS = ".parquet", ".json", ".maps.safetensors"


@dataclass
class Kept:
    """What was found: scores with their recipe, maps and profiles, flags and notes."""

    table: pd.DataFrame | None = None
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    marks: dict[str, Any] = field(default_factory=dict)
    damaged: list[str] = field(default_factory=list)  # what was set aside, in words


def fingerprint(labels: Any, image: str | None = "") -> str:
    """The same for the same label in every voxel, whatever the integer type, of the same image.

    An image is known by the name of its file, so that a folder may be moved. With None it is that
    of labels alone, as the first versions had it.
    """
    about = f"{tuple(labels.shape)}" + ("" if image is None else f" {Path(image).name}")
    seen = hashlib.blake2b(about.encode(), digest_size=12)
    for plane in labels:
        seen.update(np.ascontiguousarray(plane, np.int64).data)
    return seen.hexdigest()


def homes_of(path: str | Path | None, mark: str) -> list[Path]:
    """Where labels with this fingerprint keep theirs: beside their file, else in the user's folder.

    The paths lack their suffix.
    """
    from platformdirs import user_data_path

    homes = [user_data_path("napari-gradcamo") / f"labels.gradcamo-{mark}"]
    if path and Path(path).exists():
        path = Path(path)
        homes.insert(0, path.with_name(f"{path.name.split('.')[0]}.gradcamo-{mark}"))
    return homes


def write_scores(
    homes: Sequence[Path],
    table: pd.DataFrame,
    recipe: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
) -> Path:
    """Write scores, and maps and profiles, to the first home that takes them.

    Raises
    ------
    GradcamoError
        If none does.
    """
    from safetensors.numpy import save

    from gradcamo.files.store import write_table

    run = secrets.token_hex(8)  # tells which maps belong to which scores
    about = {"run": run, "seal": BLANK}
    maps = save({name: np.ascontiguousarray(a) for name, a in arrays.items()}, about)

    def write(home: Path) -> None:
        with landing(_at(home, MAPS)) as scratch:
            scratch.write_bytes(maps)
        write_table(table, _at(home, SCORES), recipe={**recipe, "run": run})

    return _first_that_takes(homes, write)


def write_marks(homes: Sequence[Path], marks: Mapping[str, Any]) -> Path:
    """Write flags and notes to the first home that takes them.

    Raises
    ------
    GradcamoError
        If none does.
    """

    def write(home: Path) -> None:
        with landing(_at(home, MARKS)) as scratch:
            sealed = {**marks, "seal": BLANK}
            scratch.write_text(json.dumps(sealed, indent=1, ensure_ascii=False), "utf-8")

    return _first_that_takes(homes, write)


def read_kept(homes: Sequence[Path]) -> Kept:
    """What the homes hold, the newest of each; damaged files are set aside, and said.

    Raises
    ------
    GradcamoError
        If a file cannot be read now, and nothing says that it is damaged: it stays where it is.
    """
    kept = Kept()
    table = _read(homes, SCORES, _read_table, kept.damaged)
    kept.marks = _read(homes, MARKS, _read_marks, kept.damaged) or {}
    if table is not None:
        kept.table = table
        run, arrays = _read(homes, MAPS, _read_maps, kept.damaged) or ("", {})
        if run == table.attrs["recipe"].get("run"):  # else of another audit
            kept.arrays = arrays
    return kept


def find_kept(path: str | Path | None, labels: Any, image: str) -> tuple[list[Path], Kept]:
    """Where labels of an image keep theirs, and what is there, or what the first versions left.

    Those told labels apart by their voxels alone, so that their scores may be of another image.
    """
    homes = homes_of(path, fingerprint(labels, image))
    kept = read_kept(homes)
    if kept.table is None and not kept.marks:
        older = read_kept(homes_of(path, fingerprint(labels, None)))
        kept.damaged += older.damaged
        named = () if older.table is None else older.table.get("image", ())
        if {Path(name).name for name in named} <= {Path(image).name}:
            return homes, replace(older, damaged=kept.damaged)
    return homes, kept


def _first_that_takes(homes: Sequence[Path], write: Callable[[Path], None]) -> Path:
    for home in homes[:-1]:
        with contextlib.suppress(GradcamoError):
            write(home)
            return home
    write(homes[-1])
    return homes[-1]


def _at(home: Path, suffix: str) -> Path:
    return home.with_name(home.name + suffix)


def _read(
    homes: Sequence[Path], suffix: str, read: Callable[[Path], Any], damaged: list[str]
) -> Any:
    paths = [path for home in homes if (path := _at(home, suffix)).is_file()]
    for path in sorted(paths, key=lambda path: path.stat().st_mtime, reverse=True):
        try:
            check_seal(path)
            return read(path)
        except Exception as error:
            if not _says_damage(error):
                raise GradcamoError(
                    f"{path} cannot be read now ({error or type(error).__name__}): it stays as it "
                    "is, and nothing is kept until it can; then open the labels again"
                ) from error
            aside = path.with_name(f"{path.name}.damaged-{int(path.stat().st_mtime)}")
            with contextlib.suppress(OSError):
                path.replace(aside)
            damaged.append(f"{path} could not be read ({error}): it was set aside as {aside.name}")
    return None


def _says_damage(error: BaseException) -> bool:
    """Whether the file is to blame: not memory, permission, or a disk that does not answer."""
    from safetensors import SafetensorError

    while error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, OSError):
        return error.errno is None  # a reader's own word for what it cannot decode
    kinds = (GradcamoError, SafetensorError, ValueError, LookupError, TypeError, AttributeError)
    return isinstance(error, (*kinds, EOFError, RecursionError))


def _read_table(path: Path) -> pd.DataFrame:
    from gradcamo.files.store import read_table

    table = read_table(path)
    if missing := {"label", "grad_camo", "touches_border", "layer", "alignment"} - set(table):
        raise GradcamoError(f"the columns {sorted(missing)} are missing")
    return table


def _read_marks(path: Path) -> dict[str, Any]:
    marks = json.loads(path.read_text("utf-8"))
    return {
        "cutoff": float(marks["cutoff"]),
        "flagged_by_hand": {int(k): bool(v) for k, v in marks["flagged_by_hand"].items()},
        "notes": {int(k): str(v) for k, v in marks["notes"].items()},
        "stale": [int(label) for label in marks.get("stale", [])],
    }


def _read_maps(path: Path) -> tuple[str, dict[str, np.ndarray]]:
    from safetensors import safe_open

    with safe_open(path, "numpy") as file:
        return file.metadata()["run"], {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
