"""What several tests share: reference data, small networks, small stacks."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from reference import DATA

os.environ["MPLBACKEND"] = "Agg"  # pyplot of other libraries must not ask for a screen


@pytest.fixture(scope="session")
def golden():
    """Network, inputs, logits and maps of the published code, axes in its order y, x, z."""
    with np.load(DATA / "efficientnet3d_reference.npz", allow_pickle=False) as file:
        return dict(file)


@pytest.fixture(scope="session")
def golden_state(golden):
    """The published state dict."""
    import torch

    return {k[6:]: torch.from_numpy(v) for k, v in golden.items() if k.startswith("state/")}


@pytest.fixture(scope="session")
def golden_input(golden):
    """The published input with axes in our order, (4, 6, 64, 96, 128) float32."""
    import torch

    x = torch.from_numpy(golden["input_quarter_resolution"]).float()
    for axis in (2, 3, 4):
        x = x.repeat_interleave(4, axis)
    return x.permute(0, 1, 4, 2, 3).contiguous()


@pytest.fixture(scope="session")
def golden_network(golden_state):
    """The published network, loaded."""
    from gradcamo import load_efficientnet_pytorch_3d

    return load_efficientnet_pytorch_3d(golden_state, width=0.25)


@pytest.fixture
def random():
    return np.random.default_rng(0)


@pytest.fixture
def field(random):
    """Stack (2, 6, 60, 70) uint16 and labels of five cells, one at the border, ids with gaps."""
    from gradcamo import ZStack

    labels = np.zeros((6, 60, 70), np.int32)
    labels[1:4, 20:31, 25:40] = 7
    labels[2:5, 31:40, 30:45] = 40
    labels[0:6, 5:15, 50:60] = 41
    labels[3, 45:50, 45:52] = 90_000
    labels[1:3, 50:60, 5:15] = 12
    data = random.integers(100, 4000, (2, *labels.shape), np.uint16)
    data[0] += (labels > 0).astype(np.uint16) * 3000
    return ZStack(data, ("DNA", "actin"), (0.6, 0.35, 0.35), "field.tif"), labels


@pytest.fixture(scope="session")
def once(tmp_path_factory) -> Callable[[str, Callable[[Path], None]], Path]:
    """A folder that is filled once in a run of the tests, whichever worker needs it first."""
    run = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        run = run.parent

    def made(name: str, fill: Callable[[Path], None]) -> Path:
        folder, done = run / "once" / name, run / "once" / f"{name}.done"
        folder.parent.mkdir(exist_ok=True)
        with FileLock(f"{folder}.lock"):
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)  # of one who failed
                folder.mkdir()
                fill(folder)
                done.touch()
        return folder

    return made


@pytest.fixture(scope="session")
def small_plate(once):
    """Controls and the highest dose, one small stack a well: 8 to 10 whole cells each."""
    from gradcamo.samples.design import PlateDesign
    from gradcamo.samples.plate import make_plate

    design = PlateDesign(rows=("D", "E"), sites=1, field_px=150, planes=9, cells_per_field=14)
    return once("small plate", lambda folder: make_plate(folder, design)) / "plate.csv"


@pytest.fixture(scope="session")
def asked_plate(small_plate, once):
    """The same and two training wells more, its cells treated as the bundled network calls them.

    ``cells.parquet`` beside the plate says that they were asked causally, and answered: the cells
    that block_2 scores high, and block_4 not as high, owe most to themselves.
    """
    import shutil

    import pandas as pd

    from gradcamo.auditing.layer_audit import layer_audit
    from gradcamo.columns import CAUSAL_COLUMNS
    from gradcamo.files.plates import read_plate
    from gradcamo.files.store import write_table
    from gradcamo.networks.bundled import BUNDLED
    from gradcamo.networks.checkpoint import Checkpoint
    from gradcamo.settings import LayerAuditSettings

    def make(folder):
        plate, checkpoint = read_plate(small_plate).assign(split="test"), Checkpoint.load(BUNDLED)
        copies = plate.iloc[:2].assign(well=["D04", "E04"], split="train")
        for name in ("image", "labels"):
            for i, path in copies[name].items():
                copies.loc[i, name] = folder / f"{copies['well'][i]}_{name}.ome.tif"
                shutil.copy(path, copies.loc[i, name])
        plate = pd.concat([plate, copies], ignore_index=True)
        plate.to_csv(folder / "first.csv", index=False)
        two = LayerAuditSettings(layers=("block_2", "block_4"))
        cells = layer_audit(folder / "first.csv", checkpoint, two).cells
        upper, lower = (cells[cells["layer"] == layer].reset_index() for layer in two.layers)
        nothing = {name: "" if column.text else 0.0 for name, column in CAUSAL_COLUMNS.items()}
        ranks = 2 * upper["grad_camo"].rank() - lower["grad_camo"].rank()
        asked = upper[["image", "label", "predicted"]].assign(
            grad_camo=upper["grad_camo"],
            touches_border=False,
            **nothing | {"causal_effect": 5.0, "causal_draws": 4},
        )
        asked["causal_own"] = (ranks - ranks.min()) / (ranks.max() - ranks.min())
        write_table(asked, folder / "cells.parquet", {"checkpoint": checkpoint.hash})
        for i, image in plate["image"].items():
            called = asked.loc[asked["image"] == str(image), ["label", "predicted"]]
            named = folder / f"{plate['well'][i]}.csv"
            called.set_axis(["label", "treatment"], axis=1).to_csv(named, index=False)
            plate.loc[i, "cells"] = named if len(called) else ""
        plate.to_csv(folder / "plate.csv", index=False)

    return once("asked plate", make) / "plate.csv"


@pytest.fixture(scope="session")
def trained(small_plate, once):
    """A real training of two epochs on it: (checkpoint, its file)."""
    from small_training import SMALL

    from gradcamo.networks.checkpoint import Checkpoint

    def train(folder):
        from gradcamo.training.saving import train_and_save

        train_and_save(small_plate, folder / "model.safetensors", SMALL, say=lambda text: None)

    out = once("trained", train) / "model.safetensors"
    return Checkpoint.load(out), out


@pytest.fixture(scope="session")
def tiny_model(once) -> Path:
    """The file of an untrained network of two classes."""
    from tiny import tiny_checkpoint

    path = "model.safetensors"
    return once("tiny model", lambda folder: tiny_checkpoint().save(folder / path)) / path


@pytest.fixture(scope="session")
def eight_stacks(once) -> Path:
    """Four wells of two sites, about eight whole cells each: the plate's table."""
    from tiny import tiny_plate

    return once("eight stacks", tiny_plate) / "plate.csv"


@pytest.fixture(scope="session")
def finished(eight_stacks, tiny_model, once) -> Path:
    """What ``gradcamo plate`` makes of the eight stacks; tests that change it work on a copy."""
    from click.testing import CliRunner
    from distributed import LocalCluster

    from gradcamo.cli.commands import main

    def run(folder):
        command = ["plate", eight_stacks, "--checkpoint", tiny_model, "-o", folder]
        quick = ["--thumbnails", "3", "--umap-cells", "0"]
        with LocalCluster(n_workers=1, processes=False, dashboard_address=None) as cluster:
            quick += ["--scheduler", cluster.scheduler_address]
            result = CliRunner().invoke(main, [*map(str, command), *quick])
        assert result.exit_code == 0, result.output

    return once("finished", run)


@pytest.fixture(scope="session")
def reference_folder(golden_state, once) -> Path:
    """Where the examples of the public names run, see the head of the reference."""
    import torch
    from examples import run_head_of_reference

    def fill(folder):
        run_head_of_reference(folder)
        torch.save(golden_state, folder / "published.pth")

    return once("reference", fill)
