"""Arrays of any declared order of axes into (C, Z, Y, X)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from gradcamo.errors import GradcamoError
from gradcamo.files.rawimage import RawImage


class AxesError(GradcamoError):
    """Axes are undeclared or wrong, and somebody who knows them can say them."""


def arranged(raw: RawImage, axes: str | None, path: str | Path) -> Any:
    """The array as (C, Z, Y, X), its axes as given or as its file declares them.

    Raises
    ------
    AxesError
        If they are undeclared, do not describe the array, or it has others than these.
    """
    data, shape = raw.data, tuple(raw.data.shape)
    order = raw.axes if axes is None else axes.upper()
    if axes is not None and (
        len(order) != len(shape)
        or len(set(order)) != len(order)
        or not set("YX") <= set(order) <= set("TCZYX")
    ):
        raise AxesError(
            f"{path} has shape {shape}, which axes={axes!r} does not describe: give one letter "
            f"per dimension, Y and X among them, such as axes={_example(raw.axes)!r}"
        )
    for letter, n in zip(order, shape, strict=True):
        if letter not in "CZYX" and n > 1:
            raise AxesError(_why_not(letter, order, shape, path))
    if missing := [letter for letter in "YX" if letter not in order]:
        raise AxesError(
            f"{path} has the axes {order} and no {missing}: say which is which with "
            f"axes={_example(order)!r}"
        )
    data = data[tuple(slice(None) if letter in "CZYX" else 0 for letter in order)]
    order = "".join(letter for letter in order if letter in "CZYX")
    data = data.transpose([order.index(letter) for letter in "CZYX" if letter in order])
    return data[tuple(slice(None) if letter in order else np.newaxis for letter in "CZYX")]


def _why_not(letter: str, order: str, shape: tuple[int, ...], path: str | Path) -> str:
    if letter == "?":
        # writers mark four planes or channels as colours by themselves; colours stand last
        unsure = order[:-1].replace("S", "?") + order[-1]
        return (
            f"{path} does not say what its axes are (shape {shape}): say which is which, "
            f"such as axes={_example(unsure)!r} (--axes; C channels, Z planes, Y rows, X columns)"
        )
    if letter == "S":
        return (
            f"{path} is a colour image (axes {order}, shape {shape}): if its samples are channels, "
            f"say so with axes={order.replace('S', 'C')!r}"
        )
    kind = "time points" if letter == "T" else f"positions along axis {letter}"
    as_planes = f", or if these are planes, say axes={order.replace(letter, 'Z')!r}"
    return (
        f"{path} has {shape[order.index(letter)]} {kind} (axes {order}, shape {shape}), a Z-stack "
        f"has one: export it on its own{as_planes if 'Z' not in order else ''}"
    )


def _example(order: str) -> str:
    """What to pass as ``axes`` for a file with these, ``?`` where it declares none."""
    known = order.replace("S", "C")
    free = [letter for letter in "TCZ" if letter not in known][-order.count("?") :]
    return "".join(free.pop(0) if letter == "?" and free else letter for letter in known)
