"""The same numbers, put together from the libraries that one would use otherwise.

Each function takes the published network, prepared crops (N, C, Z, Y, X), a layer's module, the
classes to explain and the label crops, and returns Grad-CAMO (N,) with neighbour and background
share, computed as their documentation suggests: a map at full size, then masked sums.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


def published(network: nn.Module, width: float = 1.0) -> nn.Module:
    """EfficientNet-PyTorch-3D's network with these weights, as MONAI builds it, not made faster."""
    from unittest.mock import patch

    import gradcamo as gc
    from gradcamo.networks import efficientnet

    n_in, n_out = network._conv_stem.in_channels, network._fc.out_features
    with patch.object(efficientnet, "use_fast_convolutions", lambda network: network):
        plain = gc.efficientnet3d("efficientnet-b0", n_in, n_out, width)
    plain.load_state_dict(network.state_dict())
    return plain.eval()


def prepare(
    images: np.ndarray, mean: Any, std: Any, size: tuple[int, int, int], device: str = "cpu"
) -> Tensor:
    """Standardised and resized in the obvious way."""
    x = torch.from_numpy(images).to(device)
    centre, spread = (torch.tensor(v, device=device).view(1, -1, 1, 1, 1) for v in (mean, std))
    x = (x - centre) / spread
    return F.interpolate(x, size=size, mode="trilinear", align_corners=False)


def with_captum(network: nn.Module, layer: nn.Module) -> Callable:
    from captum.attr import LayerAttribution, LayerGradCam

    explainer = LayerGradCam(network, layer)

    def run(x: Tensor, target: Tensor, labels: Tensor, own: Tensor) -> dict[str, Tensor]:
        cam = explainer.attribute(x, target=target, relu_attributions=True).detach()
        cam = LayerAttribution.interpolate(cam, tuple(labels.shape[1:]), "trilinear")
        return masked_sums(cam[:, 0], labels, own)

    return run


def with_monai(network: nn.Module, layer: nn.Module) -> Callable:
    from monai.visualize import GradCAM

    name = next(name for name, module in network.named_modules() if module is layer)
    # its default postprocessing inverts the map, so it must be left out
    explainer = GradCAM(network, name, postprocessing=lambda cam: cam)

    def run(x: Tensor, target: Tensor, labels: Tensor, own: Tensor) -> dict[str, Tensor]:
        cam = explainer(x, class_idx=int(target[0])).detach()
        cam = F.interpolate(cam, labels.shape[1:], mode="trilinear")
        return masked_sums(cam[:, 0], labels, own)

    return run


def with_pytorch_grad_cam(network: nn.Module, layer: nn.Module) -> Callable:
    with stand_ins():
        from pytorch_grad_cam import GradCAM
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    explainer = GradCAM(network, [layer])

    def run(x: Tensor, target: Tensor, labels: Tensor, own: Tensor) -> dict[str, Tensor]:
        # its maps are shifted to a minimum of 0 and zoomed by cubic splines
        cam = torch.from_numpy(explainer(x, [ClassifierOutputTarget(int(k)) for k in target]))
        cam = F.interpolate(cam[:, None].to(labels.device), labels.shape[1:], mode="trilinear")
        return masked_sums(cam[:, 0], labels, own)

    return run


def coarse_pytorch_grad_cam(run: Callable, x: Tensor, target: Tensor) -> np.ndarray:
    """Its map before it is shifted and zoomed, to compare; ``run`` closes over the explainer."""
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    explainer = next(
        cell.cell_contents
        for cell in run.__closure__ or ()
        if hasattr(cell.cell_contents, "activations_and_grads")
    )
    targets = [ClassifierOutputTarget(int(k)) for k in target]
    explainer(x, targets)
    seen = explainer.activations_and_grads
    a, g = (part[0].cpu().detach().numpy() for part in (seen.activations, seen.gradients))
    cam: np.ndarray = explainer.get_cam_image(x, explainer.target_layers[0], targets, a, g)
    return np.maximum(cam, 0)


def masked_sums(cam: Tensor, labels: Tensor, own: Tensor) -> dict[str, Tensor]:
    mine = labels == own.to(labels.device).view(-1, 1, 1, 1)
    total = cam.flatten(1).sum(1)
    share = {
        "grad_camo": mine,
        "neighbour_share": (labels != 0) & ~mine,
        "background_share": labels == 0,
    }
    return {name: (cam * mask).flatten(1).sum(1) / total for name, mask in share.items()}


@contextmanager
def stand_ins() -> Iterator[None]:
    """pytorch-grad-cam imports names from image libraries that 3D Grad-CAM never calls."""
    put = []
    for name in (
        *("cv2", "ttach", "torchvision"),
        *("torchvision.transforms", "torchvision.transforms.functional"),
    ):
        if name.split(".")[0] in put or find_spec(name) is None:
            module = types.ModuleType(name)
            module.__path__ = []
            module.__dict__["__getattr__"] = _unused
            sys.modules[name] = module
            put.append(name)
    try:
        yield
    finally:
        for name in put:
            del sys.modules[name]


def _unused(name: str) -> type:
    """Anything by any name, made from any arguments."""
    return type(name, (), {"__init__": lambda self, *args, **kwargs: None})
