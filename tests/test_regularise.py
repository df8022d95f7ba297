"""Grad-CAMO in the loss is the Grad-CAMO of an audit, and can be climbed."""

import math

import pytest
import torch

from gradcamo.cells.overlap import attention_shares
from gradcamo.networks.efficientnet import efficientnet3d
from gradcamo.networks.geometry import describe_layers, place
from gradcamo.networks.gradcam import grad_cam
from gradcamo.training.regularise import SMALLEST_SHARE, Regulariser
from gradcamo.training.report import describe_layer_scores

SIZE, CROP, LAYERS = (64, 64, 64), (9, 40, 40), ("block_2", "block_4", "head")


@pytest.fixture
def network():
    torch.manual_seed(0)
    return efficientnet3d(in_channels=2, num_classes=3, width=0.1)


@pytest.fixture(scope="module")
def batch():
    torch.manual_seed(1)
    masks = torch.zeros(2, *CROP, dtype=torch.bool)
    for i, mask in enumerate(masks):
        mask[2:7, 8 + 2 * i : 24 + 2 * i, 12:28] = True
    return torch.rand(2, 2, *SIZE), torch.tensor([0, 2]), masks


def regulariser(network, layers=LAYERS, alignment="paper", weight=1.0, form="linear"):
    known = describe_layers(network, (2, *SIZE))
    chosen = {name: known[name] for name in layers}
    return Regulariser(network, chosen, SIZE, weight, alignment, form)


def score(term, network, images, targets, masks):
    with term.watching() as seen:
        logits = network(images)
    return term.grad_camo(logits, targets, masks, seen)


@pytest.mark.parametrize("alignment", ["paper", "receptive-field"])
def test_each_cell_at_each_layer_has_the_score_of_an_audit(network, batch, alignment):
    images, targets, masks = batch
    network.eval()
    expected = []
    result = grad_cam(network, images, LAYERS, targets)
    for name, info in describe_layers(network, (2, *SIZE), LAYERS).items():
        shares = attention_shares(
            result.maps[name],
            masks.long(),
            torch.ones(len(masks)).long(),
            place(info, SIZE, CROP, alignment),
        )
        expected.append(shares["grad_camo"].nan_to_num(0))
    found = score(regulariser(network, alignment=alignment), network, *batch)
    assert len(found) == len(LAYERS)
    assert found.max() > 0.05
    torch.testing.assert_close(found.detach(), torch.stack(expected), rtol=1e-4, atol=1e-6)


def test_the_penalty_is_what_the_settings_say(network):
    scores = torch.tensor([[0.5, 0.25], [1.0, 0.0]])
    linear, log = (regulariser(network, weight=2.0, form=form) for form in ("linear", "log"))
    assert linear.penalty(scores).item() == pytest.approx(2 * (1 - 1.75 / 4))
    expected = -(math.log(0.5) + math.log(0.25) + 0 + math.log(SMALLEST_SHARE)) / 4
    assert log.penalty(scores).item() == pytest.approx(2 * expected)


def test_a_small_step_along_its_gradient_raises_grad_camo_as_predicted(network, batch):
    images, targets, masks = batch
    network.double().eval()
    batch = images.double(), targets, masks
    term = regulariser(network, ("block_2", "block_4"))
    weights = [p for p in network.parameters() if p.ndim == 5]
    slopes = torch.autograd.grad(score(term, network, *batch).mean(), weights)
    steepness = torch.stack([(slope**2).sum() for slope in slopes]).sum().sqrt()
    values = []
    for step in (1e-6, -2e-6):  # a step forth, then one behind where it began
        with torch.no_grad():
            for weight, slope in zip(weights, slopes, strict=True):
                weight += step * slope / steepness
        values.append(score(term, network, *batch).mean().item())
    assert steepness > 0.1
    assert (values[0] - values[1]) / 2e-6 == pytest.approx(steepness.item(), rel=1e-3)


def test_cells_without_positive_evidence_count_as_missed(network, batch):
    images, targets, masks = batch
    network.eval()
    with torch.no_grad():
        network._fc.weight[:] = 0  # no class depends on anything
    for form, cost in (("linear", 1), ("log", -math.log(SMALLEST_SHARE))):
        term = regulariser(network, ("block_4",), form=form)
        value = score(term, network, images, targets, masks)
        penalty = term.penalty(value)
        penalty.backward()
        assert value.tolist() == [[0, 0]]
        assert penalty.item() == pytest.approx(cost)
        slopes = [p.grad for p in network.parameters() if p.grad is not None]
        assert all(bool(slope.isfinite().all()) for slope in slopes)


def test_no_hook_stays_behind(network, batch):
    term = regulariser(network)
    with term.watching() as seen:
        network(batch[0])
    before = dict(seen)
    network(batch[0])
    assert all(seen[name] is before[name] for name in LAYERS)


def layer_scores(**attainable):
    import pandas as pd

    return pd.DataFrame(
        [
            {"layer": name, "grad_camo": 0.5, "chance": 0.2, "ceiling": 0.9, "attainable": value}
            for name, value in attainable.items()
        ]
    )


def test_a_report_warns_when_no_other_layer_follows():
    gamed = describe_layer_scores(layer_scores(block_2=0.05, block_4=0.8), ["block_4"])
    assert "no other layer (best: block_2, 0.05)" in gamed["layer_notes"][0]
    empty = describe_layer_scores(layer_scores(block_2=float("nan"), block_4=0.8), ["block_4"])
    assert "no other layer (best: block_2, 0.00)" in empty["layer_notes"][0]
    honest = describe_layer_scores(layer_scores(block_2=0.5, block_4=0.8), ["block_4"])
    assert honest["layer_notes"] == []
