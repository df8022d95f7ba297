"""A file carries the hash of itself, so that damage is found where it is read.

A format's own place for a remark (metadata of Parquet and safetensors, an attribute of HDF5, a tag
of TIFF, the comment of a ZIP) takes a blank seal while the file is written; when it lands, the
blank is filled with the SHA-256 of the whole file, the blank itself read as zeros.
"""

from __future__ import annotations

import mmap
from hashlib import sha256
from pathlib import Path

from gradcamo.errors import GradcamoError

_MARK = "gradcamo-seal-"
_DIGITS = 64
_STEP = 1 << 22
BLANK = _MARK + "0" * _DIGITS
"""What a format's remark holds until the file lands."""
TIFF_TAG = (65042, "s", 0, BLANK, True)
"""A blank seal as one of tifffile's ``extratags``."""


def seal(path: Path) -> None:
    """Fill the seal of a file that has one; other files stay as they are."""
    place, digits = _digest(path)
    if place is not None:
        with path.open("rb+") as file:
            file.seek(place)
            file.write(digits)


def check_seal(path: str | Path, required: bool = False) -> None:
    """Refuse a file that does not hold what was written.

    Parameters
    ----------
    path : path
    required : whether a file without a seal is refused too; those of other tools have none

    Raises
    ------
    GradcamoError
        If the file differs in a single bit from what it was when it landed.

    Examples
    --------
    >>> import numpy as np, tempfile
    >>> from gradcamo.files.labels import write_labels
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_labels(f"{folder}/labels.tif", np.ones((1, 8, 8), np.uint8))
    ...     check_seal(f"{folder}/labels.tif", required=True)
    """
    path = Path(path)
    place, digits = _digest(path)
    if place is None:
        if required:
            raise GradcamoError(f"{path} has no seal: napari-gradcamo did not write it as it is")
        return
    with path.open("rb") as file:
        file.seek(place)
        if file.read(_DIGITS) != digits:
            raise GradcamoError(
                f"{path} is not what was written: it was damaged since, or changed by a program "
                "that kept its seal; take it from a backup or make it again"
            )


def blank_zip_seal(path: Path) -> None:
    """Give a ZIP (.npz, .pt) a blank seal as its comment."""
    from zipfile import ZipFile

    with ZipFile(path, "a") as file:
        file.comment = BLANK.encode()


def _digest(path: Path) -> tuple[int | None, bytes]:
    """Where the seal's digits are, None where there is no seal, and what they should be."""
    if not path.stat().st_size:
        return None, b""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
        at = whole.rfind(_MARK.encode())
        start = at + len(_MARK)
        end = start + _DIGITS
        if at < 0 or end > len(whole):
            return None, b""
        found = sha256()
        for a, b in ((0, start), (end, len(whole))):
            if a:
                found.update(b"0" * _DIGITS)
            for step in range(a, b, _STEP):
                found.update(whole[step : min(step + _STEP, b)])
        return start, found.hexdigest().encode()
