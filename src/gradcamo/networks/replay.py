"""What a GPU does again and again, recorded: starting its operations takes longer than they do."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import cache
from threading import Lock
from typing import Any, Generic, NamedTuple, TypeVar
from weakref import WeakSet

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from gradcamo.errors import GradcamoWarning

T = TypeVar("T")


class Replayed(Generic[T]):
    """A function of batches; what it does for a size that comes again is recorded and replayed.

    Parameters
    ----------
    work : starts operations that depend on nothing but the tensors' shapes, and waits for none;
        the tensors have as many rows, which do not depend on each other
    possible : whether it can be recorded, as on CUDA devices

    Notes
    -----
    A result holds until the next call. It may have more rows than the batch: a somewhat smaller
    one is filled up with rows of earlier ones. A recording keeps the memory that the work needs.
    """

    works = True

    def __init__(self, work: Callable[..., T], possible: bool) -> None:
        self.work, self.possible = work, possible
        self._recording: _Recording[T] | None = None
        self.forget()
        with _registry:
            _alive.add(self)

    @property
    def recorded(self) -> bool:
        return self._recording is not None

    def forget(self) -> bool:
        """Give the recording's memory back; False if there was none."""
        recorded = self.recorded
        self._recording = None
        self._seen: list[list[torch.Size]] = []
        return recorded

    def __call__(self, *tensors: Tensor) -> T:
        shapes = [tensor.shape for tensor in tensors]
        recording = self._recording
        if recording and recording.fits(shapes):
            return recording.replay(*tensors)
        if shapes not in self._seen:
            self._seen.append(shapes)
        elif self.possible and Replayed.works and not (recording and recording.larger_than(shapes)):
            del recording
            self.forget()
            try:
                recording = self._recording = _Recording(shapes, _recorded(self.work, tensors))
            except torch.OutOfMemoryError:  # too little for both
                self.possible = False
            except (RuntimeError, AttributeError) as error:  # AttributeError: of another PyTorch
                Replayed.works = False
                warnings.warn(
                    f"this GPU's work cannot be recorded, which is slower, not wrong: {error}",
                    GradcamoWarning,
                    stacklevel=2,
                )
            else:
                return recording.replay(*tensors)
        return self.work(*tensors)


class _Recording(NamedTuple, Generic[T]):
    shapes: list[torch.Size]
    replay: Callable[..., T]

    def fits(self, shapes: list[torch.Size]) -> bool:
        """Whether it is for such batches; those of few rows are sooner done by themselves."""
        return self._alike(shapes) and self.rows < 2 * shapes[0][0] <= 2 * self.rows

    def larger_than(self, shapes: list[torch.Size]) -> bool:
        return self._alike(shapes) and self.rows > shapes[0][0]

    def _alike(self, shapes: list[torch.Size]) -> bool:
        return [shape[1:] for shape in shapes] == [shape[1:] for shape in self.shapes]

    @property
    def rows(self) -> int:
        return self.shapes[0][0]


_alive: WeakSet[Replayed[Any]] = WeakSet()
_registry, _one_at_a_time = Lock(), Lock()


def forget_recordings() -> bool:
    """Give the memory of all recordings back to those who need it more; False if none is held."""
    with _registry:
        alive = list(_alive)
    return sum(replayed.forget() for replayed in alive) > 0


def _recorded(work: Callable[..., T], tensors: Sequence[Tensor]) -> Callable[..., T]:
    device = tensors[0].device
    stream, own = _stream(device), torch.cuda.current_stream(device)
    with _one_at_a_time, torch.inference_mode(False):
        kept, graph = [tensor.clone() for tensor in tensors], torch.cuda.CUDAGraph()
        stream.wait_stream(own)
        with torch.cuda.stream(stream):
            # libraries get ready for this thread, which they cannot in a recording
            expected = work(*kept)
        own.wait_stream(stream)
        # each recording has a workspace of its own, not one that another takes along
        torch._C._cuda_clearCublasWorkspaces()
        # threads that cut crops may ask for memory meanwhile; a failure must leave our own stream
        with (
            torch.cuda.stream(own),
            torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"),
        ):
            result = work(*kept)
        torch._C._cuda_clearCublasWorkspaces()

    def replay(*tensors: Tensor) -> T:
        for here, tensor in zip(kept, tensors, strict=True):
            here[: len(tensor)].copy_(tensor)
        graph.replay()
        return result

    check_alike(expected, replay(*tensors))
    return replay


def check_alike(expected: Any, replayed: Any) -> None:
    """Raise RuntimeError if a replay gives other numbers than the work itself."""
    for a, b in zip(_numbers(expected), _numbers(replayed), strict=True):
        tolerance = 1e-3 * float(a.abs().nan_to_num().max())
        if not torch.allclose(a, b, rtol=1e-2, atol=tolerance, equal_nan=True):
            raise RuntimeError("what was replayed differed from what was recorded")


def _numbers(result: Any) -> list[Tensor]:
    leaves = tree_leaves(result)
    return [leaf.double() for leaf in leaves if isinstance(leaf, Tensor) and leaf.numel()]


@cache
def _stream(device: torch.device) -> torch.cuda.Stream:
    """Always the same, since libraries keep memory for each."""
    return torch.cuda.Stream(device)
