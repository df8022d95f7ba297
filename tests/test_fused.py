"""The network made ready for inference gives the numbers of the network that was trained."""

from unittest.mock import patch

import pytest
import torch
from torch import nn

import gradcamo as gc
from gradcamo.networks import efficientnet
from gradcamo.networks.blocks import Inference
from gradcamo.networks.fused import fused, mirrored_for
from gradcamo.networks.sharing import copied

LAYERS = [*(f"block_{i}" for i in range(16)), "head"]


@pytest.fixture(scope="module")
def network():
    """A small network whose BatchNorms have seen something."""
    torch.manual_seed(0)
    made = gc.efficientnet3d(in_channels=2, num_classes=3, width=0.25)
    for module in made.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.momentum = 1.0
    made.train()(torch.randn(2, 2, 64, 96, 96))
    return made.double().eval()  # so that rounding hides nothing


@pytest.mark.parametrize("size", [(64, 96, 96), (67, 81, 90)], ids=["even", "odd"])
def test_logits_profiles_and_maps_of_every_layer_are_those_of_the_network(network, size):
    x = torch.randn(2, 2, *size, dtype=torch.float64)
    quick = fused(network)
    expected, got = (
        gc.grad_cam(network, x, LAYERS),
        gc.grad_cam(quick, mirrored_for(quick, x), LAYERS),
    )
    torch.testing.assert_close(got.logits, expected.logits, rtol=1e-9, atol=1e-9)
    for name in LAYERS:
        ours, theirs = mirrored_for(quick, got.maps[name]), expected.maps[name]
        assert (ours - theirs).abs().max() <= 1e-9 * theirs.abs().max(), name
        ours, theirs = got.profiles[name], expected.profiles[name]
        assert (ours - theirs).abs().max() <= 1e-9 * theirs.abs().max(), name


@pytest.mark.parametrize("gradients", ["averaged", "local"])
def test_each_layer_has_the_network_s_map_also_where_gradients_end_at_it(network, gradients):
    """Averaged gradients take a shorter way down to the lowest layer."""
    x = torch.randn(2, 2, 64, 96, 96, dtype=torch.float64)
    quick = fused(network)
    expected = gc.grad_cam(network, x, LAYERS, [1, 2], gradients).maps
    for name in LAYERS:
        got = gc.grad_cam(quick, mirrored_for(quick, x), [name], [1, 2], gradients).maps[name]
        gap = (mirrored_for(quick, got) - expected[name]).abs().max()
        assert gap <= 1e-9 * expected[name].abs().max(), name


def test_the_network_itself_is_left_as_it_was(network):
    before = {key: value.clone() for key, value in network.state_dict().items()}
    fused(network)
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    assert any(isinstance(module, nn.BatchNorm3d) for module in network.modules())
    assert not any(isinstance(module, nn.BatchNorm3d) for module in fused(network).modules())


def test_a_network_of_ones_own_comes_back_as_it_is():
    own = nn.Sequential(nn.Conv2d(1, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert fused(own) is own
    with patch.object(efficientnet, "use_fast_convolutions", lambda network: network):
        plain = gc.efficientnet3d(in_channels=2, num_classes=3, width=0.25)
    assert fused(plain) is plain  # its convolutions do not know the mirror


def test_a_network_made_ready_where_no_gradients_are_known_is_explained_all_the_same():
    checkpoint = gc.Checkpoint.load("bundled")
    with torch.inference_mode():
        ready = checkpoint.on(torch.device("cpu"))
    assert not any(weights.is_inference() for weights in ready.parameters())


def test_logits_of_crops_are_those_of_the_network_as_it_was_trained(network):
    network = copied(network).float()
    checkpoint = gc.Checkpoint.around(network, ("DNA", "actin"), LAYERS[0], (64, 64, 64))
    crops = torch.rand(3, 2, 20, 64, 64)  # alike in no direction
    with torch.inference_mode():
        expected = network(checkpoint.prepare(crops))
    assert isinstance(checkpoint.ready, Inference)
    torch.testing.assert_close(checkpoint.logits(crops), expected, atol=1e-5, rtol=1e-5)
    with torch.no_grad():
        network._fc.bias += 1  # changed in place, as a training does
    torch.testing.assert_close(checkpoint.logits(crops), expected + 1, atol=1e-5, rtol=1e-5)
