"""The residual U-Net of Cellpose 1 to 3 (Stringer et al. 2021), which later versions do not have.

Parameters are called as in Cellpose's files, so weights trained there fit. It runs under any
version of Cellpose, whose own code turns its flows into masks.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradcamo.settings import SegmentSettings

FILTERS = (32, 64, 128, 256)
TILE = 224  # pixels


def _convolution(n_in: int, n_out: int, size: int = 3, relu: bool = True) -> nn.Sequential:
    norm, conv = nn.BatchNorm2d(n_in), nn.Conv2d(n_in, n_out, size, padding=size // 2)
    return nn.Sequential(norm, nn.ReLU(), conv) if relu else nn.Sequential(norm, conv)


class _Down(nn.Module):
    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.conv = nn.ModuleDict(
            {f"conv_{i}": _convolution(n_in if i == 0 else n_out, n_out) for i in range(4)}
        )
        self.proj = _convolution(n_in, n_out, 1, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        conv = self.conv
        x = self.proj(x) + conv["conv_1"](conv["conv_0"](x))
        return x + conv["conv_3"](conv["conv_2"](x))


class _Styled(nn.Module):
    """A convolution that is told the style of the whole tile."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.conv = _convolution(n, n)
        self.full = nn.Linear(FILTERS[-1], n)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        y: Tensor = self.conv(x + self.full(style)[..., None, None])
        return y


class _Up(nn.Module):
    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.conv = nn.ModuleDict({"conv_0": _convolution(n_in, n_out)})
        self.conv.update({f"conv_{i}": _Styled(n_out) for i in (1, 2, 3)})
        self.proj = _convolution(n_in, n_out, 1, relu=False)

    def forward(self, x: Tensor, across: Tensor, style: Tensor) -> Tensor:
        conv = self.conv
        x = self.proj(x) + conv["conv_1"](conv["conv_0"](x) + across, style)
        return x + conv["conv_3"](conv["conv_2"](x, style), style)


class ResidualUNet(nn.Module):
    """From (N, 2, Y, X), cytoplasm and nucleus, to (N, 3, Y, X): flows along y and x, probability.

    ``diam_mean`` is the diameter that cells have in front of it, ``diam_labels`` what they had in
    its training images, both in pixels.
    """

    def __init__(self) -> None:
        super().__init__()
        ins, outs = (2, *FILTERS[:-1]), FILTERS
        downs = {f"res_down_{i}": _Down(*n) for i, n in enumerate(zip(ins, outs, strict=True))}
        self.downsample = nn.ModuleDict({"down": nn.ModuleDict(downs)})
        ins = (*FILTERS[1:], FILTERS[-1])
        ups = {f"res_up_{i}": _Up(*n) for i, n in enumerate(zip(ins, outs, strict=True))}
        self.upsample = nn.ModuleDict({"up": nn.ModuleDict(ups)})
        self.output = _convolution(FILTERS[0], 3, 1)
        self.diam_mean = nn.Parameter(torch.full((1,), 30.0), requires_grad=False)
        self.diam_labels = nn.Parameter(torch.full((1,), 30.0), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        across: list[Tensor] = []
        for down in self.downsample["down"].values():  # type: ignore[operator]
            x = down(F.max_pool2d(x, 2) if across else x)
            across.append(x)
        style = F.normalize(x.mean((2, 3)))
        ups = list(self.upsample["up"].values())  # type: ignore[operator]
        for up, beside in zip(ups[::-1], across[::-1], strict=True):
            x = up(x if beside is x else F.interpolate(x, scale_factor=2), beside, style)
        y: Tensor = self.output(x)
        return y


def is_residual(state: Mapping[str, Tensor]) -> bool:
    """Whether these are weights of this network."""
    return "downsample.down.res_down_0.proj.1.weight" in state


@torch.inference_mode()
def masks_of_plane(
    network: ResidualUNet, image: np.ndarray, settings: SegmentSettings, tiles_at_once: int
) -> np.ndarray:
    """Masks of one normalised plane (Y, X, 2), as Cellpose 3 finds them; small ones stay.

    Parameters
    ----------
    network : ResidualUNet
    image : (Y, X, 2) float32, cytoplasm and nucleus
    settings : SegmentSettings
    tiles_at_once : tiles of 224 × 224 px that pass the network at a time
    """
    from cellpose import dynamics, transforms

    device = network.diam_mean.device
    scale = float(network.diam_mean / (settings.diameter or network.diam_labels))
    resized = image if scale == 1 else transforms.resize_image(image, rsz=[scale, scale])
    height, width = resized.shape[:2]
    above, below, left, right = transforms.get_pad_yx(height, width)
    padded = np.pad(resized.transpose(2, 0, 1), ((0, 0), (above, below), (left, right)))
    tiles, y_ends, x_ends, *size = transforms.make_tiles(padded, bsize=TILE)
    batches = torch.from_numpy(tiles.reshape(-1, *tiles.shape[2:])).float().split(tiles_at_once)
    seen = torch.cat([network(batch.to(device)).cpu() for batch in batches]).numpy()
    flows = transforms.average_tiles(seen, y_ends, x_ends, *size)
    flows = flows[:, above : above + height, left : left + width].transpose(1, 2, 0)
    if scale != 1:
        flows = transforms.resize_image(flows, *image.shape[:2])
    masks: np.ndarray = dynamics.resize_and_compute_masks(
        flows[..., :2].transpose(2, 0, 1),
        flows[..., 2],
        niter=int(200 / scale),
        cellprob_threshold=settings.cellprob_threshold,
        flow_threshold=settings.flow_threshold,
        min_size=-1,
        device=device,
    )
    return masks
