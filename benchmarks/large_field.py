"""One large field, as of a light-sheet microscope: how much memory and time an audit takes.

    python benchmarks/large_field.py

writes 105 x 1527 x 1528 voxels of four channels with 42 cells and their labels into a temporary
folder (7 GB), as TIFF, as zlib-compressed TIFF and as OME-Zarr, and audits each with a B0 at the
reference size, in a process of its own: from opening the files to the table. Peak memory is the
largest resident set, which counts what is mapped of files; processor time is that of all threads.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SHAPE = (4, 105, 1527, 1528)
CELLS = 42
CHANNELS = ("membrane", "nucleus", "marker", "reporter")
LAYOUTS = {"TIFF": "field.tif", "TIFF, zlib": "packed.tif", "OME-Zarr": "field.ome.zarr"}
LABELS = "labels.tif"


def write(folder: Path) -> None:
    """The field in every layout, plane by plane, and its labels."""
    import tifffile

    import gradcamo as gc
    from gradcamo.files.labels import write_labels

    rng = np.random.default_rng(0)
    noise = rng.poisson(100, (8, *SHAPE[2:])).astype(np.uint16)
    data = tifffile.memmap(
        folder / LAYOUTS["TIFF"],
        shape=SHAPE,
        dtype=np.uint16,
        ome=True,
        metadata={"axes": "CZYX", "Channel": {"Name": list(CHANNELS)}, **voxels()},
    )
    labels = np.zeros(SHAPE[1:], np.uint16)
    z, y, x = np.ogrid[-14:15, -40:41, -40:41]
    ball = (z / 14) ** 2 + (y / 40) ** 2 + (x / 40) ** 2 < 1
    for label in range(1, CELLS + 1):
        row, column = divmod(label - 1, 7)
        middle = int(rng.integers(0, SHAPE[1])), 150 + 230 * row, 140 + 200 * column
        first = [m - n // 2 for m, n in zip(middle, ball.shape, strict=True)]
        cut = slice(max(0, -first[0]), min(ball.shape[0], SHAPE[1] - first[0]))
        place = tuple(slice(f, f + n) for f, n in zip(first, ball.shape, strict=True))
        part = labels[max(0, first[0]) : place[0].stop, place[1], place[2]]
        part[ball[cut]] = label
    bright = np.append(0, rng.integers(50, 3000, (4, CELLS))[0]).astype(np.uint16)
    for c, channel in enumerate(data):
        for n, plane in enumerate(channel):
            plane[:] = noise[(3 * c + n) % 8] + (bright // (c + 1))[labels[n]]
    data.flush()
    write_labels(folder / LABELS, labels)
    stack = gc.read_stack(folder / LAYOUTS["TIFF"])
    gc.write_stack(folder / LAYOUTS["OME-Zarr"], stack)
    tifffile.imwrite(
        folder / LAYOUTS["TIFF, zlib"],
        iter(stack.data.reshape(-1, *SHAPE[2:])),
        shape=SHAPE,
        dtype=np.uint16,
        ome=True,
        compression="zlib",
        compressionargs={"level": 1},
        metadata={"axes": "CZYX", "Channel": {"Name": list(CHANNELS)}, **voxels()},
    )


def voxels() -> dict[str, object]:
    """The voxel size, as OME has it."""
    sizes = {"PhysicalSizeZ": 2.0, "PhysicalSizeY": 0.26, "PhysicalSizeX": 0.26}
    return sizes | {f"{name}Unit": "µm" for name in sizes}


def audit(folder: Path, layout: str, planes: int | None) -> dict[str, float]:
    """Read and audit it in this process: what it took."""
    start = time.monotonic()
    import torch

    import gradcamo as gc

    torch.manual_seed(0)
    checkpoint = gc.Checkpoint(
        gc.efficientnet3d("efficientnet-b0", in_channels=4, num_classes=2),
        classes=("control", "treated"),
        channels=CHANNELS,
        channel_mean=(0.2,) * 4,
        channel_std=(0.2,) * 4,
        crop=gc.CropSettings(size_yx=(128, 128), planes=planes),
        input_size=(64, 224, 224),
        layer="block_10",
    )
    stack = gc.read_stack(folder / LAYOUTS[layout])
    table = gc.audit(stack, gc.read_labels(folder / LABELS), checkpoint)
    assert len(table) == CELLS
    assert table["grad_camo"].notna().all()
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "GB": peak_bytes() / 1e9,
        "seconds": time.monotonic() - start,
        "processor": used.ru_utime + used.ru_stime,
    }


def peak_bytes() -> int:
    """The most that was resident. (`getrusage` counts what the parent held when it began this.)"""
    said = Path("/proc/self/status").read_text().split("VmHWM:")[1]
    return 1024 * int(said.split()[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="keep the field here, to use it again")
    parser.add_argument("--layouts", nargs="+", default=list(LAYOUTS), choices=list(LAYOUTS))
    parser.add_argument("--planes", nargs="+", type=int, default=[32, 0], help="0: all")
    parser.add_argument("--audit", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.audit:
        layout, planes = given.audit
        print(json.dumps(audit(given.folder, layout, int(planes) or None)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / LABELS).exists():
            write(folder)
        print("| file | planes of a crop | peak memory, GB | seconds | processor seconds |")
        print("|---|---:|---:|---:|---:|")
        for layout in given.layouts:
            for planes in given.planes:
                command = [sys.executable, __file__, "--folder", str(folder)]
                command += ["--audit", layout, str(planes)]
                out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                took = json.loads(out.splitlines()[-1])
                print(
                    f"| {layout} | {planes or 'all'} | {took['GB']:.1f} | {took['seconds']:.0f} | "
                    f"{took['processor']:.0f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
