"""What a pass of the game costs beside a bare forward pass: one process, one run, ratios.

    python benchmarks/causal.py                # a few minutes on two cores
    python benchmarks/causal.py --device cuda

A B0 of random weights on six channels at the reference size, cells of the built-in plate. The game
and the bare network in batches take turns; medians. Reading the cell, drawing and filling,
resizing, summing, the forward pass and the columns are all included in the game; its parts are
timed one by one beside it. ``benchmarks/results/causal.md`` is what docs/performance.md shows.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch

import gradcamo as gc
from gradcamo.causal.attention import causal_batches
from gradcamo.causal.donors import donors_for
from gradcamo.causal.fill import fill
from gradcamo.causal.game import case_of, drawn_pairs
from gradcamo.causal.passes import batch_logits
from gradcamo.causal.question import question
from gradcamo.causal.regions import raw_cell
from gradcamo.cells.crops import CellCrops
from gradcamo.networks.infer import usual_batch_size
from gradcamo.networks.memory import keep_buffers
from gradcamo.networks.preprocess import choose_device
from gradcamo.samples.design import PlateDesign
from gradcamo.samples.plate import make_stack

RESULTS = Path(__file__).parent / "results"
SIZE, DRAWS = (64, 224, 224), 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch-size", type=int)
    options = parser.parse_args()
    keep_buffers()
    where = choose_device(options.device)
    n = options.batch_size or usual_batch_size(where)
    design = PlateDesign()
    made = {well: make_stack(design, well, 1) for well in ("D02", "D03", "E02", "E03", "G02")}
    network = gc.efficientnet3d("efficientnet-b0", 6, 2)
    checkpoint = gc.Checkpoint(
        network=network,
        classes=("control", "40.0x"),
        channels=made["D02"][0].channels,
        channel_mean=(0.3,) * 6,
        channel_std=(0.2,) * 6,
        crop=gc.CropSettings(),
        input_size=SIZE,
        layer="block_10",
        architecture={"name": "efficientnet-b0", "in_channels": 6, "num_classes": 2, "width": 1.0},
    )
    bank = gc.DonorBank.cut(
        [
            (stack, labels, dict.fromkeys(np.unique(labels).tolist(), name), "P", well)
            for name, wells in (("control", ("D02", "D03")), ("40.0x", ("E02", "E03")))
            for well in wells
            for stack, labels in [made[well]]
        ],
        checkpoint,
        per_class=12,
    )
    stack, labels = made["G02"]
    crops = CellCrops(stack, labels, checkpoint.crop)
    cells = np.flatnonzero(crops.scorable)[: 2 if where.type == "cpu" else 8]
    only = crops.table["label"].to_numpy()[cells].tolist()
    settings = gc.CausalSettings(draws=DRAWS, device=options.device, batch_size=n)
    donors = donors_for(bank, question(checkpoint, settings), settings)
    first = case_of(donors, raw_cell(crops, cells[0])).real()
    x = donors.inputs.batch([first] * n, donors.inputs.room(n))

    def game() -> float:
        batches = list(causal_batches(crops, checkpoint, bank, settings, only))
        present = [sum(v > 0 for v in game.cell.volumes) for b in batches for game in b.games]
        return sum(2 * DRAWS * (2**p - 1) + 2 * DRAWS + 1 for p in present)

    def bare() -> float:
        for _ in range(3):
            batch_logits(x, checkpoint, where)
        return 3 * n

    ways: dict[str, Callable[[], float]] = {"bare forward pass": bare, "the game": game}
    ways |= parts(donors, checkpoint, crops, cells[0])
    took = {name: [] for name in ways}
    for _ in range(options.repeats + 1):  # the first warms up
        for name, way in ways.items():
            start = time.perf_counter()
            passes = way()
            if where.type == "cuda":
                torch.cuda.synchronize()
            took[name].append((time.perf_counter() - start) / passes)
    ms = {name: 1000 * median(times[1:]) for name, times in took.items()}
    what = torch.cuda.get_device_name() if where.type == "cuda" else platform.processor()
    lines = [
        f"{what}, {torch.get_num_threads()} threads, PyTorch {torch.__version__}, batches of {n}; "
        f"medians of {options.repeats} rounds in which all take turns.",
        "",
        "| a pass of | ms | forward passes |",
        "|---|---:|---:|",
        *(f"| {name} | {t:.2f} | {t / ms['bare forward pass']:.2f} |" for name, t in ms.items()),
    ]
    print("\n".join(lines))
    RESULTS.mkdir(exist_ok=True)
    name = "causal_cuda.md" if where.type == "cuda" else "causal.md"
    (RESULTS / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def parts(donors, checkpoint, crops, i) -> dict[str, Callable[[], float]]:  # type: ignore[no-untyped-def]
    """What a draw does before the network, each shared out over its passes."""
    cell = raw_cell(crops, i)
    case = case_of(donors, cell)
    kinds = case.kinds.view(donors.inputs.shape)
    pool = list(range(12))
    pairs = drawn_pairs(donors, cell, pool, (0, 0, 0))
    found = fill(kinds, donors.on_device, pairs, cell.spacing)
    voxels = donors.voxels(found.source)
    coalitions = [s for s in range(7) if s & ~case.present == 0 and s != case.present]
    sums = list(case.swapped(voxels, coalitions))
    room = donors.inputs.room(len(sums))
    a_draw, a_cell = len(coalitions), 2 * DRAWS * len(coalitions) + 1

    def cut() -> float:
        case_of(donors, raw_cell(crops, i))
        return a_cell

    def draw() -> float:
        drawn_pairs(donors, cell, pool, (0, 0, 0))
        return a_draw

    def filled() -> float:
        found = fill(kinds, donors.on_device, pairs, cell.spacing)
        donors.voxels(found.source)
        return a_draw

    def summed() -> float:
        list(case.swapped(voxels, coalitions))
        return a_draw

    def along_z() -> float:
        donors.inputs.batch(sums, room)
        return len(sums)

    return {
        "… reading the cell": cut,
        "… drawing pairs": draw,
        "… filling": filled,
        "… resizing in y and x": summed,
        "… sums, and resizing along z": along_z,
    }


if __name__ == "__main__":
    main()
