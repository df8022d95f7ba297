"""Equations 3 and 4: localization maps and profiles of any layers, in one pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map_only

from gradcamo.datatypes import CamResult
from gradcamo.errors import GradcamoError, warn
from gradcamo.networks.blocks import on_average
from gradcamo.networks.efficientnet import Tap, find_taps, linear_head
from gradcamo.networks.following.forward import fits
from gradcamo.networks.geometry import LayerInfo, describe_layers, used_again
from gradcamo.networks.grids import Reshape
from gradcamo.networks.meaning import per_class
from gradcamo.networks.outputs import check_gradients, logits_of, no_gradient, unwrapped
from gradcamo.networks.sharing import frozen, uncompiled
from gradcamo.settings import Gradients

EVERY = "every"


def grad_cam(
    network: nn.Module,
    x: Tensor,
    layers: Iterable[str | nn.Module] = ("head",),
    target: Any = None,
    gradients: Gradients = "averaged",
    reshape: Reshape | None = None,
) -> CamResult:
    """Grad-CAM localization maps and profiles of every cell of a batch.

    For class k and a layer's output A, ``(C', *grid)``::

        w_c = mean over the grid of dY_k / dA_c        (equation 4)
        G~  = ReLU(1 / C' sum_c w_c A_c)               (equation 3)

    With local gradients every voxel has its own dY_k / dA_c in the place of w_c (HiResCAM, Draelos
    & Carin 2020). At the head, under average pooling, both are the same.

    Parameters
    ----------
    network : Module
        Any CNN that returns logits (N, K); one logit z, (N, 1), counts as two classes with the
        scores -z and z. Cells should not see each other (BatchNorm without running statistics):
        give such networks one cell at a time.
    x : Tensor
        ``(N, C, *spatial)``, 2D or 3D, as the network takes it.
    layers : iterable of str or Module
        Names (``block_0`` … ``head``, or module names) or modules.
    target : int or array of int, optional
        Class to explain, one for all or (N,), or ``"every"``; the predicted one by default.
    gradients : {"averaged", "local"}
        "averaged" (Grad-CAM) or "local" (HiResCAM).
    reshape : callable, optional
        From what a layer gives to ``(N, C', *grid)``, as pytorch-grad-cam's
        ``reshape_transform``, for layers that give something else (channels last, tokens, tuples):
        ``lambda a: a.permute(0, 3, 1, 2)``. It may rearrange values and leave some out.

    Returns
    -------
    CamResult
        ``maps`` ``(N, *grid)`` and ``profiles`` (N, C') of each layer, float32; for every class
        ``maps`` are ``(N, K, *grid)`` and ``target`` is (N, K).

    Raises
    ------
    GradcamoError
        If a layer is unknown or its grid is not proved, the input has the wrong rank or is empty,
        a target is no class of the network, or the network returns no logits or no gradients.

    Notes
    -----
    The network runs in eval mode. Only what lies above the lowest layer gets a graph; at the head
    of an EfficientNet the gradient is W_kc / |grid| and none is needed. Hooks, train flags and
    ``requires_grad`` are given back, also after an exception. Threads that explain with the same
    network take turns. Of a layer that is used several times in one pass, the last use counts.

    Examples
    --------
    >>> import gradcamo as gc
    >>> import torch
    >>> network = gc.efficientnet3d(in_channels=2, num_classes=3, width=0.1)
    >>> cells = torch.rand(2, 2, 64, 64, 64)
    >>> seen = gc.grad_cam(network, cells, layers=["block_4"], target=1)
    >>> seen.maps["block_4"].shape, seen.profiles["block_4"].shape
    (torch.Size([2, 4, 4, 4]), torch.Size([2, 8]))
    """
    network = unwrapped(network)
    wanted = find_taps(network, layers)
    check_input(x, network)
    check_gradients(network)
    known = _proved(network, x.shape[1:], tuple(wanted), reshape)
    for name, info in known.items():
        if info.uses > 1:
            warn(used_again(name, info), stacklevel=2)
    return localize(network, x, known, target, gradients, reshape)


def localize(
    network: nn.Module,
    x: Tensor,
    known: Mapping[str, LayerInfo],
    target: Any = None,
    gradients: Gradients = "averaged",
    reshape: Reshape | None = None,
) -> CamResult:
    """As `grad_cam`, at layers that were described; ``reshape`` is for those that need it."""
    wanted = find_taps(network, known)
    check_input(x, network)
    head = _closed_form(network, wanted)
    with frozen(network), uncompiled(network), _tapped(wanted, head is None, gradients) as seen:
        logits = _logits(network, x.detach())
        grids = {name: _grid(name, seen, info, len(x), reshape) for name, info in known.items()}
        scores = per_class(logits)
        predicted = scores.detach().argmax(1)
        chosen = _targets(target, predicted, scores.shape[1])  # (N, T)
        if head:
            slopes = _closed_slopes(head, grids, chosen)
        else:
            if not logits.requires_grad:
                raise GradcamoError(no_gradient(network, known))
            again = {name: reshape for name, info in known.items() if info.reshaped}
            slopes = _slopes(seen, scores, chosen, gradients, again)
    maps, profiles = {}, {}
    for name, grid in grids.items():
        a = at_least_single(grid.detach())
        every_voxel = "..." if slopes[name].ndim > 3 else ""
        formula = f"ntc{every_voxel},nc...->nt..."
        maps[name] = torch.einsum(formula, slopes[name], a).relu() / a.shape[1]
        profiles[name] = a.flatten(2).mean(-1)
    if not (isinstance(target, str) and target == EVERY):
        chosen, maps = chosen[:, 0], {name: cam[:, 0] for name, cam in maps.items()}
    return CamResult(at_least_single(logits.detach()), predicted, chosen, maps, profiles)


_known: WeakKeyDictionary[nn.Module, WeakKeyDictionary[Reshape, dict[Any, Any]]]
_known = WeakKeyDictionary()


def _as_it_is(given: Any) -> Any:
    return given


def _proved(
    network: nn.Module, shape: Sequence[int], layers: tuple[str, ...], reshape: Reshape | None
) -> dict[str, LayerInfo]:
    """`describe_layers`, once for a network as it stands."""
    kept = _known.setdefault(network, WeakKeyDictionary()).setdefault(reshape or _as_it_is, {})
    key = (tuple(map(id, network.modules())), tuple(shape), layers)
    if key not in kept:
        found: dict[str, LayerInfo] = describe_layers(network, shape, layers, reshape)
        kept[key] = found
    return dict(kept[key])


def _logits(network: nn.Module, x: Tensor) -> Tensor:
    with fits(network, x.shape):
        return logits_of(network(x), len(x))


def _grid(
    name: str, seen: Mapping[str, Any], info: LayerInfo, cells: int, reshape: Reshape | None
) -> Tensor:
    """What a layer gave, (N, C', *grid)."""
    a = seen.get(name)
    if reshape is not None and info.reshaped:
        a = reshape(tree_map_only(Tensor, Tensor.detach, a))
    shape = (cells, info.channels, *info.grid)
    if not isinstance(a, Tensor) or a.shape != shape:
        came = tuple(a.shape) if isinstance(a, Tensor) else type(a).__name__
        raise GradcamoError(
            f"layer {name!r} gives {came}, expected {shape} as for other cells of this size: what "
            "it gives depends on more than the size, choose another layer"
        )
    return a


def _slopes(
    seen: Mapping[str, Any],
    scores: Tensor,
    chosen: Tensor,
    gradients: Gradients,
    reshape: Mapping[str, Any],
) -> dict[str, Tensor]:
    """Equation 4 by backpropagation, (N, T, C') per layer, or (N, T, C', *grid) if local."""
    columns: dict[str, list[Tensor]] = {name: [] for name in seen}
    tensors = [tensor for value in seen.values() for tensor in _differentiable(value)]
    for k in chosen.T:
        # one sum serves all cells: in eval mode they do not see each other
        score = scores.gather(1, k[:, None]).sum()
        found = iter(
            torch.autograd.grad(score, tensors, retain_graph=len(chosen.T) > 1, allow_unused=True)
        )
        for name, value in seen.items():
            slopes = [next(found) for _ in _differentiable(value)]
            if all(slope is None for slope in slopes):
                raise GradcamoError(
                    f"the logits do not depend on layer {name!r}, or only without gradients "
                    "(torch.no_grad, .detach): choose another"
                )
            slope = reshape[name](_filled(value, slopes)) if name in reshape else slopes[0]
            slope = at_least_single(slope)
            columns[name].append(slope if gradients == "local" else slope.flatten(2).mean(-1))
    return {name: torch.stack(slopes, 1) for name, slopes in columns.items()}


def _differentiable(value: Any) -> list[Tensor]:
    return [x for x in tree_leaves(value) if isinstance(x, Tensor) and x.requires_grad]


def _filled(value: Any, slopes: Sequence[Tensor | None]) -> Any:
    """What a layer gave with its gradients in the place of values, 0 where the score needs none."""
    rest = iter(slopes)

    def slope_of(x: Tensor) -> Tensor:
        slope = next(rest) if x.requires_grad else None
        return torch.zeros_like(x) if slope is None else slope

    return tree_map_only(Tensor, slope_of, value)


def _closed_slopes(
    head: nn.Linear, seen: Mapping[str, Tensor], chosen: Tensor
) -> dict[str, Tensor]:
    """Equation 4 under average pooling and one linear map: W_kc / |grid|."""
    ((name, a),) = seen.items()
    weights = per_class(at_least_single(head.weight.detach().T)).T
    return {name: weights[chosen] / a[0, 0].numel()}


def at_least_single(tensor: Tensor) -> Tensor:
    """Scores are float32, whatever the network computes in; float64 stays."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def _closed_form(network: nn.Module, wanted: Mapping[str, Tap]) -> nn.Linear | None:
    return linear_head(network, *wanted.values()) if len(wanted) == 1 else None


@contextmanager
def _tapped(
    wanted: Mapping[str, Tap], graph: bool, gradients: Gradients
) -> Iterator[dict[str, Any]]:
    """Keeps the layers' outputs as they pass; the graph starts at the lowest of them."""
    seen: dict[str, Any] = {}

    def keep(name: str, value: Any) -> Any:
        first = graph and not _differentiable(value)
        if first:
            value = tree_map_only(Tensor, _start, value)
        seen[name] = value
        value = tree_map_only(Tensor, Tensor.clone, value)  # what comes next may work in place
        averaged = first and gradients == "averaged" and isinstance(value, Tensor)
        return on_average(value) if averaged else value

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


def _start(x: Tensor) -> Tensor:
    return x.detach().requires_grad_() if x.is_floating_point() else x


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
            f"{x.device}: x = x.to({str(weights.device)!r}, {weights.dtype}) makes them one"
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
