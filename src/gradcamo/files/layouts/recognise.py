"""Which layout a folder follows, and the stacks in it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from pathlib import Path

from gradcamo.errors import GradcamoError
from gradcamo.files.layouts import by_name, cellvoyager, imagexpress, operetta
from gradcamo.files.layouts.rules import Layout, by_pattern
from gradcamo.files.listing import walk
from gradcamo.files.patterns import checked_pattern

Recogniser = Callable[[Sequence[str], Path], Layout | None]
_MICROSCOPES: tuple[Recogniser, ...] = (
    operetta.recognise,
    cellvoyager.recognise,
    imagexpress.recognise,
)
_BY_NAME: tuple[Recogniser, ...] = (
    by_name.channel_files,
    by_name.plane_files,
    by_name.whole_files,
)
_LISTED_AT_ONCE = 1000
_IMAGES = (".tif", ".tiff", ".zarr", ".png")


def recognise(folder: Path, pattern: str | None = None) -> Generator[str, None, Layout]:
    """The stacks in a folder: those that a pattern describes, else of a layout that is known.

    Yields how far it is in words; what it returns is the layout.

    Raises
    ------
    GradcamoError
        If no file fits, or files fit the layouts of two microscopes.
    """
    if pattern is not None:
        checked = checked_pattern(pattern)
        if "well" not in checked.names and not {"row", "col"} <= set(checked.names):
            raise GradcamoError(
                f"the pattern {pattern!r} should hold {{well}}, or {{row}} and {{col}}, such as "
                "'{well}_s{site}.ome.tif'"
            )
        files = yield from _listed(folder, pattern.count("/"))
        found = by_pattern(files, checked, folder)
        if not found.stacks:
            raise GradcamoError(
                f"no file in {folder} is named like {pattern!r}; it holds {_some(files)}: change "
                "the pattern"
            )
        return found
    files = yield from _listed(folder)
    layouts = [layout for known in _MICROSCOPES if (layout := known(files, folder))]
    if len(layouts) > 1:
        raise GradcamoError(
            f"{folder} holds files of {' and '.join(layout.name for layout in layouts)}, such as "
            f"{' and '.join(layout.stacks[0].files[0].path for layout in layouts)}: name one of "
            "their folders, or say with pattern=… which files are meant"
        )
    for known in () if layouts else _BY_NAME:
        if layout := known(files, folder):
            layouts = [layout]
            break
    if not layouts:
        raise GradcamoError(
            f"{folder} follows no layout that is known; it holds {_some(files)}: say how the files "
            "are named with pattern=… (--pattern), such as '{well}_s{site}_z{z}_{channel}.tif'"
        )
    images = [path for path in files if path.lower().endswith(_IMAGES)]
    if rest := [path for path in images if path not in layouts[0].used]:
        layouts[0].left_out[f"other images such as {rest[0]}"] = len(rest)
    return layouts[0]


def _listed(folder: Path, depth: int | None = None) -> Generator[str, None, list[str]]:
    files: list[str] = []
    for path in walk(folder, depth):
        files.append(path)
        if len(files) % _LISTED_AT_ONCE == 0:
            yield f"{len(files):,} files listed"
    yield f"{len(files):,} files: which belong together"
    return files


def _some(files: Sequence[str]) -> str:
    return ", ".join(sorted(files)[:5]) or "nothing"
