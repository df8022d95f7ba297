"""Grad-CAMO in the loss is the Grad-CAMO of an audit, and can be climbed."""

import math
from copy import deepcopy

import pytest
import torch
from small_training import settings
from torch.optim.optimizer import register_optimizer_step_post_hook

from gradcamo.cells.overlap import attention_shares
from gradcamo.networks.efficientnet import efficientnet3d
from gradcamo.networks.geometry import describe_layers, place
from gradcamo.networks.gradcam import grad_cam
from gradcamo.settings import CropSettings, TrainSettings
from gradcamo.training.regularise import SMALLEST_SHARE, STEEPEST, Regulariser, apart
from gradcamo.training.report import describe_layer_scores
from gradcamo.training.train import train

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
    audited = deepcopy(network)
    with torch.no_grad():  # the same classifier; its logits are those above their mean
        audited._fc.weight -= audited._fc.weight.mean(0)
    result = grad_cam(audited, images, LAYERS, targets)
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


def test_what_is_taken_off_the_other_classes_counts_as_attention(network, batch):
    network.eval()
    with torch.no_grad():
        network._fc.weight[[0, 2]] = 0  # both true classes win or lose by the third alone
    assert not any(
        grad_cam(network, batch[0], LAYERS, batch[1]).maps[name].any() for name in LAYERS
    )
    assert score(regulariser(network), network, *batch).max() > 0.05


def without_dropout(network):
    network._dropout.p = 0.0
    for module in network.modules():
        if hasattr(module, "drop_connect_rate"):
            module.drop_connect_rate = 0.0
    return network.train()


def test_apart_a_network_says_what_it_says_in_training_but_for_what_is_dropped(network, batch):
    without_dropout(network)
    with apart(network):
        alone = network(batch[0])
    torch.testing.assert_close(alone, network(batch[0]), rtol=1e-2, atol=1e-3)
    assert not torch.allclose(alone, network.eval()(batch[0]), rtol=0.1)


def test_apart_no_cell_depends_on_another_by_its_slopes(network, batch):
    images = batch[0].requires_grad_()
    without_dropout(network)

    def across():
        """Slope of the first cell's logits at the second cell's image."""
        return torch.autograd.grad(network(images)[0, 0], images)[0][1].abs().max().item()

    with apart(network):
        assert across() == 0
    assert across() > 0


def test_a_network_comes_back_from_apart_as_it_went(network, batch):
    network.train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(RuntimeError), apart(network):
        network(torch.cat([*batch[0]]))  # a batch without its first axis fails in some layer
    after = network.state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items())
    assert all(module.training for module in network.modules())
    network(batch[0])
    assert not torch.equal(network._bn0.running_mean, before["_bn0.running_mean"])


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


class Recording(Regulariser):
    def grad_camo(self, *given):
        self.scored = super().grad_camo(*given)
        return self.scored


@pytest.mark.filterwarnings("ignore:You are trying to `self.log")
def test_a_training_step_adds_the_penalty_of_cells_apart(network, batch):
    from gradcamo.training.fitting import Fitting

    images, targets, masks = batch
    layer = describe_layers(network, (2, *SIZE), ["block_2"])
    term = Recording(network, layer, SIZE, 1.0)
    known = TrainSettings(input_size=SIZE, crop=CropSettings(size_yx=CROP[1:]))
    fitting = Fitting(network.train(), [0.5, 0.5], [0.3, 0.3], known, term)
    torch.manual_seed(0)
    loss = fitting.training_step(batch, 0)
    torch.manual_seed(0)
    plain = Fitting(network, [0.5, 0.5], [0.3, 0.3], known).training_step(batch, 0)
    with apart(network):
        expected = score(term, network, (images - 0.5) / 0.3, targets, masks)
    torch.testing.assert_close(term.scored, expected)
    torch.testing.assert_close(loss, plain + term.penalty(expected))


def test_no_step_is_steep_because_logits_are_small(small_plate):
    lengths = []

    def measure(optimizer, *_):
        slopes = [p.grad for group in optimizer.param_groups for p in group["params"]]
        lengths.append(torch.cat([s.flatten() for s in slopes if s is not None]).norm().item())

    hook = register_optimizer_step_post_hook(measure)
    try:
        train(small_plate, settings(epochs=1, regularise_weight=1, layer="block_2"))
        cut = lengths.copy()
        lengths.clear()
        train(small_plate, settings(epochs=1))
    finally:
        hook.remove()
    assert max(cut) == pytest.approx(STEEPEST, rel=1e-3)
    assert max(lengths) > 2 * STEEPEST  # without Grad-CAMO in the loss nothing is cut


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
