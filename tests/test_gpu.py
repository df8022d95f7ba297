"""What a GPU does must be what a processor does; skipped where there is no GPU."""

import gc as garbage
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event, Thread

import numpy as np
import pytest
import torch

import gradcamo as gc
from gradcamo import AuditSettings, Checkpoint, CropSettings, ZStack, attention_shares
from gradcamo.auditing.stack import audit_batches, gather
from gradcamo.networks import replay
from gradcamo.networks.infer import batches, explain
from gradcamo.networks.preprocess import rescaled

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")

WIDTH = {"name": "efficientnet-b0", "in_channels": 2, "num_classes": 3, "width": 0.25}
SCORES = ["grad_camo", "neighbour_share", "background_share", "chance", "ceiling", "attainable"]


@pytest.fixture(scope="module")
def checkpoint():
    torch.manual_seed(0)
    network = gc.efficientnet3d(**WIDTH)
    with torch.no_grad():  # else maps are empty
        for _ in range(5):
            network.train()(torch.randn(4, 2, 64, 64, 64))
    return Checkpoint(
        network=network.eval(),
        classes=("control", "low", "high"),
        channels=("DNA", "actin"),
        channel_mean=(0.4, 0.4),
        channel_std=(0.2, 0.2),
        crop=CropSettings(size_yx=(24, 28)),
        input_size=(64, 64, 64),
        layer="block_10",
        architecture=WIDTH,
    )


@pytest.fixture(scope="module")
def cells():
    """A stack of 30 whole cells."""
    random = np.random.default_rng(0)
    labels = np.zeros((6, 150, 180), np.uint16)
    for label in range(30):
        row, column = divmod(label, 6)
        top, left = 20 + 22 * row, 20 + 24 * column
        labels[1:5, top : top + 14, left : left + 15] = label + 1
    image = random.integers(0, 500, (2, *labels.shape))
    image += (labels > 0) * random.integers(50, 3000, (2, 1, 150, 180))
    return ZStack(image.astype(np.uint16), ("DNA", "actin"), source="made up"), labels


@pytest.mark.parametrize("batch_size", [1, 4, 30])
@pytest.mark.parametrize("gradients", ["averaged", "local"])
def test_a_gpu_audits_as_a_processor_does(cells, checkpoint, batch_size, gradients):
    tables, profiles = zip(
        *(
            gather(
                audit_batches(
                    *cells,
                    checkpoint,
                    AuditSettings(device=device, batch_size=batch_size, gradients=gradients),
                )
            )
            for device in ("cpu", "cuda")
        ),
        strict=True,
    )
    assert len(tables[0]) == 30
    assert list(tables[0]["predicted"]) == list(tables[1]["predicted"])
    for name in SCORES:
        np.testing.assert_allclose(*(table[name] for table in tables), atol=2e-3, err_msg=name)
    np.testing.assert_allclose(*profiles, rtol=1e-3, atol=1e-3)


def test_a_gpu_takes_crops_that_are_rescaled_by_percentiles_as_they_are(cells, checkpoint):
    crop = CropSettings(size_yx=checkpoint.crop.size_yx, rescale="percentile")
    by_percentiles = replace(checkpoint, crop=crop)
    here, there = (
        gc.audit(*cells, by_percentiles, AuditSettings(device=device)) for device in ("cpu", "cuda")
    )
    for name in (*SCORES, "confidence"):
        np.testing.assert_allclose(here[name], there[name], atol=2e-3, err_msg=name)
    extremes = gc.audit(*cells, checkpoint, AuditSettings(device="cuda"))
    assert np.abs(extremes["confidence"] - there["confidence"]).max() > 1e-4
    assert extremes["hot_channels"].tolist() == [""] * 30


def fails(*_):
    raise torch.OutOfMemoryError


@pytest.mark.parametrize("target", [None, 2])
def test_replayed_batches_are_those_that_were_not(cells, checkpoint, target, monkeypatch):
    every = tuple(checkpoint.layers)
    crops = list(gc.CellCrops(*cells, checkpoint.crop))
    recorded = []
    make = replay._recorded

    def seen(record):
        checkpoint.last.clear()
        monkeypatch.setattr(replay, "_recorded", record)
        return list(explain(crops, checkpoint, every, target, batch_size=8, device="cuda"))

    replayed = seen(lambda *a: recorded.append(1) or make(*a))
    assert [look.recorded for look in checkpoint.last.values()] == [True]
    assert recorded == [1]  # of three whole batches; the last, of six cells, is filled up
    for one, other in zip(seen(fails), replayed, strict=True):
        for a, b in zip(one, other, strict=True):
            assert a.labels == b.labels
            np.testing.assert_array_equal(a.target, b.target)
            np.testing.assert_allclose(a.maps, b.maps, rtol=1e-3, atol=1e-4 * a.maps.max())
            np.testing.assert_allclose(a.profiles, b.profiles, rtol=1e-3, atol=1e-4)
            np.testing.assert_allclose(a.shares["grad_camo"], b.shares["grad_camo"], atol=1e-3)


def test_the_next_stack_goes_on_with_the_recording_of_the_last(cells, checkpoint, monkeypatch):
    checkpoint.last.clear()
    settings = AuditSettings(device="cuda", batch_size=4)
    first, _ = gather(audit_batches(*cells, checkpoint, settings))
    monkeypatch.setattr(replay, "_recorded", fails)  # another one would be in vain
    again, _ = gather(audit_batches(*cells, checkpoint, settings))
    assert all(look.possible for look in checkpoint.last.values())
    np.testing.assert_array_equal(first["label"], again["label"])
    np.testing.assert_allclose(first["grad_camo"], again["grad_camo"], atol=1e-3)


def test_recordings_give_their_memory_back(cells, checkpoint):
    def held():
        garbage.collect()
        torch.cuda.empty_cache()
        return torch.cuda.memory_reserved()

    checkpoint.last.clear()
    settings = AuditSettings(device="cuda", batch_size=4)
    list(audit_batches(*cells, checkpoint, settings))
    replay.forget_recordings()
    before = held()
    list(audit_batches(*cells, checkpoint, settings))
    assert held() > before
    replay.forget_recordings()
    assert held() <= before


def test_a_recording_outlives_others(cells, checkpoint):
    settings = AuditSettings(device="cuda", batch_size=8)
    other = replace(checkpoint)
    expected, _ = gather(audit_batches(*cells, checkpoint, settings))
    list(audit_batches(*cells, other, settings))
    other.last.clear()
    garbage.collect()
    torch.cuda.empty_cache()
    torch.full((1 << 28,), torch.nan, device="cuda")  # into what was given back
    again, _ = gather(audit_batches(*cells, checkpoint, settings))
    np.testing.assert_allclose(again["grad_camo"], expected["grad_camo"], atol=1e-3)


def test_another_thread_may_record_what_one_began(cells, checkpoint):
    checkpoint.last.clear()
    crops = list(gc.CellCrops(*cells, checkpoint.crop))
    began, done = Event(), Event()

    def begin():
        list(explain(crops[:8], checkpoint, ("block_10",), batch_size=8, device="cuda"))
        began.set()
        done.wait(60)  # so that its libraries are not at hand

    Thread(target=begin).start()
    began.wait(60)
    with ThreadPoolExecutor(1) as other:
        how = {"batch_size": 8, "device": "cuda"}
        other.submit(lambda: list(explain(crops, checkpoint, ("block_10",), **how))).result()
    done.set()
    assert [look.recorded for look in checkpoint.last.values()] == [True]


def test_crops_are_rescaled_on_a_gpu_to_the_very_same_numbers(cells, checkpoint):
    crops = list(gc.CellCrops(*cells, checkpoint.crop))
    assert all(crop.cut_raw for crop in crops)
    (batch,) = batches(crops, 30, torch.device("cuda"))
    raw = torch.stack([cell.image.cuda().float() for cell in batch])
    images = torch.stack([torch.from_numpy(crop.image) for crop in crops])
    assert torch.equal(rescaled(raw).cpu(), images)
    assert torch.equal(rescaled(images.cuda()).cpu(), images)


def test_scores_lie_where_the_maps_do():
    random = np.random.default_rng(0)
    cam = torch.from_numpy(random.random((3, 2, 5, 5), np.float32))
    labels = random.integers(0, 3, (3, 6, 20, 20)).astype(np.uint16)
    labels[:, 0, 0, 0] = 1
    expected = attention_shares(cam, labels, [1, 1, 1])
    got = attention_shares(cam.cuda(), labels, [1, 1, 1])
    for name, values in got.items():
        assert values.device.type == "cuda"
        torch.testing.assert_close(values.cpu(), expected[name], rtol=1e-4, atol=1e-5)
