import gc as memory
import weakref

import numpy as np
import pytest
import torch
from small import SmallResNet
from torch import nn

from gradcamo import GradcamoError, efficientnet3d, grad_cam
from gradcamo.networks.gradcam import EVERY


def plain_grad_cam(network, module, x, k=None):
    """Equations 3 and 4 as they stand, one cell at a time, with torch's own autograd."""
    maps, seen = [], []

    def keep(module, args, out):
        seen.append(out.clone())
        return seen[-1]

    for cell in x:
        hook = module.register_forward_hook(keep)
        logits = network(cell[None])[0]
        hook.remove()
        a = seen.pop()
        (slope,) = torch.autograd.grad(logits[logits.argmax() if k is None else k], a)
        weights = [slope[0, c].mean() for c in range(a.shape[1])]
        total = sum(w * a[0, c] for c, w in enumerate(weights)) / a.shape[1]
        maps.append(total.clamp(min=0).detach())
    return torch.stack(maps)


@pytest.fixture(params=[2, 3], ids=["2D", "3D"])
def small(request):
    """A small residual CNN and four cells."""
    dims = request.param
    torch.manual_seed(3)
    return SmallResNet(dims), torch.randn(4, 2, *(24, 40, 32)[-dims:])


@pytest.fixture(scope="module")
def efficientnet():
    torch.manual_seed(0)
    network = efficientnet3d(in_channels=2, num_classes=3, width=0.25)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.momentum = None
    network.train()
    x = torch.randn(2, 2, 64, 64, 128)
    with torch.no_grad():
        network(x)  # batch norms that let the input through
    return network.double().eval(), x.double()


# agreement


@pytest.mark.parametrize("layer", ["stem", "stem.2", "pool", "layer1", "layer1.conv2", "layer2"])
@pytest.mark.parametrize("k", [None, 1])
def test_a_map_is_equations_3_and_4_by_plain_autograd(small, layer, k):
    network, x = small
    got = grad_cam(network, x, [layer], k)
    expected = plain_grad_cam(network, network.get_submodule(layer), x, k)
    torch.testing.assert_close(got.maps[layer], expected, rtol=1e-5, atol=1e-8)
    assert got.maps[layer].max() > 0
    with torch.no_grad():
        logits = network(x)
    torch.testing.assert_close(got.logits, logits)
    assert got.predicted.tolist() == logits.argmax(1).tolist()


@pytest.mark.parametrize("layer", ["pool", "layer1", "layer2.conv2"])
def test_local_gradients_are_captum_s_gradient_times_activation(small, layer):
    captum = pytest.importorskip("captum.attr")
    network, x = small
    method = captum.LayerGradientXActivation(network, network.get_submodule(layer))
    expected = method.attribute(x, target=1).detach()
    expected = expected.sum(1).relu() / expected.shape[1]
    got = grad_cam(network, x, [layer], 1, gradients="local").maps[layer]
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-8)
    assert not torch.allclose(got, grad_cam(network, x, [layer], 1).maps[layer], rtol=1e-2)
    every = grad_cam(network, x, [layer], EVERY, gradients="local").maps[layer]
    torch.testing.assert_close(every[:, 1], got)


@pytest.mark.parametrize("layer", ["pool", "layer1", "layer2.conv2"])
def test_captum_s_layer_gradcam_is_the_same_map_but_for_the_number_of_channels(small, layer):
    captum = pytest.importorskip("captum.attr")
    network, x = small
    module = network.get_submodule(layer)
    got = grad_cam(network, x, [layer], 2)
    theirs = captum.LayerGradCam(network, module).attribute(x, 2, relu_attributions=True)
    channels = got.profiles[layer].shape[1]
    torch.testing.assert_close(
        got.maps[layer], theirs[:, 0].detach() / channels, rtol=1e-4, atol=1e-7
    )


@pytest.mark.parametrize("layer", ["pool", "layer1", "layer2.conv2"])
def test_monai_s_gradcam_is_the_same_map_before_its_postprocessing(small, layer):
    from monai.visualize import GradCAM

    network, x = small
    got = grad_cam(network, x, [layer], 1)
    theirs = GradCAM(network, layer).compute_map(x, class_idx=1)
    channels = got.profiles[layer].shape[1]
    torch.testing.assert_close(
        got.maps[layer], theirs[:, 0].detach() / channels, rtol=1e-4, atol=1e-7
    )


def test_monai_s_postprocessed_map_must_not_be_scored(small):
    from monai.visualize import GradCAM

    network, x = small
    got = grad_cam(network, x, ["layer1"], 1).maps["layer1"]
    theirs = GradCAM(network, "layer1")(x, class_idx=1)[:, 0]
    assert theirs.flatten(1)[0, got[0].numel() and 0 :].max() == 1
    small_map = torch.nn.functional.interpolate(theirs[:, None], got.shape[1:])[:, 0]
    assert np.corrcoef(small_map[0].flatten(), got[0].flatten())[0, 1] < 0  # it is inverted


def test_at_the_head_local_gradients_are_the_averaged_ones(efficientnet):
    network, x = efficientnet
    alone = grad_cam(network, x, ["head"], gradients="local").maps["head"]
    torch.testing.assert_close(alone, grad_cam(network, x, ["head"]).maps["head"])
    both = grad_cam(network, x, ["block_15", "head"], gradients="local").maps["head"]
    torch.testing.assert_close(alone, both)


@pytest.mark.parametrize("target", [[2, 0], EVERY])
def test_the_closed_form_at_the_head_is_what_autograd_gives(efficientnet, target):
    network, x = efficientnet
    closed = grad_cam(network, x, ["head"], target)
    by_autograd = grad_cam(network, x, ["head", "block_15"], target)
    torch.testing.assert_close(closed.maps["head"], by_autograd.maps["head"])
    torch.testing.assert_close(closed.profiles["head"], by_autograd.profiles["head"])
    k = closed.target if closed.target.ndim == 2 else closed.target[:, None]
    assert closed.maps["head"].shape[-3:] == (1, 1, 2)
    # over two voxels, the mean of the maps before the ReLU is W.profile / (2 C')
    evidence = torch.einsum("ntc,nc->nt", network._fc.weight[k], closed.profiles["head"]) / 640
    upper = closed.maps["head"].reshape(*evidence.shape, 2).mean(-1)
    assert (upper >= evidence - 1e-12).all()


def test_every_class_is_explained_as_it_is_alone(small):
    network, x = small
    every = grad_cam(network, x, ["layer1", "layer2"], EVERY)
    assert every.target.tolist() == [[0, 1, 2]] * 4
    for k in range(3):
        alone = grad_cam(network, x, ["layer1", "layer2"], k)
        assert alone.target.tolist() == [k] * 4
        for layer, cam in every.maps.items():
            torch.testing.assert_close(cam[:, k], alone.maps[layer])


def test_each_cell_may_have_its_own_target(small):
    network, x = small
    every = grad_cam(network, x, ["layer2"], EVERY).maps["layer2"]
    own = grad_cam(network, x, ["layer2"], np.array([2, 0, 1, 1])).maps["layer2"]
    torch.testing.assert_close(own, every[torch.arange(4), [2, 0, 1, 1]])


def test_the_predicted_class_is_explained_unless_another_is_asked_for(small):
    network, x = small
    got = grad_cam(network, x, ["layer2"])
    assert got.target.tolist() == got.predicted.tolist()
    torch.testing.assert_close(got.maps, grad_cam(network, x, ["layer2"], got.predicted).maps)


def test_several_layers_in_one_pass_are_the_same_as_one_by_one(small):
    network, x = small
    layers = ["stem", "layer1.conv1", "layer2"]
    together = grad_cam(network, x, layers)
    for layer in layers:
        alone = grad_cam(network, x, [layer])
        torch.testing.assert_close(together.maps[layer], alone.maps[layer])
        torch.testing.assert_close(together.profiles[layer], alone.profiles[layer])
    by_module = grad_cam(network, x, [network.layer2])
    torch.testing.assert_close(by_module.maps["layer2"], together.maps["layer2"])


def test_a_batch_gives_what_its_cells_give_alone(small):
    network, x = small
    layers = ["layer1", "layer2"]
    together = grad_cam(network, x, layers)
    for i in range(len(x)):
        alone = grad_cam(network, x[i : i + 1], layers)
        for layer in layers:
            torch.testing.assert_close(together.maps[layer][i], alone.maps[layer][0])
            torch.testing.assert_close(together.profiles[layer][i], alone.profiles[layer][0])


def test_a_profile_is_the_mean_activation_and_reproduces_the_logits_at_the_head(efficientnet):
    network, x = efficientnet
    got = grad_cam(network, x, ["head"])
    with torch.no_grad():
        torch.testing.assert_close(network._fc(got.profiles["head"]), got.logits)


def test_maps_are_never_negative_and_never_rescaled(small):
    network, x = small
    cam = grad_cam(network, x, ["layer1"]).maps["layer1"]
    assert cam.min() == 0
    network.fc.weight.data *= 10
    network.fc.bias.data *= 10
    torch.testing.assert_close(grad_cam(network, x, ["layer1"]).maps["layer1"], 10 * cam)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_networks_are_scored_in_float32(small, dtype):
    network, x = small
    expected = grad_cam(network, x, ["layer1", "layer2"])
    got = grad_cam(network.to(dtype), x.to(dtype), ["layer1", "layer2"])
    assert got.logits.dtype == torch.float32
    for layer, cam in got.maps.items():
        assert cam.dtype == got.profiles[layer].dtype == torch.float32
        error = (cam - expected.maps[layer]).norm() / expected.maps[layer].norm()
        assert error < 0.1


# what is frozen is given back


def state_of(network):
    return (
        [m.training for m in network.modules()],
        [p.requires_grad for p in network.parameters()],
        [p.grad for p in network.parameters()],
        [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in network.modules()],
        [b.clone() for b in network.buffers()],
    )


def same_state(network, before):
    *flags, buffers = state_of(network)
    assert flags == list(before[:-1])
    assert all(torch.equal(a, b) for a, b in zip(buffers, before[-1], strict=True))


class Failing(nn.Module):
    def forward(self, x):
        raise KeyError("in the middle")


@pytest.mark.parametrize("failure", [None, "network", "layer", "target", "memory"])
def test_hooks_flags_and_gradients_are_given_back_also_after_an_exception(small, failure):
    network, x = small
    network.train()
    network.layer1.eval()  # frozen by its owner
    network.layer1.conv1.weight.requires_grad_(False)
    layers, target, error = ["layer1", "layer2"], None, GradcamoError
    if failure == "network":
        network.average, error = Failing(), KeyError
    if failure == "memory":
        network.average.register_forward_hook(
            lambda *_: exec("raise RuntimeError('out of memory')")
        )
        error = RuntimeError
    if failure == "layer":
        layers = ["layer1", "fc"]
    if failure == "target":
        target = 7
    before = state_of(network)
    if failure:
        with pytest.raises(error):
            grad_cam(network, x, layers, target)
    else:
        grad_cam(network, x, layers, target)
    same_state(network, before)
    assert torch.is_grad_enabled()


def test_the_result_holds_no_graph_and_the_activations_are_freed(small):
    network, x = small
    kept = []
    hook = network.layer1.conv1.register_forward_hook(
        lambda m, a, out: kept.append(weakref.ref(out))
    )
    got = grad_cam(network, x.requires_grad_(), ["stem", "layer2"])
    hook.remove()
    memory.collect()
    assert kept[0]() is None
    tensors = [got.logits, *got.maps.values(), *got.profiles.values()]
    assert not any(t.requires_grad for t in tensors)
    assert x.grad is None


def test_only_what_lies_above_the_lowest_layer_gets_a_graph(small):
    network, x = small
    graphs = {}
    for name in ("stem", "layer1", "layer2", "average"):
        network.get_submodule(name).register_forward_hook(
            lambda m, args, out, name=name: graphs.update({name: out.requires_grad})
        )
    grad_cam(network, x.requires_grad_(), ["layer1"])
    # layer1's own output is cut from what is below and marked after its hooks ran
    assert graphs == {"stem": False, "layer1": False, "layer2": True, "average": True}


def test_no_graph_is_built_for_the_head(efficientnet):
    network, x = efficientnet
    seen = []
    hook = network._blocks[-1].register_forward_hook(lambda m, a, out: seen.append(out))
    dropped = network._dropout.register_forward_hook(lambda m, a, out: seen.append(out))
    grad_cam(network, x[:1], ["head"])
    hook.remove()
    dropped.remove()
    assert [out.requires_grad for out in seen] == [False, False]


def test_it_works_where_gradients_are_switched_off(small):
    network, x = small
    expected = grad_cam(network, x, ["layer1"]).maps["layer1"]
    with torch.no_grad():
        torch.testing.assert_close(grad_cam(network, x, ["layer1"]).maps["layer1"], expected)
    with torch.inference_mode():
        torch.testing.assert_close(grad_cam(network, x, ["layer1"]).maps["layer1"], expected)
    assert torch.is_grad_enabled()


# what cannot be explained


def refused(match, *args):
    with pytest.raises(GradcamoError, match=match):
        grad_cam(*args)


def test_bad_input_is_refused_naming_what_was_expected_and_what_came():
    network, x = SmallResNet(2), torch.rand(2, 2, 20, 20)
    rank = r"\(N, C, Y, X\) or \(N, C, Z, Y, X\), got torch.float32 \(2, 20, 20\)"
    refused(rank, network, x[0], ["layer1"])
    refused("torch.int64", network, x.long(), ["layer1"])
    refused("got ndarray", network, x.numpy(), ["layer1"])
    refused("batch is empty", network, x[:0], ["layer1"])
    refused(r"\(1, 20, 20\): .*2 channels", network, x[:, :1], ["layer1"])
    refused(
        r"cannot take an input of shape \(2, 4, 20, 20\)",
        network,
        x[:, :, None].expand(-1, -1, 4, -1, -1),
        ["layer1"],
    )
    refused(
        r"network is torch.float32 on cpu, the input torch.float16", network, x.half(), ["layer1"]
    )
    refused("on cpu, the input torch.float32 on meta", network, x.to("meta"), ["layer1"])


def test_bad_targets_are_refused():
    network, x = SmallResNet(2), torch.rand(2, 2, 20, 20)
    for target in (3, -1, 0.5, True, [0, 3]):
        refused("targets are classes 0 to 2", network, x, ["layer1"], target)
    refused("'all'", network, x, ["layer1"], "all")
    for target in ([0, 1, 2], [[0, 1]]):
        refused(r"targets for 2 cells", network, x, ["layer1"], target)


class Sideways(SmallResNet):
    """Has a layer that the logits do not depend on, one that is not used, and a pair of outputs."""

    def __init__(self):
        super().__init__(2)
        self.aside, self.unused = nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 1)
        self.pair = nn.LSTM(20, 3)

    def forward(self, x):
        self.aside(x)
        self.pair(x[:, 0, :1])
        return super().forward(x)


def test_layers_without_a_map_are_refused():
    network, x = Sideways(), torch.rand(2, 2, 20, 20)
    refused(r"'fc' gives \(N, 3\), which is \(cells, channels\)", network, x, ["fc"])
    refused("do not depend on layer 'aside'", network, x, ["layer1", "aside"])
    refused("'unused' took no part", network, x, ["layer1", "unused"])
    refused("'pair' returns tuple", network, x, ["pair"])
    refused("no layer 'layer9'", network, x, ["layer9"])


def test_networks_that_return_no_logits_are_refused():
    x = torch.rand(2, 2, 20, 20)
    refused(r"logits \(N, classes\).*\(2, 4, 20, 20\)", nn.Sequential(nn.Conv2d(2, 4, 1)), x, ["0"])


def test_maps_that_are_not_finite_are_not_scored():
    from gradcamo import attention_shares

    network, x = SmallResNet(2), torch.rand(1, 2, 20, 20)
    network.fc.weight.data[:] = torch.inf
    cam = grad_cam(network, x, ["layer1"]).maps["layer1"]
    with pytest.raises(GradcamoError, match="NaN or infinite"):
        attention_shares(cam, np.ones((1, 20, 20), int), [1])
