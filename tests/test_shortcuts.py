"""A network that is offered a shortcut takes it, unless attention off the cell costs."""

from collections import OrderedDict

import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gradcamo import GradcamoError
from gradcamo.cells.overlap import attention_shares
from gradcamo.networks.geometry import describe_layers
from gradcamo.networks.gradcam import grad_cam
from gradcamo.training.regularise import Regulariser
from gradcamo.training.report import describe_layer_scores

SHAPE = (4, 16, 16)
CELL = torch.zeros(SHAPE, dtype=torch.bool)
CELL[:, 5:11, 5:11] = True
TREATED = 1


def crops(n, seed, shortcut=True):
    """Treated: faint stripes in the cell; with the shortcut, also a brighter corner."""
    draw = torch.Generator().manual_seed(seed)
    images = 0.5 * torch.randn(n, 1, *SHAPE, generator=draw)
    treated = torch.arange(n) % 2 == TREATED
    stripes = (-1.0) ** torch.arange(SHAPE[-1]) * CELL
    images[treated] += 0.5 * stripes
    if shortcut:
        images[treated, :, :, :4, :4] += 1.4
    return images, treated.long()


def small_cnn():
    torch.manual_seed(0)
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv3d(1, 8, 3, padding=1),
            relu1=nn.ReLU(),
            conv2=nn.Conv3d(8, 8, 3, padding=1),
            relu2=nn.ReLU(),
            pool=nn.AdaptiveAvgPool3d(1),
            flat=nn.Flatten(),
            fc=nn.Linear(8, 2),
        )
    )


def trained(weight, steps=120):
    network = small_cnn()
    known = describe_layers(network, (1, *SHAPE), ["relu1"])
    term = Regulariser(network, known, SHAPE, weight, form="log")
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for step in range(steps):
        images, targets = crops(16, seed=step)
        with term.watching() as seen:
            logits = network(images)
        masks = CELL.expand(len(images), -1, -1, -1)
        loss = F.cross_entropy(logits, targets)
        if weight:
            loss = loss + term.penalty(term.grad_camo(logits, targets, masks, seen))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network


def accuracy(network, shortcut):
    images, targets = crops(200, seed=1_000_000, shortcut=shortcut)
    with torch.no_grad():
        return (network(images).argmax(1) == targets).float().mean().item()


def score(network, *layers, reshape=None):
    """Treated cells at some layers, one row a cell and layer, as an audit has them."""
    images, targets = crops(100, seed=1_000_001)
    images = images[targets == TREATED]
    n = len(images)
    tables = []
    for layer, maps in grad_cam(network, images, layers, TREATED, reshape=reshape).maps.items():
        shares = attention_shares(maps, CELL.long().expand(n, -1, -1, -1), torch.ones(n).long())
        tables.append(pd.DataFrame(shares).assign(layer=layer))
    return pd.concat(tables)


@pytest.fixture(scope="module")
def plain():
    return trained(0)


@pytest.fixture(scope="module")
def regularised():
    return trained(1)


def test_grad_camo_in_the_loss_makes_a_network_learn_the_cell_not_the_shortcut(plain, regularised):
    assert accuracy(plain, shortcut=True) > 0.95
    assert accuracy(regularised, shortcut=True) > 0.95
    assert accuracy(plain, shortcut=False) < 0.7
    assert accuracy(regularised, shortcut=False) > 0.9


def test_attention_moves_to_the_cell_on_a_layer_that_was_not_regularised_too(plain, regularised):
    before, after = score(plain, "relu2"), score(regularised, "relu2")
    assert before["grad_camo"].mean() < 0.3
    assert after["grad_camo"].mean() > 0.7


class PleasesTheScore(nn.Module):
    """Classifies by the brightest corner, but what it does last always lies on the cell."""

    def __init__(self):
        super().__init__()
        self.bright, self.centre = nn.AvgPool3d(3, 1, 1), nn.Identity()

    def forward(self, x):
        bright = self.bright(x).relu().flatten(2).mean(-1)
        treated = self.centre(bright[..., None, None, None] * CELL).flatten(1).sum(1)
        return torch.stack([torch.full_like(treated, 9), treated], 1)


def test_a_network_that_only_pleases_the_score_is_reported(regularised):
    gamed = PleasesTheScore()
    assert accuracy(gamed, shortcut=True) > 0.95
    assert accuracy(gamed, shortcut=False) == 0.5
    with pytest.raises(GradcamoError, match="alike, alike, alike"):
        score(gamed, "centre")
    table = score(gamed, "bright", "centre", reshape=lambda a: a)  # its owner's word
    assert table.groupby("layer")["grad_camo"].mean()["centre"] > 0.99
    (note,) = describe_layer_scores(table, ["centre"])["layer_notes"]
    assert "no other layer (best: bright" in note
    honest = describe_layer_scores(score(regularised, "relu1", "relu2"), ["relu1"])
    assert honest["layer_notes"] == []
