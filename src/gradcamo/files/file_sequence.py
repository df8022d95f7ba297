"""A stack that lies in many files, put together and read file by file."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, takewhile
from pathlib import Path
from typing import Any

import numpy as np

from gradcamo.errors import GradcamoError, GradcamoWarning
from gradcamo.files.axes import AxesError, arranged
from gradcamo.files.gaps import Grid, files_of, grid_of
from gradcamo.files.images import open_image
from gradcamo.files.rawimage import RawImage

ALIKE = 0.01
"""Pixel sizes and z steps that differ by less are equal."""


def read_gaps(path: str | Path, axes: str | None = None, labels: bool = False) -> RawImage:
    """The stack of all files that a path with gaps names: (C, Z, Y, X), read file by file.

    Parameters
    ----------
    path : path
        With ``{z}``, ``{channel}`` or both; ``*`` stands for anything within a name.
    axes : str, optional
        Of each file, as in `read_stack`.
    labels : bool
        Whether these are label images, in which a further axis holds planes.

    Raises
    ------
    GradcamoError
        As `grid_of`, and if the files are not alike.
    """
    name = str(path)
    return _read_grid(grid_of(files_of(path), name, name), name, axes, labels)


def read_channels(files: Mapping[str, str | Path], axes: str | None = None) -> RawImage:
    """The stack whose channels, by name, lie in one file each: (C, Z, Y, X).

    Parameters
    ----------
    files : mapping of channel to path
    axes : str, optional
        Of each file, as in `read_stack`.

    Raises
    ------
    GradcamoError
        If the files are not alike.
    """
    rows = tuple((str(path),) for path in files.values())
    grid = Grid(tuple(files), ("",), rows)
    raw = _read_grid(grid, name_of_channels(files), axes, False)
    return replace(raw, channels=list(files))


def name_of_channels(files: Mapping[str, str | Path]) -> str:
    """Files of one channel each as one path: with a gap where their names differ."""
    paths = [Path(path).as_posix() for path in files.values()]
    if len(set(paths)) == 1:
        return paths[0]
    start = _common_start(paths)
    end = _common_start([path[start:][::-1] for path in paths])
    tail = paths[0][len(paths[0]) - end :]
    return f"{paths[0][:start]}{{channel}}{tail}"


def _common_start(texts: Sequence[str]) -> int:
    alike = takewhile(lambda letters: len(set(letters)) == 1, zip(*texts, strict=False))
    return sum(1 for _ in alike)


def _read_grid(grid: Grid, name: str, axes: str | None, labels: bool) -> RawImage:
    gaps = {letter for letter, values in (("C", grid.channels), ("Z", grid.planes)) if values[0]}
    one_channel = "C" in gaps or labels
    opened = [[_opened(file, axes, one_channel) for file in row] for row in grid.files]
    for part in chain.from_iterable(opened):
        _check_alike(part, opened[0][0], gaps)
    import dask.array as da

    data = da.concatenate(
        [da.concatenate([part.lazy() for part in row], axis=1) for row in opened], axis=0
    )
    return RawImage(data, "CZYX", _names(grid, opened, gaps), _spacing(opened, gaps, name))


@dataclass(frozen=True, eq=False)
class _Part:
    """One file, arranged; ``raw`` is what it says about itself."""

    path: str
    raw: RawImage
    axes: str | None
    shape: tuple[int, ...]
    data: Any

    def lazy(self) -> Any:
        """As a Dask array; files of one plane are not held open."""
        import dask
        import dask.array as da

        if self.shape[:2] == (1, 1):
            read = dask.delayed(_read_plane, pure=True)(self.path, self.axes, self.shape)
            return da.from_delayed(read, self.shape, self.data.dtype)
        if isinstance(self.data, da.Array):
            return self.data
        return da.from_array(self.data, chunks=(1, 1, *self.shape[2:]), name=False)


def _opened(path: str, axes: str | None, one_channel: bool) -> _Part:
    raw = open_image(path)
    if axes is None and one_channel:
        axes = planes_of_one_channel(raw)
    data = arranged(raw, axes, path)
    return _Part(path, raw, axes, tuple(data.shape), data)


def planes_of_one_channel(raw: RawImage) -> str | None:
    """The axes of a file that holds one channel, where its only further axis is undeclared.

    Writers call three or four planes colours on their own; samples that lie apart are no colours.
    """
    return "ZYX" if raw.axes in ("?YX", "SYX", "QYX") else None


def _read_plane(path: str, axes: str | None, shape: tuple[int, ...]) -> np.ndarray:
    data = np.asarray(arranged(open_image(path), axes, path))
    if data.shape != shape:
        raise GradcamoError(f"{path} was replaced while it was read: open the stack again")
    return data


def _check_alike(part: _Part, first: _Part, gaps: set[str]) -> None:
    for letter, place, what in (("C", 0, "channels"), ("Z", 1, "planes")):
        if letter in gaps and part.shape[place] != 1:
            raise AxesError(
                f"{part.path} has {part.shape[place]} {what}, and its name stands for one of "
                f"several files with one each: drop {{{'channel' if letter == 'C' else 'z'}}} from "
                "the name, or say with axes=… what its axes are"
            )
    for ours, theirs, what in (
        (part.shape, first.shape, "(C, Z, Y, X) = {}"),
        (np.dtype(part.data.dtype), np.dtype(first.data.dtype), "{}"),
    ):
        if ours != theirs:
            raise GradcamoError(
                f"the files of a stack differ: {part.path} is {what.format(ours)}, {first.path} is "
                f"{what.format(theirs)}: export them alike"
            )
    for axis in "YX":
        a, b = ((p.raw.spacing_um or {}).get(axis) for p in (part, first))
        if a and b and abs(a - b) > ALIKE * b:
            raise GradcamoError(
                f"the files of a stack differ: pixels along {axis.lower()} are {a:g} µm in "
                f"{part.path} and {b:g} µm in {first.path}: export them alike"
            )


def _names(grid: Grid, opened: list[list[_Part]], gaps: set[str]) -> list[str | None]:
    """Words in the files' names; else what the files say, where that tells all channels apart."""
    if "C" not in gaps:
        return list(opened[0][0].raw.channels)
    said = [row[0].raw.channels[0] if len(row[0].raw.channels) == 1 else None for row in opened]
    numbers = all(re.fullmatch(r"\d+", name) for name in grid.channels)
    if numbers and all(said) and len(set(said)) == len(said):
        return said
    return list(grid.channels)


def _spacing(opened: list[list[_Part]], gaps: set[str], name: str) -> dict[str, float]:
    known = dict(opened[0][0].raw.spacing_um or {})
    if "Z" in gaps and (step := _z_step(opened[0], name)):
        known["Z"] = step
    return known


def _z_step(row: Sequence[_Part], name: str) -> float | None:
    places = [part.raw.z_um for part in row]
    if len(places) < 2 or any(place is None for place in places):
        return None
    return even_step(np.array(places, float), name)


def even_step(places_um: np.ndarray, name: str) -> float | None:
    """The z step of planes at these places; None, and said, where they are unevenly spaced."""
    steps = np.abs(np.diff(places_um))
    middle = float(np.median(steps))
    if not middle:
        return None
    if (np.abs(steps - middle) > max(ALIKE * middle, 0.005)).any():
        warnings.warn(
            f"{name}: its planes lie {steps.min():g} to {steps.max():g} µm apart, so its z step is "
            "unknown; say it with spacing_um=… (--spacing)",
            GradcamoWarning,
            stacklevel=2,
        )
        return None
    return round(middle, 6)
