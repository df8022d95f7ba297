"""What a GPU does again and again, recorded: starting its operations takes longer than they do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from threading import Lock
from typing import Any, Generic, TypeVar
from weakref import WeakSet

import torch
from torch import Tensor

T = TypeVar("T")


class Replayed(Generic[T]):
    """A function of batches; what it does for a size that comes twice is recorded and replayed.

    Parameters
    ----------
    work : starts operations that depend on nothing but the tensors' shapes, and waits for none;
        its rows are independent of each other
    possible : whether it can be recorded, as on CUDA devices

    Notes
    -----
    A result holds until the next call. It may have more rows than the batch: a somewhat smaller
    one is filled up with rows of earlier ones. A recording keeps the memory that the work needs.
    """

    def __init__(self, work: Callable[..., T], possible: bool) -> None:
        self.work, self.possible = work, possible
        self._seen: list[torch.Size] = []
        self.forget()
        _alive.add(self)

    def forget(self) -> None:
        """Give the recording's memory back."""
        self._recording: tuple[list[torch.Size], Callable[..., T]] = ([], self.work)

    def __call__(self, *tensors: Tensor) -> T:
        shapes = [tensor.shape for tensor in tensors]
        recorded, replay = self._recording
        if _fit(shapes, recorded):
            self._seen = []
            return replay(*tensors)
        again, self._seen = shapes == self._seen, shapes
        if again and self.possible:
            self.forget()
            try:
                self._recording = shapes, _recorded(self.work, tensors)
            except RuntimeError:  # too little memory for both
                self.possible = False
            else:
                return self._recording[1](*tensors)
        return self.work(*tensors)


def _fit(shapes: list[torch.Size], recorded: list[torch.Size]) -> bool:
    """Whether a recording is for such batches; those of few rows are sooner done by themselves."""
    return len(shapes) == len(recorded) and all(
        held[0] < 2 * shape[0] <= 2 * held[0] and shape[1:] == held[1:]
        for shape, held in zip(shapes, recorded, strict=True)
    )


_alive: WeakSet[Replayed[Any]] = WeakSet()
_one_at_a_time = Lock()


def forget_recordings() -> None:
    """Give the memory of all recordings back to those who need it more."""
    for replayed in list(_alive):
        replayed.forget()


def _recorded(work: Callable[..., T], tensors: Sequence[Tensor]) -> Callable[..., T]:
    kept, graph = [tensor.clone() for tensor in tensors], torch.cuda.CUDAGraph()
    stream = _stream(tensors[0].device)
    # threads that cut crops may ask for memory meanwhile
    with _one_at_a_time, torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
        result = work(*kept)

    def replay(*tensors: Tensor) -> T:
        for here, tensor in zip(kept, tensors, strict=True):
            here[: len(tensor)].copy_(tensor)
        graph.replay()
        return result

    return replay


@cache
def _stream(device: torch.device) -> torch.cuda.Stream:
    """Always the same, since libraries keep memory for each."""
    return torch.cuda.Stream(device)
