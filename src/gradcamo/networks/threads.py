"""In how many threads PyTorch computes: in another number of them it adds up in another order."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock

import torch

_lock = Lock()
_inside = 0
_usual = 1


@contextmanager
def in_threads(n: int = 0) -> Iterator[int]:
    """Until the block ends this thread computes in ``n``, by default in as many as PyTorch would.

    That is what PyTorch came with (``OMP_NUM_THREADS``, or the cores) or was told by
    ``torch.set_num_threads``, and leaves alone what other libraries made of it: Numba, which UMAP
    computes with, sets its own number for the thread that calls it first, and for good.

    Parameters
    ----------
    n : threads; 0 for the usual number

    Yields
    ------
    int
        How many there are.
    """
    global _inside, _usual
    with _lock:
        if not _inside:
            with ThreadPoolExecutor(1) as new:  # a new thread was told nothing by others
                _usual = new.submit(torch.get_num_threads).result()
        _inside += 1
        torch.set_num_threads(n or _usual)
    try:
        yield n or _usual
    finally:
        with _lock:
            _inside -= 1
            torch.set_num_threads(_usual)
