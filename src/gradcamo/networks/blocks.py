"""An EfficientNet for inference, its blocks with gradients of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradcamo.networks.convolutions import Padded, Pointwise

aten = torch.ops.aten

WIDE = 650_000_000
"""Bytes of widened cells, many times as large as they are, up to which a processor makes them in
one go: four of the paper's."""


def on_average(a: Tensor) -> Tensor:
    """The same tensor, of which only the mean gradient over the grid is asked for.

    A `Block` saves the most costly step then, down to the layer's own voxels.
    """
    a.on_average = True  # type: ignore[attr-defined]
    return a


class Inference(nn.Module):
    """An EfficientNet of convolutions that hold their BatchNorm; names as in the published one.

    Kernels are mirrored, and so are its input and its maps.
    """

    def __init__(
        self, stem: Padded, blocks: Sequence[Block], head: Pointwise, classify: nn.Linear
    ) -> None:
        super().__init__()
        self._conv_stem, self._blocks, self._conv_head = stem, nn.Sequential(*blocks), head
        self._avg_pooling, self._fc = nn.AdaptiveAvgPool3d(1), classify

    def forward(self, x: Tensor) -> Tensor:
        x = swish(self._conv_stem(x))
        for block in self._blocks:  # calling all at once would keep what the stem gave
            x = block(x)
        x = swish(self._conv_head(x))
        logits: Tensor = self._fc(self._avg_pooling(x).flatten(1))
        return logits


def swish(x: Tensor) -> Tensor:
    """In place where nothing is to be differentiated: a graph would keep a copy each time."""
    return F.silu(x, inplace=not x.requires_grad)


class Block(nn.Module):
    """More channels and a depthwise convolution, then gates on channels, and fewer of them."""

    def __init__(
        self,
        expand: Pointwise | None,
        depthwise: Padded,
        squeeze: nn.Conv3d,
        excite: nn.Conv3d,
        project: Pointwise,
        skips: bool,
    ) -> None:
        super().__init__()
        self._expand_conv, self._depthwise_conv, self._project_conv = expand, depthwise, project
        self._se_reduce, self._se_expand, self.skips = squeeze, excite, skips

    def forward(self, x: Tensor) -> Tensor:
        y = self.narrow(self.widen(x))
        return y + x if self.skips else y

    def widen(self, x: Tensor) -> Tensor:
        if self._expand_conv is None:
            out: Tensor = self._depthwise_conv(x)
            return out
        if getattr(x, "on_average", False):
            y: Tensor = _MeanSlope.apply(x, self._expand_conv, self._depthwise_conv)
            return y
        some = len(x)
        if x.device.type == "cpu" and not x.requires_grad:
            some = max(1, WIDE // (4 * self._expand_conv.out_channels * x[0, 0].numel()))
        parts = [self._depthwise_conv(swish(self._expand_conv(cells))) for cells in x.split(some)]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def narrow(self, x: Tensor) -> Tensor:
        if x.requires_grad:
            y: Tensor = _Narrowing.apply(x, self)
            return y
        x = swish(x)
        out: Tensor = self._project_conv(x.mul_(_everywhere(self.gates(x)[1])))
        return out

    def gates(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What squeezing finds, (N, S), and the gates that excitation makes of it, (N, C)."""
        squeezed = _linear(self._se_reduce, x.mean((2, 3, 4)))
        return squeezed, _linear(self._se_expand, F.silu(squeezed)).sigmoid_()


class _MeanSlope(torch.autograd.Function):
    """Depthwise(silu(e)) of e = W x + b; the gradient at x is right on average over the grid.

    A constant d added to each channel of x moves e by W d and the output by
    depthwise(silu'(e)) W d, so the mean of dY/dx is W' <dY/dy, depthwise(silu'(e))> / |grid|. That
    is a convolution with steps of two, where each voxel's own gradient needs its transpose.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, expand: Pointwise, depthwise: Padded) -> Tensor:
        e = expand(x)
        rise = aten.silu_backward(e.new_ones(()).expand_as(e), e)
        ctx.save_for_backward(depthwise.product(rise))
        ctx.expand, ctx.grid = expand, x.shape[2:]
        return depthwise.product(F.silu(e, inplace=True), depthwise.bias)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        (moved,) = ctx.saved_tensors
        towards_e = (slope * moved).sum((2, 3, 4))  # einsum would copy both
        mean = towards_e @ _matrix(ctx.expand) / ctx.grid.numel()
        return _everywhere(mean).expand(-1, -1, *ctx.grid), None, None


class _Narrowing(torch.autograd.Function):
    """P (g h) of h = silu(x) and gates g = excitation(mean h), in fewer steps than torch finds.

    With t = P' dY/dy::

        dY/dg = sum over the grid of t h
        dY/dh = g t + dY/d(mean h) / |grid|
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, block: Block) -> Tensor:
        h = F.silu(x)
        squeezed, gates = block.gates(h)
        ctx.save_for_backward(x, h, squeezed, gates)
        ctx.block = block
        y: Tensor = block._project_conv(h * _everywhere(gates))
        return y

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None]:
        x, h, squeezed, gates = ctx.saved_tensors
        project, squeeze, excite = (
            _matrix(part)
            for part in (ctx.block._project_conv, ctx.block._se_reduce, ctx.block._se_expand)
        )
        t = (slope.movedim(1, -1) @ project).movedim(-1, 1)
        towards_gates = aten.sigmoid_backward((t * h).sum((2, 3, 4)), gates)
        towards_squeezed = aten.silu_backward(towards_gates @ excite, squeezed)
        towards_mean = towards_squeezed @ squeeze / x[0, 0].numel()
        towards_h = torch.addcmul(_everywhere(towards_mean), t, _everywhere(gates))
        return aten.silu_backward(towards_h, x), None


def _matrix(conv: nn.Conv3d) -> Tensor:
    """The weights of a 1 x 1 x 1 convolution, (K, C)."""
    return conv.weight.flatten(1)


def _linear(conv: nn.Conv3d, x: Tensor) -> Tensor:
    return F.linear(x, _matrix(conv), conv.bias)


def _everywhere(values: Tensor) -> Tensor:
    """The same on the whole grid, (N, C) -> (N, C, 1, 1, 1)."""
    return values[..., None, None, None]
