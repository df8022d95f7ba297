"""A whole plate through the whole command: memory per worker, cost per cell.

    python benchmarks/scale.py [--stacks 48] [--cells 210] [--workers 2] [--out FIGURE.png]

Makes a plate of stacks with at least 200 cells each (seven planes, so that it fits a laptop's
disk), audits it with a tenth-width network and watches the workers: resident memory once a second,
and processor time, which other programs on the machine do not disturb as they do the clock.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
from tiny import tiny_checkpoint, tiny_plate

from gradcamo.files.landing import landing
from gradcamo.files.store import read_table
from gradcamo.plate.run import plate_steps
from gradcamo.settings import PlateSettings

CLASSES = ("control", "0.06x", "0.32x", "1.60x", "8.00x", "40.00x")


def workers() -> list[psutil.Process]:
    """The processes that compute: children that hold PyTorch."""
    found = psutil.Process().children(recursive=True)
    return [p for p in found if "spawn_main" in " ".join(p.cmdline())]


def watch(plate: Path, model: Path, out: Path, settings: PlateSettings) -> tuple[dict, list]:
    """Run the command; a sample per second of time, cells, memory and processor time."""
    samples = []
    start = time.monotonic()
    steps = plate_steps(plate, model, out, settings)
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            summary = end.value
            break
        if step.stage == "auditing":
            sample = {"seconds": time.monotonic() - start, "cells": step.cells, "rss": {}, "cpu": 0}
            sample["stacks"] = step.done
            for process in workers():
                try:
                    times = process.cpu_times()
                    sample["cpu"] += times.user + times.system
                    sample["rss"][process.pid] = process.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            samples.append(sample)
    assert summary.exit_status == 0, summary
    audited = samples[-1]["seconds"]
    return {"cells": summary.cells, "seconds": summary.seconds, "audited": audited}, samples


def cost_per_cell(samples: list[dict], cells: int) -> float:
    """Processor milliseconds per cell for the next ``cells``, from the first sample on."""
    first = samples[0]
    last = next((s for s in samples if s["cells"] - first["cells"] >= cells), samples[-1])
    return 1000 * (last["cpu"] - first["cpu"]) / (last["cells"] - first["cells"])


def draw(samples: list[dict], path: Path) -> None:
    """Memory of each worker over the cells audited."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.4), layout="constrained", dpi=150)
    axes = figure.subplots()
    for n, pid in enumerate(dict.fromkeys(pid for s in samples for pid in s["rss"])):
        mine = [(s["seconds"], s["rss"][pid] / 1e9) for s in samples if pid in s["rss"]]
        axes.plot(*zip(*mine, strict=True), label=f"worker {n + 1}")
    axes.set(xlabel="seconds", ylabel="resident memory (GB)", ylim=(0, None))
    cells = axes.twinx()
    cells.plot([s["seconds"] for s in samples], [s["cells"] for s in samples], "k:", lw=1)
    cells.set_ylabel("cells audited (dotted)")
    axes.legend(loc="lower right", frameon=False)
    with landing(path) as scratch:
        figure.savefig(scratch, format="png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stacks", type=int, default=48)
    parser.add_argument("--cells", type=int, default=210)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--plate", type=Path, help="where the plate is, or is to be made")
    parser.add_argument("--out", type=Path, help="figure of the memory (.png)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table = (options.plate or folder / "plate") / "plate.csv"
        if not table.is_file():
            size = round(40 * np.sqrt(options.cells))
            sites = max(1, options.stacks // 12)
            cells = round(options.cells * 1.12)  # some do not fit, some are mere slivers
            tiny_plate(table.parent, "DBCGFE", sites, field_px=size, cells_per_field=cells)
        model = folder / "model.safetensors"
        tiny_checkpoint(CLASSES).save(model)
        settings = PlateSettings(workers=options.workers)
        found, samples = watch(table, model, folder / "out", settings)
        whole = read_table(folder / "out/cells.parquet")
        found["scored"] = int(whole["grad_camo"].notna().sum())
        found["fewest per stack"] = int(whole.groupby("image").size().min())
        found["bytes per cell"] = round(
            sum(p.stat().st_size for p in (folder / "out").rglob("*") if p.is_file()) / len(whole)
        )
        # until every worker has landed two stacks, imports and the first stack of each are paid
        settled = [s for s in samples if s["stacks"] >= 2 * options.workers]
        costs = {n: round(cost_per_cell(settled, n), 1) for n in (500, 2_000, 10_000)}
        found["ms of processor per cell"] = costs
        start = settled[0]["cpu"] - costs[10_000] / 1000 * settled[0]["cells"]
        found["s of processor to start a worker"] = round(start / options.workers, 1)
        for pid in settled[-1]["rss"]:
            mine = np.array([s["rss"][pid] for s in settled if pid in s["rss"]]) / 1e6
            quarters = [round(float(np.median(part))) for part in np.array_split(mine, 4)]
            found[f"MB of worker {pid}, by quarters of the run"] = quarters
        json.dump(found, sys.stdout, indent=2)
        print()
        if options.out:
            draw(samples, options.out)


if __name__ == "__main__":
    main()
