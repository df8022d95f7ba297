"""What Grad-CAMO costs, beside every other way to get it: one process, one run, ratios.

    pip install --no-deps grad-cam        # pytorch-grad-cam; without it its row is left out
    python benchmarks/speed.py            # about ten minutes on two cores
    python benchmarks/speed.py --repeats 3 --skip-memory
    python benchmarks/speed.py --device cuda

Every competitor has the same weights and the same crops. Their scores are compared with ours before
anything is timed. Then all take turns, and medians are printed. ``benchmarks/results/speed.md``,
and ``speed_cuda.md`` of a GPU, hold the tables that docs/performance.md shows.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import assembled
import numpy as np
import psutil
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import gradcamo as gc
from gradcamo.auditing.stack import audit_batches, audit_crops, cells_of
from gradcamo.cells.crops import CellCrops
from gradcamo.networks.efficientnet import find_taps
from gradcamo.networks.gradcam import grad_cam
from gradcamo.networks.infer import batches, explain, prepare, usual_batch_size
from gradcamo.networks.memory import keep_buffers
from gradcamo.networks.preprocess import choose_device
from gradcamo.networks.replay import Replayed

RESULTS = Path(__file__).parent / "results"
CHANNELS = ("Hoechst", "concanavalin", "SYTO14", "WGA", "phalloidin", "MitoTracker")
SIZE = (64, 224, 224)
LAYER = "block_10"
LAYOUT = torch.channels_last_3d
Timed = dict[str, list[tuple[float, float]]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--skip-memory", action="store_true")
    parser.add_argument("--memory-of", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory_of:
        print(*peak_memory(options.memory_of))
        return
    keep_buffers()
    torch.backends.cudnn.allow_tf32 = False  # as audits do; else nothing would be equal
    case = Case(options.device, options.batch_size)
    check_equal(case)
    # a GPU records what comes twice
    turns = partial(take_turns, repeats=options.repeats, before=2 if case.on_gpu else 0)
    end, parts, many = turns(case.ways()), turns(case.parts()), turns(case.batches())
    page = [
        f"{machine(options.device)}; one cell at a time, 6 × 64 × 224 × 224 voxels, B0, {LAYER}; "
        f"medians of {options.repeats} rounds in which all take turns.",
        *end_to_end(end, parts),
        *extra(parts, many, case),
        *training(options.device, options.repeats),
        *each_part(parts),
        *limit(case, parts),
    ]
    if case.on_gpu:
        page += gpu_memory(case)
    elif not options.skip_memory:
        page += memory_table()
    RESULTS.mkdir(exist_ok=True)
    text = "\n".join(page) + "\n"
    name = "speed_cuda.md" if case.on_gpu else "speed.md"
    (RESULTS / name).write_text(text, encoding="utf-8")
    print(text)


class Case:
    """Eight cells of a made-up stack, a B0 with weights that respond, the published one beside."""

    def __init__(self, device: str, batch_size: int | None) -> None:
        self.device, self.where = device, choose_device(device)
        self.batch_size = batch_size or usual_batch_size(self.where)
        self.on_gpu = self.where.type == "cuda"
        self.cells = self.batch_size * (
            8 if self.on_gpu else 1
        )  # that pass in one turn of an audit
        stack, labels = field(8)
        self.crops = CellCrops(stack, labels, gc.CropSettings())
        self.stack, self.labels = stack, labels
        network = responding(gc.efficientnet3d("efficientnet-b0", 6, 6), self.images(range(2)))
        self.checkpoint = gc.Checkpoint(
            network=network,
            classes=("control", "0.06x", "0.32x", "1.60x", "8.00x", "40.0x"),
            channels=CHANNELS,
            channel_mean=(0.3,) * 6,
            channel_std=(0.2,) * 6,
            crop=gc.CropSettings(),
            input_size=SIZE,
            layer=LAYER,
            spacing_um=(0.6, 0.3505, 0.3505),
            architecture={
                **{"name": "efficientnet-b0", "in_channels": 6, "num_classes": 6, "width": 1.0}
            },
        )
        self.ready = self.checkpoint.on(self.where)
        self.replayed = Replayed(self.profile, possible=self.on_gpu)  # as in our audits
        self.published = assembled.published(network).to(device)
        self.layer = find_taps(self.published, [LAYER])[LAYER].module
        self.explainers = {"Captum": assembled.with_captum, "MONAI": assembled.with_monai}
        if find_spec("pytorch_grad_cam"):
            self.explainers["pytorch-grad-cam"] = assembled.with_pytorch_grad_cam
        else:
            print("pytorch-grad-cam is not installed: its row is left out", file=sys.stderr)
        self.assembled = {
            name: make(self.published, self.layer) for name, make in self.explainers.items()
        }
        self.found = cells_of(stack, labels, self.checkpoint)
        self.turn = 0

    def images(self, cells: Any) -> np.ndarray:
        return np.stack([self.crops[i].image for i in cells])

    def next(self) -> int:
        self.turn = (self.turn + 1) % len(self.crops)
        return self.turn

    def some(self, act: str, layers: tuple[str, ...] = (LAYER,)) -> Any:
        """An audit's batches of cells."""
        crops = (self.crops[i % len(self.crops)] for i in range(self.cells))
        if act == "explain":
            return list(
                explain(crops, self.checkpoint, layers, None, "paper", self.batch_size, self.device)
            )
        return [
            self.seen([cell.image for cell in batch])
            for batch in batches(crops, self.batch_size, self.where)
        ]

    def ours(self, layers: tuple[str, ...] = (LAYER,), i: int | None = None) -> Any:
        i = self.next() if i is None else i
        (seen,) = explain([self.crops[i]], self.checkpoint, layers, device=self.device)
        return seen[0]

    def other(self, name: str, i: int | None = None) -> dict[str, Any]:
        """Crop, prepare, explain, and the profile from a second look at the layer's output."""
        crop = self.crops[self.next() if i is None else i]
        kept: list[torch.Tensor] = []
        hook = self.layer.register_forward_hook(lambda m, a, out: kept.append(out.detach()))
        x = assembled.prepare(
            *(crop.image[None], self.checkpoint.channel_mean, self.checkpoint.channel_std, SIZE),
            self.device,
        )
        try:
            with torch.no_grad():  # which class is the predicted one?
                target = self.published(x).argmax(1)
            labels = torch.from_numpy(crop.labels[None].astype(np.int64)).to(self.device)
            shares = self.assembled[name](x, target, labels, torch.tensor([crop.label]))
        finally:
            hook.remove()
        return {**shares, "profile": kept[0].flatten(2).mean(-1), "x": x, "target": target}

    def features(self) -> torch.Tensor:
        """Feature extraction alone: crop, prepare, forward, profile."""
        (batch,) = batches([self.crops[self.next()]], 1, self.where)
        return self.seen([batch[0].image])

    def seen(self, images: list[torch.Tensor]) -> torch.Tensor:
        return self.replayed(prepare(images, self.checkpoint, self.where)).cpu()

    def profile(self, x: torch.Tensor) -> torch.Tensor:
        kept: list[torch.Tensor] = []
        module = find_taps(self.ready, [LAYER])[LAYER].module
        hook = module.register_forward_hook(lambda m, a, out: kept.append(out.flatten(2).mean(-1)))
        try:
            with torch.inference_mode():
                self.ready(x)
        finally:
            hook.remove()
        return kept[0]

    def found_cells(self) -> None:
        """As in napari after the first click: the cells of the stack are known."""
        label = self.crops[self.next()].label
        list(audit_crops(self.found, self.checkpoint, only=[label]))

    def click(self) -> None:
        label = self.crops[self.next()].label
        list(audit_batches(self.stack, self.labels, self.checkpoint, only=[label]))

    def ways(self) -> dict[str, Callable[[], Any]]:
        """End to end: crop → prepare → forward → profile → map → score → row."""
        ways: dict[str, Callable[[], Any]] = {"ours": self.ours}
        for name in self.assembled:
            ways[name] = lambda name=name: self.other(name)
        return ways

    def parts(self) -> dict[str, Callable[[], Any]]:
        images = self.images([0])
        x = self.checkpoint.prepare(images, self.where)
        plain = x.contiguous()
        every = tuple(self.checkpoint.layers)
        m, s = self.checkpoint.channel_mean, self.checkpoint.channel_std
        return {
            "crop": lambda: self.crops[self.next()].image,
            "prepare, interpolate(trilinear)": lambda: assembled.prepare(
                images, m, s, SIZE, self.device
            ),
            "prepare, ours": lambda: self.checkpoint.prepare(images, self.where),
            "forward, published": lambda: _quietly(self.published, plain),
            "forward, ours": lambda: _quietly(self.ready, x),
            "forward and Grad-CAM, ours": lambda: grad_cam(self.ready, x, [LAYER]),
            "forward and Grad-CAM of every layer": lambda: grad_cam(self.ready, x, every),
            "feature extraction": self.features,
            "with Grad-CAMO and companions": self.ours,
            "at all 17 layers": lambda: self.ours(every),
            "heatmap after a click": self.found_cells,
            "after the first, which finds the cells": self.click,
        }

    def batches(self) -> dict[str, Callable[[], Any]]:
        return {
            "feature extraction": lambda: self.some("features"),
            "with Grad-CAMO and companions": lambda: self.some("explain"),
            "at all 17 layers": lambda: self.some("explain", tuple(self.checkpoint.layers)),
        }


def _quietly(network: nn.Module, x: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        out: torch.Tensor = network(x)
    return out


def check_equal(case: Case) -> None:
    """Nothing is timed that does not agree."""
    for i in (0, 1):
        ours = case.ours(i=i)
        for name in case.assembled:
            theirs = case.other(name, i)
            assert int(theirs["target"][0]) == int(ours.target[0])
            np.testing.assert_allclose(theirs["profile"].cpu(), ours.profiles, rtol=1e-3, atol=1e-3)
            if name == "pytorch-grad-cam":  # its final maps are shifted and splined, see there
                coarse = assembled.coarse_pytorch_grad_cam(
                    case.assembled[name], theirs["x"], theirs["target"]
                )
                scale = ours.maps.sum() / coarse.sum()
                off = np.linalg.norm(coarse * scale - ours.maps) / np.linalg.norm(ours.maps)
                assert off < 5e-3, (name, off)
                continue
            for column in ("grad_camo", "neighbour_share", "background_share"):
                gap = abs(float(theirs[column][0]) - float(ours.shares[column][0]))
                # MONAI's map goes by way of the input's grid
                assert gap < (0.02 if name == "MONAI" else 1e-3), (name, column, gap)


def take_turns(ways: dict[str, Callable[[], Any]], repeats: int, before: int = 0) -> Timed:
    """Wall and processor seconds of each, A B C A B C …; ``before`` times it is not looked at."""
    times: Timed = {name: [] for name in ways}
    for turn in range(repeats + 1):
        for name, act in ways.items():
            for _ in range(before):
                act()
            began, busy = time.perf_counter(), time.process_time()
            act()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if turn:  # the first round warms up
                times[name].append((time.perf_counter() - began, time.process_time() - busy))
    return times


def ratio(times: Timed, a: str, b: str, other: Timed | None = None) -> float:
    """Median over the rounds of the ratio within a round."""
    pairs = zip(times[a], (other or times)[b], strict=True)
    return median(x[0] / y[0] for x, y in pairs)


def ms(times: Timed, name: str) -> str:
    return figure(1000 * median(t[0] for t in times[name]))


def figure(number: float) -> str:
    return f"{number:.0f}" if number >= 10 else f"{number:.2f}"


def end_to_end(end: Timed, parts: Timed) -> list[str]:
    lines = [
        "",
        "**End to end**: crop, prepare, forward, profile, map, score.",
        "",
        "| way | ms per cell | times ours |",
        "|---|---:|---:|",
    ]
    lines += [f"| {name} | {ms(end, name)} | {ratio(end, name, 'ours'):.1f} |" for name in end]
    bare = ratio(end, "ours", "forward, ours", parts)
    lines += ["", f"Ours end to end is {bare:.2f} times our bare forward pass."]
    return lines


def extra(parts: Timed, many: Timed, case: Case) -> list[str]:
    lines = [
        "",
        f"**What the scores cost over feature extraction**, for one cell and in an audit's batches "
        f"of {case.batch_size}",
        "",
        "| | one cell, ms | extra | a cell of a batch, ms | extra |",
        "|---|---:|---:|---:|---:|",
    ]
    for name in many:
        one, several = (ratio(times, name, "feature extraction") - 1 for times in (parts, many))
        per_cell = figure(1000 * median(t[0] for t in many[name]) / case.cells)
        lines.append(
            f"| {name} | {ms(parts, name)} | {100 * one:+.0f} % | {per_cell} | "
            f"{100 * several:+.0f} % |"
        )
    click = ratio(parts, "heatmap after a click", "forward, ours")
    first = ratio(parts, "after the first, which finds the cells", "forward, ours")
    text = f"A heatmap after a click takes {click:.2f} forward passes, the first in a stack, which "
    return [*lines, "", f"{text}finds its cells, {first:.2f}."]


def training(device: str, repeats: int) -> list[str]:
    """Forward and backward of a training step, in the published network and in ours."""
    network = gc.efficientnet3d("efficientnet-b0", 6, 6).to(device)
    x = torch.rand(2, 6, 64, 96, 96, device=device)

    def step(network: nn.Module, x: torch.Tensor) -> None:
        network.train()(x).sum().backward()
        network.zero_grad()

    published = assembled.published(network).to(device)
    ours = x.contiguous(memory_format=LAYOUT) if device == "cpu" else x
    times = take_turns(
        {"published": lambda: step(published, x), "ours": lambda: step(network, ours)}, repeats
    )
    return [
        "",
        "**A training step** of B0 on two cells of 6 × 64 × 96 × 96 voxels",
        "",
        "| network | ms | times ours |",
        "|---|---:|---:|",
        *(f"| {name} | {ms(times, name)} | {ratio(times, name, 'ours'):.1f} |" for name in times),
    ]


def each_part(parts: Timed) -> list[str]:
    lines = [
        "",
        "**Part by part**",
        "",
        "| part | ms | of the published forward |",
        "|---|---:|---:|",
    ]
    for name in parts:
        share = ratio(parts, name, "forward, published")
        lines.append(f"| {name} | {ms(parts, name)} | {share:.2f} |")
    return lines


def limit(case: Case, parts: Timed) -> list[str]:
    """How far from what the machine can do."""
    from torch.utils.flop_counter import FlopCounterMode

    x = torch.zeros(1, 6, *SIZE, device=case.device)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        case.published(x)
    flop = counter.get_total_flops()
    a = torch.rand(2048, 2048, device=case.device)
    rounds = take_turns({"product": lambda: a @ a}, 9)["product"]
    peak = 2 * 2048**3 / min(t[0] for t in rounds) / 1e9
    moved = bytes_moved(case.ready, x)
    wide = torch.zeros(64 << 20, device=case.device)
    copies = take_turns({"copy": lambda: wide.clone()}, 5)["copy"]
    band = 2 * wide.numel() * 4 / min(t[0] for t in copies) / 1e9
    took = median(t[0] for t in parts["forward, ours"])
    return [
        "",
        "**The physical limit**",
        "",
        "| | |",
        "|---|---:|",
        f"| multiply-adds of a forward pass | {flop / 2e9:.2f} G ({flop / 1e9:.2f} GFLOP) |",
        f"| this machine's matrix product | {peak:.0f} GFLOP/s |",
        f"| arithmetic alone would take | {figure(1000 * flop / peak / 1e9)} ms |",
        f"| read and written between the layers | {moved / 1e9:.2f} GB |",
        f"| this machine's copying | {band:.1f} GB/s |",
        f"| moving alone would take | {figure(1000 * moved / band / 1e9)} ms |",
        f"| the forward pass takes | {figure(1000 * took)} ms, {flop / took / 1e9:.0f} GFLOP/s |",
    ]


def bytes_moved(network: nn.Module, x: torch.Tensor) -> int:
    """What the operations of a forward pass read and write."""
    with _Traffic() as traffic, torch.no_grad():
        network(x)
    return traffic.total


class _Traffic(TorchDispatchMode):
    total = 0

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any, how: Any = None) -> Any:
        out = operation(*args, **(how or {}))
        if not operation.is_view:
            self.total += sum(
                part.numel() * part.element_size()
                for part in tree_leaves((args, out))
                if isinstance(part, torch.Tensor)
            )
        return out


def gpu_memory(case: Case) -> list[str]:
    torch.cuda.reset_peak_memory_stats()
    case.some("explain")
    peak = torch.cuda.max_memory_allocated() / 1e9
    held = f"The GPU's memory holds at most {peak:.2f} GB with {case.batch_size} cells at a time."
    return ["", held]


def memory_table() -> list[str]:
    lines = [
        "",
        "**Peak memory** of a process that audits so many cells of one stack (a network of a tenth "
        "of B0's width on 64³ voxels, so that 10,000 cells take minutes; crops, maps and rows are "
        "those of any network).",
        "",
        "| cells | peak, MB | over the stack and the program, MB |",
        "|---:|---:|---:|",
    ]
    for cells in (100, 1_000, 10_000):
        command = [sys.executable, __file__, "--memory-of", str(cells)]
        out = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        lines.append(f"| {cells:,} | {out[0]} | {out[1]} |")
    return lines


def peak_memory(cells: int) -> tuple[int, int]:
    """Most that this process held in an audit, in MB, and how much of it the audit added."""
    from tiny import tiny_checkpoint

    keep_buffers()
    stack, labels = field(10_000, planes=7, gap=24)
    checkpoint = tiny_checkpoint()
    ids = np.arange(1, cells + 1)
    seen = audit_batches(stack, labels, checkpoint, only=[1])
    list(seen)
    process = psutil.Process()
    before = process.memory_info().rss
    most, done = [before], threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            most[0] = max(most[0], process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    rows = 0
    for batch in audit_batches(stack, labels, checkpoint, only=ids):
        rows += len(batch.table)
    done.set()
    watcher.join()
    assert rows == cells
    return most[0] // 1_000_000, (most[0] - before) // 1_000_000


def field(cells: int, planes: int = 21, gap: int = 80) -> tuple[gc.ZStack, np.ndarray]:
    """A stack of round cells on a lattice, none at the border, with what differs between them."""
    rng = np.random.default_rng(0)
    side = int(np.ceil(np.sqrt(cells)))
    size = gap * (side + 1)
    labels = np.zeros((planes, size, size), np.int32)
    z, y, x = np.ogrid[:planes, -gap // 2 + 1 : gap // 2, -gap // 2 + 1 : gap // 2]
    ball = ((z - planes // 2) / planes * 2) ** 2 + (y**2 + x**2) / (0.45 * gap) ** 2 < 1
    image = rng.integers(90, 130, (6, *labels.shape), dtype=np.uint16)
    for label in range(1, cells + 1):
        row, column = divmod(label - 1, side)
        window = tuple(
            slice(gap * (n + 1) - gap // 2 + 1, gap * (n + 1) + gap // 2) for n in (row, column)
        )
        labels[(slice(None), *window)][ball] = label
        image[(slice(None), slice(None), *window)] += (
            ball * rng.integers(50, 3000, (6, 1, 1, 1))
        ).astype(np.uint16)
    return gc.ZStack(image, CHANNELS, (0.6, 0.3505, 0.3505), "made up"), labels


def responding(network: nn.Module, images: np.ndarray) -> nn.Module:
    """Random weights whose batch norms know the input, so that maps are not empty."""
    torch.manual_seed(0)
    x = assembled.prepare(images, (0.3,) * 6, (0.2,) * 6, SIZE)
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm3d)]
    for norm in norms:
        norm.momentum = None
        norm.reset_running_stats()
    with torch.no_grad():
        network.train()(x)
    return network.eval()


def machine(device: str) -> str:
    if device.startswith("cuda"):
        return f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}"
    names = (
        [
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ]
        if Path("/proc/cpuinfo").exists()
        else [platform.processor()]
    )
    return f"{len(os.sched_getaffinity(0))} cores of {names[0]}, PyTorch {torch.__version__}"


if __name__ == "__main__":
    main()
