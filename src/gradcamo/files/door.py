"""The door that every lazy read of pixels passes: whatever a decoder stumbles over has a name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from gradcamo.errors import GradcamoError


@contextmanager
def reading(where: Callable[[], str]) -> Iterator[None]:
    """Errors of decoders and disks inside the block say where they happened.

    Parameters
    ----------
    where : tells the file, and the series and plane in it; asked after a failure

    Raises
    ------
    GradcamoError
        If anything but memory fails.
    """
    try:
        yield
    except (GradcamoError, MemoryError):
        raise
    except FileNotFoundError as error:
        raise GradcamoError(
            f"{where()} cannot be read: {error.filename or 'its file'} went away since it was "
            "opened"
        ) from error
    except Exception as error:  # zlib, imagecodecs, numcodecs, tifffile, zarr: each has its own
        told = str(error) or type(error).__name__
        raise GradcamoError(
            f"{where()} cannot be read ({told}): it is damaged or incomplete; copy or export it "
            "again"
        ) from error


def plane_of(order: str, index: tuple[Any, ...]) -> str:
    """What is read with an index, such as ``C 1, Z 3``; whole axes are left out.

    Numbers count from 0, as in the file.
    """
    named = []
    for letter, part in zip(order, index, strict=False):
        if letter in "YX" or part == slice(None):
            continue
        first, last = (part.start or 0, part.stop) if isinstance(part, slice) else (part, part + 1)
        alone = last is None or last - first == 1
        named.append(f"{letter} {first}" if alone else f"{letter} {first} to {last - 1}")
    return ", ".join(named)


class Door:
    """An array of a file, read through `reading`.

    Parameters
    ----------
    array : array-like
        Lazy; its axes are ``order``.
    name : str
        The file.
    order : str
        One letter per axis.
    """

    def __init__(self, array: Any, name: str, order: str) -> None:
        self._array, self._name, self._order = array, name, order
        self.shape, self.dtype, self.ndim = tuple(array.shape), array.dtype, len(array.shape)

    def __getitem__(self, index: Any) -> np.ndarray:
        parts = index if isinstance(index, tuple) else (index,)
        with reading(lambda: f"{self._name}, {plane_of(self._order, parts) or 'all of it'}"):
            return np.asarray(self._array[index])
