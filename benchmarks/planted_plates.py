"""Plates of planted_truth.py that the generator does not make: its stacks, changed by class."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from planted_kinds import Plate
from scipy import ndimage as ndi

from gradcamo.files.labels import read_labels, write_labels
from gradcamo.files.plates import read_plate
from gradcamo.files.stacks import read_stack, write_stack
from gradcamo.samples.planting import TREATED
from gradcamo.samples.plate import GAIN, OFFSET

FOLDERS = {"image": "images", "labels": "labels", "cells": "cells"}
PLANES = 21
"""Kept of a stack that is cut higher or lower."""
HIGHER_UM, GLOW_UM = 3.6, 4.0
"""How much higher treated stacks begin, and the height over which the glow falls to 1/e."""


def change(tables: list[Path], plate: Plate, folder: Path) -> Path:
    """Write a plate of the stacks of others, those of treated wells changed."""
    rows = [_changed(row, plate, folder) for csv in tables for _, row in read_plate(csv).iterrows()]
    pd.DataFrame(rows).to_csv(folder / "plate.csv", index=False)
    return folder / "plate.csv"


def _changed(row: pd.Series, plate: Plate, folder: Path) -> dict[str, object]:
    """Write one stack as it is to be, and say where."""
    stack, labels = read_stack(row["image"]), read_labels(row["labels"])
    data, treated = np.asarray(stack.data), row["treatment"] == TREATED
    rng = np.random.default_rng([ord(row["well"][0]), int(row["well"][1:]), int(row["site"])])
    match plate.change:
        case "blur" if treated:
            data = blurred(data, plate.amount)
        case "vignette":
            data = lit(data, np.array(plate.glow), rng)
            data = dimmed(data, plate.amount, rng) if treated else data
        case "focus":
            first = int(rng.integers(data.shape[1] - PLANES + 1))
            data, labels = (part[..., first : first + PLANES, :, :] for part in (data, labels))
            height = np.arange(PLANES)[:, None, None] * stack.spacing_um[0] + HIGHER_UM * treated
            data = lit(data, plate.glow * np.exp(-height / GLOW_UM), rng)
    told = {name: f"{kept}/{Path(row[name]).name}" for name, kept in FOLDERS.items()}
    for path in told.values():
        (folder / path).parent.mkdir(exist_ok=True)
    write_stack(folder / told["image"], replace(stack, data=data))
    write_labels(folder / told["labels"], labels, stack.spacing_um)
    (folder / told["cells"]).write_bytes(Path(row["cells"]).read_bytes())
    return {**told, **row[["plate", "well", "site", "treatment"]]}


def blurred(data: np.ndarray, voxels: float) -> np.ndarray:
    """A stack (C, Z, Y, X) smoothed, noise and all: whatever has texture tells the class."""
    smooth = ndi.gaussian_filter(data.astype(np.float32), (0, voxels / 2, voxels, voxels))
    return np.rint(smooth).astype(data.dtype)


def lit(data: np.ndarray, glow: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A stack (C, Z, Y, X) with the medium's light: mean photons ``glow``, (Z, 1, 1) or one."""
    photons = rng.poisson(np.broadcast_to(glow, data.shape))
    return (data + GAIN * photons).clip(0, 65535).astype(data.dtype)


def dimmed(data: np.ndarray, dimmest: float, rng: np.random.Generator) -> np.ndarray:
    """A stack (C, Z, Y, X) with fewer photons the nearer to one corner, by the same factor every
    micrometre: what a lens leaves of a Poisson number of photons is a binomial part of them."""
    y, x = (np.linspace(0, 0.5, size) for size in data.shape[-2:])
    left = dimmest ** (y[:, None] + x)
    light = data.astype(np.float32) - OFFSET
    photons = np.rint(light.clip(0) / GAIN).astype(int)
    kept = rng.binomial(photons, left)
    return (OFFSET + light + GAIN * (kept - photons)).clip(0, 65535).astype(data.dtype)
