"""The same network, made ready for inference: fewer operations, equal results."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from gradcamo.networks.blocks import Block, Inference
from gradcamo.networks.convolutions import Padded, fastest_layout
from gradcamo.networks.sharing import copied


def fused(network: nn.Module) -> nn.Module:
    """A copy of an `efficientnet3d` for inference; any other network comes back as it is, and so
    does one of which parts were replaced.

    BatchNorm is folded into the convolutions, activations work in place, and the memory format
    is ``channels_last_3d``: give it input in that format where you can. Its kernels are mirrored,
    since padding costs less in the mirror (`Padded`): turn its input and maps by `mirrored_for`.

    Parameters
    ----------
    network : any

    Returns
    -------
    Module in eval mode; logits, profiles and mirrored layers agree with the network's to rounding.
    """
    if not _as_built(network):
        return network
    twin: Any = copied(network).eval().requires_grad_(False)
    blocks = [
        Block(
            expand=_folded(block._expand_conv, block._bn0) if block.expand_ratio != 1 else None,
            depthwise=_folded(block._depthwise_conv, block._bn1),
            squeeze=block._se_reduce,
            excite=block._se_expand,
            project=_folded(block._project_conv, block._bn2),
            skips=block.id_skip and block.stride == 1 and block.in_channels == block.out_channels,
        )
        for stage in twin._blocks
        for block in stage
    ]
    stem, head = _folded(twin._conv_stem, twin._bn0), _folded(twin._conv_head, twin._bn1)
    ready = Inference(stem, blocks, head, twin._fc).eval().requires_grad_(False)
    return ready.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]


def _as_built(network: nn.Module) -> bool:
    """Whether its forward pass is that of `efficientnet3d`: no part is another, none has a hook."""
    if not isinstance(getattr(network, "_conv_stem", None), Padded):
        return False
    modules = dict(network.named_modules())
    for name, module in modules.items():
        parent, _, part = name.rpartition(".")
        kind = _PARTS.get(part, type(module).__name__)
        if part in ("_expand_conv", "_bn0") and getattr(modules[parent], "expand_ratio", 0) == 1:
            kind = "Identity"
        hooked = module._forward_hooks or module._forward_pre_hooks
        steady = getattr(module, "track_running_stats", True)
        if type(module).__name__ != kind or kind not in _KINDS or hooked or not steady:
            return False
    return True


_PARTS = {
    **{"_conv_stem": "Padded", "_conv_head": "Pointwise", "_fc": "Linear", "_swish": "SiLU"},
    **{"_expand_conv": "Pointwise", "_depthwise_conv": "Depthwise", "_project_conv": "Pointwise"},
    **{"_se_reduce": "Pointwise", "_se_expand": "Pointwise", "_dropout": "Dropout"},
    **dict.fromkeys(("_bn0", "_bn1", "_bn2"), "BatchNorm3d"),
    **dict.fromkeys(("_avg_pooling", "_se_adaptpool"), "AdaptiveAvgPool3d"),
}
_KINDS = {*_PARTS.values(), "EfficientNet", "Sequential", "MBConvBlock", "Identity"}


def _folded(conv: nn.Conv3d, norm: Any) -> Any:
    """The convolution with its BatchNorm, its kernel mirrored."""
    both = fuse_conv_bn_eval(conv, norm)
    if isinstance(both, Padded):
        both.weight.data = both.weight.flip(2, 3, 4)
        both.mirrored = True
    return both


def mirrored_for(network: nn.Module, values: Tensor) -> Tensor:
    """Crops, or maps, as the network has them: z, y and x mirrored for a `fused` one.

    Parameters
    ----------
    network : any
    values : (..., Z, Y, X)
    """
    return values.flip(-1, -2, -3) if isinstance(network, Inference) else values


def on_device(network: nn.Module, device: torch.device) -> nn.Module:
    """A copy of a network on another device, or the network if it is there.

    A `fused` one is laid out as it is fastest there.
    """
    if next((p.device for p in network.parameters()), device) == device:
        return network
    twin = copied(network)
    if isinstance(network, Inference):
        layout = fastest_layout(device)
        for kernels in twin.parameters():
            if kernels.ndim == 5:
                kernels.data = kernels.data.clone(memory_format=layout)  # contiguous() may not
    return twin.to(device)
