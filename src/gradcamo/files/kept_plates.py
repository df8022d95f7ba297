"""What was told of a plate is kept in the user's folder: those of microscopes stay as they are."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from gradcamo.files.landing import landing
from gradcamo.settings import FolderSettings


def keep_told(plate: str | Path, told: FolderSettings) -> None:
    """Keep what was told of the plate in a folder, or of a table, for the next time.

    Raises
    ------
    GradcamoError
        If it cannot be written.
    """
    said = {"plate": str(Path(plate).resolve())} | told.model_dump(exclude_defaults=True)
    with landing(_home(plate)) as scratch:
        scratch.write_text(json.dumps(said, indent=1, ensure_ascii=False), "utf-8")


def kept_told(plate: str | Path) -> FolderSettings:
    """What was told of it before; nothing where nothing was, or the file is damaged."""
    try:
        said = json.loads(_home(plate).read_text("utf-8"))
        said.pop("plate")
        return FolderSettings(**said)
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return FolderSettings()


def _home(plate: str | Path) -> Path:
    from platformdirs import user_data_path

    mark = hashlib.blake2b(str(Path(plate).resolve()).encode(), digest_size=12).hexdigest()
    return user_data_path("napari-gradcamo") / "plates" / f"{mark}.json"
