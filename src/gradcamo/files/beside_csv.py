"""What lies beside a CSV: its recipe, the types of its columns, and what it held when written.

People edit a CSV in a spreadsheet, so it is no damage that it changed; but it is told, and what
stands in it is never written over without a copy.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from gradcamo.files.landing import landing
from gradcamo.files.seal import check_seal


def recipe_path(path: str | Path) -> Path:
    """Where the recipe of a CSV table lies: ``cells.csv`` has ``cells.recipe.json``."""
    return Path(path).with_suffix(".recipe.json")


def csv_notes(path: Path) -> dict[str, Any]:
    """Recipe, columns, features and hash noted beside a CSV; empty where nothing is.

    Raises
    ------
    GradcamoError
        If the notes were damaged.
    """
    notes = recipe_path(path)
    if not notes.is_file():
        return {}
    check_seal(notes)
    found: dict[str, Any] = json.loads(notes.read_text(encoding="utf-8"))
    return found


def hash_of(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def changed(path: Path) -> bool:
    """Whether a CSV no longer holds what was written; False where nobody noted what that was.

    Whether somebody edited it or a disk damaged it cannot be told.
    """
    try:
        noted = csv_notes(path).get("sha256")
    except (OSError, ValueError, AttributeError):  # notes that are damaged vouch for nothing
        return True
    return bool(noted) and noted != hash_of(path)


def keep_changed(path: Path) -> Path | None:
    """Copy a CSV that changed since it was written, before it is written anew; where to."""
    if not path.is_file() or not changed(path):
        return None
    copy = path.with_name(f"{path.stem}.changed-{hash_of(path)[:6]}{path.suffix}")
    with landing(copy) as scratch:
        shutil.copyfile(path, scratch)
    return copy
