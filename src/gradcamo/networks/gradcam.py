"""Equations 3 and 4: localization maps and profiles of any layers, in one pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from gradcamo.errors import GradcamoError
from gradcamo.networks.blocks import on_average
from gradcamo.networks.efficientnet import Tap, find_taps, linear_head
from gradcamo.networks.sharing import borrowed
from gradcamo.settings import Gradients
from gradcamo.types import CamResult

EVERY = "every"


def grad_cam(
    network: nn.Module,
    x: Tensor,
    layers: Iterable[str | nn.Module] = ("head",),
    target: Any = None,
    gradients: Gradients = "averaged",
) -> CamResult:
    """Grad-CAM localization maps and profiles of every cell of a batch.

    For class k and a layer's output A, (C', *grid)::

        w_c = mean over the grid of dY_k / dA_c        (equation 4)
        G~  = ReLU(1 / C' sum_c w_c A_c)               (equation 3)

    With local gradients every voxel has its own dY_k / dA_c in the place of w_c (HiResCAM, Draelos
    & Carin 2020). At the head, under average pooling, both are the same.

    Parameters
    ----------
    network : any CNN that returns logits (N, K)
    x : (N, C, *spatial), 2D or 3D
    layers : names (``block_0`` … ``head``, or module names) or modules
    target : class to explain, an integer or (N,), or ``"every"``; the predicted one by default
    gradients : "averaged" (Grad-CAM) or "local" (HiResCAM)

    Returns
    -------
    CamResult with ``maps`` (N, *grid) and ``profiles`` (N, C') of each layer, float32; for every
    class ``maps`` are (N, K, *grid) and ``target`` is (N, K).

    Raises
    ------
    GradcamoError
        If a layer is unknown or has no grid, the input has the wrong rank or is empty, or a
        target is no class of the network.

    Notes
    -----
    The network runs in eval mode. Only what lies above the lowest layer gets a graph; at the head
    of an EfficientNet the gradient is W_kc / |grid| and none is needed. Hooks, train flags and
    ``requires_grad`` are given back, also after an exception. Threads that explain with the same
    network take turns.
    """
    wanted = find_taps(network, layers)
    check_input(x, network)
    head = _closed_form(network, wanted)
    with borrowed(network), _tapped(wanted, head is None, gradients) as seen:
        logits = _logits(network, x.detach())
        _check_seen(wanted, seen, len(x))
        predicted = logits.detach().argmax(1)
        chosen = _targets(target, predicted, logits.shape[1])  # (N, T)
        slopes = (
            _closed_slopes(head, seen, chosen) if head else _slopes(seen, logits, chosen, gradients)
        )
    maps, profiles = {}, {}
    for name in wanted:
        a = at_least_single(seen[name].detach())
        every_voxel = "..." if slopes[name].ndim > 3 else ""
        formula = f"ntc{every_voxel},nc...->nt..."
        maps[name] = torch.einsum(formula, slopes[name], a).relu() / a.shape[1]
        profiles[name] = a.flatten(2).mean(-1)
    if not (isinstance(target, str) and target == EVERY):
        chosen, maps = chosen[:, 0], {name: cam[:, 0] for name, cam in maps.items()}
    return CamResult(at_least_single(logits.detach()), predicted, chosen, maps, profiles)


def _logits(network: nn.Module, x: Tensor) -> Tensor:
    try:
        logits = network(x)
    except RuntimeError as error:
        if "memory" in str(error):  # a smaller batch may do
            raise
        raise GradcamoError(
            f"the network cannot take an input of shape {tuple(x.shape)}: {error}"
        ) from error
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != len(x):
        came = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise GradcamoError(
            f"a network returns logits ({len(x)}, classes) before softmax, this one returned {came}"
        )
    return logits


def _slopes(
    seen: Mapping[str, Tensor], logits: Tensor, chosen: Tensor, gradients: Gradients
) -> dict[str, Tensor]:
    """Equation 4 by backpropagation, (N, T, C') per layer, or (N, T, C', *grid) if local."""
    columns: dict[str, list[Tensor]] = {name: [] for name in seen}
    for k in chosen.T:
        # one sum serves all cells: in eval mode they do not see each other
        score = logits.gather(1, k[:, None]).sum()
        found = torch.autograd.grad(
            score, list(seen.values()), retain_graph=len(chosen.T) > 1, allow_unused=True
        )
        for name, slope in zip(seen, found, strict=True):
            if slope is None:
                raise GradcamoError(f"the logits do not depend on layer {name!r}: choose another")
            slope = at_least_single(slope)
            columns[name].append(slope if gradients == "local" else slope.flatten(2).mean(-1))
    return {name: torch.stack(slopes, 1) for name, slopes in columns.items()}


def _closed_slopes(
    head: nn.Linear, seen: Mapping[str, Tensor], chosen: Tensor
) -> dict[str, Tensor]:
    """Equation 4 under average pooling and one linear map: W_kc / |grid|."""
    ((name, a),) = seen.items()
    return {name: at_least_single(head.weight.detach())[chosen] / a[0, 0].numel()}


def at_least_single(tensor: Tensor) -> Tensor:
    """Scores are float32, whatever the network computes in; float64 stays."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def _closed_form(network: nn.Module, wanted: Mapping[str, Tap]) -> nn.Linear | None:
    return linear_head(network, *wanted.values()) if len(wanted) == 1 else None


@contextmanager
def _tapped(
    wanted: Mapping[str, Tap], graph: bool, gradients: Gradients
) -> Iterator[dict[str, Tensor]]:
    """Keeps the layers' outputs as they pass; the graph starts at the lowest of them."""
    seen: dict[str, Tensor] = {}

    def keep(name: str, value: Any) -> Any:
        if not isinstance(value, Tensor):
            raise GradcamoError(f"layer {name!r} returns {type(value).__name__}, not a tensor")
        first = graph and not value.requires_grad
        if first:
            value = value.detach().requires_grad_()
        seen[name] = value
        value = value.clone()  # what comes next may work in place
        return on_average(value) if first and gradients == "averaged" else value

    hooks = []
    try:
        for name, (module, of_input) in wanted.items():
            if of_input:
                hooks.append(
                    module.register_forward_pre_hook(lambda m, a, n=name: (keep(n, a[0]), *a[1:]))
                )
            else:
                hooks.append(module.register_forward_hook(lambda m, a, out, n=name: keep(n, out)))
        with torch.inference_mode(False), torch.set_grad_enabled(graph):
            yield seen
    finally:
        for hook in hooks:
            hook.remove()


def check_input(x: Tensor, network: nn.Module) -> None:
    if not isinstance(x, Tensor) or x.ndim not in (4, 5) or not x.is_floating_point():
        what = f"{x.dtype} {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
        raise GradcamoError(
            f"expected a floating-point tensor (N, C, Y, X) or (N, C, Z, Y, X), got {what}"
        )
    if len(x) == 0:
        raise GradcamoError("the batch is empty: pass one cell at least")
    weights = next(network.parameters(), x)
    if (weights.device, weights.dtype) != (x.device, x.dtype):
        raise GradcamoError(
            f"the network is {weights.dtype} on {weights.device}, the input {x.dtype} on "
            f"{x.device}: move one to the other with .to()"
        )


def _check_seen(wanted: Iterable[str], seen: Mapping[str, Tensor], n: int) -> None:
    for name in wanted:
        if name not in seen:
            raise GradcamoError(f"layer {name!r} took no part in the forward pass")
        if seen[name].ndim < 3 or len(seen[name]) != n:
            raise GradcamoError(
                f"layer {name!r} gives {tuple(seen[name].shape)}, expected (N, C', *grid): "
                "choose a convolutional layer"
            )


def _targets(target: Any, predicted: Tensor, classes: int) -> Tensor:
    """The classes to explain, (N, T)."""
    if target is None:
        return predicted[:, None]
    if isinstance(target, str):
        if target != EVERY:
            raise GradcamoError(f"targets are classes or {EVERY!r}, got {target!r}")
        return torch.arange(classes, device=predicted.device).expand(len(predicted), -1)
    if type(target) is int and 0 <= target < classes:
        return torch.full_like(predicted, target)[:, None]  # without waiting for the device
    chosen = torch.as_tensor(target, device=predicted.device)
    whole = not (chosen.is_floating_point() or chosen.dtype == torch.bool)
    if not whole or bool(((chosen < 0) | (chosen >= classes)).any()):
        raise GradcamoError(f"targets are classes 0 to {classes - 1}, got {target}")
    if chosen.shape not in ((), predicted.shape):
        raise GradcamoError(
            f"{tuple(chosen.shape)} targets for {len(predicted)} cells: give one, or one per cell"
        )
    return chosen.long().expand(predicted.shape)[:, None]
