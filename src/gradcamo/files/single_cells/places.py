"""Where the images and labels that a table names lie on this machine."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from string import Formatter
from urllib.parse import unquote, urlparse

from gradcamo.errors import GradcamoError

_IMAGES = (".tif", ".tiff", ".png", ".npy", ".zarr")
NAMED_LABELS = re.compile(r"label|mask|seg", re.IGNORECASE)


class Places:
    """Finds files by the name, and the folder, that a table gives them.

    They are taken as they stand, else looked for beside the table, under the last parts of their
    folder; with ``folder`` also anywhere below that.
    """

    def __init__(self, table: Path, folder: str | Path | None = None) -> None:
        self._beside = table.absolute().parent
        self._folder = None if folder is None else Path(folder)
        if self._folder is not None and not self._folder.is_dir():
            raise GradcamoError(f"there is no folder {folder}: check where the images lie")

    def find(self, name: str, folder: str = "") -> str:
        """The path of a file, empty where it is not found.

        Raises
        ------
        GradcamoError
            If several files of that name are equally likely.
        """
        parts = _parts(folder) + _parts(name)
        if not parts or not _parts(name):
            return ""
        tails = ["/".join(parts[start:]) for start in range(len(parts))]
        roots = [self._beside, *([self._folder] if self._folder else [])]
        tried = [Path(_joined(parts)), *(root / tail for tail in tails for root in roots)]
        for path in tried:
            if path.is_absolute() and path.exists():
                return str(path)
        return self._anywhere(parts)

    def _anywhere(self, parts: Sequence[str]) -> str:
        if self._folder is None:
            return ""
        found = self._by_name.get(parts[-1], [])
        if len(found) < 2:
            return found[0] if found else ""
        alike = {path: _common_end(_parts(path), parts) for path in found}
        best = [path for path, n in alike.items() if n == max(alike.values())]
        if len(best) > 1:
            raise GradcamoError(
                f"{best[0]} and {best[1]} are both called {parts[-1]}: name the folder of the one "
                "that is meant"
            )
        return best[0]

    @cached_property
    def _by_name(self) -> Mapping[str, list[str]]:
        found: dict[str, list[str]] = defaultdict(list)
        assert self._folder is not None
        for here, folders, names in os.walk(self._folder):
            stores = [name for name in folders if name.endswith(".zarr")]
            folders[:] = [name for name in folders if name not in stores]
            for name in (*names, *stores):
                found[name].append(os.path.join(here, name))  # noqa: PTH118
        return found


def labels_in(folder: Path, images: Sequence[str]) -> Iterator[str]:
    """For each image the label image in a folder that is called as it is, empty without one.

    Its name begins with the image's; ``img_1`` does not begin ``img_10_mask``.

    Raises
    ------
    GradcamoError
        If several are.
    """
    names = sorted(entry.name for entry in folder.iterdir() if entry.suffix.lower() in _IMAGES)
    for image in images:
        stem = _stem(image)
        begins = re.compile(re.escape(stem) + (r"(?!\d)" if stem[-1:].isdigit() else ""))
        found = [name for name in names if stem and begins.match(name)]
        found = [name for name in found if str(folder / name) != image]
        if len(found) > 1:
            found = [name for name in found if NAMED_LABELS.search(name[len(stem) :])] or found
        if len(found) > 1:
            raise GradcamoError(
                f"{folder} has {', '.join(found[:3])} for the image {Path(image).name}: say which "
                "with a pattern, such as 'masks/{image}_cells.tif'"
            )
        yield str(folder / found[0]) if found else ""


def filled(pattern: str, values: Mapping[str, str], image: str, table: Path) -> str:
    """A path whose ``{Metadata_Well}`` and the like are filled, ``{image}`` with the image's name.

    Raises
    ------
    GradcamoError
        If it names a column that is not there.
    """
    known = {**values, "image": _stem(image)}
    names = [name for _, name, _, _ in Formatter().parse(pattern) if name is not None]
    if unknown := [name for name in names if name not in known]:
        raise GradcamoError(
            f"{pattern!r} names {', '.join(unknown)}, and {table} tells its images apart by "
            f"{', '.join(known)}: use those"
        )
    path = re.sub(r"\{([^{}]*)\}", lambda found: known[found[1]], pattern)
    return str(table.absolute().parent / path)


def _stem(image: str) -> str:
    name = image.replace("\\", "/").rsplit("/", 1)[-1]
    return re.sub(r"(\.ome)?\.[A-Za-z]+$", "", name)


def _parts(path: str) -> list[str]:
    """Parts of a path of any system, or of a file's address."""
    text = path.strip()
    if text.startswith("file:"):
        text = unquote(urlparse(text).path)
    text = text.replace("\\", "/")
    parts = [part for part in text.split("/") if part not in ("", ".")]
    return (["/"] if text.startswith("/") else []) + parts


def _joined(parts: Sequence[str]) -> str:
    at = max((n for n, part in enumerate(parts) if part == "/"), default=0)
    return str(Path(*parts[at:]))


def _common_end(a: Sequence[str], b: Sequence[str]) -> int:
    same = 0
    for one, other in zip(reversed(a), reversed(b), strict=False):
        if one != other:
            break
        same += 1
    return same
