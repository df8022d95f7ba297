"""The quick forms of convolutions compute what torch's own compute."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gradcamo.networks.convolutions import Depthwise, Pointwise, use_fast_convolutions
from gradcamo.networks.efficientnet import efficientnet3d

CASES = [(3, 1, 1), (5, 1, 2), (3, 2, 0), (5, 2, 0), (3, 2, 1)]


def _as(kind, conv):
    twin = copy.deepcopy(conv)
    twin.__class__ = kind
    return twin


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("size", [(5, 9, 8), (6, 7, 7)])
@pytest.mark.parametrize(("kernel", "stride", "padding"), CASES)
def test_depthwise_output_and_gradients_are_torchs_own(size, kernel, stride, padding, bias):
    theirs = nn.Conv3d(4, 4, kernel, stride, padding, groups=4, bias=bias).double()
    ours = _as(Depthwise, theirs)
    x = torch.randn(2, 4, *size, dtype=torch.float64, requires_grad=True)
    slope = torch.randn_like(theirs(x))
    for a, b in zip(_gradients(ours, x, slope), _gradients(theirs, x, slope), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("rim", [(0, 1, 0, 1, 0, 1), (1, 2, 0, 1, 2, 0)])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 2), (5, 2), (3, 1)])
def test_depthwise_with_uneven_padding_is_padding_and_torchs_own(kernel, stride, rim):
    theirs = Padded(4, 4, kernel, stride, groups=4).double()
    ours = _as(Depthwise, theirs)
    theirs.rim = ours.rim = rim
    x = torch.randn(2, 4, 6, 8, 7, dtype=torch.float64, requires_grad=True)
    slope = torch.randn_like(theirs(x))
    for a, b in zip(_gradients(ours, x, slope), _gradients(theirs, x, slope), strict=True):
        torch.testing.assert_close(a, b)


class Padded(nn.Conv3d):
    """Torch's own convolution behind torch's own padding."""

    def forward(self, x):
        z0, z1, y0, y1, x0, x1 = getattr(self, "rim", (0,) * 6)
        return super().forward(F.pad(x, (x0, x1, y0, y1, z0, z1)))


def _gradients(conv, x, slope):
    y = conv(x)
    return y, *torch.autograd.grad(y, [x, *conv.parameters()], slope)


@pytest.mark.parametrize("bias", [False, True])
def test_pointwise_output_and_gradients_are_torchs_own(bias):
    theirs = nn.Conv3d(5, 3, 1, bias=bias).double()
    x = torch.randn(2, 5, 3, 4, 2, dtype=torch.float64, requires_grad=True)
    slope = torch.randn(2, 3, 3, 4, 2, dtype=torch.float64)
    ours = _gradients(_as(Pointwise, theirs), x, slope)
    for a, b in zip(ours, _gradients(theirs, x, slope), strict=True):
        torch.testing.assert_close(a, b)


def test_in_mixed_precision_depthwise_is_torchs_own_too():
    theirs = nn.Conv3d(4, 4, 3, 2, 1, groups=4)
    ours = _as(Depthwise, theirs)
    x = torch.randn(2, 4, 6, 7, 8, requires_grad=True)
    slope = torch.randn(theirs(x).shape).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        found, expected = (_gradients(conv, x, slope) for conv in (ours, theirs))
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == b.dtype
        torch.testing.assert_close(a, b, rtol=0.02, atol=0.05)


def test_depthwise_gradients_can_be_differentiated_again():
    weight = torch.randn(2, 1, 3, 3, 3, dtype=torch.float64, requires_grad=True)
    conv = _as(Depthwise, nn.Conv3d(2, 2, 3, 2, 1, groups=2, bias=False))

    def product(x, w):
        return torch.func.functional_call(conv, {"weight": w}, (x,))

    x = torch.randn(1, 2, 4, 5, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(product, (x, weight))


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_on_every_device_depthwise_gradients_are_differentiated_for_all_channels_at_once(device):
    """Device meta, as a GPU, is not the CPU; torch's own way would take some steps per channel."""
    conv = _as(Depthwise, nn.Conv3d(64, 64, 3, 2, 1, groups=64, bias=False)).to(device).eval()
    x = torch.empty(1, 64, 4, 5, 4, device=device, requires_grad=True)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as seen:
        (slope,) = torch.autograd.grad(conv(x).pow(2).sum(), x, create_graph=True)
        slope.pow(2).sum().backward()
    assert conv.weight.grad.device.type == device
    convolutions = [e for e in seen.events() if e.name.startswith("aten::convolution")]
    assert 2 < len(convolutions) < 16


def test_a_network_keeps_its_weights_and_its_output():
    from monai.networks.nets.efficientnet import EfficientNetBN

    torch.manual_seed(0)
    theirs = EfficientNetBN("efficientnet-b0", pretrained=False, spatial_dims=3, in_channels=2)
    theirs = theirs.double().eval()
    ours = use_fast_convolutions(copy.deepcopy(theirs))
    assert {k: v.shape for k, v in ours.state_dict().items()} == {
        k: v.shape for k, v in theirs.state_dict().items()
    }
    x = torch.randn(1, 2, 32, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x))
    kinds = {type(module) for module in ours.modules()}
    assert {Pointwise, Depthwise} <= kinds


def test_a_training_step_changes_the_weights_as_torchs_own_would():
    torch.manual_seed(0)
    ours = efficientnet3d(in_channels=1, num_classes=2, width=0.1).double().eval()
    theirs = copy.deepcopy(ours)
    for module in theirs.modules():
        if isinstance(module, Pointwise | Depthwise):
            module.__class__ = Padded
    x, y = torch.randn(2, 1, 64, 64, 64, dtype=torch.float64), torch.tensor([0, 1])
    for network in (ours, theirs):
        F.cross_entropy(network(x), y).backward()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)
