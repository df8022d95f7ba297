"""The axes of every tensor of a forward pass, followed from the input on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from gradcamo.networks.following.operations import Call, follow, is_constant, padded
from gradcamo.networks.following.tensor_axes import CELLS, CHANNELS, Along, Axes, lost, whole


@contextmanager
def followed() -> Iterator[Callable[[Any], Axes | None]]:
    """Inside, without gradients, what is made of tensors whose axes are known knows its own.

    It gives the function that says them; None of what does not depend on those tensors.
    """
    with torch.no_grad(), _Operations() as operations, _Padding(operations):
        yield operations.known


def as_cells(x: Tensor) -> Tensor:
    """A batch of cells (N, C, *spatial) that knows its axes."""
    n, channels, *spatial = x.shape
    along = (whole(Along(i, 1.0, 0.0), size) for i, size in enumerate(spatial))
    return with_axes(x, (whole(CELLS, n), whole(CHANNELS, channels), *along))


def with_axes(x: Tensor, axes: Axes | None) -> Tensor:
    x.gradcamo_axes = axes  # type: ignore[attr-defined]
    return x


class _Operations(TorchDispatchMode):
    """Below autograd, where all that a network calls has become some hundred operations."""

    def __init__(self) -> None:
        super().__init__()
        self._mixed: dict[int, Any] = {}  # memory that was written piece by piece

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if torch.is_inference_mode_enabled():  # where PyTorch hands on what it can take apart
            with self:
                out = func.decompose(*args, **kwargs)
            if out is not NotImplemented:
                return out
        axes = [
            [self.known(b) for b in a] if isinstance(a, list | tuple) else self.known(a)
            for a in args
        ]
        out = func(*args, **kwargs)
        results = _tensors(out if isinstance(out, list | tuple) else [out])
        name = func.overloadpacket.__name__.rstrip("_")
        known = any(any(a) if isinstance(a, list) else a for a in axes)
        if not known or not results or is_constant(name):
            return out
        call = Call(name, torch.Tag.pointwise in func.tags, args, kwargs, axes, results)
        for result, seen in zip(results, follow(call), strict=True):
            with_axes(result, seen)
        if func._schema.is_mutable and isinstance(args[0], Tensor):
            self._check_written(call)
        return out

    def known(self, x: Any) -> Axes | None:
        if not isinstance(x, Tensor):
            return None
        if self._mixed and _memory(x) in self._mixed:
            return lost(x.shape)
        return getattr(x, "gradcamo_axes", None)

    def _check_written(self, call: Call) -> None:
        """Writing what lies elsewhere into a part of a tensor makes the whole of it unknown."""
        target: Tensor = call.args[0]
        memory = target.untyped_storage()
        part = target.numel() * target.element_size() < memory.nbytes()
        if call.name in _SCATTERS or (part and self.known(target) != call.axes[0]):
            self._mixed[_memory(target)] = memory

    def forget(self, x: Tensor) -> None:
        self._mixed.pop(_memory(x), None)


class _Padding(TorchFunctionMode):
    """Padding that PyTorch writes piece by piece (circular) moves no voxel either."""

    def __init__(self, operations: _Operations) -> None:
        super().__init__()
        self._operations = operations

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        axes = self._operations.known(args[0]) if func is F.pad and args else None
        if axes is not None:
            self._operations.forget(out)
            with_axes(out, padded(axes, kwargs.get("pad") or args[1], out.shape))
        return out


_SCATTERS = {"index_put", "_index_put_impl", "index_copy", "index_add", "scatter", "masked_scatter"}


def _tensors(values: Sequence[Any]) -> list[Tensor]:
    return [value for value in values if isinstance(value, Tensor)]


def _memory(x: Tensor) -> int:
    return int(x.untyped_storage()._cdata)
