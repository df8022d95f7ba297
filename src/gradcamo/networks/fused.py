"""The same network, made ready for inference: fewer operations, equal results."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

_NORM_OF = {
    "_expand_conv": "_bn0",
    "_depthwise_conv": "_bn1",
    "_project_conv": "_bn2",
    "_conv_stem": "_bn0",
    "_conv_head": "_bn1",
}


def fused(network: nn.Module) -> nn.Module:
    """A copy of an EfficientNet for inference; any other network comes back as it is.

    BatchNorm is folded into the convolutions, activations work in place, and the memory format
    is ``channels_last_3d``: give it input in that format where you can.

    Parameters
    ----------
    network : as `efficientnet3d` builds it

    Returns
    -------
    Module in eval mode whose logits and layers agree with the network's to rounding.
    """
    from monai.networks.nets.efficientnet import EfficientNet

    if not isinstance(network, EfficientNet):
        return network
    twin = copy.deepcopy(network).eval().requires_grad_(False)
    for module in list(twin.modules()):
        for name, norm in _NORM_OF.items():
            conv = getattr(module, name, None)
            if isinstance(conv, nn.Conv3d):
                folded = fuse_conv_bn_eval(conv, getattr(module, norm))
                setattr(module, name, folded)
                setattr(module, norm, nn.Identity())
        if hasattr(module, "_swish"):
            module._swish = _Swish()
    return twin.to(memory_format=torch.channels_last_3d)


class _Swish(nn.Module):
    """In place where nothing is to be differentiated: a graph would keep a copy each time."""

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(x, inplace=not x.requires_grad)
