"""What is recorded when; that replays are right is for test_gpu.py."""

import pytest
import torch

from gradcamo.networks import replay
from gradcamo.networks.replay import Replayed, forget_recordings


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


def test_another_size_that_comes_twice_takes_its_place(recorded):
    double = Replayed(lambda x: int(x.sum()) * 2, possible=True)
    assert [double(torch.ones(n)) for n in (4, 4, 2, 2, 2, 4)] == [8, 108, 4, 104, 104, 8]
    assert recorded == [4, 2]


def test_all_inputs_must_be_of_the_same_size(recorded):
    total = Replayed(lambda x, y: int(x.sum() + y.sum()), possible=True)
    assert [total(torch.ones(4), torch.ones(n)) for n in (1, 2, 2, 3)] == [5, 6, 106, 7]
    assert total(torch.ones(4), torch.ones(2, 5)) == 14  # of another shape in all but rows


def test_what_cannot_be_recorded_is_done_each_time(recorded, monkeypatch):
    def fails(*_):
        raise RuntimeError("CUDA error: out of memory")

    never = Replayed(len, possible=False)
    assert [never(torch.ones(4)) for _ in range(3)] == [4, 4, 4]
    assert recorded == []
    monkeypatch.setattr(replay, "_recorded", fails)
    in_vain = Replayed(len, possible=True)
    assert [in_vain(torch.ones(4)) for _ in range(3)] == [4, 4, 4]
    assert not in_vain.possible  # and not tried again


def test_recordings_are_forgotten_when_memory_is_needed(recorded):
    double = Replayed(lambda x: int(x.sum()) * 2, possible=True)
    for _ in range(3):
        double(torch.ones(4))
    forget_recordings()
    assert [double(torch.ones(4)) for _ in range(2)] == [8, 108]
    assert recorded == [4, 4]
