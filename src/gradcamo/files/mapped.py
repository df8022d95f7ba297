"""Memory-mapped files."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np


def let_go(array: Any) -> None:
    """Give back the memory that a file took which is mapped to be read; nothing else happens."""
    while not isinstance(array, np.memmap):
        array = getattr(array, "whole", None)
        if array is None:
            return
    mapped = getattr(array, "_mmap", None)  # NumPy has no public name for it
    if array.mode == "r" and mapped is not None and hasattr(mapped, "madvise"):
        mapped.madvise(mmap.MADV_DONTNEED)


class Native:
    """A mapped file of the other byte order, in this machine's when it is indexed."""

    def __init__(self, mapped: np.memmap) -> None:
        self._mapped = mapped
        self.shape, self.ndim = mapped.shape, mapped.ndim
        self.dtype = mapped.dtype.newbyteorder("=")

    def __getitem__(self, index: Any) -> np.ndarray:
        turned = np.asarray(self._mapped[index]).astype(self.dtype)
        let_go(self._mapped)
        return turned
