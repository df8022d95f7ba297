"""PyTorch computes in as many threads as it would, whatever other libraries told the thread."""

from threading import Event, Thread

import pytest
import torch
from threadpoolctl import threadpool_limits

from gradcamo.networks.threads import in_threads


@pytest.fixture(autouse=True)
def usual():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_it_is_as_many_as_pytorch_was_told_whatever_another_library_told_openmp():
    with threadpool_limits(2, "openmp"):
        assert torch.get_num_threads() == 2
        with in_threads() as n:
            assert (n, torch.get_num_threads()) == (3, 3)
        assert torch.get_num_threads() == 3


def test_another_number_holds_inside_alone_even_after_an_error():
    seen = []

    def fail():
        with in_threads(1) as n:
            seen.append((n, torch.get_num_threads()))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert seen == [(1, 1)]
    assert torch.get_num_threads() == 3


def test_what_another_thread_chose_for_itself_meanwhile_does_not_count():
    chosen, done = Event(), Event()

    def other():
        with in_threads(1):
            chosen.set()
            done.wait(30)

    thread = Thread(target=other)
    thread.start()
    chosen.wait(30)
    with in_threads() as n:
        assert (n, torch.get_num_threads()) == (3, 3)
        done.set()
        thread.join()
        assert torch.get_num_threads() == 3
    with in_threads() as n:
        assert n == 3
