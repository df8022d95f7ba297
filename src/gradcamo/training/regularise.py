"""Grad-CAMO as a part of the training loss: attention off the cell costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from gradcamo.cells.overlap import project_mask
from gradcamo.networks.efficientnet import find_taps
from gradcamo.networks.geometry import LayerInfo, place
from gradcamo.settings import Alignment


class Regulariser:
    """Differentiable Grad-CAMO of chosen layers for their true class (equations 3 to 5).

    Parameters
    ----------
    network : the network in training
    layers : names of the layers, with their `describe_layers`
    input_size : (z, y, x) that the network sees
    weight : λ of loss + λ · (1 - Grad-CAMO)
    alignment : where maps lie on the crop, as in an audit

    Notes
    -----
    The slopes of equation 4 get a graph of their own, so a step takes two to three times as long.
    """

    def __init__(
        self,
        network: nn.Module,
        layers: dict[str, LayerInfo],
        input_size: Sequence[int],
        weight: float,
        alignment: Alignment = "paper",
    ) -> None:
        self.network, self.layers, self.input_size = network, layers, tuple(input_size)
        self.weight, self.alignment = weight, alignment

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
        """Mean Grad-CAMO over cells and layers; a cell without positive evidence counts 0.

        Parameters
        ----------
        logits : (N, K), computed while `watching`
        targets : (N,), the true classes
        masks : (N, Z, Y, X) bool, each cell's own voxels in its crop
        seen : what `watching` gave
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
            some = total > 0
            share = (cam * own).flatten(1).sum(1)[some] / total[some]
            shares.append(share.sum() / len(cam))
        return torch.stack(shares).mean()
