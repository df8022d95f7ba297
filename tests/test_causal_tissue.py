"""Causal attention on real tissue, with speckles planted in one region of half the crops.

Cells of the left half of an organoid train a small network and are donors, those of the right half
are asked. Labels are reference labels, not truth; where the speckles lie is known.
"""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from causal_cases import plain
from scipy import ndimage as ndi
from torch import nn

import gradcamo as gc
from gradcamo import CausalSettings, CellCrops, CropSettings, DonorBank, ZStack

REAL = Path(os.environ.get("GRADCAMO_REALDATA", Path(__file__).parents[2] / "shared" / "realdata"))
pytestmark = [
    pytest.mark.realdata,
    pytest.mark.slow,
    pytest.mark.skipif(not REAL.is_dir(), reason=f"no real stacks in {REAL} ($GRADCAMO_REALDATA)"),
]

FRAMES = ("T0301", "T0302", "T0303")
SIZE, AROUND = 64, 24
DOTS, ASKED, EPOCHS = 60, 10, 12
REGIONS = ("own", "neighbour", "background")
CLASSES = ("plain", "speckled")


@pytest.fixture(scope="module")
def tissue():
    """Each whole cell as a small stack of its own, its labels, its label, and its side."""
    cells = []
    for frame in FRAMES:
        stack = gc.read_stack(REAL / f"lstree_budding_{frame}.ome.tif").in_memory()
        labels = gc.read_labels(REAL / f"lstree_budding_{frame}_cell_labels.ome.tif")
        crops = CellCrops(stack, labels, CropSettings(size_yx=(SIZE, SIZE)))
        x = crops.table["centroid_x"]
        for i in np.flatnonzero(crops.scorable):
            start = np.array(crops.start(i)[1:]) - AROUND
            ends = zip(start.clip(0), start + SIZE + 2 * AROUND, strict=True)
            window = tuple(slice(first, last) for first, last in ends)
            image = stack.data[(slice(None), slice(None), *window)]
            label = int(crops.table["label"].iloc[i])
            cells.append((image, labels[(slice(None), *window)], label, x[i] < x.median()))
    return cells


def members(labels, label, region):
    return {"own": labels == label, "background": labels == 0}.get(
        region, (labels != label) & (labels > 0)
    )


def speckled(image, labels, label, region, rng):
    """Dots of 3 x 3 px, bright in both stains, that lie wholly in one region."""
    inside = members(labels, label, region)
    places = np.argwhere(ndi.binary_erosion(inside, np.ones((1, 3, 3))))
    chosen = places[rng.choice(len(places), min(DOTS, len(places)), replace=False)]
    dots = np.zeros(labels.shape, bool)
    dots[tuple(chosen.T)] = True
    dots = ndi.binary_dilation(dots, np.ones((1, 3, 3)))
    assert not (dots & ~inside).any()
    image = image.copy()
    for channel in image:
        channel[dots] = np.percentile(channel, 99.9) * rng.uniform(0.8, 1, dots.sum())
    return image


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Conv3d(2, 8, 3, (1, 2, 2), 1), nn.BatchNorm3d(8), nn.ReLU()),
            *(nn.Conv3d(8, 16, 3, 2, 1), nn.BatchNorm3d(16), nn.ReLU()),
            *(nn.AdaptiveMaxPool3d(1), nn.Flatten(), nn.Linear(16, 2)),
        )

    def forward(self, x):
        return self.layers(x)


def crop_of(checkpoint, stack, labels, label):
    crops = CellCrops(stack, labels, checkpoint.crop)
    (i,) = np.flatnonzero(crops.table["label"] == label)
    return checkpoint.prepare(crops[i].image[None])[0]


def learn(network, versions, targets, rng):
    """A short training; speckles lie elsewhere in every epoch."""
    network.train()
    optimizer = torch.optim.Adam(network.parameters(), 5e-3)
    for epoch in range(EPOCHS):
        x = versions[epoch % len(versions)]
        for part in torch.from_numpy(rng.permutation(len(x))).split(8):
            loss = nn.functional.cross_entropy(network(x[part]), targets[part])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    network.eval()


@pytest.mark.parametrize("region", REGIONS)
def test_the_region_with_the_speckles_gets_the_prediction_of_both_classes(tissue, region):
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    network = Small()
    channels = ("nuclei", "membrane")
    checkpoint = plain(network, CLASSES, (27, SIZE, SIZE), channels, (SIZE, SIZE))

    def stack_of(cell, name):
        image, labels, label, _ = cell
        if name == "speckled":
            image = speckled(image, labels, label, region, rng)
        return ZStack(image, channels, (2.0, 0.26, 0.26), "made here")

    left, right = ([cell for cell in tissue if cell[3] == side] for side in (True, False))
    made = [
        [crop_of(checkpoint, stack_of(cell, name), *cell[1:3]) for name in CLASSES for cell in left]
        for _ in range(3)
    ]
    targets = torch.arange(2).repeat_interleave(len(left))
    learn(network, [torch.stack(crops) for crops in made], targets, rng)
    donors = [
        (stack_of(cell, name), cell[1], {cell[2]: name}, "left", f"{name} {n}")
        for n, cell in enumerate(left)
        for name in CLASSES
    ]
    bank = DonorBank.cut(donors, checkpoint, control="plain")
    for name in CLASSES:
        rows = [
            gc.causal_attention(
                stack_of(cell, name), cell[1], checkpoint, bank,
                CausalSettings(draws=2, device="cpu"), [cell[2]], "right", "of the organoid",
            ).iloc[0]
            for cell in right[:: len(right) // ASKED][:ASKED]
        ]  # fmt: skip
        assert sum(row["predicted"] == name for row in rows) >= 0.9 * ASKED
        told = [row for row in rows if row["predicted"] == name and bool(row["causal_answered"])]
        assert len(told) >= 0.8 * ASKED
        shares = np.array([[row[f"causal_{one}"] for one in REGIONS] for row in told])
        print(name, region, len(told), shares.mean(0).round(2))
        assert (shares.argmax(1) == REGIONS.index(region)).all()
        assert shares[:, REGIONS.index(region)].mean() >= 0.85
