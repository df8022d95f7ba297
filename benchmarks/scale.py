"""A whole plate through the whole command: memory per worker, cost per cell.

    python benchmarks/scale.py [--stacks 48] [--cells 210] [--workers 2] [--out FIGURE.png]
    python benchmarks/scale.py --open 10000 [--away-ms 10]

Makes a plate of stacks with at least 200 cells each (seven planes, so that it fits a laptop's
disk), audits it with a tenth-width network and watches the workers: resident memory once a second,
and the processor time of each stack, which other programs disturb less than they do the clock.
``--open`` times what a dry run does with every stack, whose files answer after ``--away-ms``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import tifffile
from tiny import tiny_checkpoint, tiny_plate

from gradcamo.files.landing import landing
from gradcamo.files.misfits import refuse_misfits
from gradcamo.files.store import read_table
from gradcamo.networks.resolve import as_checkpoint
from gradcamo.plate.checked_rows import open_plate
from gradcamo.plate.cluster import cluster
from gradcamo.plate.folder import PlateFolder
from gradcamo.plate.headers import look_at
from gradcamo.plate.jobs import stack_jobs
from gradcamo.plate.run import audit_plate, open_folder
from gradcamo.plate.scheduling import run_jobs
from gradcamo.plate.tasks import Outcome, StackJob
from gradcamo.settings import PlateSettings

CLASSES = ("control", "0.06x", "0.32x", "1.60x", "8.00x", "40.00x")


def workers() -> list[psutil.Process]:
    """The processes that compute: children that hold PyTorch."""
    found = psutil.Process().children(recursive=True)
    return [p for p in found if "spawn_main" in " ".join(p.cmdline())]


def watch(jobs: list[StackJob], wanted: int) -> tuple[list[Outcome], list[dict]]:
    """Audit the stacks; their outcomes as they came, and a sample of the memory every second."""
    outcomes, samples, start = [], [], time.monotonic()
    with cluster(None, wanted) as client:
        for outcome in run_jobs(jobs, client):
            if outcome is not None:
                assert not outcome.reason, outcome.reason
                outcomes.append(outcome)
                continue
            sample = {"seconds": time.monotonic() - start, "stacks": len(outcomes), "rss": {}}
            sample["cells"] = sum(outcome.cells for outcome in outcomes)
            for process in workers():
                with suppress(psutil.NoSuchProcess):
                    sample["rss"][process.pid] = process.memory_info().rss
            samples.append(sample)
    return outcomes, samples


def cost_per_cell(outcomes: list[Outcome], cells: int) -> float:
    """Processor milliseconds per cell of the first stacks that hold ``cells``, or more."""
    seconds = found = 0.0
    for outcome in outcomes:
        seconds, found = seconds + outcome.processor_s, found + outcome.cells
        if found >= cells:
            return 1000 * seconds / found
    raise SystemExit(f"the plate has {found:.0f} cells beside the first stacks, not {cells}")


def opened(folder: Path, stacks: int, away_ms: float) -> dict[str, float]:
    """Seconds to read, check and open the stacks of a plate, links to a few files."""
    few = pd.read_csv(tiny_plate(folder / "few"))
    rows = []
    for n in range(stacks):
        row = few.iloc[n % len(few)].to_dict()
        for column in ("image", "labels"):
            path = folder / "few" / f"{column}-{n:05d}.ome.tif"
            os.link(folder / "few" / row[column], path)
            row[column] = path.name
        well = f"{'ABCDEFGH'[n % 8]}{n // 8 % 12 + 1:02d}"
        rows.append(row | {"plate": f"plate {n // 960}", "well": well, "site": n // 96 % 10 + 1})
    pd.DataFrame(rows).to_csv(folder / "few" / "many.csv", index=False)
    model = folder / "model.safetensors"
    tiny_checkpoint().save(model)
    network = as_checkpoint(model)
    before = tifffile.TiffFile.__init__

    def far(self: tifffile.TiffFile, *args: object, **more: object) -> None:
        time.sleep(away_ms / 1000)
        before(self, *args, **more)

    tifffile.TiffFile.__init__ = far
    found, start = {}, time.monotonic()
    plate = open_plate(folder / "few" / "many.csv")
    found["s to read the plate"] = round(time.monotonic() - start, 1)
    start = time.monotonic()
    refuse_misfits(plate)
    found["s to hold labels against stacks, as a run does"] = round(time.monotonic() - start, 1)
    start = time.monotonic()
    out = PlateFolder(folder / "out", network.hash, PlateSettings()).with_layer(network)
    jobs = stack_jobs(plate, out)
    found["s to stamp its files"] = round(time.monotonic() - start, 1)
    start = time.monotonic()
    assert not any(header.refused for header in look_at(plate, jobs, network))
    found["s to open all stacks"] = round(time.monotonic() - start, 1)
    return found


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
    parser.add_argument("--open", type=int, help="stacks that are opened, and nothing else")
    parser.add_argument("--away-ms", type=float, default=0.0, help="how far away files lie")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.open:
            json.dump(opened(folder, options.open, options.away_ms), sys.stdout, indent=2)
            print()
            return
        table = (options.plate or folder / "plate") / "plate.csv"
        if not table.is_file():
            size = round(40 * np.sqrt(options.cells))
            sites = max(1, options.stacks // 12)
            cells = round(options.cells * 1.12)  # some do not fit, some are mere slivers
            tiny_plate(table.parent, "DBCGFE", sites, field_px=size, cells_per_field=cells)
        model = folder / "model.safetensors"
        tiny_checkpoint(CLASSES).save(model)
        settings = PlateSettings(workers=options.workers)
        start = time.monotonic()
        out = open_folder(as_checkpoint(model), folder / "out", settings)
        jobs = stack_jobs(open_plate(table), out)
        outcomes, samples = watch(jobs, options.workers)
        audited = time.monotonic() - start
        summary = audit_plate(table, model, folder / "out", settings)  # all stacks are there
        assert not summary.exit_status, summary
        whole = read_table(folder / "out/cells.parquet")
        found = {"cells": summary.cells, "scored": int(whole["grad_camo"].notna().sum())}
        found["fewest per stack"] = int(whole.groupby("image").size().min())
        found["s to audit"] = round(audited, 1)
        found["s for whitening, map and report"] = round(summary.seconds, 1)
        found["bytes per cell"] = round(
            sum(p.stat().st_size for p in (folder / "out").rglob("*") if p.is_file()) / len(whole)
        )
        first = list({outcome.process: outcome for outcome in outcomes[::-1]}.values())
        rest = [outcome for outcome in outcomes if outcome not in first]
        costs = {n: round(cost_per_cell(rest, n), 1) for n in (500, 2_000, 10_000)}
        found["ms of processor per cell"] = costs
        found["ms per cell of each worker's first stack, imports included"] = [
            round(1000 * outcome.processor_s / outcome.cells, 1) for outcome in first
        ]
        settled = [s for s in samples if s["stacks"] >= 2 * options.workers]
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
