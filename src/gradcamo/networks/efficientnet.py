"""The 3D EfficientNet of the paper, built from MONAI, and the names of a network's layers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from gradcamo.errors import GradcamoError
from gradcamo.networks.convolutions import quicken

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


def efficientnet3d(
    name: str = "efficientnet-b0", in_channels: int = 6, num_classes: int = 6, width: float = 1.0
) -> nn.Module:
    """The network of EfficientNet-PyTorch-3D with kernels in (z, y, x) order.

    Parameters
    ----------
    name : ``efficientnet-b0`` … ``efficientnet-b7``
    in_channels, num_classes : stains in, treatments out
    width : factor on the variant's own width coefficient

    Returns
    -------
    Module from (N, in_channels, Z, Y, X), at least 64 voxels a side, to logits (N, num_classes).
    """
    from monai.networks.nets.efficientnet import EfficientNet, efficientnet_params

    variants = [key for key in efficientnet_params if key[-2:] in {f"b{i}" for i in range(8)}]
    if name not in variants:
        raise GradcamoError(f"no network is called {name!r}: choose one of {', '.join(variants)}")
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
    return quicken(network)


def load_efficientnet_pytorch_3d(
    weights: Mapping[str, Tensor] | str | Path, name: str = "efficientnet-b0", width: float = 1.0
) -> nn.Module:
    """Published EfficientNet-PyTorch-3D weights in a network with axes (z, y, x), in eval mode.

    Parameters
    ----------
    weights : state dict, or the path of a ``.pth`` that holds one
        Kernels in the published order (y, x, z); channels and classes are read off them.
    name, width : the variant that was trained

    Raises
    ------
    GradcamoError
        If the file holds anything but tensors, or weights of another network.
    """
    state = _tensors(weights, "these weights") if isinstance(weights, Mapping) else _read(weights)
    state = {key.removeprefix("module."): value for key, value in state.items()}
    lacking = [key for key in ("_conv_stem.weight", "_fc.weight") if key not in state]
    if lacking:
        raise GradcamoError(
            f"these are not EfficientNet-PyTorch-3D weights: {' and '.join(lacking)} are missing, "
            f"found {', '.join(list(state)[:3]) or 'nothing'} …; pass the model's state_dict()"
        )
    network = efficientnet3d(
        name, state["_conv_stem.weight"].shape[1], state["_fc.weight"].shape[0], width
    )
    ours = {_published_name(key): key for key in network.state_dict()}
    converted = {}
    for key, value in state.items():
        kernel = value.ndim == 5
        converted[ours.get(key, key)] = value.permute(0, 1, 4, 2, 3) if kernel else value
    _load_strictly(network, converted, f"{name} of width {width:g}")
    return network.eval()


def _read(path: str | Path) -> Mapping[str, Tensor]:
    path = Path(path)
    if not path.is_file():
        raise GradcamoError(f"{path} does not exist: give the path of a .pth state dict")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can raise anything
        raise GradcamoError(
            f"{path} is not a plain state dict; objects are never unpickled. Where it was made, "
            "run torch.save(model.state_dict(), path)"
        ) from error
    for wrapper in ("state_dict", "model_state_dict", "model"):
        if isinstance(state, Mapping) and isinstance(state.get(wrapper), Mapping):
            state = state[wrapper]
    return _tensors(state, str(path))


def _tensors(state: Any, source: str) -> Mapping[str, Tensor]:
    values = list(state.values()) if isinstance(state, Mapping) else [state]
    if odd := [type(v).__name__ for v in values if not isinstance(v, Tensor)]:
        raise GradcamoError(
            f"{source} hold {odd[0]}, expected names and tensors: pass the model's state_dict()"
        )
    return state


def _published_name(key: str) -> str:
    parts = key.split(".")
    return ".".join(parts[:1] + parts[2:]) if parts[0] == "_blocks" else key


def _load_strictly(network: nn.Module, state: Mapping[str, Tensor], what: str) -> None:
    expected = {k: v for k, v in network.state_dict().items() if not k.endswith("_tracked")}
    given = {k: v for k, v in state.items() if not k.endswith("_tracked")}
    for key in sorted(expected.keys() | given.keys()):
        ours, theirs = expected.get(key), given.get(key)
        if ours is None or theirs is None or ours.shape != theirs.shape:
            came = "nothing" if theirs is None else tuple(theirs.shape)
            fits = "nothing" if ours is None else tuple(ours.shape)
            raise GradcamoError(
                f"the weights do not fit {what}: {key} is {came} where {fits} is expected; "
                "name the variant and width that were trained"
            )
    network.load_state_dict({**network.state_dict(), **given})


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
        elif layer in known:
            found[layer] = known[layer]
        else:
            raise GradcamoError(
                f"the network has no layer {layer!r}: choose from {', '.join(known)}"
            )
    if not found:
        raise GradcamoError("no layer was asked for: name one at least")
    return found


def linear_head(network: nn.Module, tap: Tap) -> nn.Linear | None:
    """The classifier, where only average pooling and dropout lie between the layer and it."""
    if tap.of_input and tap.module is getattr(network, "_avg_pooling", None):
        head: Any = getattr(network, "_fc", None)
        return head if isinstance(head, nn.Linear) else None
    return None
