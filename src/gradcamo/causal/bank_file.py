"""Donor banks as files: arrays, and what goes with them as JSON, in one sealed ``.npz``."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from gradcamo.errors import GradcamoError
from gradcamo.files.landing import landing
from gradcamo.files.seal import blank_zip_seal, check_seal

FORMAT = "gradcamo-donors-1"
ARRAYS = ("voxels", "kinds", "labels", "origin")
_DAMAGE = (OSError, EOFError, zipfile.BadZipFile, zlib.error)


def bank_beside(checkpoint_file: str | Path) -> Path:
    """Where the donor bank of a checkpoint lies: ``model.donors.npz`` beside it."""
    return Path(checkpoint_file).with_suffix(".donors.npz")


def write_bank(path: str | Path, about: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Write `ARRAYS`, and what is said of them as JSON, whole or not at all.

    Raises
    ------
    GradcamoError
        If the file cannot be written.
    """
    with landing(path) as scratch:
        with scratch.open("wb") as file:
            np.savez_compressed(file, about=np.array(about), **dict(arrays))
        blank_zip_seal(scratch)


@contextmanager
def reading_bank(path: str | Path) -> Iterator[tuple[dict[str, Any], dict[str, np.ndarray]]]:
    """What a file says, and its `ARRAYS`; nothing is unpickled.

    Inside, what does not fit is an error of the file.

    Raises
    ------
    GradcamoError
        If the file is missing, damaged, or no donor bank.
    """
    path = Path(path)
    if not path.is_file():
        raise GradcamoError(
            f"there is no donor bank {path}: 'gradcamo donors' makes one for a checkpoint, "
            "--donors names one that lies elsewhere"
        )
    check_seal(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            about = json.loads(str(file["about"]))
            if about["format"] != FORMAT:
                raise ValueError(f"its format is {about['format']}")
            arrays = {name: file[name] for name in ARRAYS}
        yield about, arrays
    except (*_DAMAGE, KeyError, TypeError, ValueError) as error:
        raise GradcamoError(
            f"{path} is no donor bank, or a damaged or newer one ({error}): make it again "
            "with 'gradcamo donors'"
        ) from error
