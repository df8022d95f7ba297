"""Networks as people have them: compiled, scripted, without gradients, with other outputs."""

from collections import OrderedDict, namedtuple
from dataclasses import dataclass

import pytest
import torch
from small import SmallResNet
from test_gradcam import plain_grad_cam
from torch import nn

from gradcamo import CropSettings, GradcamoError, audit, grad_cam
from gradcamo.networks.checkpoint import Checkpoint
from gradcamo.networks.geometry import count_classes, describe_layers
from gradcamo.networks.sharing import copied

SIZE = (24, 40)


@pytest.fixture
def x():
    return torch.randn(4, 2, *SIZE, generator=torch.Generator().manual_seed(1))


def explained_as(plain, network, x, layer="layer1", described=True):
    """The network gives the maps of ``plain`` by brute force, and is described like it."""
    expected = plain_grad_cam(plain, plain.get_submodule("layer1"), x)
    got = grad_cam(network, x, [layer])
    (cam,) = got.maps.values()
    torch.testing.assert_close(cam, expected, rtol=1e-5, atol=1e-8)
    assert count_classes(network, x.shape[1:]) == 3
    info = describe_layers(plain, x.shape[1:], ["layer1"])["layer1"]
    assert describe_layers(network, x.shape[1:], [layer])["layer1"] == info
    own = Checkpoint.around(network, ("a", "b"), layer, SIZE)
    assert own.layer == "layer1"
    assert own.layers["layer1"] == info


# what wraps a network


@pytest.mark.parametrize("layer", ["layer1", "_orig_mod.layer1"])
def test_a_compiled_network_is_explained_as_the_network_that_was_compiled(x, layer):
    network = SmallResNet(2)
    compiled = torch.compile(network, backend="eager")
    compiled(x)
    explained_as(network, compiled, x, layer)
    (cam,) = grad_cam(compiled, x, [compiled.layer1]).maps.values()
    torch.testing.assert_close(cam, plain_grad_cam(network, network.layer1, x))


def test_a_network_that_was_compiled_in_place_is_explained_without(x):
    network, plain = SmallResNet(2), SmallResNet(2)
    network.compile(backend="aot_eager")
    network.layer1.compile(backend="aot_eager")
    with torch.no_grad():
        network(x)
    explained_as(plain, network, x)
    for layer in ("layer1.conv2", "layer2"):
        expected = plain_grad_cam(plain, plain.get_submodule(layer), x)
        torch.testing.assert_close(grad_cam(network, x, [layer]).maps[layer], expected)
    assert network._compiled_call_impl is not None
    assert network.layer1._compiled_call_impl is not None


@pytest.mark.parametrize("layer", ["layer1", "module.layer1"])
def test_a_network_for_several_devices_is_explained_as_the_one_in_it(x, layer):
    network = SmallResNet(2)
    explained_as(network, nn.DataParallel(network), x, layer)


# what cannot be copied, or has no shapes without values


class WeightNormed(SmallResNet):
    def __init__(self):
        super().__init__(2)
        with pytest.warns(FutureWarning):
            nn.utils.weight_norm(self.layer1.conv1)


class WithTensor(SmallResNet):
    """Holds a tensor that is neither parameter nor buffer."""

    def __init__(self):
        super().__init__(2)
        self.scale, self.more = torch.full((1, 2, 1, 1), 1.5), [torch.tensor(0.5)]

    def forward(self, x):
        return super().forward(x * self.scale * self.more[0])


class Branching(SmallResNet):
    """Asks what the values are."""

    def __init__(self):
        super().__init__(2)

    def forward(self, x):
        return super().forward(x if x.std() > 0 else -x)


class Uncopied(SmallResNet):
    def __init__(self):
        super().__init__(2)
        self.lines = (line for line in "abc")


class OnlyOne(SmallResNet):
    """Has its batch size written down."""

    def __init__(self):
        super().__init__(2)

    def forward(self, x):
        return super().forward(x.view(1, 2, *SIZE))


class OneByOne(SmallResNet):
    def __init__(self):
        super().__init__(2)

    def forward(self, x):
        return torch.cat([super(OneByOne, self).forward(one[None]) for one in x])


def test_a_network_may_take_one_cell_but_not_its_layers_one_of_several(x):
    plain = SmallResNet(2)
    explained_as(plain, OnlyOne(), x[:1])
    with pytest.raises(GradcamoError, match="'layer1' gives"):
        grad_cam(OneByOne(), x, ["layer1"])


@pytest.mark.parametrize("kind", [WeightNormed, WithTensor, Branching, Uncopied])
def test_networks_that_cannot_be_copied_to_shapes_alone_are_described_all_the_same(x, kind):
    network = kind().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    chance = torch.get_rng_state()
    got = grad_cam(network, x, ["layer2"])
    expected = plain_grad_cam(network.eval(), network.layer2, x)
    torch.testing.assert_close(got.maps["layer2"], expected, rtol=1e-4, atol=1e-7)
    info = describe_layers(network, x.shape[1:], ["layer2"])["layer2"]
    assert info == describe_layers(SmallResNet(2), x.shape[1:], ["layer2"])["layer2"]
    Checkpoint.around(network, ("a", "b"), "layer2", SIZE)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])
    assert torch.equal(torch.get_rng_state(), chance)


# scripted and traced


def test_inside_a_scripted_network_nothing_is_seen_and_the_cure_is_said(x):
    network = SmallResNet(2)
    for scripted in (torch.jit.script(network), torch.jit.trace(network, x)):
        assert count_classes(scripted, x.shape[1:]) == 3
        with pytest.raises(GradcamoError, match=r"load_state_dict\(scripted\.state_dict\(\)\)"):
            grad_cam(scripted, x, ["layer1"])
        with pytest.raises(GradcamoError, match=r"load_state_dict\(scripted\.state_dict\(\)\)"):
            Checkpoint.around(scripted, ("a", "b"), "layer1", SIZE)
        with pytest.raises(GradcamoError, match="none of its layers has one"):
            Checkpoint.around(scripted, ("a", "b"), "layer1", SIZE)
        cured = SmallResNet(2, seed=9)
        cured.load_state_dict(scripted.state_dict())
        explained_as(network, cured, x)


def test_layers_around_a_scripted_part_are_explained(x):
    network = SmallResNet(2)
    expected = plain_grad_cam(network, network.layer1, x)
    network.layer2 = torch.jit.script(network.layer2)
    got = grad_cam(network, x, ["layer1"])
    torch.testing.assert_close(got.maps["layer1"], expected, rtol=1e-5, atol=1e-8)
    offered = describe_layers(network, x.shape[1:])
    assert offered["average"].sight is not None  # followed through what is scripted
    assert not [name for name in offered if name.startswith("layer2")]


# outputs


@dataclass
class Answer:
    loss: object
    logits: torch.Tensor


Pair = namedtuple("Pair", "logits hidden")

OUTPUTS = {
    "dict": (lambda z, a: {"hidden": a, "logits": z}, "out['logits']"),
    "ordered": (lambda z, a: OrderedDict(y=z), "out['y']"),
    "tuple": (lambda z, a: (a, z), "out[1]"),
    "named tuple": (lambda z, a: Pair(z, a), "out[0]"),
    "list": (lambda z, a: [z], "out[0]"),
    "dataclass": (lambda z, a: Answer(None, z), "out.logits"),
    "one number a cell": (lambda z, a: z[:, 0], "out[:, None]"),
    "logits in a map": (lambda z, a: z[:, :, None, None], "out.flatten(1)"),
    "a map of logits": (lambda z, a: z[:, :, None, None] + a[:, :3], "out.flatten(2).mean(2)"),
}


class Returning(SmallResNet):
    def __init__(self, make):
        super().__init__(2)
        self.make = make

    def forward(self, x):
        a = self.layer2(self.layer1(self.pool(self.stem(x))))
        return self.make(self.fc(self.average(a).flatten(1)), a)


@pytest.mark.parametrize("kind", OUTPUTS)
def test_an_output_that_is_no_logits_is_refused_with_the_line_that_takes_them_out(x, kind):
    make, part = OUTPUTS[kind]
    network = Returning(make)
    line = f"network.register_forward_hook(lambda module, args, out: {part})"
    for refused in (
        lambda: grad_cam(network, x, ["layer1"]),
        lambda: Checkpoint.around(network, ("a", "b"), "layer1", SIZE),
        lambda: Checkpoint.around(network, ("a", "b"), "layer1", SIZE, classes=("1", "2", "3")),
    ):
        with pytest.raises(GradcamoError) as told:
            refused()
        assert line in str(told.value)
    exec(line, {"network": network})
    got = grad_cam(network, x, ["layer1"])
    if kind not in ("one number a cell", "a map of logits"):
        plain = SmallResNet(2)
        expected = plain_grad_cam(plain, plain.layer1, x)
        torch.testing.assert_close(got.maps["layer1"], expected, rtol=1e-5, atol=1e-8)
    classes = ("no", "yes") if kind == "one number a cell" else None
    Checkpoint.around(network, ("a", "b"), "layer1", SIZE, classes=classes)


def test_an_output_without_any_logits_is_refused(x):
    for made in (None, "text", {}, torch.zeros(())):
        with pytest.raises(GradcamoError, match="return them from its forward"):
            grad_cam(Returning(lambda z, a, made=made: made), x, ["layer1"])


# without gradients


class Decorated(SmallResNet):
    def __init__(self):
        super().__init__(2)

    @torch.no_grad()
    def forward(self, x):
        return super().forward(x)


class Inferring(SmallResNet):
    def __init__(self):
        super().__init__(2)

    def forward(self, x):
        with torch.inference_mode():
            return super().forward(x)


class Frozen(SmallResNet):
    """Its lower part knows no gradients, as that of a frozen backbone."""

    def __init__(self):
        super().__init__(2)

    def forward(self, x):
        with torch.no_grad():
            x = self.layer2(self.layer1(self.pool(self.stem(x))))
        return self.fc(self.average(x).flatten(1))


def test_a_forward_without_gradients_is_refused_with_the_line_that_cures_it(x):
    with pytest.raises(GradcamoError, match="forward works without gradients") as told:
        grad_cam(Decorated(), x, ["layer1"])
    line = str(told.value).rpartition(": ")[2].removesuffix(" takes its decorator off")
    before = Decorated.forward
    try:
        exec(line, {"Decorated": Decorated})
        plain = SmallResNet(2)
        got = grad_cam(Decorated(), x, ["layer1"]).maps["layer1"]
        torch.testing.assert_close(got, plain_grad_cam(plain, plain.layer1, x))
    finally:
        Decorated.forward = before
    with pytest.raises(GradcamoError, match=r"take torch\.no_grad\(\), .* out of it"):
        grad_cam(Inferring(), x, ["layer1"])
    with pytest.raises(GradcamoError, match=r"do not depend on layer 'layer1', or only without"):
        grad_cam(Frozen(), x, ["layer1", "average"])


def test_a_network_made_in_inference_mode_is_refused_with_the_line_that_cures_it(x):
    with torch.inference_mode():
        network = SmallResNet(2)
    for refused in (
        lambda: grad_cam(network, x, ["layer1"]),
        lambda: Checkpoint.around(network, ("a", "b"), "layer1", SIZE),
    ):
        with pytest.raises(GradcamoError, match=r"network = copy\.deepcopy\(network\)"):
            refused()
    names = {"network": network}
    exec("import copy; network = copy.deepcopy(network)", names)
    explained_as(SmallResNet(2), names["network"], x)


# float64


def test_double_networks_are_audited_in_double_and_a_call_says_how(x, field):
    network = SmallResNet(2).double()
    with pytest.raises(GradcamoError, match=r"x = x\.to\('cpu', torch\.float64\)") as told:
        grad_cam(network, x, ["layer1"])
    names = {"x": x, "torch": torch}
    exec(str(told.value).rpartition(": ")[2].removesuffix(" makes them one"), names)
    got = grad_cam(network, names["x"], ["layer1"]).maps["layer1"]
    assert got.dtype == torch.float64
    plain = SmallResNet(2)
    torch.testing.assert_close(got.float(), plain_grad_cam(plain, plain.layer1, x))


def test_a_default_of_float64_changes_no_score(field):
    stack, labels = field
    crop, size = CropSettings(size_yx=(32, 32)), (6, 32, 32)
    single = Checkpoint.around(SmallResNet(3), stack.channels, "layer1", size, crop)
    expected = audit(stack, labels, single)
    torch.set_default_dtype(torch.float64)
    try:
        double = Checkpoint.around(SmallResNet(3), stack.channels, "layer1", size, crop)
        got = audit(stack, labels, double)
        again = audit(stack, labels, single)
    finally:
        torch.set_default_dtype(torch.float32)
    assert next(double.network.parameters()).dtype == torch.float64
    columns = ["grad_camo", "neighbour_share", "chance", "ceiling"]
    # weights drawn in another precision are other weights
    assert got[columns].notna().all().all() == expected[columns].notna().all().all()
    torch.testing.assert_close(
        torch.tensor(again[columns].to_numpy()),
        torch.tensor(expected[columns].to_numpy()),
        equal_nan=True,
    )


def test_a_network_with_old_weight_norm_can_be_copied_for_another_device(x):
    network = WeightNormed().eval()
    network(x)
    with torch.no_grad():
        torch.testing.assert_close(copied(network)(x), network(x))


@pytest.mark.parametrize(
    ("named", "match"),
    [
        ({"channels": ("a", "a")}, "channels need names of their own, 'a' comes more than once"),
        ({"classes": ("x", "y", "x")}, "classes need names of their own, 'x' comes more"),
        ({"channels": "ab"}, "channels are several names, got 'ab'"),
        ({"classes": "abc"}, "classes are several names, got 'abc'"),
    ],
)
def test_names_that_count_as_others_are_refused(named, match):
    given = {"channels": ("a", "b"), "layer": "layer1", "input_size": SIZE} | named
    with pytest.raises(GradcamoError, match=match):
        Checkpoint.around(SmallResNet(2), **given)
