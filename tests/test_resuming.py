"""A training may be stopped, killed and resumed, and nothing is half written."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from click.testing import CliRunner
from small_training import FLAGS, SMALL, same_weights, settings

from gradcamo.cli.commands import main
from gradcamo.errors import GradcamoError
from gradcamo.networks.checkpoint import Checkpoint
from gradcamo.training.saving import train_and_save
from gradcamo.training.train import train

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and limits")


class _Killed(Exception):
    pass


@contextlib.contextmanager
def disk_that_takes(size):
    """Files that grow larger than ``size`` bytes fail, as on a full disk, until ``free()``."""
    import resource

    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


@posix
@pytest.mark.slow
def test_a_training_that_was_killed_ends_as_one_that_was_not(small_plate, trained, tmp_path):
    out = tmp_path / "model.safetensors"
    state = tmp_path / "model.safetensors.state"
    command = ["train", str(small_plate), "-o", str(out), *FLAGS]
    python = [sys.executable, "-m", "gradcamo.cli.commands"]
    with subprocess.Popen([*python, *command], stderr=subprocess.DEVNULL) as process:
        while not state.exists() and process.poll() is None:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)  # in its second epoch
    assert process.returncode == -signal.SIGKILL
    assert not out.exists()
    resumed = CliRunner().invoke(main, [*command, "--resume"])
    assert resumed.exit_code == 0, resumed.output
    assert "epoch 2 of 2" in resumed.output
    assert "epoch 1 of 2" not in resumed.output
    ended, expected = Checkpoint.load(out), trained[0]
    assert same_weights(ended, expected)
    for what in ("history", "best_epoch", "accuracy", "confusion"):
        assert ended.recipe[what] == expected.recipe[what]
    assert not state.exists()


def test_one_killed_after_its_last_epoch_learns_no_further(small_plate, tmp_path):
    # with steps this small nothing changes, so the second epoch is no better than the first
    frozen = settings(epochs=9, patience=1, learning_rate=1e-30)
    state = tmp_path / "model.state"

    def kill(event):
        if event.stage == "testing":
            raise _Killed

    with pytest.raises(_Killed):
        train(small_plate, frozen, kill, state_file=state)
    assert "optimizer_states" in torch.load(state, weights_only=True)  # no pickle
    with pytest.raises(GradcamoError, match=r"learning_rate is 0\.001, was 1e-30"):
        train(
            small_plate,
            frozen.model_copy(update={"learning_rate": 1e-3}),
            state_file=state,
            resume=True,
        )
    seen = []
    recipe = train(small_plate, frozen, seen.append, state_file=state, resume=True).recipe
    assert not [event for event in seen if event.stage == "training"]
    assert recipe["ended"].startswith("early")
    assert (recipe["best_epoch"], len(recipe["history"])) == (1, 2)


def test_stopping_keeps_the_best_weights_so_far(small_plate, trained, tmp_path):
    seen = []
    out = tmp_path / "model.safetensors"

    def stop():
        return bool(seen) and seen[-1].epoch == 2

    stopped = train_and_save(small_plate, out, SMALL, lambda text: None, seen.append, stop)
    assert [event.done for event in seen if event.epoch == 2] == [1]
    assert stopped.recipe["ended"] == "stopped"
    assert stopped.recipe["history"] == trained[0].recipe["history"][:1]
    assert Checkpoint.load(out).recipe["accuracy"] is None


def test_a_training_goes_on_in_as_many_threads_as_it_began(small_plate, trained, tmp_path):
    out, seen, usual = tmp_path / "model.safetensors", [], torch.get_num_threads()

    def stop():
        return bool(seen) and seen[-1].epoch == 2

    train_and_save(small_plate, out, SMALL, lambda text: None, seen.append, stop)
    torch.set_num_threads(usual + 1)  # as another machine, or OMP_NUM_THREADS, would
    try:
        resumed = train_and_save(small_plate, out, SMALL, lambda text: None, resume=True)
        assert torch.get_num_threads() == usual + 1
    finally:
        torch.set_num_threads(usual)
    assert same_weights(resumed, trained[0])
    assert resumed.recipe["threads"] == usual


def test_stopping_in_the_first_epoch_leaves_nothing_behind(small_plate, tmp_path):
    out = tmp_path / "model.safetensors"
    with pytest.raises(GradcamoError, match="nothing to keep"):
        train_and_save(small_plate, out, SMALL, lambda text: None, stop=lambda: True)
    assert list(tmp_path.iterdir()) == []


@posix
def test_a_disk_that_fills_up_costs_no_finished_epoch(small_plate, tmp_path):
    out = tmp_path / "model.safetensors"
    once = settings(epochs=1)
    with disk_that_takes(1000) as fill_up:

        def full_at_the_end(event):
            if event.stage == "testing":
                fill_up()

        with pytest.raises(GradcamoError, match=r"(?s)model\.safetensors could not.*--resume"):
            train_and_save(small_plate, out, once, lambda text: None, full_at_the_end)
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors.state"]
    with disk_that_takes(1000) as fill_up:

        def full_in_the_second(event):
            if event.epoch == 2:
                fill_up()

        kept = out.with_name("model.safetensors.state").read_bytes()
        with pytest.raises(GradcamoError, match=r"state could not be written \(File too large"):
            train_and_save(
                small_plate, out, SMALL, lambda text: None, full_in_the_second, resume=True
            )
    assert out.with_name("model.safetensors.state").read_bytes() == kept
    assert len(list(tmp_path.iterdir())) == 1
    ended = train_and_save(small_plate, out, once, lambda text: None, resume=True)
    assert same_weights(Checkpoint.load(out), ended)
    assert len(ended.recipe["history"]) == 1


def test_out_of_gpu_memory_halves_the_batch_and_says_so(small_plate, tmp_path):
    from torch.nn.modules.module import register_module_forward_pre_hook

    def too_large(module, inputs):
        if module.training and isinstance(module, torch.nn.Conv3d) and len(inputs[0]) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")

    out = tmp_path / "model.safetensors"
    handle = register_module_forward_pre_hook(too_large)
    try:
        command = ["train", str(small_plate), "-o", str(out), *FLAGS, "--epochs", "1"]
        result = CliRunner().invoke(main, command)
    finally:
        handle.remove()
    assert result.exit_code == 0, result.output
    note = "Note: out of GPU memory: going on with batches of 2, 2 of which make a step"
    assert result.output.count(note) == 2  # at once, and in the report
    settled = Checkpoint.load(out).recipe["settings"]
    assert (settled["batch_size"], settled["accumulate"]) == (2, 2)
