"""What a user waits for, commit by commit: one row of ``benchmarks/history.csv`` each.

    python benchmarks/history.py                 # a row for the commit at hand, half a minute
    python benchmarks/history.py HEAD~20 v0.1.0  # rows for earlier commits, from their own source
    python benchmarks/history.py --show          # the table, nothing is measured

All numbers are processor time of one thread, medians of rounds in which all take turns. Machines
differ, and so does one from day to day: ``yardstick`` is a convolution of PyTorch's own, measured
in the same rounds, and what is shown is divided by it. The work is the built-in plate and the
bundled network, through public names alone, so that earlier commits can do it, too.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd

ROOT = Path(__file__).parents[1]
TABLE = Path(__file__).with_name("history.csv")
ROUNDS = 5
WORK = {
    "yardstick": "3D convolution of PyTorch, ms",
    "help": "gradcamo --help, ms",
    "read": "read a stack into memory, ms",
    "cells": "find its cells, ms",
    "crops": "cut them, ms a cell",
    "audit": "score them, ms a cell",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("commits", nargs="*", default=["HEAD"])
    parser.add_argument("--show", action="store_true")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure)))
        return
    rows = [] if options.show else [row(commit) for commit in options.commits]
    history = pd.DataFrame(rows)
    if TABLE.exists():
        history = pd.concat([pd.read_csv(TABLE, dtype={"commit": str}), history])
    history = history.drop_duplicates("commit", keep="last").sort_values("date")
    history.to_csv(TABLE, index=False)
    shown = history.copy()
    for name in list(WORK)[1:]:
        shown[name] = (history[name] / history["yardstick"]).round(3)
    print("\n".join(f"{name}: {what}" for name, what in WORK.items()))
    print("beside the yardstick:")
    print(shown.to_string(index=False))


def row(commit: str) -> dict[str, Any]:
    """What one commit takes, measured in a process of its own."""
    name = git("rev-parse", "--short=9", commit)
    date = git("show", "--no-patch", "--format=%cI", commit)
    if commit == "HEAD" and git("status", "--porcelain", "src"):
        name += "+"  # and what is not committed yet
    with source_of(commit) as source:
        environment = os.environ | {"PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, __file__, "--measure", str(source)]
        out = subprocess.run(
            command, env=environment, check=True, stdout=subprocess.PIPE, text=True
        )
    return {"date": date, "commit": name, **json.loads(out.stdout.splitlines()[-1])}


@contextmanager
def source_of(commit: str) -> Any:
    """Its ``src``: of HEAD the folder at hand, of others a copy."""
    if commit == "HEAD":
        yield ROOT / "src"
        return
    with tempfile.TemporaryDirectory() as folder:
        packed = subprocess.run(
            ["git", "archive", commit, "src"], cwd=ROOT, check=True, stdout=subprocess.PIPE
        )
        subprocess.run(["tar", "-x", "-C", folder], input=packed.stdout, check=True)
        yield Path(folder) / "src"


def git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    ).stdout.strip()


def measure(source: Path) -> dict[str, Any]:
    """Medians of all kinds of work with the package that lies in ``source``."""
    import torch

    import gradcamo as gc
    from gradcamo.samples.design import PlateDesign
    from gradcamo.samples.plate import make_plate

    assert Path(gc.__file__).is_relative_to(source), gc.__file__
    torch.set_num_threads(1)
    work = Path(tempfile.mkdtemp())
    make_plate(work, PlateDesign(rows=("E",), columns=("02",), sites=1))
    image, labels_file = (next((work / kind).iterdir()) for kind in ("images", "labels"))
    stack, labels = gc.read_stack(image).in_memory(), gc.read_labels(labels_file)
    checkpoint = gc.Checkpoint.load(next(source.rglob("demo_checkpoint.safetensors")))
    crops, n = gc.CellCrops(stack, labels, checkpoint.crop), int(labels.max())
    scored = int(gc.audit(stack, labels, checkpoint)["grad_camo"].notna().sum())
    convolve, x = torch.nn.Conv3d(8, 8, 3, padding=1), torch.rand(1, 8, 32, 64, 64)
    turns: dict[str, tuple[Callable[[], Any], int]] = {
        "yardstick": (lambda: convolve(x), 1),
        "help": (lambda: subprocess.run(HELP, check=True, stdout=subprocess.DEVNULL), 1),
        "read": (lambda: gc.read_stack(image).in_memory(), 1),
        "cells": (lambda: gc.CellCrops(stack, labels, checkpoint.crop), 1),
        "crops": (lambda: [crop.image for crop in crops], n),
        "audit": (lambda: gc.audit(stack, labels, checkpoint), scored),
    }
    took: dict[str, list[float]] = {name: [] for name in turns}
    for _ in range(ROUNDS):
        for name, (do, times) in turns.items():
            before = spent()
            do()
            took[name].append(1000 * (spent() - before) / times)
    return {"torch": torch.__version__} | {name: round(median(took[name]), 3) for name in turns}


HELP = [sys.executable, "-c", "from gradcamo.cli.commands import main; main(['--help'])"]


def spent() -> float:
    """Processor time of this process and of those that it waited for, s."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


if __name__ == "__main__":
    main()
