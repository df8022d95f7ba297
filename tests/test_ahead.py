"""The next batch is made while one is in use, and nothing else changes."""

import threading

import pytest

from gradcamo.networks.memory import ahead


def test_items_come_in_their_order_made_in_another_thread():
    makers = set()

    def made():
        for n in range(20):
            makers.add(threading.get_ident())
            yield n

    assert list(ahead(made())) == list(range(20))
    assert makers.isdisjoint({threading.get_ident()})
    assert list(ahead([])) == []
    assert list(ahead([0, None, []])) == [0, None, []]  # whatever they are


def test_the_next_item_is_made_while_one_is_in_use_and_no_further():
    second, third = threading.Event(), threading.Event()

    def made():
        yield 1
        second.set()
        yield 2
        third.set()
        yield 3

    items = ahead(made())
    next(items)
    assert second.wait(10)  # nobody has asked for it yet
    assert not third.wait(0.1)
    items.close()
    assert not third.is_set()


def test_an_error_comes_when_its_item_is_asked_for():
    def made():
        yield 1
        raise ValueError("a damaged plane")

    items = ahead(made())
    assert next(items) == 1
    with pytest.raises(ValueError, match="damaged"):
        next(items)
