"""Grad-CAMO as a part of the training loss: attention off the cell costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn

from gradcamo.cells.upsampling import project_mask
from gradcamo.networks.efficientnet import find_taps
from gradcamo.networks.geometry import LayerInfo, place
from gradcamo.settings import Alignment

SMALLEST_SHARE = 1e-3
"""What the logarithm takes for a cell without positive evidence."""
STEEPEST = 1.0
"""Length to which gradients are cut. The smaller logits are, the steeper is Grad-CAMO, and what is
steep at the start Adam remembers for hundreds of steps."""


@contextmanager
def apart(network: nn.Module) -> Iterator[None]:
    """Inside, a network in training treats each cell by itself, and nothing is dropped.

    Batch norm takes the batch's mean and variance as constants. What it remembers is a few steps
    old, which changes maps much while weights still change fast.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm3d)]
    remembered = [(norm.running_mean, norm.running_var) for norm in norms]
    hooks = [norm.register_forward_pre_hook(_take_statistics) for norm in norms]
    network.eval()
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for norm, (mean, variance) in zip(norms, remembered, strict=True):
            norm.running_mean, norm.running_var = mean, variance
        network.train()


def _take_statistics(norm: nn.BatchNorm3d, given: tuple[Tensor]) -> None:
    variance, mean = torch.var_mean(given[0].detach().float(), (0, 2, 3, 4), correction=0)
    norm.running_mean, norm.running_var = mean, variance


class Regulariser:
    """Differentiable Grad-CAMO of chosen layers for their true class (equations 3 to 5).

    Parameters
    ----------
    network : the network in training
    layers : names of the layers, with their `describe_layers`
    input_size : (z, y, x) that the network sees
    weight : λ, what attention off the cell costs
    alignment : where maps lie on the crop, as in an audit
    form : ``linear``, λ · (1 - Grad-CAMO), or ``log``, -λ · log Grad-CAMO

    Notes
    -----
    The network is run once more for it, `apart`: in training mode batch norm lets slopes depend on
    the other cells of the batch. With the graph that the slopes get of their own, a step takes
    about three times as long.
    """

    def __init__(
        self,
        network: nn.Module,
        layers: dict[str, LayerInfo],
        input_size: Sequence[int],
        weight: float,
        alignment: Alignment = "paper",
        form: Literal["linear", "log"] = "linear",
    ) -> None:
        self.network, self.layers, self.input_size = network, layers, tuple(input_size)
        self.weight, self.alignment, self.form = weight, alignment, form

    @contextmanager
    def watching(self) -> Iterator[dict[str, Tensor]]:
        """Keeps what the layers return while the network is used inside."""
        seen: dict[str, Tensor] = {}

        def keep(name: str, value: Tensor) -> Tensor:
            seen[name] = value
            return value.clone()  # what comes next may work in place

        hooks = []
        try:
            for name, (module, of_input) in find_taps(self.network, self.layers).items():
                if of_input:
                    hook = module.register_forward_pre_hook(
                        lambda m, args, name=name: (keep(name, args[0]), *args[1:])
                    )
                else:
                    hook = module.register_forward_hook(
                        lambda m, args, out, name=name: keep(name, out)
                    )
                hooks.append(hook)
            yield seen
        finally:
            for hook in hooks:
                hook.remove()

    def grad_camo(
        self, logits: Tensor, targets: Tensor, masks: Tensor, seen: dict[str, Tensor]
    ) -> Tensor:
        """Grad-CAMO of every cell at every layer; 0 for a cell without positive evidence.

        It is that of the true class's logit above the mean of all: softmax knows no other, and
        what is taken off the other classes' logits would escape a map of the true class's alone.

        Parameters
        ----------
        logits : (N, K), computed while `watching`, with the network `apart`
        targets : (N,), the true classes
        masks : (N, Z, Y, X) bool, each cell's own voxels in its crop
        seen : what `watching` gave

        Returns
        -------
        (layers, N), differentiable
        """
        score = (logits - logits.mean(1, keepdim=True)).gather(1, targets[:, None]).sum()
        slopes = torch.autograd.grad(score, list(seen.values()), create_graph=True)
        shares = []
        for (name, a), slope in zip(seen.items(), slopes, strict=True):
            w = slope.flatten(2).mean(-1)
            cam = torch.einsum("nc,nc...->n...", w, a).relu() / a.shape[1]
            placement = place(self.layers[name], self.input_size, masks.shape[1:], self.alignment)
            full = project_mask(torch.ones_like(masks[:1]), cam.shape[1:], placement)
            own = project_mask(masks, cam.shape[1:], placement)
            total = (cam * full).flatten(1).sum(1)
            # an empty map is divided by 1: NaN would spread through its gradient
            shares.append((cam * own).flatten(1).sum(1) / torch.where(total > 0, total, 1))
        return torch.stack(shares)

    def penalty(self, grad_camo: Tensor) -> Tensor:
        """What is added to the loss for scores of `grad_camo`."""
        if self.form == "log":
            return -self.weight * grad_camo.clamp(min=SMALLEST_SHARE).log().mean()
        return self.weight * (1 - grad_camo.mean())
