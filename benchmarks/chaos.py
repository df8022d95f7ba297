"""Kill, flip bits, fill disks and run twice at once; then count the rows.

    python benchmarks/chaos.py [--kills 20] [--seed 0] [--only plate,finish,commands,…]

``plate``: a plate of 24 stacks is audited on a cluster of separate processes while `kill -9` falls
on them at random moments. What died is started again, as an operator would. Every time a run ends
well, its tables are compared with those of a run that nobody disturbed, cell by cell and bit by
bit, and another run is started until all kills are spent. ``finish``: a run is killed while it
writes tables and report. ``commands``: `gradcamo train`, `audit` and `segment` are killed, with
SIGKILL and with SIGINT, and begun again. ``flips``: 200 single bits of the stacks' files are
flipped, one at a time, and as many of an OME-Zarr's chunks and of a CSV with its recipe.
``crowd``: two runs in one folder, and a disk that fills up. ``memory``: workers that take more than
1.4 GB are killed, as the system does where memory runs out.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from contextlib import suppress
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import psutil
import tifffile
import torch
from tiny import tiny_checkpoint, tiny_plate

from gradcamo.errors import GradcamoError, GradcamoWarning
from gradcamo.files.labels import read_labels, write_labels
from gradcamo.files.plates import read_plate
from gradcamo.files.seal import check_seal
from gradcamo.files.stacks import ome_spacing, read_stack, write_stack
from gradcamo.files.store import read_table
from gradcamo.networks.checkpoint import Checkpoint
from gradcamo.plate.folder import stack_name
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
BIG_PX, MOST_BYTES = 3000, 1_400_000_000
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
    parser.add_argument("--only", default="plate,finish,commands,flips,crowd,memory")
    options = parser.parse_args()
    dice = random.Random(options.seed)
    parts = options.only.split(",")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plate = tiny_plate(folder / "plate", rows="DBCGFE", sites=2)
        model = folder / "model.safetensors"
        tiny_checkpoint(("control", "0.06x", "0.32x", "1.60x", "8.00x", "40.00x")).save(model)
        reference = folder / "reference"
        assert audit_plate(plate, model, reference, SETTINGS).exit_status == 0
        print(f"undisturbed: {len(read_table(reference / 'cells.parquet'))} rows", flush=True)
        if "plate" in parts:
            disturbed_plates(folder, plate, model, options.kills, dice)
        if "finish" in parts:
            killed_at_the_end(plate, model, reference, options.kills // 4, dice)
        if "commands" in parts:
            killed_commands(folder, options.kills // 4, dice)
        if "flips" in parts:
            flipped_bits(plate, model, reference, dice)
            flipped_chunks(plate, folder / "flips.ome.zarr", dice)
            flipped_csv(reference, folder / "flipped", dice)
        if "crowd" in parts:
            crowd(plate, model, reference, folder)
        if "memory" in parts:
            out_of_memory(folder, model)


def disturbed_plates(
    folder: Path, plate: Path, model: Path, most: int, dice: random.Random
) -> None:
    """Runs on a cluster whose processes are killed."""
    reference = folder / "reference"
    cluster = Cluster(plate, model, folder / "log.txt")
    kills: dict[str, int] = {}
    runs = 0
    try:
        while sum(kills.values()) < most:
            runs += 1
            out = folder / f"run-{runs}"
            disturb(cluster, out, kills, most, dice)
            print(f"run {runs}: {compare(out, reference)} rows, none lost, none twice; "
                  f"kills so far {kills}", flush=True)  # fmt: skip
    finally:
        cluster.stop()
        print((folder / "log.txt").read_text()[-2000:] if sys.exc_info()[0] else "", end="")
    print(f"{sum(kills.values())} kills ({kills}) in {runs} runs: every table is exact")


def begun(*command: object) -> subprocess.Popen:
    """A gradcamo command in a process of its own."""
    python = [sys.executable, "-m", "gradcamo.cli.commands", *map(str, command)]
    return subprocess.Popen(
        python, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def plate_command(plate: Path, model: Path, out: Path) -> list[object]:
    options = ["--umap-cells", 0, "--thumbnails", 4, "--workers", 2]
    return ["plate", plate, "--checkpoint", model, "-o", out, *options]


def killed_at_the_end(
    plate: Path, model: Path, reference: Path, kills: int, dice: random.Random
) -> None:
    """A run is killed while it writes what is about the plate as a whole."""
    out = Path(shutil.copytree(reference, reference.with_name("finish")))
    done = 0
    while done < kills:
        process = begun(*plate_command(plate, model, out))
        while process.poll() is None and not list(out.glob(".together-*")):
            time.sleep(0.02)
        time.sleep(dice.random() * 3)
        if process.poll() is None:
            process.kill()
            done += 1
        process.wait()
        with_report = (out / "report.html").is_file()
        age = {path.name: path.stat().st_mtime for path in out.iterdir() if path.is_file()}
        if with_report:  # the old ones together, or the new ones
            assert age["report.html"] >= age["cells.parquet"], "a new table beside an old report"
    assert begun(*plate_command(plate, model, out)).wait() == 0
    assert not list(out.glob(".together-*"))
    rows = compare(out, reference)
    print(f"{done} kills while tables and report were written: {rows} rows, all exact", flush=True)


def killed_commands(folder: Path, kills: int, dice: random.Random) -> None:
    """Train, audit and segment are killed and begun again; what they end with is the same."""
    plate = tiny_plate(folder / "small")
    row = pd.read_csv(plate).iloc[0]
    image, labels = plate.parent / row["image"], plate.parent / row["labels"]
    model = folder / "small.safetensors"
    tiny_checkpoint().save(model)
    training = ["--epochs", 3, "--width", 0.1, "--input-size", 64, 64, 64, "--batch-size", 4]
    training += ["--crop-size-yx", 48, 48, "--device", "cpu"]
    commands = {
        "audit": (["audit", image, "--labels", labels, "--checkpoint", model], ".parquet"),
        "segment": (["segment", image, "--model", "bundled"], ".ome.tif"),
        "train": (["train", plate, *training], ".safetensors"),
    }
    for name, (command, ending) in commands.items():
        whole = folder / f"{name}-whole{ending}"
        start = time.monotonic()
        process = begun(*command, "-o", whole)
        assert process.wait() == 0, process.stdout.read()
        takes = time.monotonic() - start
        out = folder / f"{name}{ending}"
        more = ["--resume"] if name == "train" else []
        for _ in range(kills):
            process = begun(*command, "-o", out, *more)
            time.sleep(takes * (0.3 + 0.7 * dice.random()))
            process.send_signal(dice.choice([signal.SIGKILL, signal.SIGINT]))
            process.wait()
            if out.exists():
                check_seal(out, required=True)
                out.unlink()
        process = begun(*command, "-o", out, *more)
        assert process.wait() == 0, process.stdout.read()
        assert_same(name, out, whole)
        left = [path.name for path in folder.glob(f".*{name}*")]
        print(f"{kills} kills of gradcamo {name}: it ends as one that nobody disturbed"
              + (f"; scratch files that stay: {left}" if left else ""), flush=True)  # fmt: skip


def assert_same(name: str, one: Path, other: Path) -> None:
    if name == "audit":
        pd.testing.assert_frame_equal(read_table(one), read_table(other))
    elif name == "segment":
        np.testing.assert_array_equal(read_labels(one), read_labels(other))
    else:
        a, b = (Checkpoint.load(path).network.state_dict() for path in (one, other))
        assert all(torch.equal(a[key], b[key]) for key in a)


def flipped_bits(plate: Path, model: Path, reference: Path, dice: random.Random) -> None:
    """Single bits of the stacks' files are flipped: each is found, and the next run mends it."""
    out = Path(shutil.copytree(reference, reference.with_name("flips")))
    files = sorted((out / "cells").rglob("*.parquet")) + sorted((out / "thumbnails").rglob("*.*"))
    silent = 0
    for _ in range(200):
        path = dice.choice(files)
        whole = flip(path, dice)
        try:
            check_seal(path, required=True)
            silent += 1
        except GradcamoError:
            pass
        path.write_bytes(whole)
    assert silent == 0, f"{silent} flips were not seen"
    damaged = dice.sample(files, 3)
    for path in damaged:
        content = bytearray(path.read_bytes())
        content[len(content) // 3] ^= 4
        path.write_bytes(content)
    summary = audit_plate(plate, model, out, SETTINGS)
    assert len(summary.mended) == 3, summary.mended
    print(f"200 bits flipped: none unseen; 3 damaged files named and made again, "
          f"{compare(out, reference)} rows exact", flush=True)  # fmt: skip


def flipped_chunks(plate: Path, store: Path, dice: random.Random) -> None:
    """Single bits of an OME-Zarr's chunks are flipped: none changes a voxel in silence."""
    row = read_plate(plate).iloc[0]
    stack, labels = read_stack(row).in_memory(), read_labels(row)
    write_stack(store, stack, labels)
    chunks = sorted(path for path in store.rglob("*") if path.is_file() and "c" in path.parts)
    refused = unnamed = 0
    for _ in range(200):
        path = dice.choice(chunks)
        whole = flip(path, dice)
        try:
            np.testing.assert_array_equal(read_stack(store).data, stack.data)
            np.testing.assert_array_equal(read_labels(store / "labels" / "cells"), labels)
        except GradcamoError as error:
            refused += 1
            unnamed += "/".join(path.parts[path.parts.index("c") :]) not in str(error)
        path.write_bytes(whole)
    assert unnamed == 0, f"{unnamed} chunks were not named"
    print(f"200 bits of OME-Zarr chunks flipped: {refused} refused by their chunk's name, the "
          "others change no voxel", flush=True)  # fmt: skip


def flipped_csv(reference: Path, folder: Path, dice: random.Random) -> None:
    """Single bits of a CSV and its recipe are flipped: each is told or refused."""
    folder.mkdir()
    for name in ("confounding.csv", "confounding.recipe.json"):
        shutil.copy(reference / name, folder)
    silent = 0
    for _ in range(200):
        path = dice.choice(sorted(folder.iterdir()))
        whole = flip(path, dice)
        with warnings.catch_warnings():
            warnings.simplefilter("error", GradcamoWarning)
            try:
                read_table(folder / "confounding.csv")
                silent += b"gradcamo-seal-" in path.read_bytes() or path.suffix == ".csv"
            except (GradcamoError, GradcamoWarning):
                pass
        path.write_bytes(whole)
    assert silent == 0, f"{silent} flips were not seen"
    print("200 bits of a CSV and its recipe flipped: none unseen", flush=True)


def flip(path: Path, dice: random.Random) -> bytes:
    """Flip one bit of a file; what it held before."""
    whole = path.read_bytes()
    content, bit = bytearray(whole), dice.randrange(len(whole) * 8)
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)
    return whole


def crowd(plate: Path, model: Path, reference: Path, folder: Path) -> None:
    """Two runs at once, and a disk that fills up."""
    out = folder / "crowd"
    first = begun(*plate_command(plate, model, out))
    while not (out / ".run.json").is_file() and first.poll() is None:
        time.sleep(0.05)
    second = begun(*plate_command(plate, model, out))
    said = second.communicate()[0]
    assert second.returncode == 1, said
    assert "another run works in" in said, said
    assert first.wait() == 0
    compare(out, reference)
    full = folder / "full"

    def small() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    command = [sys.executable, "-m", "gradcamo.cli.commands"]
    command += [str(part) for part in plate_command(plate, model, full)]
    ended = subprocess.run(command, env=ENVIRONMENT, preexec_fn=small, capture_output=True)
    assert ended.returncode == 1, ended.stdout
    assert b"Traceback" not in ended.stdout + ended.stderr
    assert begun(*plate_command(plate, model, full)).wait() == 0
    print(f"two runs at once: the second is told; a full disk: {compare(full, reference)} rows "
          "exact after it", flush=True)  # fmt: skip


def out_of_memory(folder: Path, model: Path) -> None:
    """One stack is too large for its worker, which is killed as the system kills such processes."""
    plate = tiny_plate(folder / "memory")
    row = read_plate(plate).iloc[3]
    stack, labels = read_stack(row), read_labels(row)
    wider = [(0, 0), (0, BIG_PX - stack.shape[2]), (0, BIG_PX - stack.shape[3])]
    write_labels(row["labels"], np.pad(labels, wider), stack.spacing_um)
    about = {"axes": "CZYX", "Channel": {"Name": stack.channels}, **ome_spacing(stack.spacing_um)}
    data = np.pad(stack.data, [(0, 0), *wider])
    Path(row["image"]).unlink()  # which is mapped still
    tifffile.imwrite(row["image"], data, ome=True, compression="zlib", metadata=about)
    name = stack_name(row)
    reference, out = folder / "memory-reference", folder / "memory-out"
    assert audit_plate(plate, model, reference, SETTINGS).exit_status == 0
    process, killed, start = begun(*plate_command(plate, model, out)), 0, time.monotonic()
    while process.poll() is None:
        assert time.monotonic() - start < 600, "it hangs"
        for worker in computing(process):
            with suppress(psutil.Error):
                if worker.memory_info().rss > MOST_BYTES:
                    worker.kill()
                    killed += 1
        time.sleep(0.02)
    said = process.communicate()[0]
    assert process.returncode == 1, said
    (failed,) = (line for line in said.splitlines() if line.startswith("failed: "))
    assert failed.startswith(f"failed: {name}: its worker was killed (signal 9)"), said
    table, expected = (read_table(at / "cells.parquet") for at in (out, reference))
    assert not table[["image", "label"]].duplicated().any()
    others = expected[expected["image"] != row["image"]]
    assert set(zip(table["image"], table["label"], strict=True)) == set(
        zip(others["image"], others["label"], strict=True)
    )
    assert begun(*plate_command(plate, model, out)).wait() == 0
    print(f"a stack of {BIG_PX}² pixels, whose worker was killed {killed} times for its memory: it "
          f"is named, {table['image'].nunique()} others landed; with memory enough the same "
          f"command ends with {compare(out, reference)} rows, all exact", flush=True)  # fmt: skip


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
