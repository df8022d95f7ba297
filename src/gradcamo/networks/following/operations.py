"""What each of PyTorch's basic operations makes of the axes of what it is given."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gradcamo.networks.following.tensor_axes import (
    ALIKE,
    CHANNELS,
    LOST,
    Along,
    Axes,
    Axis,
    cut,
    joined,
    length,
    lost,
    meaning,
    moved,
    viewed,
    whole,
)


class Call(NamedTuple):
    """An operation: its arguments, what is known of their axes, and the tensors that came out."""

    name: str
    elementwise: bool
    args: tuple
    kwargs: dict
    axes: list[Any]
    out: list[Tensor]

    @property
    def shape(self) -> torch.Size:
        return self.out[0].shape

    @property
    def x(self) -> Axes:
        """The axes of the first argument."""
        if self.axes[0] is None:
            raise ValueError("a constant in the place of what comes from the input")
        return self.axes[0]

    def arg(self, i: int, default: Any = None) -> Any:
        return self.args[i] if len(self.args) > i else default

    def dim(self, i: int, default: int = 0) -> int:
        """Argument ``i``, an axis of the first."""
        return int(self.arg(i, self.kwargs.get("dim", default))) % self.args[0].ndim


def follow(call: Call) -> list[Axes]:
    """The axes of each tensor that came out."""
    others = [lost(x.shape) for x in call.out]
    try:
        seen = _RULES.get(call.name, _by_family)(call)
    except (IndexError, TypeError, ValueError):  # called in a way that is not known here
        return others
    if isinstance(seen, list):
        return seen
    if seen is None or [length(axis) for axis in seen] != list(call.shape):
        return others
    return [seen, *others[1:]]


def is_constant(name: str) -> bool:
    """Whether what comes out depends on the shape of what is given alone, or on chance."""
    return bool(re.fullmatch(r"new_\w+|\w+_like|fill|zero|bernoulli|normal|uniform", name))


def _by_family(call: Call) -> Axes | None:
    name = call.name
    if "scaled_dot_product" in name:  # a token is where it asks from
        return (*call.x[:-1], call.axes[2][-1])
    if "upsample" in name:
        return _upsampled(call)
    if "adaptive" in name:
        return _centred(call)
    if "_pool" in name:
        return _pooled(call)
    if "_pad" in name:
        return padded(call.x, call.args[1], call.shape)
    if "batch_norm" in name or name in _KEEPS:
        return call.x
    if name in _REDUCES:
        return _reduced(call)
    return _together(call) if call.elementwise or name in _ELEMENTWISE else None


def _together(call: Call) -> Axes:
    """Voxel by voxel, with broadcasting; constants move nothing."""
    return _broadcast([axes for axes in call.axes if axes], call.shape)


def _broadcast(known: Sequence[Axes], shape: Sequence[int]) -> Axes:
    axes = []
    for i, n in zip(range(-len(shape), 0), shape, strict=True):
        here = [a[i] for a in known if len(a) >= -i]
        axes.append(joined([axis for axis in here if length(axis) == n], n))
    return tuple(axes)


def _convolved(call: Call) -> Axes:
    weight, (stride, padding, dilation, transposed) = call.args[1], call.args[3:7]
    n, axes = weight.ndim - 2, []
    for i in range(n):
        k, s, p, d = weight.shape[2 + i], *(_at(v, i) for v in (stride, padding, dilation))
        middle = d * (k - 1) / 2 - p
        axis, size = call.x[i - n], call.shape[i - n]
        if meaning(axis) == LOST:
            axes.append(whole(Along(i), size))
        elif transposed:
            axes.append(moved(axis, size, 1 / s, -middle / s))
        else:
            axes.append(moved(axis, size, s, middle))
    return (*call.x[: -n - 1], whole(CHANNELS, call.shape[-n - 1]), *axes)


def _pooled(call: Call) -> Axes:
    n, kernel, padding = _rank(call), call.args[1], call.arg(3, 0)
    stride = call.arg(2) or kernel
    dilation = call.arg(4, 1) if "max" in call.name else 1
    axes = []
    for i in range(n):
        k, s, p, d = (_at(v, i) for v in (kernel, stride, padding, dilation))
        axes.append(moved(call.x[i - n], call.shape[i - n], s, d * (k - 1) / 2 - p))
    return (*call.x[:-n], *axes)


def padded(axes: Axes, pad: Sequence[int], shape: Sequence[int]) -> Axes:
    """After padding the last axes, ``pad`` as `torch.nn.functional.pad` has it."""
    after = list(axes)
    for i, before in enumerate(pad[::2], start=1):
        if shape[-i] != length(axes[-i]):
            after[-i] = moved(axes[-i], shape[-i], 1, -before)
    return tuple(after)


def _centred(call: Call) -> Axes:
    """Resampled with half-pixel centres."""
    n, axes = _rank(call), []
    for i in range(-n, 0):
        f = call.args[0].shape[i] / call.shape[i]
        axes.append(moved(call.x[i], call.shape[i], f, (f - 1) / 2))
    return (*call.x[:-n], *axes)


def _upsampled(call: Call) -> Axes:
    if call.arg(2) is not True:  # align_corners
        return _centred(call)
    n, axes = _rank(call), []
    for i in range(-n, 0):
        f = (call.args[0].shape[i] - 1) / max(call.shape[i] - 1, 1)
        axes.append(moved(call.x[i], call.shape[i], f, 0))
    return (*call.x[:-n], *axes)


def _reduced(call: Call) -> Axes | None:
    shape, dims = call.args[0].shape, call.arg(2 if "norm" in call.name else 1)
    if dims is None:
        return None
    gone = {d % len(shape) for d in _list(dims)}
    if call.out[0].ndim < len(shape):
        return tuple(axis for i, axis in enumerate(call.x) if i not in gone)
    return tuple(
        moved(axis, 1, n, (n - 1) / 2) if i in gone else axis
        for i, (axis, n) in enumerate(zip(call.x, shape, strict=True))
    )


def _multiplied(call: Call) -> Axes:
    """Rows of the first, columns of the second: a token that attends is where it asks from."""
    a, b = call.axes[1:3] if call.name in ("addmm", "baddbmm") else call.axes[:2]
    summed = meaning(a[-1] if a else b[-2])
    new = CHANNELS if summed == CHANNELS else LOST
    rows = a[-2] if a else whole(new, call.shape[-2])
    columns = b[-1] if b else whole(new, call.shape[-1])
    if len(call.shape) == 2:
        return rows, columns
    return joined([x[0] for x in (a, b) if x], call.shape[0]), rows, columns


def _permuted(call: Call) -> Axes:
    order = list(range(len(call.x)))
    if call.name == "permute":
        order = [d % len(order) for d in call.args[1]]
    else:
        a, b = (call.dim(1), call.dim(2)) if call.name == "transpose" else (0, -1)
        order[a], order[b] = order[b], order[a]
    return tuple(call.x[i] for i in order)


def _squeezed(call: Call) -> Axes:
    shape = call.args[0].shape
    gone = {d % len(shape) for d in _list(call.arg(1, range(len(shape))))}
    return tuple(axis for i, axis in enumerate(call.x) if i not in gone or shape[i] > 1)


def _unsqueezed(call: Call) -> Axes:
    d = call.args[1] % len(call.shape)
    return (*call.x[:d], (), *call.x[d:])


def _expanded(call: Call) -> Axes:
    before = ((),) * (len(call.shape) - len(call.x)) + call.x
    axes = zip(before, call.shape, strict=True)
    return tuple(axis if length(axis) == n else whole(ALIKE, n) for axis, n in axes)


def _sliced(call: Call) -> Axes:
    d = call.dim(1)
    n, start = call.args[0].shape[d], call.arg(2) or 0
    start = min(max(start + n * (start < 0), 0), n)
    return _replaced(call.x, d, cut(call.x[d], n, start, call.arg(4, 1), call.shape[d]))


def _indexed(call: Call) -> Axes | None:
    found = [(d, index) for d, index in enumerate(_list(call.args[1])) if index is not None]
    if len(found) != 1 or found[0][1].ndim != 1:
        return None
    d = found[0][0]
    return _replaced(call.x, d, whole(LOST, call.shape[d]))


def _split(call: Call) -> list[Axes]:
    d, start, parts = call.dim(2), 0, []
    for part in call.out:
        axis = cut(call.x[d], call.args[0].shape[d], start, 1, part.shape[d])
        parts.append(_replaced(call.x, d, axis))
        start += part.shape[d]
    return parts


def _unbound(call: Call) -> list[Axes]:
    d = call.dim(1)
    return [(*call.x[:d], *call.x[d + 1 :])] * len(call.out)


def _concatenated(call: Call) -> Axes:
    d, known = int(call.arg(1, 0)) % len(call.shape), [a for a in call.axes[0] if a]
    if call.name == "stack":
        known = [(*a[:d], (), *a[d:]) for a in known]
    channels = all(meaning(a[d]) == CHANNELS for a in known)
    axes = [joined([a[i] for a in known], n) for i, n in enumerate(call.shape) if i != d]
    axes.insert(d, whole(CHANNELS if channels else LOST, call.shape[d]))
    return tuple(axes)


def _rolled(call: Call) -> Axes:
    axes = list(call.x)
    for shift, d in zip(_list(call.args[1]), _list(call.args[2]), strict=True):
        n, what = call.shape[d], meaning(axes[d])
        if isinstance(what, Along):
            axes[d] = whole(what._replace(rolled=(what.rolled + shift) % n), n)
        elif what != CHANNELS:
            axes[d] = whole(LOST, n)
    return tuple(axes)


def _flipped(call: Call) -> Axes:
    axes = list(call.x)
    for d in call.args[1]:
        axes[d] = moved(axes[d], call.shape[d], -1, call.shape[d] - 1)
    return tuple(axes)


def _gated(call: Call) -> Axes:
    d = call.dim(1, -1)
    return _replaced(call.x, d, cut(call.x[d], 2 * call.shape[d], 0, 1, call.shape[d]))


def _replaced(axes: Axes, d: int, axis: Axis) -> Axes:
    return (*axes[:d], axis, *axes[d + 1 :])


_RULES: dict[str, Callable[[Call], Axes | list[Axes] | None]] = {
    **dict.fromkeys(("convolution", "_convolution"), _convolved),
    **dict.fromkeys(("mm", "bmm", "addmm", "baddbmm"), _multiplied),
    **dict.fromkeys(
        ("view", "_unsafe_view", "_reshape_alias"), lambda call: viewed(call.x, call.shape)
    ),
    **dict.fromkeys(("permute", "transpose", "t"), _permuted),
    **dict.fromkeys(("split", "split_with_sizes"), _split),
    **dict.fromkeys(("cat", "stack"), _concatenated),
    "squeeze": _squeezed,
    "unsqueeze": _unsqueezed,
    "expand": _expanded,
    "slice": _sliced,
    "index": _indexed,
    "unbind": _unbound,
    "select": lambda call: _unbound(call)[0],
    "roll": _rolled,
    "flip": _flipped,
    "copy": lambda call: _broadcast([call.axes[1]], call.shape) if call.axes[1] else call.x,
    "glu": _gated,
}
_KEEPS = {
    *("detach", "alias", "_to_copy", "lift_fresh", "native_dropout"),
    *("_softmax", "_log_softmax", "_safe_softmax", "native_layer_norm", "native_group_norm"),
    *("_native_multi_head_attention", "_transformer_encoder_layer_fwd"),
}
_ELEMENTWISE = {"_prelu_kernel", "hardswish", "rrelu_with_noise"}
_REDUCES = {
    *("mean", "sum", "amax", "amin", "prod", "var", "std", "max", "min", "logsumexp"),
    *("norm", "linalg_vector_norm"),
}


def _rank(call: Call) -> int:
    return int(re.findall(r"(\d)d", call.name)[0])


def _at(value: Any, i: int) -> int:
    return int(value[i % len(value)] if isinstance(value, list | tuple) else value)


def _list(value: Any) -> list[Any]:
    return [value] if isinstance(value, int) else list(value)
