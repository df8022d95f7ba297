"""Files into stacks: which file names belong to one stack, and what they say."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gradcamo.errors import GradcamoError
from gradcamo.files.file_sequence import even_step
from gradcamo.files.gaps import Grid, PlaneFile, grid_of
from gradcamo.files.patterns import GAPS, Pattern, natural
from gradcamo.files.xml_records import read_records

IMAGE = r"(?:\.ome)?\.(?:tiff?|TIFF?)"
GUID = r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
TOKENS = {"z": "{z}", "t": "{t}", "channel": "{channel:d}", "guid": "{guid}", "any": "*"}


@dataclass
class StackFiles:
    """One stack: the name that stands for its files, and what its name says (well, site, …).

    ``channel_names`` and ``spacing_um`` (z, y, x) are what an index says.
    """

    name: str
    values: dict[str, str]
    files: list[PlaneFile] = field(default_factory=list)
    grid: Grid | None = None
    channel_names: tuple[str, ...] = ()
    spacing_um: tuple[float | None, float | None, float | None] | None = None

    @property
    def what(self) -> str:
        return f"well {self.values['well']}, site {self.values['site']} ({self.name})"


@dataclass
class Layout:
    """A plate's files, recognised.

    ``prefix`` comes before numbers that stand for channels (``w1``). ``left_out`` counts files of
    other kinds.
    """

    name: str
    stacks: list[StackFiles]
    prefix: str = ""
    left_out: Counter[str] = field(default_factory=Counter)
    used: set[str] = field(default_factory=set)


def stacks_of(
    files: Iterable[str],
    regex: re.Pattern[str],
    root: Path,
    tokens: Mapping[str, str] = TOKENS,
    fits: Callable[[str], Any] = bool,
) -> tuple[list[StackFiles], set[str]]:
    """The stacks of files whose relative paths fit, and which files these are.

    Groups of the regex named as in ``tokens`` stay open in the name of a stack (``any1``, ``any2``
    for ``*``); the others tell stacks apart and become their values.
    """
    stacks: dict[str, StackFiles] = {}
    used: set[str] = set()
    at = root.as_posix().rstrip("/")
    for path in files:
        match = regex.fullmatch(path)
        if match is None or not fits(path):
            continue
        used.add(path)
        name, values = _opened(path, match, tokens)
        stack = stacks.setdefault(name, StackFiles(f"{at}/{name}", values))
        said = match.groupdict()
        channel, z, t = (said.get(p) or said.get(f"{p}2") or "" for p in ("channel", "z", "t"))
        stack.files.append(PlaneFile(channel, z, t, f"{at}/{path}"))
    for stack in stacks.values():
        _close(stack)
    return list(stacks.values()), used


def _opened(
    path: str, match: re.Match[str], tokens: Mapping[str, str]
) -> tuple[str, dict[str, str]]:
    values, spans = {}, []
    for group, text in match.groupdict().items():
        token = tokens.get(re.sub(r"\d+$", "", group))
        if token is None:
            values[group] = text or ""
        elif text is not None:
            spans.append((*match.span(group), token))
    for start, end, token in sorted(spans, reverse=True):
        path = path[:start] + token + path[end:]
    return path, values


def _close(stack: StackFiles) -> None:
    """Write out what is the same in all files: one time point, no unique numbers."""
    filled = {}
    if len(times := {file.t for file in stack.files}) == 1:
        filled["t"] = times.pop()
    if not any(re.search(GUID, file.path) for file in stack.files):
        filled["guid"] = ""
    stack.name = Pattern(stack.name).fill(filled)


def by_pattern(files: Iterable[str], pattern: Pattern, root: Path) -> Layout:
    """The stacks of files that are named by a pattern."""
    tokens = {name: pattern.token(name) for name in GAPS if name in pattern.names}
    stacks, used = stacks_of(files, pattern.regex, root, {**tokens, "any": "*"}, pattern.match)
    return Layout("pattern", stacks, used=used)


def check_stacks(stacks: Sequence[StackFiles]) -> list[str]:
    """Every stack complete, and with the channels of the others; what is worth saying is returned.

    Raises
    ------
    GradcamoError
        If a plane or a channel is missing or there twice: well, site, plane and file are named.
    """
    for stack in stacks:
        stack.grid = grid_of(stack.files, stack.name, stack.what)
    grids = [stack.grid for stack in stacks if stack.grid]
    every = sorted({name for grid in grids for name in grid.channels}, key=natural)
    depths = Counter(tuple(map(int, filter(None, grid.planes))) for grid in grids)
    usual = depths.most_common(1)[0][0]
    notes = []
    for stack, grid in zip(stacks, grids, strict=True):
        if lost := [name for name in every if name not in grid.channels]:
            z = grid.planes[0]
            example = Pattern(stack.name).fill({"channel": lost[0], **({"z": z} if z else {})})
            raise GradcamoError(
                f"{stack.what} lacks channel {', '.join(lost)}, which other stacks have: there is "
                f"no file {example}; copy or export it again, or leave this stack out"
            )
        planes = tuple(map(int, filter(None, grid.planes)))
        if planes != usual:
            lacking = sorted({*usual} - {*planes})
            example = Pattern(stack.name).fill({"channel": grid.channels[0]})
            notes.append(
                f"{stack.what} has {len(planes)} planes, other stacks have {len(usual)}"
                + (f": plane {', '.join(map(str, lacking))} is missing" if lacking else "")
                + f" ({example})"
            )
    return notes


def row_letters(row: str) -> str:
    """Row 2 of a plate is B, row 27 AA; letters stay."""
    if not row.isdecimal():
        return row.upper()
    letters, number = "", int(row)
    while number > 0:
        number, rest = divmod(number - 1, 26)
        letters = chr(65 + rest) + letters
    return letters


def records(path: Path, wanted: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """The records of an index by their names."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in wanted}
    for name, record in read_records(path, wanted):
        found[name].append(record)
    return found


def step_between(places_um: Mapping[int, float], name: str) -> float | None:
    """The z step of planes by number."""
    if len(places_um) < 2:
        return None
    return even_step(np.array([places_um[z] for z in sorted(places_um)]), name)


def by_folder(stacks: Iterable[StackFiles]) -> dict[str, list[StackFiles]]:
    """Stacks by the folder that they lie in, as an index stands for those of its folder."""
    found: dict[str, list[StackFiles]] = {}
    for stack in stacks:
        found.setdefault(stack.values["folder"], []).append(stack)
    return found


def folder_name(values: Mapping[str, str], root: Path) -> str:
    """The folder that a stack's files lie in, by its own name."""
    return values.get("folder", "").rstrip("/").rpartition("/")[2] or root.name


def without(files: Iterable[str], regex: re.Pattern[str]) -> tuple[list[str], list[str]]:
    """Files that do not fit, and those that do."""
    kept: list[str] = []
    out: list[str] = []
    for path in files:
        (out if regex.search(path) else kept).append(path)
    return kept, out
