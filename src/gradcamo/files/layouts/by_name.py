"""Layouts that labs make themselves: well, site, plane and channel stand in the names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from gradcamo.errors import GradcamoError
from gradcamo.files.layouts.rules import IMAGE, Layout, folder_name, stacks_of, without

_LABELS = re.compile(
    r"(?:^|[/_\-.\s])(?:\w*masks?|labels?|seg(?:mentation|mented)?)(?=[/_\-.\s])", re.I
)
_FOLDER = r"(?P<folder>(?:.*/)?)"
_WELL = r"(?P<well>[A-Z]{1,2}\d{1,2})"
_ANY_WELL = r"(?P<well>[A-Z]{1,2}-?\d{1,2})"
_SITE = r"(?:[-_](?:s|f|site|field)?[-_]?(?P<site>\d+))"
_CHANNEL = r"(?P<channel>[^/]+?)"
_CHANNEL_FILES = [
    rf"{_FOLDER}(?P<field>{_ANY_WELL}{_SITE})/(?P=field)[-_. ]{_CHANNEL}{IMAGE}",
    rf"{_FOLDER}(?P<field>{_ANY_WELL}{_SITE})/{_CHANNEL}{IMAGE}",
]
_BEFORE = r"(?:[^/]*[^/A-Za-z0-9])?"
_Z = r"[-_]z(?P<z>\d+)"
_PLANE_FILES = [
    rf"{_FOLDER}{_BEFORE}{_WELL}{_SITE}?{_Z}[-_]{_CHANNEL}{IMAGE}",
    rf"{_FOLDER}{_BEFORE}{_WELL}{_SITE}?[-_]{_CHANNEL}{_Z}{IMAGE}",
]
_WHOLE_FILES = [rf"{_FOLDER}{_BEFORE}{_WELL}{_SITE}(?:{IMAGE}|(?:\.ome)?\.zarr)"]
_TOKENS = {"z": "{z}", "channel": "{channel}"}


def channel_files(files: Sequence[str], root: Path) -> Layout | None:
    """One TIFF per channel in a folder per field: ``C4-2/C4-2_405.tif``."""
    return _named("one file per channel", _CHANNEL_FILES, files, root)


def plane_files(files: Sequence[str], root: Path) -> Layout | None:
    """One file per plane and channel: ``Well-B02-z0-CONC.ome.tiff``."""
    return _named("one file per plane", _PLANE_FILES, files, root)


def whole_files(files: Sequence[str], root: Path) -> Layout | None:
    """One file per stack: ``D02_s1.ome.tif``."""
    return _named("one file per stack", _WHOLE_FILES, files, root)


def _named(name: str, patterns: Sequence[str], files: Sequence[str], root: Path) -> Layout | None:
    images, labels = without(files, _LABELS)
    for pattern in patterns:
        stacks, used = stacks_of(images, re.compile(pattern), root, _TOKENS)
        if not stacks:
            continue
        _refuse_small_letters(pattern, images, used, root)
        folders = {stack.values["folder"] for stack in stacks}
        for stack in stacks:
            values = stack.values
            values.pop("field", None)
            values["site"] = str(int(values["site"] or 1))
            own = name != "one file per channel" or len(folders) > 1
            values["plate"] = folder_name(values if own else {}, root)
        return Layout(
            name, stacks, left_out=Counter({"label images": len(labels)}), used={*used, *labels}
        )
    return None


def _refuse_small_letters(pattern: str, images: Sequence[str], used: set[str], root: Path) -> None:
    """Refuse to leave out files that would fit, were their wells written as the others' are.

    Raises
    ------
    GradcamoError
        If there are some.
    """
    small = re.compile(pattern.replace("[A-Z]{1,2}", "(?:[a-p]|a[a-f])"))
    if others := sorted(path for path in images if path not in used and small.fullmatch(path)):
        raise GradcamoError(
            f"{root} writes wells with capitals, as in {min(used)}, and {len(others)} with small "
            f"letters, as in {others[0]}: write them one way, or say with pattern=… (--pattern) "
            "how the files are named, such as '{well}_s{site}.tif', where {well} is either"
        )
