"""Draw docs/images/method_scores.png: what a Grad-CAMO score is made of, and what bounds it."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes

from gradcamo import CellCrops, attention_shares, efficientnet3d, upsample_cam
from gradcamo.cells.null import permutation_p_values
from gradcamo.cells.overlap import ROUNDING, Footprint, footprints
from gradcamo.networks.geometry import describe_layers, place
from gradcamo.samples.design import PlateDesign
from gradcamo.samples.plate import make_stack

OUT = Path(__file__).parents[1] / "docs" / "images" / "method_scores.png"
CROP, INPUT, SPACING = (21, 128, 128), (64, 224, 224), (0.6, 0.3505, 0.3505)
OWN, OTHER, PLAIN, TRUE = "#0072B2", "#8A8A8A", "#D55E00", "#009E73"
Z = CROP[0] // 2


def main() -> None:
    """Six panels, from one cell's map to what a permutation null tells apart."""
    plt.rcParams.update({"font.size": 9, "axes.titlesize": 10, "axes.titleweight": "bold"})
    figure, axes = plt.subplots(2, 3, figsize=(11, 7.2), layout="constrained")
    network = efficientnet3d(width=0.25).eval()
    layers = describe_layers(network, (6, *INPUT))
    crops = cells()
    crop = max((c for c in crops if not c.touches_border), key=lambda c: len(np.unique(c.labels)))
    draw_score(axes[0, 0], crop)
    draw_contribution(axes[0, 1], crop, layers["block_10"].grid)
    draw_bounds(axes[0, 2], layers)
    draw_resolution(axes[1, 0], crop, layers)
    draw_place(axes[1, 1], network, layers["block_10"])
    draw_null(axes[1, 2], [c for c in crops if not c.touches_border])
    for letter, ax in zip("abcdef", axes.flat, strict=True):
        title = ax.get_title()
        ax.set_title("")
        ax.set_title(f"{letter}  {title}", loc="left")
    OUT.parent.mkdir(exist_ok=True)
    figure.savefig(OUT, dpi=130)


def cells() -> CellCrops:
    """The crops of a stack of the built-in plate, at the reference voxel size."""
    design = PlateDesign(field_px=640, cells_per_field=62, spacing_um=SPACING)
    return CellCrops(*make_stack(design, "E03", 1))


def footprint_of(crops: list, grid: tuple[int, ...]) -> Footprint:
    """What of each coarse voxel falls on the cells of these crops."""
    owners = [np.add(c.labels != 0, c.labels == c.label, dtype=np.uint8) for c in crops]
    (found,) = footprints(torch.from_numpy(np.stack(owners)), [(grid, None)])
    return found


def bump(grid: tuple[int, ...], centre: tuple[float, ...], width: float) -> np.ndarray:
    """A made-up map: one round spot, voxels counted from the grid's first."""
    places = np.meshgrid(*map(np.arange, grid), indexing="ij")
    far = sum(((p - c) / width) ** 2 for p, c in zip(places, centre, strict=True))
    return np.exp(-far / 2).astype(np.float32)


def outline(ax: Axes, labels: np.ndarray, label: int) -> None:
    """The crop's cells: this one and the others."""
    for number in np.unique(labels[labels > 0]):
        colour, line = (OWN, 2.2) if number == label else (OTHER, 1.0)
        ax.contour(labels == number, [0.5], colors=colour, linewidths=line)
    ax.set(xticks=[], yticks=[])


def draw_score(ax: Axes, crop) -> None:
    """A map that lies partly on its cell."""
    cam = bump((2, 7, 7), (0.5, 3, 3.2), 0.8) + 0.8 * bump((2, 7, 7), (0.5, 5.2, 1.2), 0.6)
    shares = attention_shares(cam[None], crop.labels[None], [crop.label])
    ax.imshow(upsample_cam(cam, CROP)[Z], cmap="inferno")
    outline(ax, crop.labels[Z], crop.label)
    own, other, none = (
        float(shares[name][0]) for name in ("grad_camo", "neighbour_share", "background_share")
    )
    ax.set_title("A map and its shares")
    others = f"neighbours {other:.2f}, background {none:.2f}"
    ax.set_xlabel(f"own cell {own:.2f}: the Grad-CAMO score\n{others}")


def draw_contribution(ax: Axes, crop, grid: tuple[int, ...]) -> None:
    """What share of each coarse voxel falls on the cell: its largest is the ceiling."""
    footprint = footprint_of([crop], grid)
    share = (footprint.own / footprint.full)[0].numpy()
    plane = int(share.max((1, 2)).argmax())
    extent = (-0.5, CROP[2] - 0.5, CROP[1] - 0.5, -0.5)
    image = ax.imshow(share[plane], cmap="viridis", vmin=0, vmax=1, extent=extent)
    outline(ax, crop.labels[Z], crop.label)
    best = np.unravel_index(share[plane].argmax(), share[plane].shape)
    size = CROP[1] / grid[1]
    corner = (best[1] * size - 0.5, best[0] * size - 0.5)
    ax.add_patch(plt.Rectangle(corner, size, size, fill=False, edgecolor="white", linewidth=2))
    ax.figure.colorbar(image, ax=ax, shrink=0.8)
    ax.set_title("Share of a coarse voxel on the cell")
    ax.set_xlabel(f"block_10: ceiling {share.max():.2f}, chance {float(footprint.chance[0]):.2f}")


def draw_bounds(ax: Axes, layers) -> None:
    """Chance and ceiling of a round cell of any size, on several layers."""
    z, y, x = np.meshgrid(*map(np.arange, CROP), indexing="ij")
    middle = [(n - 1) / 2 for n in CROP]
    r2 = ((y - middle[1]) ** 2 + (x - middle[2]) ** 2) * SPACING[1] ** 2
    sizes = np.arange(6, 43, 3)
    flat = [r2 + ((z - middle[0]) * SPACING[0] * d / 12) ** 2 <= (d / 2) ** 2 for d in sizes]
    labels = np.stack(flat).astype(np.int32)
    ids = np.ones(len(sizes), np.int32)
    colours = plt.colormaps["viridis"](np.linspace(0, 0.85, 4))
    for name, colour in zip(("block_2", "block_4", "block_10", "head"), colours, strict=True):
        cam = np.ones((len(sizes), *layers[name].grid), np.float32)
        bounds = attention_shares(cam, labels, ids)
        ax.plot(sizes, bounds["ceiling"], color=colour, label=f"ceiling, {name}")
    ax.plot(sizes, bounds["chance"], color=PLAIN, linestyle="--", label="chance (flat map)")
    ax.axhline(0.25, color="black", linewidth=0.8, linestyle=":")
    ax.text(42, 0.18, "cut-off 0.25", ha="right")
    ax.set(xlabel="diameter of a cell 12 µm high (µm)", ylabel="Grad-CAMO", ylim=(0, 1.45))
    ax.set_yticks(np.linspace(0, 1, 6))
    ax.legend(loc="upper center", ncols=2, fontsize=8)
    ax.set_title("What any map can score")


def draw_resolution(ax: Axes, crop, layers) -> None:
    """The best map on each layer."""
    rows = []
    for name in ("block_2", "block_4", "block_10", "head"):
        grid = layers[name].grid
        footprint = footprint_of([crop], grid)
        share = (footprint.own / footprint.full)[0]
        hot = torch.where(share > share.max() - ROUNDING, 1.0, 0.0)
        rows.append((name, grid, upsample_cam(hot, CROP)[Z].numpy()))
    big = np.block([[rows[0][2], rows[1][2]], [rows[2][2], rows[3][2]]])
    tops = np.array([[r[2].max() or 1 for r in rows[i : i + 2]] for i in (0, 2)])
    ax.imshow(big / tops.repeat(128, 0).repeat(128, 1), cmap="inferno")
    own = np.tile(crop.labels[Z] == crop.label, (2, 2))
    ax.contour(own, [0.5], colors=OWN, linewidths=2)
    for i, (name, grid, _) in enumerate(rows):
        at = (i % 2 * 128 + 5, i // 2 * 128 + 13)
        ax.text(*at, f"{name}: {' × '.join(map(str, grid))}", color="white", fontsize=8)
    ax.axhline(127.5, color="white", linewidth=1)
    ax.axvline(127.5, color="white", linewidth=1)
    ax.set(xticks=[], yticks=[], xlabel="voxels that reach the ceiling, upsampled")
    ax.set_title("The best map of each layer")


def draw_place(ax: Axes, network: torch.nn.Module, info) -> None:
    """Where one voxel of block_10 is drawn, and where it looks."""
    torch.manual_seed(0)
    seen: list[torch.Tensor] = []
    for module in network.modules():  # the path of the convolutions alone
        if hasattr(module, "_swish"):
            module._swish = torch.nn.Identity()
        if isinstance(module, torch.nn.Conv3d):
            kind = torch.nn.init.zeros_ if module.bias is not None else torch.nn.init.ones_
            kind(module.weight)
            module.weight.data /= module.weight[0].numel()
    block = [m for m in network._blocks.modules() if hasattr(m, "_depthwise_conv")][10]
    hook = block.register_forward_hook(lambda module, args, out: seen.append(out))
    x = torch.zeros(1, 6, 64, 64, INPUT[2], requires_grad=True)
    network(x)
    hook.remove()
    (slope,) = torch.autograd.grad(seen[0][0, :, 0, 0, 3].sum(), x)
    profile = np.convolve(slope[0].abs().sum((0, 1, 2)).numpy(), np.ones(32), "same")
    pixels = (np.arange(INPUT[2]) + 0.5) * CROP[2] / INPUT[2] - 0.5
    ax.fill_between(
        pixels, profile / profile.max(), color=OTHER, alpha=0.4, label="looks (gradient)"
    )
    hot = np.eye(7, dtype=np.float32)[3]
    for alignment, colour in (("paper", PLAIN), ("receptive-field", TRUE)):
        placed = place(info, INPUT, CROP, alignment)
        axis = placed and type(placed)(placed.step[2:], placed.origin[2:])
        ax.plot(upsample_cam(hot, (CROP[2],), axis), color=colour, label=f"drawn, {alignment}")
    ax.set(xlabel="column of the crop (px)", yticks=[], ylim=(0, 1.42))
    ax.legend(loc="upper left", fontsize=8)
    ax.set_title("One voxel of block_10")


def draw_null(ax: Axes, crops: list) -> None:
    """Two made-up networks of the same kind of score: one looks at cells, one at the middle."""
    random = np.random.default_rng(0)
    grid = (4, 14, 14)
    footprint = footprint_of(crops, grid)
    own, full = footprint.own.numpy(), footprint.full.numpy()
    noise = random.gamma(1.0, 0.25, own.shape)
    middle = bump(grid, (1.5, 6.5, 6.5), 2.2) * (0.4 + noise)
    cell = own / full + 0.15 * noise
    bins = np.linspace(0, 1, 21)
    for maps, colour, name in ((cell, TRUE, "at its cell"), (middle, PLAIN, "at the middle")):
        maps = maps.astype(np.float32)
        score = (maps * own).sum((1, 2, 3)) / (maps * full).sum((1, 2, 3))
        p = permutation_p_values(maps, own, full, 1000)
        label = f"looks {name}: mean Grad-CAMO {score.mean():.2f}"
        ax.hist(p, bins, color=colour, alpha=0.65, label=label)
    ax.set(xlabel="p_value", ylabel=f"cells (of {len(crops)})")
    ax.margins(y=0.3)
    ax.legend(loc="upper right", fontsize=8)
    ax.set_title("A permutation null sees the centre bias")


if __name__ == "__main__":
    main()
