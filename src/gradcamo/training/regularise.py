"""Grad-CAMO as a part of the training loss: attention off the cell costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn

from gradcamo.cells.overlap import project_mask
from gradcamo.networks.efficientnet import find_taps
from gradcamo.networks.geometry import LayerInfo, place
from gradcamo.settings import Alignment

SMALLEST_SHARE = 1e-3
"""What the logarithm takes for a cell without positive evidence."""


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
    The slopes of equation 4 get a graph of their own, so a step takes two to three times as long.

    It is an audit's score only for a network in evaluation mode: in training mode batch norm lets
    slopes depend on the other cells of the batch.
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

        Parameters
        ----------
        logits : (N, K), computed while `watching`
        targets : (N,), the true classes
        masks : (N, Z, Y, X) bool, each cell's own voxels in its crop
        seen : what `watching` gave

        Returns
        -------
        (layers, N), differentiable
        """
        score = logits.gather(1, targets[:, None]).sum()
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
