"""The next items are made while one is in use, and nothing else changes."""

import threading
import time

import pytest

from gradcamo.networks.memory import ahead


def test_items_come_in_their_order_made_in_other_threads():
    makers = set()

    def make(n):
        makers.add(threading.get_ident())
        time.sleep(0.01 * (n % 3 == 0))  # those after it are done before
        return n * n

    assert list(ahead(make, range(20), 4)) == [n * n for n in range(20)]
    assert makers.isdisjoint({threading.get_ident()})
    assert list(ahead(make, [], 4)) == []
    assert list(ahead(lambda n: n, [0, None, []], 8)) == [0, None, []]  # whatever they are


def test_so_many_are_made_while_one_is_in_use_and_no_more():
    made = [threading.Event() for _ in range(10)]
    items = ahead(lambda n: made[n].set(), range(10), 3)
    next(items)
    assert all(event.wait(10) for event in made[:4])  # nobody has asked for three of them yet
    assert not made[4].wait(0.1)
    items.close()
    assert not made[4].is_set()


def test_what_nobody_will_ask_for_is_not_made():
    closed, made = threading.Event(), []

    def make(n):
        made.append(n)
        assert n == 0 or closed.wait(10)

    items = ahead(make, range(1000), 500)
    next(items)
    items.close()
    closed.set()
    time.sleep(0.1)
    assert len(made) < 20  # those that threads had begun with


def test_an_error_comes_when_its_item_is_asked_for():
    def make(n):
        if n == 1:
            raise ValueError("a damaged plane")
        return n

    items = ahead(make, range(3), 2)
    assert next(items) == 0
    with pytest.raises(ValueError, match="damaged"):
        next(items)
