"""A network in use: by one thread at a time, in eval mode, and given back as it was.

Hooks and train flags sit on the modules, and a window, an audit and a comparison share them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from threading import Lock, RLock
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary
from zlib import crc32

import torch
from torch import Tensor, nn

N = TypeVar("N", bound=nn.Module)
T = TypeVar("T")

_turns: WeakKeyDictionary[nn.Module, tuple[int, Any]] = WeakKeyDictionary()
_numbers, _registry = count(), Lock()


@contextmanager
def alone(network: nn.Module) -> Iterator[None]:
    """Inside, no other thread is inside with this network, nor with one that shares modules.

    The same thread may enter again. Enter for a batch, never around a ``yield``: a generator that
    is not asked again would keep all others waiting.
    """
    with ExitStack() as turns:
        for turn in _turns_of(network):
            turns.enter_context(turn)
        yield


def _turns_of(network: nn.Module) -> list[Any]:
    """The locks of all its modules, one as a rule, in an order in which nobody waits for ever."""
    modules = list(network.modules())
    with _registry:
        known = dict(turn for module in modules if (turn := _turns.get(module)))
        if not known:
            known = {next(_numbers): RLock()}
        first = next(iter(known.items()))
        for module in modules:
            _turns.setdefault(module, first)
    return [known[number] for number in sorted(known)]


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Eval mode without parameter gradients, `alone`; every flag is given back."""
    with alone(network):
        # setting a flag costs more than reading it
        training = [module for module in network.modules() if module.training]
        needing = [p for p in network.parameters() if p.requires_grad]
        try:
            if training:
                network.eval()
            for p in needing:
                p.requires_grad_(False)
            yield
        finally:
            for module in training:
                module.training = True
            for p in needing:
                p.requires_grad_(True)


@contextmanager
def uncompiled(network: nn.Module) -> Iterator[None]:
    """Modules that were compiled in place run as they were written, so that hooks are called."""
    compiled = {m: m._compiled_call_impl for m in network.modules() if m._compiled_call_impl}
    try:
        for module in compiled:
            module._compiled_call_impl = None
        yield
    finally:
        for module, call in compiled.items():
            module._compiled_call_impl = call


def copied(network: N) -> N:
    """A copy, without hooks and flags of whoever uses the network meanwhile."""
    with alone(network):
        # what is worked out anew in each pass (old weight norm) cannot be copied
        made = (x for m in network.modules() for x in vars(m).values() if isinstance(x, Tensor))
        return copy.deepcopy(network, {id(x): x.detach() for x in made if not x.is_leaf})


def mark_of(network: nn.Module) -> int:
    """A number that changes with any bit of its weights and buffers, however they are changed.

    What has no bits to look at (device meta) or has them packed (quantised) is passed over.
    """
    mark = 0
    for tensor in (*network.parameters(), *network.buffers()):
        if tensor.layout == torch.strided and not (tensor.is_meta or tensor.is_quantized):
            bits = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
            mark = crc32(bits.numpy().data, mark)
    return mark


class made_once(Generic[T]):
    """A `cached_property` of whoever has a ``network``, made by one thread for all.

    It is made of the network's weights as they are then, until `renew` finds others.
    """

    def __init__(self, make: Callable[[Any], T]) -> None:
        self.make, self.name, self.__doc__ = make, make.__name__, make.__doc__

    def __get__(self, owner: Any, kind: type | None = None) -> T:
        if owner is None:
            return self  # type: ignore[return-value]
        with alone(owner.network):
            if self.name not in owner.__dict__:
                if _MADE_OF not in owner.__dict__:
                    owner.__dict__[_MADE_OF] = mark_of(owner.network)
                owner.__dict__[self.name] = self.make(owner)
        made: T = owner.__dict__[self.name]  # found there from now on, without a call
        return made


_MADE_OF = "_made_of"


def renew(owner: Any) -> None:
    """Let go of all that was `made_once` of weights which the network has no longer."""
    before = owner.__dict__.get(_MADE_OF)
    if before is None or before == mark_of(owner.network):
        return
    with alone(owner.network):
        for name, value in vars(type(owner)).items():
            if isinstance(value, made_once):
                owner.__dict__.pop(name, None)
        owner.__dict__.pop(_MADE_OF, None)
