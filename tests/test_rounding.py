"""Nothing is rounded while cells are explained, whatever a script chose for itself."""

from functools import partial
from threading import Barrier, Thread

import pytest
import torch
from small import SmallResNet
from torch import backends
from torch.nn.modules.module import register_module_forward_pre_hook

import gradcamo as gc
from gradcamo import Checkpoint, CropSettings
from gradcamo.networks.rounding import unrounded

OPERATIONS = [
    backends.cuda.matmul,
    backends.cudnn.conv,
    backends.mkldnn.matmul,
    backends.mkldnn.conv,
]


def by_operation():
    return [operation.fp32_precision for operation in OPERATIONS]


def legacy():
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:  # the two ways were mixed
        return None


@pytest.fixture(autouse=True)
def as_it_was():
    everything = [*OPERATIONS, backends.mkldnn, backends.cudnn, backends]
    before = [(one, one.fp32_precision) for one in everything]
    matmul = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(matmul)
    for one, precision in before:
        one.fp32_precision = precision


@pytest.mark.parametrize(
    "choose",
    [
        lambda: None,
        partial(torch.set_float32_matmul_precision, "high"),
        partial(torch.set_float32_matmul_precision, "medium"),
        partial(setattr, backends.cuda.matmul, "allow_tf32", True),
        partial(setattr, backends.cuda.matmul, "fp32_precision", "tf32"),
        partial(setattr, backends.cudnn.conv, "fp32_precision", "ieee"),
        partial(setattr, backends.cudnn, "allow_tf32", False),
        partial(setattr, backends.cudnn, "fp32_precision", "ieee"),
        partial(setattr, backends.mkldnn, "fp32_precision", "bf16"),
        partial(setattr, backends, "fp32_precision", "tf32"),
    ],
    ids=lambda choose: " ".join(map(str, getattr(choose, "args", ["as PyTorch comes"])[-2:])),
)
def test_audits_round_nothing_and_leave_what_a_script_chose(field, choose):
    stack, crop = field[0], CropSettings(size_yx=(24, 28))
    own = Checkpoint.around(SmallResNet(), stack.channels, "layer1", (stack.shape[1], 24, 28), crop)
    choose()
    before, seen = (by_operation(), legacy()), []

    def look(_module, x):
        if not x[0].is_meta:  # from which only shapes are asked
            seen.append(by_operation())

    handle = register_module_forward_pre_hook(look)
    try:
        gc.audit(*field, own)
    finally:
        handle.remove()
    assert seen
    assert all(precisions == ["ieee"] * 4 for precisions in seen)
    assert (by_operation(), legacy()) == before


def test_it_is_chosen_for_all_threads_until_the_last_has_left():
    backends.cuda.matmul.fp32_precision = "tf32"
    first_left, seen = Barrier(2, timeout=30), []

    def other():
        with unrounded():
            first_left.wait()
            first_left.wait()
            seen.append(by_operation()[0])

    thread = Thread(target=other)
    with unrounded():
        thread.start()
        first_left.wait()
    first_left.wait()
    thread.join()
    assert seen == ["ieee"]
    assert by_operation()[0] == "tf32"
