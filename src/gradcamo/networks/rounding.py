"""Products in full float32: rounded ones (TF32, bfloat16) would move scores by some thousandths."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from threading import Lock
from typing import Any

import torch
from torch import backends

_lock = Lock()
_inside = 0
_back = ExitStack()


@contextmanager
def unrounded() -> Iterator[None]:
    """Until the last of the threads inside has left; then PyTorch rounds as it did before."""
    global _inside
    with _lock:
        if not _inside:
            _switch_off()
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                _back.close()


def _switch_off() -> None:
    switches = list(_switches())
    for turn, before, _off in switches:
        _back.callback(turn, before)
    for turn, _before, off in switches:
        turn(off)


def _switches() -> Iterator[tuple[Callable[[Any], Any], Any, Any]]:
    """How each is turned, where it stands, and what turns it off."""
    on: Any = backends
    for operation in (on.cuda.matmul, on.cudnn.conv, on.mkldnn.matmul, on.mkldnn.conv):
        yield partial(setattr, operation, "fp32_precision"), operation.fp32_precision, "ieee"
    with suppress(RuntimeError):  # refuses to tell where only those above were used
        before = torch.get_float32_matmul_precision()
        yield torch.set_float32_matmul_precision, before, "highest"
