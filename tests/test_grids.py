"""A layer is explained only where what it gives is proved to be a map, or said to become one."""

import copy

import pytest
import torch
from small import SmallResNet
from torch import nn

import gradcamo as gc
from gradcamo import GradcamoError, grad_cam
from gradcamo.errors import GradcamoWarning
from gradcamo.networks.checkpoint import Checkpoint
from gradcamo.networks.geometry import describe_layers, place
from gradcamo.networks.gradcam import EVERY


def brute_force(network, module, x, reshape=lambda a: a, local=False, k=None):
    """Equations 3 and 4 one cell at a time, the gradient of one class at a time, in float64."""
    network, maps = copy.deepcopy(network).double().eval(), []
    module = network.get_submodule(module)
    seen = []

    def keep(m, args, out):
        seen.append(out)
        return out.clone() if isinstance(out, torch.Tensor) else out  # may be changed in place

    for cell in x.double():
        hook = module.register_forward_hook(keep)
        logits = network(cell[None])[0]
        hook.remove()
        out = seen[-1]  # the last use counts
        tensor = out if isinstance(out, torch.Tensor) else out[0]
        (slope,) = torch.autograd.grad(logits[logits.argmax() if k is None else k], tensor)
        wrapped = (lambda t: t) if tensor is out else (lambda t: (t,))
        a, slope = reshape(wrapped(tensor))[0], reshape(wrapped(slope))[0]
        weights = slope if local else slope.flatten(1).mean(1).view(-1, *[1] * (a.ndim - 1))
        maps.append((weights * a).sum(0).clamp(min=0).detach() / len(a))
    return torch.stack(maps)


def agrees(network, layer, x, reshape=None):
    got = grad_cam(network, x, [layer], reshape=reshape)
    expected = brute_force(network, layer, x, reshape or (lambda a: a))
    torch.testing.assert_close(got.maps[layer].double(), expected, rtol=1e-4, atol=1e-7)
    assert expected.max() > 0
    local = grad_cam(network, x, [layer], gradients="local", reshape=reshape).maps[layer]
    expected = brute_force(network, layer, x, reshape or (lambda a: a), local=True)
    torch.testing.assert_close(local.double(), expected, rtol=1e-4, atol=1e-7)


class ConvNeXtBlock(nn.Module):
    """Works channels last within, as ConvNeXt's blocks do."""

    def __init__(self, width):
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.norm, self.wide = nn.LayerNorm(width), nn.Linear(width, 2 * width)
        self.act, self.narrow = nn.GELU(), nn.Linear(2 * width, width)

    def forward(self, x):
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        return x + self.narrow(self.act(self.wide(y))).permute(0, 3, 1, 2)


class Shifted(nn.Module):
    """Attention within shifted windows, channels last, as Swin's blocks."""

    def __init__(self, width, window, shift):
        super().__init__()
        self.norm, self.qkv = nn.LayerNorm(width), nn.Linear(width, 3 * width)
        self.table = nn.Parameter(torch.randn(2 * window - 1, window, window))
        self.window, self.shift = window, shift

    def forward(self, x):
        n, h, w, c = x.shape
        s, k = self.shift, self.window
        y = torch.roll(self.norm(x), (-s, -s), (1, 2))
        y = y.view(n, h // k, k, w // k, k, c).transpose(2, 3).reshape(-1, k * k, c)
        q, key, value = self.qkv(y).chunk(3, -1)
        attention = (q @ key.transpose(1, 2) / c**0.5).softmax(-1)
        y = (attention @ value).view(n, h // k, w // k, k, k, c).transpose(2, 3)
        return x + torch.roll(y.reshape(n, h, w, c), (s, s), (1, 2))


class Tail(nn.Module):
    def __init__(self, body, width, classes=3, last=False):
        super().__init__()
        self.body, self.fc, self.last = body, nn.Linear(width, classes), last

    def forward(self, x):
        return self.fc(self.body(x).mean((1, 2) if self.last else (2, 3)))


def convnext():
    torch.manual_seed(1)
    return Tail(nn.Sequential(nn.Conv2d(2, 8, 4, 4), ConvNeXtBlock(8), ConvNeXtBlock(8)), 8).eval()


class ChannelsLast(nn.Module):
    def forward(self, x):
        return x.permute(0, 2, 3, 1)


def swin():
    torch.manual_seed(2)
    stem = nn.Sequential(nn.Conv2d(2, 8, 2, 2), ChannelsLast())
    return Tail(nn.Sequential(stem, Shifted(8, 4, 0), Shifted(8, 4, 2)), 8, last=True).eval()


@pytest.fixture
def x():
    return torch.randn(3, 2, 32, 16, generator=torch.Generator().manual_seed(5))


# channels last


def test_a_layer_with_channels_last_is_refused_with_the_line_that_makes_a_map_of_it(x):
    network = convnext()
    with pytest.raises(GradcamoError) as refused:
        grad_cam(network, x, ["body.1.norm"])
    told = str(refused.value)
    assert "(N, 8, 4, 8), which is (cells, y, x, channels)" in told
    assert told.endswith("reshape=lambda a: a.permute(0, 3, 1, 2)")
    cure = eval(told.rpartition("reshape=")[2])
    agrees(network, "body.1.norm", x, cure)


@pytest.mark.parametrize("layer", ["body.1.wide", "body.2.narrow", "body.2.act"])
def test_a_reshaped_map_is_the_map_of_the_transposed_tensor_by_plain_autograd(x, layer):
    agrees(convnext(), layer, x, lambda a: a.permute(0, 3, 1, 2))


@pytest.mark.parametrize("layer", ["body.0", "body.1", "body.2", "body.1.depthwise", "body"])
def test_layers_that_come_back_to_channels_first_need_nothing(x, layer):
    agrees(convnext(), layer, x)


def test_only_layers_that_give_maps_are_offered(x):
    offered = describe_layers(convnext(), x.shape[1:])
    blocks = [f"body.{i}{part}" for i in (1, 2) for part in ("", ".depthwise")]
    assert sorted(offered) == sorted(["body", "body.0", *blocks])
    assert not describe_layers(swin(), x.shape[1:]).keys() - {"body.0.0"}


def test_windows_that_shift_and_come_back_leave_voxels_where_they_were(x):
    first = lambda a: a.permute(0, 3, 1, 2)  # noqa: E731
    offered = describe_layers(swin(), x.shape[1:], reshape=first)
    assert list(offered) == ["body", "body.0", "body.0.0", "body.0.1"] + [
        name for name in offered if name.startswith(("body.1", "body.2"))
    ]
    for layer in ("body.1", "body.2"):
        info = offered[layer]
        assert (info.channels, info.grid, info.sight) == (8, (16, 8), ((2, 2), (0.5, 0.5)))
        assert info.reshaped
        agrees(swin(), layer, x, first)
    assert not offered["body.0.0"].reshaped


def test_a_reshape_that_takes_channels_for_rows_is_refused_although_it_fits(x):
    network = convnext()
    for wrong in (lambda a: a, lambda a: a.permute(0, 1, 3, 2), lambda a: a.permute(0, 3, 2, 1)):
        with pytest.raises(GradcamoError, match="after reshape, gives"):
            grad_cam(network, x, ["body.1.norm"], reshape=wrong)


# tokens


class Tokens(nn.Module):
    """A small vision transformer: patches as tokens, after a class token if asked for."""

    def __init__(self, class_token):
        super().__init__()
        torch.manual_seed(3)
        self.patches, self.first = nn.Conv2d(2, 8, 4, 4), nn.Parameter(torch.randn(1, 1, 8))
        self.class_token = class_token
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.blocks, self.fc = nn.TransformerEncoder(layer, 2), nn.Linear(8, 3)

    def forward(self, x):
        t = self.patches(x).flatten(2).transpose(1, 2)
        if self.class_token:
            t = torch.cat([self.first.expand(len(t), -1, -1), t], 1)
        t = self.blocks(t)
        return self.fc(t[:, 0] + t.mean(1))


@pytest.mark.parametrize("class_token", [False, True])
def test_tokens_are_refused_with_the_line_that_makes_a_map_of_them(x, class_token):
    network = Tokens(class_token).eval()
    with pytest.raises(GradcamoError, match="reshape=lambda a: ") as refused:
        grad_cam(network, x, ["blocks.layers.0.norm2"])
    cure = str(refused.value).rpartition("reshape=")[2]
    assert cure == (
        "lambda a: a[:, 1:].transpose(1, 2).unflatten(2, (8, 4))"
        if class_token
        else "lambda a: a.transpose(1, 2).unflatten(2, (8, 4))"
    )
    agrees(network, "blocks.layers.0.norm2", x, eval(cure))


def test_a_class_token_that_was_cut_off_wrongly_is_no_map(x):
    wrong = lambda a: a[:, :-1].transpose(1, 2).unflatten(2, (8, 4))  # noqa: E731
    network = Tokens(class_token=False).eval()
    with pytest.raises(GradcamoError, match="reshape"):
        grad_cam(network, x, ["blocks.layers.0.norm2"], reshape=wrong)


# what is no map


class Twisted(nn.Module):
    """Gives something that has the shape of a map and is none."""

    def __init__(self, twist):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(2, 4, 3, padding=1), nn.Linear(4, 2)
        self.turn, self.twist = nn.Identity(), twist

    def forward(self, x):
        y = self.turn(self.twist(self.conv(x)))
        return self.fc(self.conv(x).mean((2, 3))) + y.mean()


def shifted_in_place(a):
    a = a.clone()
    a[:, :, 1:] = a[:, :, :-1].clone()
    return a


def shifted_into_zeros(a):
    b = torch.zeros_like(a)
    b[:, :, 2:] = a[:, :, :-2]
    return a + b


@pytest.mark.parametrize(
    "twist",
    [
        lambda a: a.transpose(2, 3),
        lambda a: a.roll(3, 2),
        lambda a: a.flip(3),
        lambda a: torch.fft.fft2(a).real,
        lambda a: a @ torch.eye(a.shape[-1], device=a.device).flip(0),
        lambda a: a.sort(2).values,
        lambda a: a.cumsum(2),
        lambda a: a[:, :, torch.arange(a.shape[2] - 1, -1, -1, device=a.device)],
        lambda a: a.transpose(0, 1),
        lambda a: a.reshape(len(a), 16, 4, 16).transpose(1, 2),
        lambda a: a + a.roll(1, 3),
        lambda a: a + a.transpose(2, 3),
        lambda a: torch.einsum("nchw,nchv->ncvw", a, a.roll(1, 3)),
        lambda a: a.mean(1, keepdim=True).transpose(1, 2).expand(-1, -1, 4, -1),
        shifted_in_place,
        shifted_into_zeros,
    ],
)
def test_what_moved_its_voxels_is_no_map_although_its_shape_is_one(twist):
    torch.manual_seed(0)
    network, x = Twisted(twist).eval(), torch.randn(4, 2, 16, 16)
    assert "turn" not in describe_layers(network, (2, 16, 16))
    with pytest.raises(GradcamoError, match=r"layer 'turn' gives .*reshape="):
        grad_cam(network, x, ["turn"])
    with pytest.raises(GradcamoError, match=r"layer 'turn' gives .*reshape="):
        Checkpoint.around(network, ("a", "b"), "turn", (16, 16))


@pytest.mark.parametrize(
    "twist",
    [
        lambda a: a.roll(3, 2).roll(-3, 2),
        lambda a: a.flip(2).flip(2),
        lambda a: a.transpose(2, 3).contiguous().transpose(3, 2),
        lambda a: a.unflatten(2, (4, 4)).transpose(2, 3).transpose(2, 3).flatten(2, 3),
        lambda a: a.flatten(2).unflatten(2, a.shape[2:]),
        lambda a: a.softmax(1) * a.mean((2, 3), keepdim=True).sigmoid(),
        lambda a: torch.einsum("nchw,cd->ndhw", a, torch.eye(4, device=a.device)),
        lambda a: torch.cat(a.chunk(2, 1)[::-1], 1),
        lambda a: torch.cat([a[:, :, ::2, ::2], a[:, :, 1::2, 1::2]], 1),
        lambda a: nn.functional.interpolate(a, scale_factor=2, mode="bilinear"),
        lambda a: nn.functional.pad(a, (1, 1, 1, 1), mode="circular")[:, :, 1:-1, 1:-1],
        lambda a: nn.functional.avg_pool2d(nn.functional.instance_norm(a), 2),
    ],
)
def test_what_came_back_to_its_place_is_a_map(twist):
    torch.manual_seed(0)
    network = Twisted(twist).eval()
    info = describe_layers(network, (2, 16, 16))["turn"]
    factor = 16 / info.grid[0]
    assert info.sight.stride == (factor, factor)
    assert info.sight.offset == pytest.approx(((factor - 1) / 2,) * 2)


def test_the_place_of_a_transposed_convolution_is_known():
    network = nn.Sequential(
        nn.Conv2d(1, 3, 4, 4), nn.ConvTranspose2d(3, 3, 2, 2), nn.Flatten(2), nn.Linear(64, 2)
    )
    assert describe_layers(network, (1, 16, 16), ["1"])["1"].sight == ((2, 2), (0.5, 0.5))


class Scattered(nn.Module):
    """Loses what is known of a map, then convolves it."""

    def __init__(self, stride, at=0):
        super().__init__()
        self.first, self.last = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3, stride, 1)
        self.fc, self.at = nn.Linear(4, 2), at

    def forward(self, x):
        x = self.first(x)
        x = x[:, :, torch.arange(x.shape[2] - self.at, device=x.device)]
        return self.fc(self.last(x).mean((2, 3)))


def test_a_convolution_makes_a_grid_whose_place_is_not_known():
    info = describe_layers(Scattered(2), (2, 20, 12), ["last"])["last"]
    assert (info.grid, info.sight) == ((10, 6), None)
    assert place(info, (20, 12), (20, 12), "paper") is None
    with pytest.raises(GradcamoError, match="use alignment 'paper'"):
        place(info, (20, 12), (20, 12), "receptive-field")


def test_a_grid_whose_sides_do_not_fit_the_input_is_refused():
    for network in (Scattered((1, 3)), Scattered(1, at=8)):
        with pytest.raises(GradcamoError, match="divided by one factor"):
            describe_layers(network, (2, 20, 12), ["last"])
        assert "last" not in describe_layers(network, (2, 20, 12))


def test_tensors_that_do_not_depend_on_the_input_are_no_maps(x):
    class Biased(SmallResNet):
        def __init__(self):
            super().__init__(2)
            self.bias, self.table = nn.Identity(), nn.Parameter(torch.zeros(1, 3, 4, 4))

        def forward(self, x):
            return super().forward(x) + self.bias(self.table).mean((2, 3))

    with pytest.raises(GradcamoError, match=r"'bias' gives .* does not depend on the input"):
        grad_cam(Biased(), x, ["bias"])
    assert "bias" not in describe_layers(Biased(), x.shape[1:])


# reshape


def test_reshape_may_not_change_values_nor_mix_cells(x):
    network = convnext()
    first = lambda a: a.permute(0, 3, 1, 2)  # noqa: E731
    for reshape, told in (
        (lambda a: nn.functional.avg_pool2d(first(a), 2), "values may not be changed"),
        (lambda a: first(a) * 2, "values may not be changed"),
        (lambda a: first(a).repeat(1, 1, 2, 2), "several places"),
        (lambda a: first(a).flip(0), "one row a cell"),
        (lambda a: first(a).flatten(0, 1)[:, None], "one row a cell"),
        (lambda a: (a,), "makes tuple of it"),
        (lambda a: a.permute(0, 1), "nothing that reshape can take"),
        (lambda a: first(a)[:, :, :0], "reshape"),
    ):
        with pytest.raises(GradcamoError, match=told):
            grad_cam(network, x, ["body.1.norm"], reshape=reshape)


def test_a_layer_that_gives_a_tuple_is_explained_through_reshape(x):
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(2, 4, 3, 2, 1)

        def forward(self, x):
            return (self.conv(x).permute(0, 2, 3, 1), None)

    class Paired(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.pair, self.fc = Pair(), nn.Linear(4, 3)

        def forward(self, x):
            return self.fc(self.pair(x)[0].relu().mean((1, 2)))

    network = Paired().eval()
    with pytest.raises(GradcamoError, match=r"'pair' returns tuple.*reshape=lambda out: out\[0\]"):
        grad_cam(network, x, ["pair"])
    agrees(network, "pair", x, lambda out: out[0].permute(0, 3, 1, 2))


def test_every_class_is_explained_through_reshape_as_it_is_alone(x):
    network, first = convnext(), (lambda a: a.permute(0, 3, 1, 2))
    every = grad_cam(network, x, ["body.2.norm"], EVERY, reshape=first).maps["body.2.norm"]
    for k in range(3):
        expected = brute_force(network, "body.2.norm", x, first, k=k)
        torch.testing.assert_close(every[:, k].double(), expected, rtol=1e-4, atol=1e-7)


def test_an_audit_explains_a_layer_through_reshape(field):
    stack, labels = field
    first = lambda a: a.permute(0, 3, 1, 2)  # noqa: E731

    class Deep(nn.Module):
        """The same map twice: as the network has it, and channels last."""

        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.conv, self.last = nn.Conv3d(2, 4, 3, (1, 2, 2), 1), nn.Identity()
            self.fc = nn.Linear(4, 2)

        def forward(self, x):
            y = self.last(self.conv(x).relu().permute(0, 2, 3, 4, 1))
            return self.fc((y * y).mean((1, 2, 3)))

    crop, channels = gc.CropSettings(size_yx=(32, 32)), stack.channels
    size, first = (6, 32, 32), (lambda a: a.permute(0, 4, 1, 2, 3))
    with pytest.raises(GradcamoError, match=r"\(cells, z, y, x, channels\)"):
        Checkpoint.around(Deep(), channels, "last", size, crop)
    own = Checkpoint.around(Deep(), channels, "last", size, crop, reshape=first)
    assert own.layers["last"].grid == (6, 16, 16)
    assert own.layers["conv"].sight == own.layers["last"].sight
    for alignment in ("paper", "receptive-field"):
        settings = gc.AuditSettings(alignment=alignment, gradients="local")
        table = gc.audit(stack, labels, own, settings).dropna(subset="grad_camo")
        plain = _with_relu_as_a_layer(Deep())
        other = Checkpoint.around(plain, channels, "relu", size, crop)
        expected = gc.audit(stack, labels, other, settings).dropna(subset="grad_camo")
        assert len(table) > 0
        for column in ("grad_camo", "neighbour_share", "ceiling", "attainable"):
            assert table[column].to_list() == pytest.approx(expected[column].to_list(), rel=1e-4)
    assert own.hash != Checkpoint.around(Deep(), channels, "conv", size, crop).hash


def _with_relu_as_a_layer(deep):
    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.relu, self.fc = deep.conv, nn.ReLU(), deep.fc

        def forward(self, x):
            y = self.relu(self.conv(x))
            return self.fc((y * y).mean((2, 3, 4)))

    return Plain()


# used twice


class Again(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.same = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.relu, self.fc = nn.ReLU(inplace=True), nn.Linear(4, 3)

    def forward(self, x):
        y = self.relu(self.same(self.relu(self.conv(x))))
        y = nn.functional.max_pool2d(y, 2)
        return self.fc(self.relu(self.same(y)).mean((2, 3)))


@pytest.mark.parametrize("layer", ["relu", "same"])
def test_of_a_layer_that_is_used_several_times_the_last_use_counts_and_it_is_said(x, layer):
    network, uses = Again().eval(), {"relu": 3, "same": 2}[layer]
    with pytest.warns(GradcamoWarning, match=f"'{layer}' is used {uses} times.*last use"):
        got = grad_cam(network, x, [layer])
    assert got.maps[layer].shape == (3, 16, 8)
    expected = brute_force(network, layer, x)
    torch.testing.assert_close(got.maps[layer].double(), expected, rtol=1e-4, atol=1e-7)
    with pytest.warns(GradcamoWarning, match="last use"):
        Checkpoint.around(network, ("a", "b"), layer, (32, 16))
