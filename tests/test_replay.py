"""What is recorded when; that replays are right is for test_gpu.py."""

import weakref
from typing import NamedTuple

import pytest
import torch

from gradcamo.errors import GradcamoWarning
from gradcamo.networks import replay
from gradcamo.networks.memory import smaller_batch
from gradcamo.networks.replay import Replayed, check_alike, forget_recordings


@pytest.fixture
def recorded(monkeypatch):
    """Sizes that were recorded; instead of a GPU, the work itself does the replaying."""
    sizes = []

    def record(work, tensors):
        sizes.append(len(tensors[0]))
        return lambda *again: work(*again) + 100

    monkeypatch.setattr(replay, "_recorded", record)
    return sizes


def test_the_second_of_the_same_size_is_recorded_and_what_follows_replayed(recorded):
    double = Replayed(lambda x: int(x.sum()) * 2, possible=True)
    assert [double(torch.ones(4)) for _ in range(4)] == [8, 108, 108, 108]
    assert recorded == [4]


def test_a_last_smaller_batch_takes_no_recordings_place(recorded):
    double = Replayed(lambda x: int(x.sum()) * 2, possible=True)
    for size, then in ((3, 106), (2, 4), (1, 2)):  # few rows are not filled up
        seen = [[double(torch.ones(n)) for n in (4, 4, 4, size)] for _stack in range(3)]
        assert seen[1:] == [[108, 108, 108, then]] * 2
    assert recorded == [4]


def test_a_larger_size_that_comes_twice_takes_its_place(recorded):
    double = Replayed(lambda x: int(x.sum()) * 2, possible=True)
    assert [double(torch.ones(n)) for n in (2, 2, 4, 4, 2, 4)] == [4, 104, 8, 108, 4, 108]
    assert recorded == [2, 4]


def test_the_place_is_free_before_it_is_taken(recorded, monkeypatch):
    alive = []
    stub = replay._recorded

    def record(work, tensors):
        made = stub(work, tensors)
        assert all(reference() is None for reference in alive)
        alive.append(weakref.ref(made))
        return made

    monkeypatch.setattr(replay, "_recorded", record)
    double = Replayed(lambda x: int(x.sum()) * 2, possible=True)
    for n in (2, 2, 4, 4):
        double(torch.ones(n))
    assert len(alive) == 2


def test_whole_batches_are_recorded_though_others_come_between(recorded):
    double = Replayed(lambda x: int(x.sum()) * 2, possible=True)
    assert [double(torch.ones(n)) for n in (8, 2, 8, 2, 8, 2)] == [16, 4, 116, 4, 116, 4]
    assert recorded == [8]


def test_all_inputs_must_be_of_the_same_size(recorded):
    total = Replayed(lambda x, y: int(x.sum() + y.sum()), possible=True)
    seen = [total(torch.ones(4), torch.ones(4, n)) for n in (1, 2, 2, 3, 2)]
    assert seen == [8, 12, 112, 16, 112]


def test_what_cannot_be_recorded_is_done_each_time(recorded, monkeypatch):
    def fails(*_):
        raise torch.OutOfMemoryError

    never = Replayed(len, possible=False)
    assert [never(torch.ones(4)) for _ in range(3)] == [4, 4, 4]
    assert recorded == []
    monkeypatch.setattr(replay, "_recorded", fails)
    in_vain = Replayed(len, possible=True)
    assert [in_vain(torch.ones(4)) for _ in range(3)] == [4, 4, 4]
    assert not in_vain.possible  # and not tried again


@pytest.mark.parametrize("error", [RuntimeError, AttributeError])
def test_a_failure_for_another_reason_is_told_and_ends_all_recording(recorded, monkeypatch, error):
    def fails(*_):
        raise error("operation not permitted when stream is capturing")

    monkeypatch.setattr(Replayed, "works", True)
    make = replay._recorded
    monkeypatch.setattr(replay, "_recorded", fails)
    first = Replayed(len, possible=True)
    first(torch.ones(4))
    with pytest.warns(GradcamoWarning, match="not permitted"):
        assert first(torch.ones(4)) == 4
    monkeypatch.setattr(replay, "_recorded", make)
    second = Replayed(len, possible=True)
    assert [second(torch.ones(4)) for _ in range(3)] == [4, 4, 4]


def test_a_recording_must_give_the_numbers_of_the_work_itself():
    class Seen(NamedTuple):
        maps: torch.Tensor
        at: str

    maps, target = torch.rand(4, 3, 5), torch.tensor([2, 0, 1])
    maps[0, 0, 0] = torch.nan  # of a cell that cannot be scored
    expected = (target, [Seen(maps, "block_3")])
    check_alike(expected, (target.clone(), [Seen(maps * (1 + 1e-5), "block_3")]))
    for wrong in (maps * 1.1, maps.roll(1, 0), torch.zeros_like(maps), maps.nan_to_num()):
        with pytest.raises(RuntimeError, match="differed"):
            check_alike(expected, (target, [Seen(wrong, "block_3")]))
    with pytest.raises(RuntimeError, match="differed"):
        check_alike(expected, (target + 1, expected[1]))


def test_memory_that_a_recording_took_is_not_a_batch_too_large(recorded, monkeypatch):
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    forget_recordings()
    double = Replayed(lambda x: int(x.sum()) * 2, possible=True)
    for _ in range(2):
        double(torch.ones(4))
    assert [smaller_batch(4, "cell") for _ in range(2)] == [4, 2]


def test_recordings_are_forgotten_when_memory_is_needed(recorded):
    double = Replayed(lambda x: int(x.sum()) * 2, possible=True)
    for _ in range(3):
        double(torch.ones(4))
    forget_recordings()
    assert [double(torch.ones(4)) for _ in range(2)] == [8, 108]
    assert recorded == [4, 4]
