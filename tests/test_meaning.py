"""What logits mean: classes, one logit for two of them, independent labels; or no logits at all."""

import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from small import SmallResNet
from torch import nn

import gradcamo as gc
from gradcamo import AuditSettings, Checkpoint, CropSettings, GradcamoError, ZStack, grad_cam
from gradcamo.auditing.compare import compare_maps
from gradcamo.auditing.stack import cells_of
from gradcamo.errors import GradcamoWarning
from gradcamo.networks.gradcam import EVERY
from gradcamo.networks.infer import explain

CROP, SIZE = CropSettings(size_yx=(24, 28)), (16, 32, 40)
SHARES = ["grad_camo", "neighbour_share", "background_share"]


def around(network, **about):
    return Checkpoint.around(network, ("DNA", "actin"), "layer1", SIZE, CROP, **about)


def binary(seed=0):
    """One logit, above 0 for some cells and below for others."""
    network = SmallResNet(3, 2, classes=1, seed=seed)
    network.fc.bias.data[:] = 0.1105
    return network


@pytest.fixture
def many(random):
    """A stack of 16 whole cells, one brighter than the other."""
    labels = np.zeros((6, 120, 120), np.int32)
    for i in range(16):
        y, x = 10 + 27 * (i // 4), 10 + 27 * (i % 4)
        labels[1:5, y : y + 12 + i // 3, x : x + 14] = 3 * i + 1
    data = random.integers(0, 3000, (2, *labels.shape), np.uint16)
    data += (labels * random.integers(1, 60, (2, 1, 1, 1))).astype(np.uint16)
    return ZStack(data, ("DNA", "actin"), (0.6, 0.35, 0.35), "many.tif"), labels


def by_brute_force(stack, labels, network, score_of, layer="layer1"):
    """Logits and the three shares of every cell, one at a time in float64, from upsampled maps."""
    network, found = network.double(), {}
    for crop in gc.CellCrops(stack, labels, CROP):
        seen = []
        x = torch.from_numpy(crop.image).double()[None]
        module = network.get_submodule(layer)
        hook = module.register_forward_hook(lambda m, a, out, seen=seen: seen.append(out))
        (z,) = network(F.interpolate(x, SIZE, mode="trilinear", align_corners=False))
        hook.remove()
        (slope,) = torch.autograd.grad(score_of(z), seen[0])
        w = slope.mean((2, 3, 4), keepdim=True)
        cam = (w * seen[0]).mean(1, keepdim=True).relu().detach()
        cam = F.interpolate(cam, crop.labels.shape, mode="trilinear", align_corners=False)[0, 0]
        own = torch.from_numpy(crop.labels == crop.label)
        other = torch.from_numpy((crop.labels != 0) & (crop.labels != crop.label))
        shares = [float((cam * m).sum() / cam.sum()) for m in (own, other, ~own & ~other)]
        found[crop.label] = z.detach().numpy(), shares
    network.float()
    return found


# one logit


@pytest.mark.parametrize("layer", ["layer1", "layer2"])
def test_maps_of_one_logit_are_those_of_z_for_the_second_class_and_of_minus_z_for_the_first(layer):
    network, x = SmallResNet(3, 2, classes=1).double(), torch.randn(5, 2, 16, 24, 24).double()
    every = grad_cam(network, x, [layer], EVERY)
    seen = []
    hook = network.get_submodule(layer).register_forward_hook(lambda m, a, o: seen.append(o))
    for i, cell in enumerate(x):
        z = network(cell[None])
        (slope,) = torch.autograd.grad(z[0, 0], seen[-1])
        evidence = (slope.mean((2, 3, 4), keepdim=True) * seen[-1]).mean(1)[0].detach()
        torch.testing.assert_close(every.maps[layer][i, 1], evidence.relu())
        torch.testing.assert_close(every.maps[layer][i, 0], (-evidence).relu())
        assert every.predicted[i] == int(z > 0)
    hook.remove()
    network.fc.bias.data -= every.logits.median()  # some of each
    found = grad_cam(network, x, [layer])
    assert set(found.predicted.tolist()) == {0, 1}
    assert found.predicted.tolist() == (found.logits[:, 0] > 0).long().tolist()
    assert found.target.tolist() == found.predicted.tolist()
    chosen = every.maps[layer][torch.arange(5), found.predicted]
    torch.testing.assert_close(found.maps[layer], chosen)


def test_at_the_head_the_closed_form_of_one_logit_is_what_autograd_gives():
    torch.manual_seed(0)
    network = gc.efficientnet3d(in_channels=2, num_classes=1, width=0.1).double().eval()
    x = torch.randn(2, 2, 64, 64, 128).double()
    closed = grad_cam(network, x, ["head"], EVERY)
    by_autograd = grad_cam(network, x, ["block_15", "head"], EVERY)
    assert closed.maps["head"].shape == (2, 2, 1, 1, 2)
    torch.testing.assert_close(closed.maps["head"], by_autograd.maps["head"])
    assert (closed.maps["head"] > 0).any(0).flatten(1).any(1).all()  # of both classes


@pytest.mark.parametrize("target", [None, "control", "treated"])
def test_a_table_of_a_network_with_one_logit_is_right_in_every_cell(many, target):
    network = binary()
    checkpoint = around(network, classes=("control", "treated"))
    table = gc.audit(*many, checkpoint, AuditSettings(target=target)).set_index("label")

    def score(z):
        sign = {None: torch.sign(z[0]), "control": -1, "treated": 1}[target]
        return z[0] * sign

    expected = by_brute_force(*many, network, score)
    for label, (z, shares) in expected.items():
        row = table.loc[label]
        assert row["predicted"] == ("treated" if z[0] > 0 else "control")
        p = 1 / (1 + np.exp(-z[0]))
        assert row["confidence"] == pytest.approx(max(p, 1 - p), abs=1e-6)
        np.testing.assert_allclose(row[SHARES].to_numpy(float), shares, atol=1e-5)
    if target is None:
        assert set(table["predicted"]) == {"control", "treated"}
    assert table.attrs["recipe"]["outputs"] == "classes"


def test_two_logits_0_and_z_are_called_as_the_one_logit_z_is(many):
    network, twin = binary(), binary()
    twin.fc = nn.Linear(16, 2)
    twin.fc.weight.data[:] = torch.cat((torch.zeros(1, 16), network.fc.weight.data))
    twin.fc.bias.data[:] = torch.cat((torch.zeros(1), network.fc.bias.data))
    names = ("control", "treated")
    one, two = (gc.audit(*many, around(n, classes=names)) for n in (network, twin))
    assert one["predicted"].tolist() == two["predicted"].tolist()
    np.testing.assert_allclose(one["confidence"], two["confidence"], atol=1e-6)


def test_one_logit_is_compared_under_both_its_classes(field):
    stack, labels = field
    checkpoint = around(binary(), classes=("control", "treated"))
    crop = cells_of(stack, labels, checkpoint)[2]
    views = compare_maps(crop, checkpoint)
    assert [view.title.split(":")[0] for view in views] == ["control", "treated"]
    assert not np.allclose(views[0].cam, views[1].cam)
    for k, view in enumerate(views):
        settings = AuditSettings(target=checkpoint.classes[k])
        score = gc.audit(stack, labels, checkpoint, settings, only=[crop.label])["grad_camo"][0]
        told = "no evidence" if np.isnan(score) else f"{score:.2f}"
        assert view.title == f"{checkpoint.classes[k]}: {told}"


@pytest.mark.parametrize("classes", [None, ("a",), ("a", "b", "c")])
def test_one_logit_needs_two_class_names(classes):
    with pytest.raises(GradcamoError, match=r"two classes.*below 0 first: classes=\('control', 't"):
        around(binary(), classes=classes)
    with pytest.raises(GradcamoError, match=r"3 logits for 2 classes \(a, b\): name one class per"):
        around(SmallResNet(3, 2), classes=("a", "b"))


def test_a_network_with_one_logit_is_kept_in_a_file(field, tmp_path):
    about = {"name": "efficientnet-b0", "in_channels": 2, "num_classes": 1, "width": 0.1}
    torch.manual_seed(0)
    made = Checkpoint(
        *(gc.efficientnet3d(**about), ("control", "treated"), ("DNA", "actin")),
        *((0.0, 0.0), (1.0, 1.0), CROP, (64, 64, 64), "block_4"),
        architecture=about,
    )
    made.save(tmp_path / "one.safetensors")
    loaded = Checkpoint.load(tmp_path / "one.safetensors")
    assert loaded.hash == made.hash
    table, other = (gc.audit(*field, checkpoint) for checkpoint in (made, loaded))
    assert table.equals(other)
    assert set(table["predicted"].dropna()) <= {"control", "treated"}


# independent labels


def multi_label():
    network = SmallResNet(3, 2)
    network.fc.bias.data[:] = torch.tensor([0.0, 0.061, 3.0])
    return network


def test_independent_labels_are_each_there_or_not(many):
    network = multi_label()
    checkpoint = around(network, classes=("round", "mitotic", "alive"), outputs="independent")
    for k, name in enumerate(checkpoint.classes):
        table = gc.audit(*many, checkpoint, AuditSettings(target=name)).set_index("label")
        for label, (z, shares) in by_brute_force(*many, network, lambda z, k=k: z[k]).items():
            row = table.loc[label]
            assert row["predicted"] == (name if z[k] > 0 else f"not {name}")
            p = 1 / (1 + np.exp(-z[k]))
            assert row["confidence"] == pytest.approx(max(p, 1 - p), abs=1e-6)
            np.testing.assert_allclose(row[SHARES].to_numpy(float), shares, atol=1e-5)
        if name == "mitotic":
            assert set(table["predicted"]) == {"mitotic", "not mitotic"}
    assert table.attrs["recipe"]["outputs"] == "independent"


def test_independent_labels_need_one_that_is_explained(field):
    stack, labels = field
    checkpoint = around(multi_label(), classes=("a", "b", "c"), outputs="independent")
    crop = cells_of(stack, labels, checkpoint)[2]
    for ask in (
        lambda: gc.audit(stack, labels, checkpoint),
        lambda: compare_maps(crop, checkpoint, by="layers"),
        lambda: list(explain([crop], checkpoint, ("layer1",))),
    ):
        with pytest.raises(GradcamoError, match=r"name the one to explain.*a, b, c"):
            ask()
    views = compare_maps(crop, checkpoint)
    assert [view.title.split(":")[0] for view in views] == ["a", "b", "c"]
    assert len(compare_maps(crop, checkpoint, AuditSettings(target="b"), by="layers")) > 3


def test_one_logit_is_independent_of_nothing():
    with pytest.raises(GradcamoError, match="leave outputs at 'classes' and name two"):
        around(binary(), classes=("a",), outputs="independent")
    with pytest.raises(GradcamoError, match="'classes' or 'independent', got 'sigmoid'"):
        around(SmallResNet(3, 2), outputs="sigmoid")


def test_independent_labels_are_kept_in_a_file(tmp_path):
    about = {"name": "efficientnet-b0", "in_channels": 2, "num_classes": 3, "width": 0.1}
    rest = (("DNA", "actin"), (0.0, 0.0), (1.0, 1.0), CROP, (64, 64, 64), "block_4")
    network = gc.efficientnet3d(**about)
    plain, made = (
        Checkpoint(network, ("a", "b", "c"), *rest, architecture=about, outputs=outputs)
        for outputs in ("classes", "independent")
    )
    made.save(tmp_path / "labels.safetensors")
    assert Checkpoint.load(tmp_path / "labels.safetensors").outputs == "independent"
    assert made.hash != plain.hash


# outputs that are no logits


def ending_in(*modules, classes=3):
    network = SmallResNet(3, 2, classes=classes)
    network.fc = nn.Sequential(network.fc, *modules)
    return network


@pytest.mark.parametrize("batch_size", [1, 3, None])
@pytest.mark.parametrize("inside", [nn.Softmax(1), nn.LogSoftmax(1)])
def test_a_network_with_softmax_inside_is_refused_before_its_first_row(many, inside, batch_size):
    checkpoint = around(ending_in(inside))
    name = "so log-softmax" if isinstance(inside, nn.LogSoftmax) else "so softmax"
    batches = explain(cells_of(*many, checkpoint), checkpoint, ("layer1",), batch_size=batch_size)
    with pytest.raises(GradcamoError, match=rf"first \d cells, {name} is inside") as told:
        next(batches)
    exec(
        str(told.value).split(": ")[-1].removesuffix(" takes it out"),
        {"torch": torch} | {"network": checkpoint.network},
    )  # the line that cures it
    assert list(explain(cells_of(*many, checkpoint), checkpoint, ("layer1",)))


def test_softmax_is_seen_in_few_cells_too(field):
    with pytest.raises(GradcamoError, match="first 4 cells, so softmax is inside"):
        gc.audit(*field, around(ending_in(nn.Softmax(1))))
    with pytest.raises(GradcamoError, match="first 1 cells, so softmax is inside"):
        gc.audit(*field, around(ending_in(nn.Softmax(1))), only=[7])


class ByHand(nn.Module):
    """A sigmoid that no operation of its name makes."""

    def forward(self, x):
        return 1 / (1 + torch.exp(-x))


@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("squashed", [nn.Sigmoid(), ByHand(), nn.Hardsigmoid()])
def test_outputs_that_look_like_probabilities_are_said_once_and_stay(many, classes, squashed):
    names = ("a", "b", "c")[: max(classes, 2)]
    checkpoint = around(ending_in(squashed, classes=classes), classes=names)
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always", GradcamoWarning)
        table = gc.audit(*many, checkpoint)
    (said,) = table.attrs["recipe"]["network_cautions"]
    assert "between 0 and 1 in all of the first 8 cells and look like probabilities" in said
    texts = [str(one.message) for one in given]
    assert said in texts
    assert len(texts) == len(set(texts))


@pytest.mark.parametrize("last", [(), (nn.Flatten(),), (nn.Unflatten(1, (3, 1)), nn.Flatten())])
@pytest.mark.parametrize("wrap", [False, True])
def test_logits_that_lie_between_0_and_1_are_not_taken_for_probabilities(many, last, wrap):
    network = ending_in(*last)
    network.fc[0].weight.data *= 1e-3
    network.fc[0].bias.data[:] = torch.tensor([0.2, 0.5, 0.9])
    network = torch.compile(network) if wrap else network
    checkpoint = around(network)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "the network.s outputs|the network gives", GradcamoWarning)
        table = gc.audit(*many, checkpoint)
    assert table["confidence"].dropna().between(0.3, 0.6).all()  # as softmax makes of such logits


def test_what_a_first_click_could_not_tell_an_audit_does(many):
    checkpoint = around(ending_in(nn.Sigmoid()))
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "the network.s outputs|the network gives", GradcamoWarning)
        gc.audit(*many, checkpoint, only=[4])
    with pytest.warns(GradcamoWarning, match="first 8 cells"):
        gc.audit(*many, checkpoint)


def test_of_logits_nothing_is_said(many):
    positive = SmallResNet(3, 2)
    positive.fc.bias.data += 3
    for checkpoint in (
        around(SmallResNet(3, 2, seed=4)),
        around(positive),
        around(binary(), classes=("a", "b")),
    ):
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "error", "the network.s outputs|the network gives", GradcamoWarning
            )
            table = gc.audit(*many, checkpoint)
        assert table.attrs["recipe"]["network_cautions"] == []
