"""One forward pass of cells through a network, to see what its layers give."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from gradcamo.errors import GradcamoError
from gradcamo.networks.efficientnet import SMALLEST_INPUT, Tap, precision, taps
from gradcamo.networks.following.modes import as_cells, followed
from gradcamo.networks.following.tensor_axes import Axes
from gradcamo.networks.sharing import alone, frozen, uncompiled


@dataclass(frozen=True)
class Leaf:
    """A tensor without its values; its axes are None if it does not depend on the input."""

    shape: tuple[int, ...]
    axes: Axes | None


class Pass(NamedTuple):
    """What a network made of ``cells`` cells, and what the layers gave at each of their uses.

    Among what they gave, a `Leaf` stands for each tensor.
    """

    cells: int
    out: Any
    given: dict[str, list[Any]]


def one_pass(
    network: nn.Module, input_shape: Sequence[int], wanted: Mapping[str, Tap] | None = None
) -> Pass:
    """Run a network of which nothing changes, in eval mode.

    On the meta device, without arithmetic, where that goes; else on one cell of noise, on the
    device where the network is.

    Parameters
    ----------
    network : any
    input_shape : (C, *spatial) of one cell
    wanted : layers to look at

    Raises
    ------
    GradcamoError
        If the network cannot take such an input.
    """
    wanted, dtype = wanted or {}, precision(network)
    names = {module: name for name, module in network.named_modules()}
    try:
        twin = _on_meta(network).eval()
        modules = dict(twin.named_modules())
        there = {name: Tap(modules[names[t.module]], t.of_input) for name, t in wanted.items()}
        return _run(twin, torch.zeros(2, *input_shape, device="meta", dtype=dtype), there)
    except Exception:
        pass
    device = next((t.device for t in (*network.parameters(), *network.buffers())), "cpu")
    chance = torch.Generator().manual_seed(0)
    x = torch.randn(1, *input_shape, generator=chance).to(device, dtype)
    with (
        frozen(network),
        uncompiled(network),
        torch.random.fork_rng([]),
        fits(network, input_shape),
    ):
        return _run(network, x, wanted)


def _on_meta(network: nn.Module) -> nn.Module:
    """A copy without weights. Tensors that are no parameters (old weight norm) go with it."""
    kept: dict[int, Any] = {}
    for module in network.modules():
        for tensor in (*module._buffers.values(), *vars(module).values()):
            if isinstance(tensor, Tensor):
                kept[id(tensor)] = torch.empty_like(tensor, device="meta", requires_grad=False)
        for weight in module._parameters.values():
            if weight is not None:
                bare = torch.empty_like(weight, device="meta", requires_grad=False)
                kept[id(weight)] = nn.Parameter(bare, requires_grad=False)
    with alone(network):  # without hooks of whoever uses it meanwhile
        return copy.deepcopy(network, kept)


def _run(network: nn.Module, x: Tensor, wanted: Mapping[str, Tap]) -> Pass:
    given: dict[str, list[Any]] = {}
    hooks = []
    with torch.inference_mode(False), followed() as axes_of:

        def note(name: str, value: Any) -> None:
            leaves = tree_map_only(Tensor, lambda t: Leaf(tuple(t.shape), axes_of(t)), value)
            given.setdefault(name, []).append(leaves)

        try:
            for name, (module, of_input) in wanted.items():
                if isinstance(module, torch.jit.ScriptModule):
                    continue  # takes no hooks
                if of_input:
                    hook = module.register_forward_pre_hook(lambda m, a, n=name: note(n, a[0]))
                else:
                    hook = module.register_forward_hook(lambda m, a, out, n=name: note(n, out))
                hooks.append(hook)
            return Pass(len(x), network(as_cells(x)), given)
        finally:
            for hook in hooks:
                hook.remove()


@contextmanager
def fits(network: nn.Module, input_shape: Sequence[int]) -> Iterator[None]:
    """Says in our words that a network cannot take an input; what else goes wrong is as it was."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        if isinstance(error, GradcamoError) or "memory" in str(error):  # a smaller batch may do
            raise
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
