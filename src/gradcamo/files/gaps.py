"""A stack of many files, named as one path with gaps: ``Images/r02c03f01p{z}-ch{channel}.tiff``."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from gradcamo.errors import GradcamoError
from gradcamo.files.listing import names_in
from gradcamo.files.patterns import Pattern, has_tokens, literal_start, natural


class PlaneFile(NamedTuple):
    """One file of a stack; ``channel`` and ``z`` are what stands in the gaps, ``""`` without."""

    channel: str
    z: str
    t: str
    path: str


@dataclass(frozen=True)
class Grid:
    """The files of a stack, each once: ``files[c][z]``."""

    channels: tuple[str, ...]
    planes: tuple[str, ...]
    files: tuple[tuple[str, ...], ...]


def _exists(path: str | Path) -> bool:
    try:
        return Path(path).exists()
    except (OSError, ValueError):  # longer than any name may be, or with a zero in it
        return False


def has_gaps(path: str | Path) -> bool:
    """Whether a path names many files; one that exists as it stands does not."""
    return has_tokens(str(path)) and not _exists(path)


def is_there(path: str | Path) -> bool:
    """Whether a path, or one file of those that it names, exists."""
    return _exists(path) or (has_gaps(path) and next(files_of(path), None) is not None)


def files_of(path: str | Path) -> Iterator[PlaneFile]:
    """The files that a path with gaps names, in no particular order."""
    text = Path(path).absolute().as_posix()
    parts = text.split("/")
    done = 1
    while done < len(parts) and not _open_part(parts, done):
        done += 1
    root, rest = "/".join(parts[:done]) or "/", parts[done:]
    whole = Pattern("/".join(rest))
    for found in _matching(root, rest):
        if (values := whole.match(found)) is not None:
            channel, z, t = (values.get(name) or "" for name in ("channel", "z", "t"))
            yield PlaneFile(channel, z, t, f"{root.rstrip('/')}/{found}")


def _open_part(parts: Sequence[str], place: int) -> bool:
    return has_tokens(parts[place]) and not _exists("/".join(parts[: place + 1]))


def _matching(root: str, parts: Sequence[str]) -> Iterator[str]:
    """Paths below ``root`` whose parts fit one by one."""
    part, rest = parts[0], parts[1:]
    pattern = Pattern(part)
    for name in names_in(root, literal_start(part)):
        if pattern.match(name) is None:
            continue
        if not rest:
            yield name
        else:
            yield from (f"{name}/{below}" for below in _matching(f"{root}/{name}", rest))


def grid_of(files: Iterable[PlaneFile], name: str, of: str) -> Grid:
    """The files by channel and plane, in natural order.

    Parameters
    ----------
    files : PlaneFile
    name : the path with gaps
    of : what to call the stack in errors

    Raises
    ------
    GradcamoError
        If there are none, several time points, two files for one plane, or one is missing.
    """
    at: dict[tuple[str, str], str] = {}
    channels: dict[str, None] = {}
    planes: dict[int, str] = {}
    times: dict[str, None] = {}
    for file in sorted(files, key=lambda file: natural(file.path)):
        z = planes.setdefault(int(file.z or 0), file.z)
        channels.setdefault(file.channel)
        times.setdefault(file.t)
        other = at.setdefault((file.channel, z), file.path)
        if other != file.path and len(times) == 1:
            raise GradcamoError(
                f"{of} has two files for {_plane(file.channel, z)}: {other} and {file.path}; keep "
                "one, or say with the pattern which of them are meant"
            )
    if not at:
        raise GradcamoError(f"no file is named like {name}: check the path")
    if len(times) > 1:
        first = sorted(times, key=natural)
        raise GradcamoError(
            f"{of} has the time points {', '.join(first[:6])}{' …' if len(first) > 6 else ''}, a "
            f"Z-stack has one: write it out, such as {Pattern(name).fill({'t': first[0]})}"
        )
    if twins := _same_number(channels):
        raise GradcamoError(
            f"{of} writes one channel as {' and '.join(twins)}, in {_some(at, twins[0])} and "
            f"{_some(at, twins[1])}: keep one of them"
        )
    order = sorted(channels, key=natural)
    depth = [planes[z] for z in sorted(planes)]
    missing = [(c, z) for z in depth for c in order if (c, z) not in at]
    missing += [(c, z) for z in _left_out(planes) for c in order]
    if missing:
        channel, z = missing[0]
        example = Pattern(name).fill({"channel": channel, "z": z, "t": first_of(times)})
        raise GradcamoError(
            f"{of} lacks {_plane(channel, z)}"
            f"{f' and {len(missing) - 1} more' if len(missing) > 1 else ''}: there is no file "
            f"{example}; copy or export it again"
        )
    return Grid(tuple(order), tuple(depth), tuple(tuple(at[c, z] for z in depth) for c in order))


def first_of(names: Iterable[str]) -> str:
    return next(iter(names), "")


def _plane(channel: str, z: str) -> str:
    plane = f"plane {z}" if z else ""
    return (
        " of ".join(filter(None, [plane, f"channel {channel}" if channel else ""])) or "its plane"
    )


def _same_number(channels: Iterable[str]) -> list[str]:
    """Two channels that are one number written in two ways."""
    seen: dict[int, str] = {}
    for name in channels:
        if name.isdecimal() and seen.setdefault(int(name), name) != name:
            return [seen[int(name)], name]
    return []


def _some(at: Mapping[tuple[str, str], str], channel: str) -> str:
    return next(path for (name, _), path in at.items() if name == channel)


def _left_out(planes: Mapping[int, str]) -> list[str]:
    """Numbers within the planes' own that no file has, written as the others are."""
    numbers = sorted(planes)
    step = math.gcd(*(b - a for a, b in pairwise(numbers))) or 1
    gaps = [z for z in range(numbers[0], numbers[-1], step) if z not in planes]
    if len(gaps) > 3 * len(numbers):  # numbers that count something else than planes
        gaps = gaps[:1]
    width = len(planes[numbers[0]])
    return [str(z).zfill(width) for z in gaps]
