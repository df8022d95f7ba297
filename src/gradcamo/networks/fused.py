"""The same network, made ready for inference: fewer operations, equal results."""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from gradcamo.networks.convolutions import Padded, Pointwise, fastest_layout

_NORM_OF = {
    "_expand_conv": "_bn0",
    "_depthwise_conv": "_bn1",
    "_project_conv": "_bn2",
    "_conv_stem": "_bn0",
    "_conv_head": "_bn1",
}


def fused(network: nn.Module) -> nn.Module:
    """A copy of an `efficientnet3d` for inference; any other network comes back as it is.

    BatchNorm is folded into the convolutions, activations work in place, and the memory format
    is ``channels_last_3d``: give it input in that format where you can. Its kernels are mirrored,
    since padding costs less in the mirror (`Padded`): turn its input and its maps by `facing`.

    Parameters
    ----------
    network : any

    Returns
    -------
    Module in eval mode; logits, profiles and mirrored layers agree with the network's to rounding.
    """
    if not isinstance(getattr(network, "_conv_stem", None), Padded):
        return network
    twin: Any = copy.deepcopy(network).eval().requires_grad_(False)
    for module in list(twin.modules()):
        for name, norm in _NORM_OF.items():
            conv = getattr(module, name, None)
            if isinstance(conv, nn.Conv3d):
                folded = fuse_conv_bn_eval(conv, getattr(module, norm))
                setattr(module, name, folded)
                setattr(module, norm, nn.Identity())
                _mirror(folded)
        if hasattr(module, "_swish"):
            module._swish = _Swish()
        if isinstance(getattr(module, "_expand_conv", None), Pointwise):
            module._depthwise_conv = _Widening(module._expand_conv, module._depthwise_conv)
            module.expand_ratio = 1  # the block need not expand any more
            del module._expand_conv
    return twin.to(memory_format=torch.channels_last_3d)


def _mirror(conv: nn.Module) -> None:
    if isinstance(conv, Padded):
        conv.weight.data = conv.weight.flip(2, 3, 4)
        conv.mirrored = True


def facing(network: nn.Module, values: Tensor) -> Tensor:
    """Crops, or maps, as the network has them: z, y and x mirrored for a `fused` one.

    Parameters
    ----------
    network : any
    values : (..., Z, Y, X)
    """
    return values.flip(-1, -2, -3) if _mirrored(network) else values


def placed(network: nn.Module, device: torch.device) -> nn.Module:
    """A copy of a network on another device, or the network if it is there.

    A `fused` one is laid out as it is fastest there.
    """
    if next((p.device for p in network.parameters()), device) == device:
        return network
    twin = copy.deepcopy(network)
    if _mirrored(network):
        layout = fastest_layout(device)
        for kernels in twin.parameters():
            if kernels.ndim == 5:
                kernels.data = kernels.data.clone(memory_format=layout)  # contiguous() may not
    return twin.to(device)


def _mirrored(network: nn.Module) -> bool:
    return getattr(getattr(network, "_conv_stem", None), "mirrored", False)


def on_average(a: Tensor) -> Tensor:
    """The same tensor, of which only the mean gradient over the grid is asked for.

    A `fused` network saves the most costly step then, down to the layer's own voxels.
    """
    a.on_average = True  # type: ignore[attr-defined]
    return a


class _Swish(nn.Module):
    """In place where nothing is to be differentiated: a graph would keep a copy each time."""

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(x, inplace=not x.requires_grad)


class _Widening(nn.Module):
    """What a block begins with: more channels, swish, depthwise convolution."""

    def __init__(self, expand: Pointwise, depthwise: Padded) -> None:
        super().__init__()
        self.expand, self.swish, self.depthwise = expand, _Swish(), depthwise

    def forward(self, x: Tensor) -> Tensor:
        if getattr(x, "on_average", False):
            y: Tensor = _MeanSlope.apply(x, self.expand, self.depthwise)
            return y
        out: Tensor = self.depthwise(self.swish(self.expand(x)))
        return out


class _MeanSlope(torch.autograd.Function):
    """Depthwise(silu(e)) of e = W x + b; the gradient at x is right on average over the grid.

    A constant d added to each channel of x moves e by W d and the output by
    depthwise(silu'(e)) W d, so the mean of dY/dx is W' <dY/dy, depthwise(silu'(e))> / |grid|. That
    is a convolution with steps of two, where each voxel's own gradient needs its transpose.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, expand: Pointwise, depthwise: Padded) -> Tensor:
        e = expand(x)
        rise = torch.ops.aten.silu_backward(torch.ones_like(e), e)
        ctx.save_for_backward(depthwise.product(rise), expand.weight)
        ctx.grid = x.shape[2:]
        return depthwise.product(F.silu(e, inplace=True), depthwise.bias)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        moved, weight = ctx.saved_tensors
        towards_e = (slope * moved).sum((2, 3, 4))  # einsum would copy both
        mean = towards_e @ weight.flatten(1) / ctx.grid.numel()
        return mean[..., None, None, None].expand(-1, -1, *ctx.grid), None, None
