"""The built-in plate: HepG2-like cells in 3D, six stains, a dose response, exact labels.

Everything follows from the design and its seed; each stack has a seed of its own, so the order
of making them does not matter.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import ndimage as ndi

from gradcamo.datatypes import ZStack
from gradcamo.files.stacks import write_stack
from gradcamo.samples.design import CHANNELS, PlateDesign
from gradcamo.samples.planting import (
    background_pattern,
    cell_treatments,
    choose_treated,
    has_background,
)
from gradcamo.samples.shapes import Box, scatter, territories
from gradcamo.samples.stains import paint

PHOTONS = np.array([330.0, 260.0, 280.0, 300.0, 270.0, 290.0], np.float32)
"""Mean photons of a bright structure, per channel."""
MEDIUM, OFFSET, GAIN, READ_NOISE = 14.0, 100.0, 4.0, 6.0


def make_stack(design: PlateDesign, well: str, site: int) -> tuple[ZStack, np.ndarray]:
    """One stack of the plate and the exact cell labels.

    Parameters
    ----------
    design : PlateDesign
    well : str
        Such as ``E03``: its row says the dose.
    site : int
        From 1 on.

    Returns
    -------
    ZStack
        (6, Z, Y, X) uint16.
    labels : (Z, Y, X) int32
        0 outside, 1 … n without gaps.

    Raises
    ------
    GradcamoError
        If the well's row is not one of the plate's.
    """
    stack, labels, _ = _make(design, well, site)
    return stack, labels


def _make(design: PlateDesign, well: str, site: int) -> tuple[ZStack, np.ndarray, np.ndarray]:
    """A stack, its labels and which of its cells respond."""
    rng = np.random.default_rng(design.entropy(well, site))
    labels, bodies = territories(scatter(design, rng), design)
    treated = choose_treated(design, well, labels, rng)
    peak = design.cell_contrast * design.response("E02")
    strength = (design.response(well) if design.signal == "dose" else peak) * treated
    infected = strength if design.phenotype == "speckles" else np.zeros(len(bodies))
    response = (strength - infected + rng.normal(0, 0.05, len(bodies))).clip(0, 1)
    scene = np.zeros((len(CHANNELS), *labels.shape), np.float32)
    for cell, (place, body) in enumerate(zip(ndi.find_objects(labels), bodies, strict=True)):
        box = _grown(place, labels.shape)
        mask = labels[box] == cell + 1
        scene[(slice(None), *box)] += paint(
            mask, box, body, response[cell], design.spacing_um, rng, infected[cell]
        )
    extra = background_pattern(design, labels, rng) if has_background(design, well, site) else 0.0
    data = _photograph(scene, extra, design, rng)
    return ZStack(data, CHANNELS, design.spacing_um, source=f"{well}_s{site}"), labels, treated


def make_plate(
    folder: str | Path,
    design: PlateDesign | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write a plate: OME-TIFF images and labels, and the table that names them.

    Images are uncompressed so that they can be memory-mapped, labels are compressed. With a
    planted signal the column ``cells`` names a CSV of ``label, treatment`` per stack; cells with
    an empty treatment there take no part.

    Parameters
    ----------
    folder : path
        Made if missing. Files are written beside it first and moved when all are there.
    design : PlateDesign, optional
        Wells, size and signal; the whole built-in plate by default.
    progress : callable, optional
        Called with (stacks made, stacks in all); an exception that it raises cancels.

    Returns
    -------
    Path
        ``folder/plate.csv``: image, labels, plate, well, site, treatment (and cells).

    Raises
    ------
    GradcamoError
        If the design has rows that the built-in plate lacks.

    Examples
    --------
    >>> import gradcamo as gc
    >>> design = gc.PlateDesign(rows=("E",), columns=("02",), sites=1, field_px=96, planes=5)
    >>> gc.make_plate("one well", design).name
    'plate.csv'
    """
    design = design or PlateDesign()
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".making-", dir=folder))
    jobs = [(well, site) for well in design.wells for site in range(1, design.sites + 1)]
    pool = ThreadPoolExecutor(max_workers=2)
    try:
        rows = []
        for row in pool.map(lambda job: _write_stack(scratch, design, *job), jobs):
            rows.append(row)
            if progress is not None:
                progress(len(rows), len(jobs))
        pd.DataFrame(rows).to_csv(scratch / "plate.csv", index=False)
        (scratch / "design.json").write_text(design.model_dump_json(indent=2) + "\n")
        (folder / "plate.csv").unlink(missing_ok=True)  # no table of files that are half replaced
        for path in sorted(scratch.rglob("*"), key=lambda path: path.name == "plate.csv"):
            if path.is_file():
                target = folder / path.relative_to(scratch)
                target.parent.mkdir(exist_ok=True)
                path.replace(target)
    finally:
        pool.shutdown(cancel_futures=True)
        shutil.rmtree(scratch, ignore_errors=True)
    return folder / "plate.csv"


def _write_stack(folder: Path, design: PlateDesign, well: str, site: int) -> dict[str, object]:
    import tifffile

    stack, labels, treated = _make(design, well, site)
    name = f"{well}_s{site}"
    row: dict[str, object] = {
        "image": f"images/{name}.ome.tif",
        "labels": f"labels/{name}.ome.tif",
        "plate": f"built-in-{design.seed}",
        "well": well,
        "site": site,
        "treatment": design.treatment(well),
    }
    size = {
        f"PhysicalSize{axis}{what}": value
        for axis, step in zip("ZYX", design.spacing_um, strict=True)
        for what, value in (("", step), ("Unit", "µm"))
    }
    for kind in ("images", "labels", *(["cells"] if design.signal != "dose" else [])):
        (folder / kind).mkdir(exist_ok=True)
    write_stack(folder / str(row["image"]), stack)
    tifffile.imwrite(
        folder / str(row["labels"]),
        labels,
        photometric="minisblack",
        compression="zlib",
        metadata={"axes": "ZYX", **size},
    )
    if design.signal != "dose":
        row["cells"] = f"cells/{name}.csv"
        truth = cell_treatments(design, well, labels, treated)
        truth.to_csv(folder / f"cells/{name}.csv", index=False)
    return row


def _grown(place: tuple[slice, ...], shape: tuple[int, ...]) -> Box:
    """A box with one voxel more on every side, inside the field."""
    z, y, x = (
        slice(max(side.start - 1, 0), min(side.stop + 1, size))
        for side, size in zip(place, shape, strict=True)
    )
    return z, y, x


def _photograph(
    scene: np.ndarray, extra: np.ndarray | float, design: PlateDesign, rng: np.random.Generator
) -> np.ndarray:
    """Blur, haze, fading with depth, photons and camera: (C, Z, Y, X) uint16."""
    sigma = np.array([0.55, 0.35, 0.35]) / design.spacing_um
    haze_size = [max(1, round(6 / step)) for step in design.spacing_um]
    fading = np.exp(-np.arange(design.planes, dtype=np.float32) * design.spacing_um[0] / 50)
    data = np.empty(scene.shape, np.uint16)
    for channel, light in enumerate(scene):
        light = ndi.gaussian_filter(light, sigma, truncate=2.5)
        light = (1 - design.haze) * light + design.haze * ndi.uniform_filter(light, haze_size)
        light *= PHOTONS[channel] * rng.lognormal(0, 0.04) * fading[:, None, None]
        light += MEDIUM + extra / GAIN
        counts = rng.poisson(light.clip(0)).astype(np.float32) * GAIN + OFFSET
        counts += READ_NOISE * rng.standard_normal(light.shape, np.float32)
        data[channel] = counts.clip(0, 65535)
    return data
