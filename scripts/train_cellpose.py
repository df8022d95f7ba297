"""Train the bundled Cellpose network from scratch on planes of the built-in plate.

    python scripts/train_cellpose.py            # about ten minutes on two cores

The cytoplasm channel is drawn among several stains, so that one network serves several pairs;
held-out plates (another seed) then pass the whole 3D chain and the average precision is printed.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from cellpose import models, train
from safetensors.torch import load_file, save_file
from scipy import ndimage as ndi

from gradcamo.samples.design import CHANNELS, PlateDesign
from gradcamo.samples.plate import make_stack
from gradcamo.segmentation.models import BUNDLED
from gradcamo.segmentation.planes import average_precision, segment
from gradcamo.settings import SegmentSettings

CYTOPLASM = ("SYTO14", "SYTO14", "concanavalin", "WGA", "WGA", "phalloidin")
DIAMETER = 30.0
"""Of the built-in plate's cells in pixels: a section's area as a disc."""
HELD_OUT = 1000
"""Seed of the plates that the network never sees."""


def planes(stacks: int, per_stack: int, seed: int = 1) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Images (2, Y, X), cytoplasm and nucleus, scaled as in the 3D chain, and their labels."""

    def one(number: int) -> list[tuple[np.ndarray, np.ndarray]]:
        rng = np.random.default_rng([seed, number])
        design = PlateDesign(
            seed=seed,
            cells_per_field=int(rng.choice([20, 30, 45, 70])),
            cell_um=float(rng.choice([19, 22, 25, 25, 28])),
        )
        well = design.wells[number % len(design.wells)]
        stack, labels = make_stack(design, well, number // len(design.wells) + 1)
        low, high = np.percentile(stack.data[:, :, ::2, ::2], (1, 99), axis=(1, 2, 3))
        found = []
        for z in rng.choice(np.arange(1, design.planes - 1), per_stack, replace=False):
            pair = [CHANNELS.index(str(rng.choice(CYTOPLASM))), 0]
            limits = np.stack([low[pair], high[pair]])[..., None, None]
            image = (stack.data[pair, z] - limits[0]) / (limits[1] - limits[0])
            found.append((vary(image, rng), labels[z].astype(np.int32)))
        return found

    with ThreadPoolExecutor(2) as pool:
        pairs = [pair for some in pool.map(one, range(stacks)) for pair in some]
    return [image for image, _ in pairs], [labels for _, labels in pairs]


def vary(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Other microscopes: blur, contrast, brightness and noise beyond the plate's own."""
    image = image.astype(np.float32)
    if rng.random() < 0.4:
        image = ndi.gaussian_filter(image, (0, *[rng.uniform(0.3, 1.2)] * 2))
    image = np.sign(image) * np.abs(image) ** rng.uniform(0.6, 1.5, (2, 1, 1))
    image *= rng.uniform(0.7, 1.4, (2, 1, 1))
    if rng.random() < 0.4:
        image += rng.normal(0, rng.uniform(0.02, 0.12), image.shape)
    if rng.random() < 0.1:
        image[1] = 0  # a stack without a nuclear stain
    return image.astype(np.float32)


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    flags.add_argument("--stacks", type=int, default=60)
    flags.add_argument("--planes", type=int, default=5, help="planes taken from each stack")
    flags.add_argument("--epochs", type=int, default=101)
    flags.add_argument("--images", type=int, default=32, help="planes seen per epoch")
    flags.add_argument("--border-epochs", type=int, default=31, help="then, on small fields")
    flags.add_argument("--start", type=Path, help="weights of the first part, to skip it")
    flags.add_argument("--test", type=int, default=4, help="held-out stacks")
    flags.add_argument("-o", "--out", type=Path, default=BUNDLED)
    flags.add_argument("--score", action="store_true", help="only score the weights at --out")
    given = flags.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.manual_seed(0)
    torch.set_num_threads(2)
    if given.score:
        return score(given.out, given.test)

    images, labels = planes(given.stacks, given.planes)
    print(f"{len(images)} planes, {sum(len(np.unique(one)) - 1 for one in labels)} cell sections")
    net = models.CellposeModel(gpu=torch.cuda.is_available(), diam_mean=DIAMETER, nchan=2).net
    net.mkldnn = False
    net.to(memory_format=torch.channels_last)  # several times faster on a CPU
    if given.start:
        net.load_state_dict(load_file(given.start))
    else:
        fit(net, images, labels, given.epochs, given.images, rate=0.003)
    # flows of a cell that the border cuts lead to its visible middle: fields as small as the
    # tiles show many such cells
    fit(net, *cut(images, labels), given.border_epochs, given.images, rate=0.001)
    net.diam_labels.data.fill_(DIAMETER)
    weights = {name: value.half().contiguous() for name, value in net.state_dict().items()}
    save_file(weights, given.out, metadata={"architecture": "cellpose 3 CPnet", "channels": "2"})
    print(f"wrote {given.out}, {given.out.stat().st_size / 1e6:.1f} MB")
    return score(given.out, given.test)


def fit(
    net: torch.nn.Module,
    images: list[np.ndarray],
    labels: list[np.ndarray],
    epochs: int,
    per_epoch: int,
    rate: float,
) -> None:
    """Train a Cellpose network in place."""
    with tempfile.TemporaryDirectory() as scratch:
        train.train_seg(
            net,
            train_data=images,
            train_labels=labels,
            channels=None,
            channel_axis=0,
            normalize=False,
            rescale=False,  # cells keep their size within a plane and from plane to plane
            scale_range=0.7,
            bsize=128,
            batch_size=8,
            learning_rate=rate,
            weight_decay=1e-4,
            n_epochs=epochs,
            nimg_per_epoch=per_epoch,
            min_train_masks=2,
            save_path=scratch,
        )


def cut(
    images: list[np.ndarray], labels: list[np.ndarray], size: int = 120
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """A window of every plane, as if the field ended there."""
    rng = np.random.default_rng(2)
    windows = [
        np.s_[y : y + size, x : x + size]
        for y, x in (rng.integers(0, one.shape[0] - size, 2) for one in labels)
    ]
    return (
        [image[(slice(None), *place)] for image, place in zip(images, windows, strict=True)],
        [one[place] for one, place in zip(labels, windows, strict=True)],
    )


def score(weights: Path, stacks: int) -> None:
    """Print the average precision of the whole 3D chain on held-out plates."""
    design = PlateDesign(seed=HELD_OUT)
    for number in range(stacks):
        well = design.wells[(5 * number) % len(design.wells)]
        stack, truth = make_stack(design, well, number + 1)
        for cytoplasm in ("SYTO14", "concanavalin", "WGA"):
            settings = SegmentSettings(model=str(weights), cytoplasm=cytoplasm, nucleus="Hoechst")
            found = segment(stack, settings)
            print(
                f"{well} {cytoplasm}: AP@0.5 {average_precision(truth, found):.3f}, "
                f"whole cells {average_precision(whole(truth), whole(found)):.3f}",
                flush=True,
            )


def whole(labels: np.ndarray) -> np.ndarray:
    """Labels without the cells that the border of the field cuts."""
    cut = np.concatenate([labels[:, [0, -1]].ravel(), labels[..., [0, -1]].ravel()])
    return np.where(np.isin(labels, cut), 0, labels)


if __name__ == "__main__":
    main()
