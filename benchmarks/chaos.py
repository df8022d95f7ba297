"""Kill workers, the scheduler and the client at random; then count the rows.

    python benchmarks/chaos.py [--kills 20] [--seed 0]

A plate of 24 stacks is audited on a cluster of separate processes while `kill -9` falls on them at
random moments. What died is started again, as an operator would. Every time a run ends well, its
tables are compared with those of a run that nobody disturbed, cell by cell and bit by bit, and
another run is started until all kills are spent.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import psutil
from tiny import tiny_checkpoint, tiny_plate

from gradcamo.files.store import read_table
from gradcamo.plate.run import audit_plate
from gradcamo.settings import PlateSettings

SETTINGS = PlateSettings(umap_cells=0, thumbnails=4, workers=2)
ENVIRONMENT = {
    **os.environ,
    "OMP_NUM_THREADS": "1",
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "5s",
    "DASK_DISTRIBUTED__LOGGING__DISTRIBUTED": "critical",
}
PORT = 18786
CLIENT = """
import sys
from gradcamo.plate import scheduling
from gradcamo.plate.run import audit_plate
from chaos import SETTINGS
scheduling.LOST_AFTER_S = 3
summary = audit_plate(*sys.argv[1:4], SETTINGS, sys.argv[4])
sys.exit(summary.exit_status)
"""


class Cluster:
    """A scheduler, two workers with their nannies, and a client, each a process of its own."""

    def __init__(self, plate: Path, model: Path, log: Path) -> None:
        self.plate, self.model, self.log = plate, model, log
        self.processes: dict[str, subprocess.Popen] = {}
        self.idle_since: dict[str, float] = {}

    def start(self, out: Path) -> None:
        """Whatever does not run is started."""
        dask = [sys.executable, "-m", "dask"]
        address = f"tcp://127.0.0.1:{PORT}"
        commands = {
            "scheduler": [*dask, "scheduler", "--port", str(PORT), "--no-dashboard"],
            "worker-1": [*dask, "worker", address, "--nthreads", "1", "--no-dashboard"],
            "worker-2": [*dask, "worker", address, "--nthreads", "1", "--no-dashboard"],
            "client": [sys.executable, "-c", CLIENT, self.plate, self.model, out, address],
        }
        for name, command in commands.items():
            if name.startswith("worker") and name in self.processes:
                self.end_idle_nanny(name)
            if name not in self.processes or self.processes[name].poll() is not None:
                self.processes[name] = subprocess.Popen(
                    command,
                    env=ENVIRONMENT,
                    cwd=Path(__file__).parent,
                    stdout=self.log.open("a"),
                    stderr=subprocess.STDOUT,
                )

    def end_idle_nanny(self, name: str) -> None:
        """A nanny that lost its scheduler may stay without a child: a batch system would end it."""
        if computing(self.processes[name]):
            self.idle_since[name] = time.monotonic()
        elif time.monotonic() - self.idle_since.setdefault(name, time.monotonic()) > 30:
            self.processes[name].kill()
            self.processes[name].wait()
            del self.idle_since[name]

    def kill(self, name: str) -> bool:
        """SIGKILL for a process; for a worker that of its computing child, below the nanny."""
        process = self.processes[name]
        if process.poll() is not None:
            return False
        victim = process.pid
        if name.startswith("worker"):
            if not (found := computing(process)):
                return False
            victim = found[-1].pid
        os.kill(victim, signal.SIGKILL)
        return True

    def stop(self) -> None:
        for process in self.processes.values():
            for child in [*_children(process), process]:
                child.kill()
            process.wait()


def computing(nanny: subprocess.Popen) -> list[psutil.Process]:
    """What computes below a nanny."""
    found = []
    for child in _children(nanny):
        try:
            if "spawn_main" in " ".join(child.cmdline()):
                found.append(child)
        except psutil.Error:
            continue
    return found


def _children(process: subprocess.Popen) -> list[psutil.Process]:
    try:
        return psutil.Process(process.pid).children(recursive=True)
    except psutil.Error:
        return []


def landed(out: Path) -> int:
    """Stacks that are there."""
    return len(list(out.glob("cells/*/[!.]*.parquet")))


def compare(out: Path, reference: Path) -> int:
    """Rows of a run, having checked that they are those of the undisturbed run."""
    table, expected = (read_table(folder / "cells.parquet") for folder in (out, reference))
    keys = table[["image", "label"]]
    twice = int(keys.duplicated().sum())
    lost = len(
        expected[["image", "label"]]
        .merge(keys, how="left", indicator=True)
        .query("_merge != 'both'")
    )
    assert (lost, twice) == (0, 0), f"{lost} rows lost, {twice} twice"
    pd.testing.assert_frame_equal(table, expected)
    a, b = (anndata.read_h5ad(folder / "profiles.h5ad") for folder in (out, reference))
    np.testing.assert_array_equal(a.X, b.X)
    np.testing.assert_array_equal(a.layers["whitened"], b.layers["whitened"])
    left = [p for p in out.rglob(".*") if p.is_file()]
    assert not left, f"half-written files stay: {left}"
    return len(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    dice = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plate = tiny_plate(folder / "plate", rows="DBCGFE", sites=2)
        model = folder / "model.safetensors"
        tiny_checkpoint(("control", "0.06x", "0.32x", "1.60x", "8.00x", "40.00x")).save(model)
        reference = folder / "reference"
        assert audit_plate(plate, model, reference, SETTINGS).exit_status == 0
        print(f"undisturbed: {len(read_table(reference / 'cells.parquet'))} rows", flush=True)
        cluster = Cluster(plate, model, folder / "log.txt")
        kills: dict[str, int] = {}
        runs = 0
        try:
            while sum(kills.values()) < options.kills:
                runs += 1
                out = folder / f"run-{runs}"
                disturb(cluster, out, kills, options.kills, dice)
                print(f"run {runs}: {compare(out, reference)} rows, none lost, none twice; "
                      f"kills so far {kills}", flush=True)  # fmt: skip
        finally:
            cluster.stop()
            print((folder / "log.txt").read_text()[-2000:] if sys.exc_info()[0] else "", end="")
    print(f"{sum(kills.values())} kills ({kills}) in {runs} runs: every table is exact")


def disturb(
    cluster: Cluster, out: Path, kills: dict[str, int], most: int, dice: random.Random
) -> None:
    """One run to its end, killing what the dice say about every second stack."""
    cluster.start(out)
    until = dice.randrange(3)
    pause = 0.0
    while True:
        code = cluster.processes["client"].poll()
        if code == 0 and (out / "report.html").is_file():
            return
        cluster.start(out)  # what died, and a client that gave up
        if landed(out) >= until and sum(kills.values()) < most:
            time.sleep(pause)
            target = dice.choice(["worker-1", "worker-2", "scheduler", "client"])
            if cluster.kill(target):
                kind = target.split("-")[0]
                kills[kind] = kills.get(kind, 0) + 1
                print(f"  killed the {kind} with {landed(out)} stacks landed", flush=True)
            until = landed(out) + dice.randrange(4)
            pause = dice.random()
        time.sleep(0.1)


if __name__ == "__main__":
    main()
