"""Where a layer looks: stride and offset of its grid, worked out from the network's own layers.

Every tensor of one forward pass carries where its voxels sit in the input: voxel j of an axis is
centred on input voxel ``offset + stride * j``. Convolutions, pooling and padding change that,
everything else hands it on. The pass runs on the meta device: shapes only, no arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from gradcamo.cells.overlap import Placement
from gradcamo.errors import GradcamoError
from gradcamo.networks.efficientnet import SMALLEST_INPUT, find_taps, precision, taps
from gradcamo.networks.sharing import copied
from gradcamo.settings import Alignment


class Sight(NamedTuple):
    """Input voxel that voxel j of each axis is centred on: ``offset + stride * j``."""

    stride: tuple[float, ...]
    offset: tuple[float, ...]

    def through(self, kernel: Any, stride: Any, padding: Any, dilation: Any = 1) -> Sight:
        """After a sliding window: a convolution or a pooling."""
        n = len(self.stride)
        k, s, d = _each(kernel, n), _each(stride, n), _each(dilation, n)
        if padding == "same":
            padding = [(d[i] * (k[i] - 1)) // 2 for i in range(n)]
        p = _each(0 if padding == "valid" else padding, n)
        centre = [(k[i] - 1) * d[i] / 2 - p[i] for i in range(n)]
        return Sight(
            tuple(self.stride[i] * s[i] for i in range(n)),
            tuple(self.offset[i] + self.stride[i] * centre[i] for i in range(n)),
        )


class LayerInfo(NamedTuple):
    """A layer's channels and grid for a given input, and its sight where it can be derived."""

    channels: int
    grid: tuple[int, ...]
    sight: Sight | None


def describe_layers(
    network: nn.Module, input_shape: Sequence[int], layers: Iterable[str | nn.Module] | None = None
) -> dict[str, LayerInfo]:
    """Shape, stride and receptive-field offset of a network's layers.

    Parameters
    ----------
    network : any CNN
    input_shape : (C, *spatial) of one cell
    layers : names or modules; every layer with a grid by default

    Raises
    ------
    GradcamoError
        If the network cannot take such an input.
    """
    wanted = taps(network) if layers is None else find_taps(network, layers)
    names = {module: name for name, module in network.named_modules()}
    twin = copied(network).to("meta").eval()
    modules = dict(twin.named_modules())
    found: dict[str, LayerInfo] = {}

    def note(name: str, tensor: Any) -> None:
        if isinstance(tensor, Tensor) and tensor.ndim == len(input_shape) + 1:
            grid = tuple(tensor.shape[2:])
            if 0 in grid:  # PyTorch 2.9 lets this pass on meta, not on real data
                raise ValueError(f"nothing of it is left at {name}")
            found[name] = LayerInfo(tensor.shape[1], grid, getattr(tensor, "sight", None))

    hooks = [m.register_forward_hook(_hand_on) for m in twin.modules()]
    for name, tap in wanted.items():
        module = modules[names[tap.module]]
        if tap.of_input:
            hook = module.register_forward_pre_hook(lambda m, args, name=name: note(name, args[0]))
        else:
            hook = module.register_forward_hook(lambda m, i, out, name=name: note(name, out))
        hooks.append(hook)
    x: Any = torch.zeros(1, *input_shape, device="meta", dtype=precision(network))
    n = len(input_shape) - 1
    x.sight = Sight((1.0,) * n, (0.0,) * n)
    with torch.no_grad(), _fits(network, input_shape), _CarrySight():
        twin(x)
    return found


@contextmanager
def _fits(network: nn.Module, input_shape: Sequence[int]) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, ValueError) as error:
        hints = []
        if "head" in taps(network) and min(input_shape[1:]) < SMALLEST_INPUT:
            hints.append(f"at least {SMALLEST_INPUT} voxels a side are needed; ")
        convolutions = (m for m in network.modules() if isinstance(m, nn.modules.conv._ConvNd))
        if (first := next(convolutions, None)) and first.in_channels != input_shape[0]:
            hints.append(f"it takes {first.in_channels} channels; ")
        raise GradcamoError(
            f"the network cannot take an input of shape {tuple(input_shape)}: "
            f"{''.join(hints)}{error}"
        ) from error


def layer_table(layers: Mapping[str, LayerInfo]) -> pd.DataFrame:
    """One row a layer: layer, channels, grid, stride, offset (None where they are not known)."""
    rows = [
        (name, info.channels, info.grid, *(info.sight or (None, None)))
        for name, info in layers.items()
    ]
    return pd.DataFrame(rows, columns=["layer", "channels", "grid", "stride", "offset"])


def count_classes(network: nn.Module, input_shape: Sequence[int]) -> int:
    """How many logits a network gives for one cell of shape (C, *spatial)."""
    x = torch.zeros(1, *input_shape, device="meta", dtype=precision(network))
    with torch.no_grad(), _fits(network, input_shape):
        out = copied(network).to("meta").eval()(x)
    return (out if isinstance(out, Tensor) else out[0]).shape[1]


def default_layer(network: nn.Module, input_shape: Sequence[int]) -> str:
    """The deepest layer with at least 6 voxels along y and x."""
    layers = describe_layers(network, input_shape)
    fine = [name for name, info in layers.items() if info.grid and min(info.grid[-2:]) >= 6]
    if not fine:
        raise GradcamoError(
            f"no layer has 6 voxels along y and x for an input of {tuple(input_shape)}: "
            "name the layer to explain, or use a larger input"
        )
    return fine[-1]


def place(
    info: LayerInfo, input_size: Sequence[int], crop_size: Sequence[int], alignment: Alignment
) -> Placement | None:
    """Where a layer's grid lies in the crop; None for the published, plain way.

    Raises
    ------
    GradcamoError
        If the layer's offset cannot be derived from the network.
    """
    if alignment == "paper":
        return None
    if info.sight is None:
        raise GradcamoError(
            "the receptive field of this layer cannot be derived from the network: "
            "use alignment 'paper'"
        )
    zoom = [crop / size for crop, size in zip(crop_size, input_size, strict=True)]
    stride, offset = info.sight
    return Placement(
        tuple(s * f for s, f in zip(stride, zoom, strict=True)),
        tuple((o + 0.5) * f - 0.5 for o, f in zip(offset, zoom, strict=True)),
    )


class _CarrySight(TorchFunctionMode):
    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if isinstance(out, Tensor) and not hasattr(out, "sight"):
            sight = _see(func, args, kwargs, out)
            if sight is not None:
                out.sight = sight  # type: ignore[attr-defined]
        return out


def _see(func: Callable, args: tuple, kwargs: dict, out: Tensor) -> Sight | None:
    located = [a for a in args if isinstance(a, Tensor) and hasattr(a, "sight")]
    if not located:
        return None
    x: Any = located[0]
    name = getattr(func, "__name__", "")
    if func in (F.conv1d, F.conv2d, F.conv3d):
        named = dict(zip(("input", "weight", "bias", *_WINDOW), args, strict=False)) | kwargs
        return x.sight.through(
            args[1].shape[2:],
            named.get("stride", 1),
            named.get("padding", 0),
            named.get("dilation", 1),
        )
    if "adaptive" in name:
        sizes = zip(x.sight.stride, x.shape[2:], out.shape[2:], strict=True)
        strides = [(step, before / after) for step, before, after in sizes]
        return Sight(
            tuple(step * f for step, f in strides),
            tuple(
                o + step * (f - 1) / 2 for o, (step, f) in zip(x.sight.offset, strides, strict=True)
            ),
        )
    if "_pool" in name:
        named = dict(zip(("input", "kernel_size", *_WINDOW), args, strict=False)) | kwargs
        kernel = named["kernel_size"]
        dilation = named.get("dilation", 1) if "max_pool" in name else 1
        return x.sight.through(
            kernel, named.get("stride") or kernel, named.get("padding", 0), dilation
        )
    if func is F.pad:
        before = (kwargs.get("pad") or args[1])[::2][::-1]
        before = [0] * (len(x.sight.stride) - len(before)) + list(before)[-len(x.sight.stride) :]
        offset = [o - s * p for s, o, p in zip(x.sight.stride, x.sight.offset, before, strict=True)]
        return Sight(x.sight.stride, tuple(offset))
    if name in _MOVING:
        return None
    same: list[Any] = [a for a in located if a.shape[2:] == out.shape[2:]]
    return same[0].sight if same and out.ndim == same[0].ndim else None


_WINDOW = ("stride", "padding", "dilation")
# these may keep the shape and yet move the voxels
_MOVING = {"roll", "flip", "rot90", "transpose", "permute", "movedim", "swapaxes", "grid_sample"}


def _hand_on(module: nn.Module, args: tuple, out: Any) -> None:
    """For modules that compute where no function mode sees them (autograd functions)."""
    x = args[0] if args else None
    if (
        isinstance(x, Tensor)
        and isinstance(out, Tensor)
        and hasattr(x, "sight")
        and not hasattr(out, "sight")
        and out.shape[2:] == x.shape[2:]
        and not list(module.children())
    ):
        out.sight = x.sight  # type: ignore[attr-defined]


def _each(value: Any, n: int) -> list[Any]:
    return [value] * n if isinstance(value, int) else list(value) * (n // len(value) or 1)
