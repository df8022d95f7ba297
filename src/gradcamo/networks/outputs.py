"""What a network returns: logits, one row a cell; for anything else, the line that cures it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from gradcamo.errors import GradcamoError
from gradcamo.networks.sharing import frozen, uncompiled


def unwrapped(network: nn.Module) -> nn.Module:
    """The network itself, without what compiled it or spreads it over devices."""
    while True:
        if isinstance(network, nn.DataParallel | nn.parallel.DistributedDataParallel):
            network = network.module
        elif isinstance(inner := getattr(network, "_orig_mod", None), nn.Module):
            network = inner  # torch.compile
        else:
            return network


def is_transformer(network: nn.Module) -> bool:
    """Whether this is a vision transformer with a class token, as ``monai.networks.nets.ViT``."""
    return all(hasattr(network, part) for part in ("patch_embedding", "blocks", "cls_token"))


def logits_of(out: Any, cells: int) -> Tensor:
    """What a network returned for so many cells, (N, K), if it is that.

    Raises
    ------
    GradcamoError
        Naming the line of code that takes logits out of what it returned instead.
    """
    if _are_logits(out, cells):
        return out
    if isinstance(out, Tensor):
        what, part = f"a tensor {tuple(out.shape)} for {cells} cells", _of_tensor(out, cells)
    else:
        what, part = f"a {type(out).__name__}", _of_several(out, cells)
    cure = f": {_HOOK}{part}) takes them out of it" if part else ": return them from its forward"
    raise GradcamoError(
        f"a network returns logits (N, classes) before softmax, this one returned {what}{cure}"
    )


_HOOK = "network.register_forward_hook(lambda module, args, out: "


def _are_logits(out: Any, cells: int) -> bool:
    return isinstance(out, Tensor) and out.ndim == 2 and len(out) == cells


def _of_tensor(out: Tensor, cells: int) -> str | None:
    if out.shape[:1] != (cells,):
        return None
    if out.ndim == 1:
        return "out[:, None]"
    return "out.flatten(1)" if out[0].numel() == out.shape[1] else "out.flatten(2).mean(2)"


def _of_several(out: Any, cells: int) -> str | None:
    if isinstance(out, Mapping):
        parts = {f"out[{key!r}]": value for key, value in out.items()}
    elif isinstance(out, tuple | list):
        parts = {f"out[{i}]": value for i, value in enumerate(out)}
    elif dataclasses.is_dataclass(out):
        fields = dataclasses.fields(out)
        parts = {f"out.{f.name}": getattr(out, f.name, None) for f in fields}
    else:
        parts = {f"out.{name}": value for name, value in getattr(out, "__dict__", {}).items()}
    fitting = [part for part, value in parts.items() if _are_logits(value, cells)]
    named = [part for part in fitting if "logits" in part]
    return next(iter(named + fitting), None)


_LINEAR = ("Addmm", "Mm", "Bmm", "Baddbmm", "Addbmm", "Linear", "Convolution")
_KEEPS = (
    *("View", "UnsafeView", "ReshapeAlias", "Squeeze", "Unsqueeze", "Transpose", "T", "Permute"),
    *("Select", "Slice", "Clone", "Alias", "ToCopy", "Mean", "AvgPool", "AdaptiveAvgPool"),
)
"""What moves or averages numbers, and leaves those without bounds without."""


def ends_unbounded(network: nn.Module, shape: tuple[int, ...]) -> bool:
    """Whether a linear map is seen to make the outputs: no sigmoid or the like comes after it.

    Parameters
    ----------
    network : as it stands
    shape : (N, C, *spatial) of its input; one pass of this size tells
    """
    weights = next(network.parameters(), torch.empty(0))
    cells = torch.full(shape, 0.5, dtype=weights.dtype, device=weights.device)
    with frozen(network), uncompiled(network), torch.inference_mode(False), torch.enable_grad():
        made = logits_of(network(cells.requires_grad_()), len(cells)).grad_fn
    while made is not None:
        name = re.sub(r"(\dD)?Backward\d*$", "", made.name())
        if name in _LINEAR:
            return True
        made = made.next_functions[0][0] if name in _KEEPS else None
    return False


def check_gradients(network: nn.Module) -> None:
    """Refuse weights that were made in inference mode: they cannot be differentiated through.

    Raises
    ------
    GradcamoError
    """
    if any(t.is_inference() for t in (*network.parameters(), *network.buffers())):
        raise GradcamoError(
            "the network was made in torch.inference_mode(), where no gradients are: outside of "
            "it, network = copy.deepcopy(network) makes one that has them"
        )


def no_gradient(network: nn.Module, layers: Iterable[str]) -> str:
    """Why logits may have no gradient at layers, and the line that cures it."""
    name, forward = type(network).__name__, type(network).forward
    decorated = forward.__code__.co_filename.endswith("_contextlib.py")
    cure = (
        f"{name}.forward = {name}.forward.__wrapped__ takes its decorator off"
        if decorated and hasattr(forward, "__wrapped__")
        else "take torch.no_grad(), torch.inference_mode() or .detach() out of it"
    )
    return (
        f"the logits have no gradient at {', '.join(layers)}: they do not depend on that, or the "
        f"network's forward works without gradients. Choose another layer, or: {cure}"
    )
