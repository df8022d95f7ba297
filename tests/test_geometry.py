import numpy as np
import pytest
import torch
from published import PublishedLayout
from small import SmallResNet
from torch import nn

from gradcamo import GradcamoError, efficientnet3d
from gradcamo.networks.efficientnet import find_taps
from gradcamo.networks.geometry import (
    count_classes,
    default_layer,
    describe_layers,
    layer_table,
    place,
)


def linear_twin(network):
    """Positive kernels, no bias, no activation: a layer then weighs its receptive field evenly."""
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.modules.conv._ConvNd):
            gate = "_se_" in name  # gates see the whole input: closed
            module.weight.data.fill_(0 if gate else 1 / module.weight[0].numel())
            if module.bias is not None:
                module.bias.data.zero_()
        for name, child in module.named_children():
            if isinstance(child, nn.ReLU | nn.SiLU | nn.modules.batchnorm._BatchNorm):
                setattr(module, name, nn.Identity())
            if isinstance(child, nn.MaxPool2d | nn.MaxPool3d):
                average = nn.AvgPool2d if isinstance(child, nn.MaxPool2d) else nn.AvgPool3d
                setattr(module, name, average(child.kernel_size, child.stride, child.padding))
        if hasattr(module, "_swish"):
            module._swish = nn.Identity()
    return network.eval()


def measured(network, layer, shape, voxel):
    """Centroid of the absolute input gradient of one voxel of a layer."""
    (tap,) = find_taps(network, [layer]).values()
    seen = []
    hook = tap.module.register_forward_hook(
        lambda m, args, out: seen.append(args[0] if tap.of_input else out)
    )
    x = torch.rand(1, *shape, requires_grad=True)
    network(x)
    hook.remove()
    (slope,) = torch.autograd.grad(seen[0][(0, slice(None), *voxel)].sum(), x)
    weight = slope[0].abs().sum(0).double()
    axes = range(weight.ndim)
    return [
        float(
            (weight.sum([b for b in axes if b != a]) * torch.arange(weight.shape[a])).sum()
            / weight.sum()
        )
        for a in axes
    ]


CASES = {
    "ours": (
        lambda: efficientnet3d(in_channels=1, num_classes=2, width=0.25),
        (1, 64, 64, 64),
        "block_2",
    ),
    "ours, deeper": (
        lambda: efficientnet3d(in_channels=1, num_classes=2, width=0.25),
        (1, 64, 64, 192),  # wide enough in x alone
        "block_4",
    ),
    "published layout": (lambda: PublishedLayout(1, 2, 0.25), (1, 64, 64, 64), "block_2"),
    "residual, 2D": (lambda: SmallResNet(2, 1), (1, 96, 80), "layer2"),
    "residual, 3D": (lambda: SmallResNet(3, 1), (1, 48, 48, 40), "layer1"),
    "same and dilated": (
        lambda: nn.Sequential(
            nn.Conv2d(1, 3, 4, padding="same", dilation=3),
            nn.Conv2d(3, 3, (3, 6), (1, 2)),
            nn.ZeroPad2d((3, 0, 1, 2)),
            nn.AvgPool2d(2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(3, 2),
        ),
        (1, 40, 60),
        "3",
    ),
    "padded by wrapping, anisotropic": (
        lambda: nn.Sequential(
            nn.Conv3d(1, 3, (3, 5, 5), (1, 2, 2), (1, 1, 2), padding_mode="circular"),
            nn.Conv3d(3, 3, 2, 2),
            nn.AdaptiveAvgPool3d(1),
            nn.Flatten(),
            nn.Linear(3, 2),
        ),
        (1, 12, 40, 44),
        "1",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_layer_looks_where_its_geometry_says(name):
    make, shape, layer = CASES[name]
    network = linear_twin(make())
    info = describe_layers(network, shape, [layer])[layer]
    middle = tuple(n // 2 for n in info.grid)
    expected = [o + s * j for s, o, j in zip(*info.sight, middle, strict=True)]
    wide = slice(-1, None) if layer == "block_4" else slice(None)
    got = measured(network, layer, shape, middle)
    np.testing.assert_allclose(got[wide], expected[wide], atol=0.02)


def test_voxel_j_of_our_network_sees_the_input_around_stride_times_j_plus_stride_minus_one():
    network = efficientnet3d(width=0.25)
    layers = describe_layers(network, (6, 64, 224, 224))
    grids = {name: info.grid for name, info in layers.items()}
    assert grids["head"] == (1, 3, 3)
    assert grids["block_10"] == (2, 7, 7)
    assert grids["block_4"] == (4, 14, 14)
    assert grids["block_2"] == (8, 28, 28)
    for name, stride in (
        ("block_0", 4),
        ("block_2", 8),
        ("block_4", 16),
        ("block_10", 32),
        ("head", 64),
    ):
        assert layers[name].sight.stride == (stride,) * 3
        assert layers[name].sight.offset == (stride - 1,) * 3


def test_the_published_layout_has_the_same_geometry_as_ours():
    shape = (6, 64, 96, 96)
    ours = describe_layers(efficientnet3d(width=0.25), shape)
    assert describe_layers(PublishedLayout(width=0.25), shape) == ours


def test_the_default_layer_is_the_deepest_with_six_voxels_along_y_and_x():
    network = efficientnet3d(width=0.25)
    assert default_layer(network, (6, 64, 224, 224)) == "block_10"
    assert default_layer(network, (6, 64, 96, 96)) == "block_4"
    with pytest.raises(GradcamoError, match="no layer has 6 voxels"):
        default_layer(SmallResNet(2), (2, 9, 9))


def test_the_receptive_field_alignment_moves_a_map_by_half_a_stride_of_the_input():
    info = describe_layers(efficientnet3d(width=0.25), (6, 64, 224, 224), ["block_10"])["block_10"]
    sizes = (64, 224, 224), (21, 128, 128)
    assert place(info, *sizes, "paper") is None
    placed = place(info, *sizes, "receptive-field")
    plain = [(crop / n - 1) / 2 for crop, n in zip(sizes[1], info.grid, strict=True)]
    shift = [o - p for o, p in zip(placed.origin, plain, strict=True)]
    # 15.5 voxels of the input: 15.5 * 128 / 224 = 8.9 px of the crop, 3.1 µm
    np.testing.assert_allclose(shift, [15.5 * 21 / 64, 15.5 * 128 / 224, 15.5 * 128 / 224])
    assert shift[1] * 0.3505 == pytest.approx(3.1, abs=0.01)


def test_a_layer_whose_voxels_were_moved_is_refused():
    class Turned(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.fc = nn.Conv2d(1, 4, 3, padding=1), nn.Linear(4, 2)
            self.turn = nn.Identity()

        def forward(self, x):
            return self.fc(self.turn(self.conv(x).transpose(2, 3)).mean((2, 3)))

    class Rolled(Turned):
        def forward(self, x):
            return self.fc(self.turn(self.conv(x).roll(3, 2)).mean((2, 3)))

    for network in (Turned(), Rolled()):
        layers = describe_layers(network, (1, 16, 16))
        assert layers["conv"].sight is not None
        assert "turn" not in layers
        with pytest.raises(GradcamoError, match=r"'turn' gives .*reshape="):
            describe_layers(network, (1, 16, 16), ["turn"])


def test_inputs_that_are_too_small_or_have_other_channels_are_refused():
    network = efficientnet3d(width=0.25)
    with pytest.raises(GradcamoError, match=r"\(6, 21, 128, 128\).*at least 64 voxels"):
        describe_layers(network, (6, 21, 128, 128))
    with pytest.raises(GradcamoError, match=r"\(4, 64, 64, 64\).*takes 6 channels"):
        describe_layers(network, (4, 64, 64, 64))


def test_describing_a_network_leaves_it_as_it_was():
    network = SmallResNet(2).train()
    describe_layers(network, (2, 32, 32))
    assert count_classes(network, (2, 32, 32)) == 3
    assert network.training
    assert all(p.device.type == "cpu" for p in network.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())
    assert describe_layers(network.half(), (2, 32, 32))["layer2"].grid == (4, 4)


def test_layers_come_as_a_table():
    table = layer_table(describe_layers(SmallResNet(2), (2, 64, 48))).set_index("layer")
    assert tuple(table.loc["layer2", ["channels", "grid", "stride"]]) == (16, (8, 6), (8.0, 8.0))
    assert table.loc["layer2", "offset"] == (0.5, 0.5)
