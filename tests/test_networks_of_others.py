"""Published architectures with random weights: what is offered is a map, what is not is refused."""

import pytest
import torch
from test_grids import brute_force
from torch import nn

from gradcamo import GradcamoError, grad_cam
from gradcamo.networks.checkpoint import Checkpoint
from gradcamo.networks.geometry import describe_layers
from gradcamo.networks.gradcam import EVERY


class Classifier(nn.Module):
    """Pools one of the maps that a backbone returns."""

    def __init__(self, backbone, width, stage):
        super().__init__()
        self.backbone, self.fc, self.stage = backbone, nn.Linear(width, 3), stage

    def forward(self, x):
        return self.fc(self.backbone(x)[self.stage].flatten(2).mean(-1))


def swin_3d():
    pytest.importorskip("einops")
    from monai.networks.nets.swin_unetr import SwinTransformer

    sizes = {"window_size": (4, 4, 4), "patch_size": (2, 2, 2)}
    swin = SwinTransformer(2, 12, depths=(2, 2, 1, 1), num_heads=(2, 2, 2, 2), **sizes)
    return Classifier(swin, 48, 2)


def densenet_3d():
    from monai.networks.nets import DenseNet

    return DenseNet(3, 2, 3, init_features=8, growth_rate=4, block_config=(2, 2, 2))


def se_net_2d():
    from monai.networks.nets import SENet

    return SENet(2, 2, "se_bottleneck", (1, 1, 1, 1), 8, 16, num_classes=3)


def hugging_face(kind, **settings):
    transformers = pytest.importorskip("transformers")
    config = getattr(transformers, f"{kind}Config")(num_channels=2, num_labels=3, **settings)
    network = getattr(transformers, f"{kind}ForImageClassification")(config)
    network.register_forward_hook(lambda module, args, out: out.logits)
    return network


STAGES = {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1]}
SWIN = {"image_size": 64, "embed_dim": 12, "depths": [2, 2], "num_heads": [2, 4], "window_size": 4}
NETWORKS = {
    "DenseNet, 3D": (densenet_3d, (2, 16, 32, 24), ("features.denseblock1", "features.norm5")),
    "SENet, 2D": (se_net_2d, (2, 32, 48), ("layer1", "layer2.0.conv2")),
    "Swin, 3D": (
        swin_3d,
        (2, 16, 32, 32),
        ("backbone.patch_embed", "backbone.layers1.0", "backbone.layers2.0"),
    ),
    "ConvNeXt": (
        lambda: hugging_face("ConvNext", layer_scale_init_value=1.0, **STAGES),
        (2, 64, 96),
        ("convnext.encoder.stages.1", "convnext.encoder.stages.2.layers.0.dwconv"),
    ),
    "ResNet": (
        lambda: hugging_face("ResNet", embedding_size=8, **STAGES),
        (2, 64, 96),
        ("resnet.encoder.stages.1", "resnet.encoder.stages.2.layers.0"),
    ),
}
CURED = {
    "Swin, 3D": ("backbone.layers1.0.blocks.1.mlp", "backbone.layers2.0.downsample.norm"),
    "ConvNeXt": ("convnext.encoder.stages.1.layers.0.layernorm",),
}
NO_MAPS = {
    "SENet, 2D": ("layer1.0.se_layer.fc", "last_linear"),
    "Swin, 3D": ("backbone.layers1.0.blocks.0.attn.softmax", "backbone.layers1.0.blocks.0.attn"),
}


def made(name):
    make, shape, layers = NETWORKS[name]
    torch.manual_seed(4)
    network = make().eval()
    for key, value in network.named_buffers():
        if key.endswith("running_var"):
            value.fill_(0.05)
    return network, torch.rand(2, *shape), layers


def agrees(network, layer, x, reshape=lambda a: a):
    """All classes' maps, to 1e-5 of their largest value."""
    how = {} if layer in describe_layers(network, x.shape[1:]) else {"reshape": reshape}
    got = grad_cam(network, x, [layer], EVERY, **how).maps[layer].double()
    expected = torch.stack([brute_force(network, layer, x, reshape, k=k) for k in range(3)], 1)
    largest = expected.max()
    assert largest > 0
    torch.testing.assert_close(got / largest, expected / largest, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_layers_of_published_networks_are_explained_as_by_brute_force_in_double(name):
    network, x, layers = made(name)
    offered = describe_layers(network, x.shape[1:])
    for layer in layers:
        assert offered[layer].sight is not None
        agrees(network, layer, x)


@pytest.mark.parametrize("name", CURED)
def test_their_layers_with_channels_last_are_explained_with_the_line_that_is_told(name):
    network, x, _ = made(name)
    for layer in CURED[name]:
        with pytest.raises(GradcamoError, match=r"channels\), expected") as told:
            grad_cam(network, x, [layer])
        assert layer not in describe_layers(network, x.shape[1:])
        cure = eval(str(told.value).rpartition("reshape=")[2])
        agrees(network, layer, x, cure)


@pytest.mark.parametrize("name", NO_MAPS)
def test_their_tensors_that_are_no_maps_are_refused(name):
    network, x, _ = made(name)
    offered = describe_layers(network, x.shape[1:])
    for layer in NO_MAPS[name]:
        assert layer not in offered
        with pytest.raises(GradcamoError, match="gives"):
            grad_cam(network, x, [layer])


def test_an_output_of_transformers_is_refused_with_the_line_that_takes_logits_out():
    network = hugging_face("ResNet", embedding_size=8, **STAGES)
    network._forward_hooks.clear()
    line = r"network\.register_forward_hook\(lambda module, args, out: out\['logits'\]\)"
    for refused in (
        lambda: grad_cam(network.eval(), torch.rand(2, 2, 64, 96), ["resnet.encoder.stages.1"]),
        lambda: Checkpoint.around(network, ("a", "b"), "resnet.encoder.stages.1", (64, 96)),
    ):
        with pytest.raises(GradcamoError, match=line):
            refused()


def test_swin_of_transformers_offers_no_tokens_and_says_what_they_are():
    network = hugging_face("Swin", **SWIN).eval()
    offered = describe_layers(network, (2, 64, 64))
    assert all(len(info.grid) == 2 for info in offered.values())
    assert not [name for name in offered if "attention" in name or "mlp" in name or "norm" in name]
    x, layer = torch.rand(2, 2, 64, 64), "swin.encoder.layers.0.blocks.1.mlp"
    with pytest.raises(GradcamoError, match=r"which is \(cells, y·x, channels\)") as told:
        grad_cam(network, x, [layer])
    cure = eval(str(told.value).rpartition("reshape=")[2])
    assert grad_cam(network, x, [layer], reshape=cure).maps[layer].shape == (2, 16, 16)
    agrees(network, layer, x, cure)
