"""A network that several threads use at once gives each what it gives alone."""

import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from small import SmallResNet
from torch import nn

from gradcamo import AuditSettings, Checkpoint, CropSettings, efficientnet3d, grad_cam
from gradcamo.auditing.compare import compare_maps
from gradcamo.auditing.stack import audit_batches, cells_of, gather
from gradcamo.networks.geometry import describe_layers
from gradcamo.networks.sharing import alone, mark_of

CROP = CropSettings(size_yx=(32, 32))
WHOLE = [7, 40, 41, 90_000]


@pytest.fixture(autouse=True)
def often():
    """Threads change places often, so that none is lucky."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def bundled():
    torch.manual_seed(1)
    about = {"name": "efficientnet-b0", "in_channels": 2, "num_classes": 3, "width": 0.1}
    return Checkpoint(
        network=efficientnet3d(**about),
        classes=("control", "low", "high"),
        channels=("DNA", "actin"),
        channel_mean=(0.2, 0.5),
        channel_std=(0.3, 0.25),
        crop=CROP,
        input_size=(64, 64, 64),
        layer="block_4",
        architecture=about,
    )


def own(network=None):
    return Checkpoint.around(
        network or SmallResNet(3, 2), ("DNA", "actin"), "layer1", (16, 32, 32), CROP
    )


def in_training():
    """Left in train mode, but for a part that its owner froze; with dropout."""
    network = SmallResNet(3, 2)
    network.fc = nn.Sequential(nn.Dropout(0.5), network.fc)
    network.train()
    network.layer2.eval()
    return own(network)


def transformer():
    pytest.importorskip("einops", reason="MONAI's ViT needs einops")
    from monai.networks.nets import ViT

    torch.manual_seed(0)
    size = {"hidden_size": 24, "mlp_dim": 32, "num_layers": 2, "num_heads": 4, "num_classes": 3}
    network = ViT(2, (16, 32, 32), (8, 8, 8), **size, classification=True)
    return Checkpoint.around(
        network, ("DNA", "actin"), "attention_rollout", (16, 32, 32), CROP, classes=tuple("abc")
    )


def what_people_do(field, checkpoint):
    """An audit, another layer's, a click on each cell, comparisons: each gives arrays."""
    stack, labels = field
    crops = cells_of(stack, labels, checkpoint)
    layers = [checkpoint.layer, list(checkpoint.layers)[-1]]

    def audit(only=None, layer=None):
        settings = AuditSettings(layer=layer, batch_size=3)
        batches = list(audit_batches(stack, labels, checkpoint, settings, only))
        table, profiles = gather(batches)
        scores = table[["confidence", "grad_camo", "chance", "ceiling"]].to_numpy(float)
        return [scores, profiles, *(batch.maps for batch in batches)]

    def compare(by):
        i = int(np.flatnonzero(crops.table["label"] == 40)[0])
        views = compare_maps(crops[i], checkpoint, AuditSettings(), by)
        return [np.array([view.title for view in views]), *(view.cam for view in views)]

    def describe():
        return [np.array([str(describe_layers(checkpoint.network, shape))])]

    shape = (2, *checkpoint.input_size)
    jobs = [lambda layer=layer: audit(layer=layer) for layer in layers]
    jobs += [lambda label=label: audit([label]) for label in WHOLE]
    jobs += [lambda: compare("layers")]
    if checkpoint.layer != "attention_rollout":
        jobs += [lambda: compare("treatments"), describe]
    return jobs


def in_threads(jobs, threads=8):
    with ThreadPoolExecutor(threads) as pool:
        return [future.result(120) for future in [pool.submit(job) for job in jobs]]


def elsewhere(job):
    """What another thread finds; None if it waits for ever."""
    found = []
    thread = threading.Thread(target=lambda: found.append(job()), daemon=True)
    thread.start()
    thread.join(20)
    return found[0] if found else None


def same(found, expected):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def flags(network):
    return (
        [module.training for module in network.modules()],
        [p.requires_grad for p in network.parameters()],
        [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in network.modules()],
    )


@pytest.mark.parametrize("make", [bundled, own, in_training, transformer])
def test_forty_at_once_give_bitwise_what_they_give_one_by_one(field, make):
    checkpoint = make()
    before = flags(checkpoint.network)
    kept = {name: value.clone() for name, value in checkpoint.network.state_dict().items()}
    jobs = what_people_do(field, make())
    expected = [job() for job in jobs]
    jobs = what_people_do(field, checkpoint)
    order = np.random.default_rng(0).permutation(40) % len(jobs)
    for k, found in zip(order, in_threads([jobs[k] for k in order]), strict=True):
        same(found, expected[k])
    assert flags(checkpoint.network) == before
    after = checkpoint.network.state_dict()
    assert all(torch.equal(after[name], value) for name, value in kept.items())


def test_networks_that_share_a_part_take_turns():
    torch.manual_seed(2)
    backbone = SmallResNet(3, 2)
    networks = [nn.Sequential(backbone, nn.Linear(3, 2)) for _ in range(3)] + [backbone]
    layers = ["0.layer1"] * 3 + ["layer1"]
    x = torch.rand(2, 2, 16, 32, 32)
    expected = [grad_cam(n, x, [name]).maps[name] for n, name in zip(networks, layers, strict=True)]
    for network in networks:
        network.train()

    def map_of(i):
        return grad_cam(networks[i], x, [layers[i]]).maps[layers[i]]

    found = in_threads([lambda i=i % 4: map_of(i) for i in range(60)])
    for i, cam in enumerate(found):
        assert torch.equal(cam, expected[i % 4])
    assert all(module.training for network in networks for module in network.modules())


def test_a_layer_is_described_without_a_look_at_whoever_explains_meanwhile():
    network, seen, there, go_on = SmallResNet(3, 2), [], threading.Event(), threading.Event()

    def wait(module, args):
        if args[0].device.type != "meta":
            there.set()
            go_on.wait(5)

    network.layer2.register_forward_pre_hook(wait)
    x = torch.rand(2, 2, 16, 32, 32)
    explaining = threading.Thread(
        target=lambda: seen.append(grad_cam(network, x, ["layer1"]).maps["layer1"])
    )
    explaining.start()
    assert there.wait(5)
    described = ThreadPoolExecutor(1).submit(describe_layers, network, (2, 16, 32, 32))
    time.sleep(0.05)
    assert not described.done()  # it waits for its turn
    go_on.set()
    explaining.join(20)
    described.result(20)
    assert seen[0].device.type == "cpu"
    assert seen[0].shape == (2, 4, 8, 8)


def test_what_a_checkpoint_makes_once_is_made_once_for_all_threads():
    checkpoint = bundled()
    meta = torch.device("meta")
    for make in (lambda: checkpoint.ready, lambda: checkpoint.layers, lambda: checkpoint.on(meta)):
        found = in_threads([make] * 16, 16)
        assert all(one is found[0] for one in found)


def test_an_audit_that_is_not_asked_for_more_keeps_nobody_waiting(field):
    checkpoint = own()
    settings = AuditSettings(batch_size=1)
    one, other = (audit_batches(*field, checkpoint, settings) for _ in range(2))
    next(one), next(one), next(other), next(other)  # suspended between two cells

    def third():
        return sum(len(batch.table) for batch in audit_batches(*field, checkpoint, settings))

    assert elsewhere(third) == 5
    assert sum(len(batch.table) for batch in one) == sum(len(batch.table) for batch in other) == 3


def test_a_turn_ends_with_an_error_too():
    network = SmallResNet(3, 2)
    with pytest.raises(KeyError), alone(network), alone(network.layer1):
        raise KeyError

    def enter():
        with alone(network):
            return True

    assert elsewhere(enter)


def kept_in_double():
    network = SmallResNet(3, 2)
    network.register_buffer("empty", torch.empty(0))
    return own(network.double())


@pytest.mark.parametrize("made", [bundled, own, kept_in_double])
def test_a_network_whose_weights_were_changed_is_audited_as_it_is_now(made, field):
    checkpoint = made()

    def scores(of):
        table, profiles = gather(audit_batches(*field, of))
        return table["confidence"].to_numpy(), table["grad_camo"].to_numpy(), profiles

    first, hashed = scores(checkpoint), checkpoint.hash
    mark = mark_of(checkpoint.network)
    assert checkpoint.ready is checkpoint.ready
    weights = dict(checkpoint.network.named_parameters())
    for name in ("_fc.weight", "_conv_stem.weight", "fc.weight", "stem.0.weight"):
        if name in weights:
            weights[name].data.mul_(-2)  # which leaves no trace in its version counter
    assert mark_of(checkpoint.network) != mark
    again, fresh = scores(checkpoint), scores(replace(checkpoint))
    for now, then in zip(again, fresh, strict=True):
        np.testing.assert_array_equal(now, then)
    assert not np.allclose(again[-1], first[-1])
    assert checkpoint.hash == replace(checkpoint).hash != hashed


def test_what_was_made_of_weights_that_are_there_still_is_not_made_again(field):
    checkpoint = own()
    gather(audit_batches(*field, checkpoint))
    layers, trials = checkpoint.layers, dict(checkpoint.trials)
    gather(audit_batches(*field, checkpoint))
    assert checkpoint.layers is layers
    assert checkpoint.trials == trials != {}
