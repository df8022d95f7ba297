"""Cells of a network that others built: the same score alone, among others, and each time."""

import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from small import SmallResNet
from test_meaning import CROP, SHARES, SIZE, around, by_brute_force, many  # noqa: F401
from torch import nn

import gradcamo as gc
from gradcamo import AuditSettings, Checkpoint, GradcamoError
from gradcamo.errors import GradcamoWarning


def with_norms(norm):
    """A `SmallResNet` with other norms in the place of BatchNorm."""
    network = SmallResNet(3, 2)
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.BatchNorm3d):
                setattr(module, name, norm(child.num_features))
    return network


def without_statistics(width):
    return nn.BatchNorm3d(width, track_running_stats=False)


@pytest.mark.parametrize("batch_size", [1, 3, None])
def test_cells_that_see_each_other_are_scored_alone_and_it_is_said(many, batch_size):  # noqa: F811
    network = with_norms(without_statistics)
    checkpoint = around(network)
    settings = AuditSettings(batch_size=batch_size)
    if batch_size == 1:
        table = gc.audit(*many, checkpoint, settings)
        assert table.attrs["recipe"]["network_cautions"] == []  # as it was asked for
    else:
        with pytest.warns(GradcamoWarning, match=r"among other cells.*scored one at a time"):
            table = gc.audit(*many, checkpoint, settings)
        (said,) = table.attrs["recipe"]["network_cautions"]
        assert "one at a time" in said
    table = table.set_index("label")
    for label, (z, shares) in by_brute_force(*many, network, lambda z: z.max()).items():
        np.testing.assert_allclose(table.loc[label, SHARES].to_numpy(float), shares, atol=1e-5)
        p = np.exp(z) / np.exp(z).sum()
        assert table.loc[label, "confidence"] == pytest.approx(p.max(), abs=1e-5)


def test_a_single_cell_is_tried_with_its_mirror_image(many):  # noqa: F811
    checkpoint = around(with_norms(without_statistics))
    with pytest.warns(GradcamoWarning, match="one at a time"):
        gc.audit(*many, checkpoint, only=[4])


def passes_of(network):
    """Cells per forward pass, from now on."""
    seen = []
    network.register_forward_hook(lambda m, args, out: seen.append(len(out)))
    return seen


@pytest.mark.parametrize("norm", [nn.BatchNorm3d, nn.InstanceNorm3d, lambda n: nn.GroupNorm(2, n)])
def test_cells_that_do_not_see_each_other_stay_together_and_nothing_is_said(many, norm):  # noqa: F811
    checkpoint = around(with_norms(norm))
    seen = passes_of(checkpoint.network)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "the network.s outputs|the network gives", GradcamoWarning)
        gc.audit(*many, checkpoint)
        assert seen == [1, 1, 2, 8, 8]
        seen.clear()
        gc.audit(*many, checkpoint)  # tried once
        assert seen == [8, 8]
        seen.clear()
        gc.audit(*many, checkpoint, AuditSettings(layer="layer2"))  # another layer, again
        assert seen == [1, 1, 2, 8, 8]


def test_our_own_network_is_known_and_costs_no_pass(field):
    torch.manual_seed(0)
    network = gc.efficientnet3d(in_channels=2, num_classes=3, width=0.1)
    checkpoint = Checkpoint.around(network, ("DNA", "actin"), "block_4", (64, 64, 64), CROP)
    seen = passes_of(checkpoint.ready)
    gc.audit(*field, checkpoint)
    assert seen == [4]
    assert checkpoint.trials == {}


class Dropping(SmallResNet):
    def forward(self, x):
        x = self.layer2(self.layer1(self.pool(self.stem(x))))
        return self.fc(F.dropout(self.average(x).flatten(1), 0.3))  # training by default


@pytest.mark.parametrize("batch_size", [1, None])
def test_a_network_that_is_random_in_eval_mode_is_refused(many, batch_size):  # noqa: F811
    with pytest.raises(GradcamoError, match=r"other numbers each time.*training=self\.training"):
        gc.audit(*many, around(Dropping(3, 2)), AuditSettings(batch_size=batch_size))


class OneByOne(SmallResNet):
    """Written for one cell."""

    def forward(self, x):
        x = self.average(self.layer2(self.layer1(self.pool(self.stem(x)))))
        return self.fc(x.reshape(1, 16))


def test_a_network_that_takes_one_cell_only_gets_one_at_a_time(many):  # noqa: F811
    plain = gc.audit(*many, around(SmallResNet(3, 2)), AuditSettings(batch_size=1))
    classes = ("0", "1", "2")
    own = Checkpoint(
        OneByOne(3, 2), classes, ("DNA", "actin"), (0, 0), (1, 1), CROP, SIZE, "layer1"
    )
    with pytest.warns(GradcamoWarning, match="one at a time"):
        table = gc.audit(*many, own)
    np.testing.assert_array_equal(table["grad_camo"], plain["grad_camo"])


@pytest.mark.parametrize("part", ["norm", "no norm", "no activation", "hook", "classifier"])
def test_our_network_with_another_part_is_taken_as_it_is_now(field, part):
    torch.manual_seed(0)
    network = gc.efficientnet3d(in_channels=2, num_classes=3, width=0.1)
    network.train()(torch.rand(2, 2, 64, 64, 64))
    if part == "norm":
        network._bn0 = nn.BatchNorm3d(network._bn0.num_features, track_running_stats=False)
    if part == "no norm":
        network._blocks[1][0]._bn2 = nn.Identity()
    if part == "no activation":
        network._swish = nn.Identity()
    if part == "hook":
        network._bn1.register_forward_hook(lambda m, a, out: out + 0.5)
    if part == "classifier":
        network._fc = nn.Sequential(network._fc, nn.Linear(3, 3))
    network.eval()
    checkpoint = Checkpoint.around(network, ("DNA", "actin"), "block_4", (64, 64, 64), CROP)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GradcamoWarning)
        table = gc.audit(*field, checkpoint).set_index("label")
    crops = gc.CellCrops(*field, CROP)
    i = list(crops.table["label"]).index(40)
    x = checkpoint.prepare(crops[i].image[None])
    with torch.no_grad():
        p = network(x).softmax(1)
    assert table.loc[40, "confidence"] == pytest.approx(float(p.max()), abs=1e-5)
