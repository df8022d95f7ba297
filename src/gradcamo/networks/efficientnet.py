"""The 3D EfficientNet of the paper, built from MONAI, and the names of a network's layers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import nn

from gradcamo.errors import GradcamoError
from gradcamo.networks.convolutions import use_fast_convolutions

# the seven standard stages, but with stride 2 in the first, as EfficientNet-PyTorch-3D has it
_STAGES = [
    "r1_k3_s22_e1_i32_o16_se0.25",
    "r2_k3_s22_e6_i16_o24_se0.25",
    "r2_k5_s22_e6_i24_o40_se0.25",
    "r3_k3_s22_e6_i40_o80_se0.25",
    "r3_k5_s11_e6_i80_o112_se0.25",
    "r4_k5_s22_e6_i112_o192_se0.25",
    "r1_k3_s11_e6_i192_o320_se0.25",
]
# any power of two from 64 up gives the published static padding
_PADDING_SIZE = 256
SMALLEST_INPUT = 64
VARIANTS = tuple(f"efficientnet-b{i}" for i in range(8))


def efficientnet3d(
    name: str = "efficientnet-b0", in_channels: int = 6, num_classes: int = 6, width: float = 1.0
) -> nn.Module:
    """The network of EfficientNet-PyTorch-3D with kernels in (z, y, x) order, untrained.

    Parameters
    ----------
    name : str
        ``efficientnet-b0`` … ``efficientnet-b7``.
    in_channels : int
        Stains in.
    num_classes : int
        Treatments out.
    width : float
        Factor on the variant's own width coefficient.

    Returns
    -------
    Module
        From (N, in_channels, Z, Y, X), at least 64 voxels a side, to logits (N, num_classes).

    Raises
    ------
    GradcamoError
        If there is no such variant.

    Examples
    --------
    >>> import gradcamo as gc
    >>> import torch
    >>> network = gc.efficientnet3d(in_channels=2, num_classes=3, width=0.1).eval()
    >>> network(torch.zeros(1, 2, 64, 64, 64)).shape
    torch.Size([1, 3])
    """
    from monai.networks.nets.efficientnet import EfficientNet, efficientnet_params

    if name not in VARIANTS:
        raise GradcamoError(f"no network is called {name!r}: choose one of {', '.join(VARIANTS)}")
    width_coefficient, depth_coefficient, _, dropout, drop_connect = efficientnet_params[name]
    network = EfficientNet(
        blocks_args_str=list(_STAGES),
        spatial_dims=3,
        in_channels=in_channels,
        num_classes=num_classes,
        width_coefficient=width_coefficient * width,
        depth_coefficient=depth_coefficient,
        dropout_rate=dropout,
        image_size=_PADDING_SIZE,
        drop_connect_rate=drop_connect,
    )
    return use_fast_convolutions(network)


def precision(network: nn.Module) -> torch.dtype:
    """The type of number that a network computes with."""
    return next((p.dtype for p in network.parameters() if p.is_floating_point()), torch.float32)


class Tap(NamedTuple):
    """Where a layer is read: what a module returns, or what it is given."""

    module: nn.Module
    of_input: bool = False


def taps(network: nn.Module) -> dict[str, Tap]:
    """Every layer of a network that can be explained, by name, in the order of the module tree.

    EfficientNets, ours and the published, have ``block_0`` … and ``head``; other networks have
    the names of their modules.
    """
    stages, pooling = getattr(network, "_blocks", None), getattr(network, "_avg_pooling", None)
    if isinstance(stages, nn.Module) and isinstance(pooling, nn.Module):
        blocks = [m for m in stages.modules() if hasattr(m, "_depthwise_conv")]
        named = {f"block_{i}": Tap(block) for i, block in enumerate(blocks)}
        return {**named, "head": Tap(pooling, of_input=True)}
    return {name: Tap(module) for name, module in network.named_modules() if name}


def find_taps(network: nn.Module, layers: Iterable[str | nn.Module]) -> dict[str, Tap]:
    """The layers asked for, by name or as modules of the network.

    Raises
    ------
    GradcamoError
        If the network has no such layer.
    """
    known, found = taps(network), {}
    for layer in layers:
        if isinstance(layer, nn.Module):
            names = [name for name, module in network.named_modules() if module is layer]
            if not names:
                raise GradcamoError(f"this {type(layer).__name__} is not part of the network")
            found[names[0]] = Tap(layer)
        elif (name := plain_name(layer, known)) in known:
            found[name] = known[name]
        else:
            raise GradcamoError(
                f"the network has no layer {layer!r}: choose from {', '.join(known)}"
            )
    if not found:
        raise GradcamoError("no layer was asked for: name one at least")
    return found


def plain_name(name: str, known: Iterable[str]) -> str:
    """A layer's name without what compiling or spreading over devices put before it."""
    if name in known or not isinstance(name, str):
        return name
    return name.removeprefix("module.").removeprefix("_orig_mod.")


def linear_head(network: nn.Module, tap: Tap) -> nn.Linear | None:
    """The classifier, where only average pooling and dropout lie between the layer and it."""
    if tap.of_input and tap.module is getattr(network, "_avg_pooling", None):
        head: Any = getattr(network, "_fc", None)
        return head if isinstance(head, nn.Linear) else None
    return None
