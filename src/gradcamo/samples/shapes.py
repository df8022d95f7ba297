"""Cells of a field as 3D shapes: where they lie, how they share space, where the nuclei are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi

from gradcamo.samples.design import PlateDesign

Box = tuple[slice, slice, slice]


@dataclass(frozen=True, eq=False)
class Body:
    """One cell before it meets its neighbours; lengths in µm, centre z, y, x in the field."""

    centre: np.ndarray
    radius: float
    half_height: float
    lobes: np.ndarray  # (2, K): cosine and sine amplitudes of the outline, from 2 lobes on

    def gauge(self, z: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """0 at the centre, 1 on the surface, for open coordinate grids in µm."""
        y, x = y - self.centre[1], x - self.centre[2]
        angle, outline = np.arctan2(y, x), 1.0
        for k, (cosine, sine) in enumerate(self.lobes.T, start=2):
            outline = outline + cosine * np.cos(k * angle) + sine * np.sin(k * angle)
        lateral = np.hypot(y, x) / (self.radius * outline)
        axial = (z - self.centre[0]) / self.half_height
        return (lateral**3 + np.abs(axial) ** 3) ** (
            1 / 3
        )  # rounder than a drum, fuller than a ball


def scatter(design: PlateDesign, rng: np.random.Generator) -> list[Body]:
    """Cells in islands, also beyond the border, so that the border cuts some of them."""
    size = design.field_px * design.spacing_um[1]
    margin = design.cell_um / 5  # further out only slivers show, which nobody would annotate
    wanted = round(design.cells_per_field * ((size + 2 * margin) / size) ** 2)
    centres: list[np.ndarray] = []
    for _ in range(200 * wanted):
        if len(centres) == wanted:
            break
        if centres and rng.random() < 0.85:  # beside a cell that is there already
            angle, gap = rng.uniform(0, 2 * np.pi), rng.uniform(0.78, 0.92) * design.cell_um
            spot = centres[rng.integers(len(centres))] + gap * np.array(
                [np.sin(angle), np.cos(angle)]
            )
        else:
            spot = rng.uniform(-margin, size + margin, 2)
        inside = (spot > -margin).all() and (spot < size + margin).all()
        apart = all(np.hypot(*(spot - other)) > 0.76 * design.cell_um for other in centres)
        if inside and apart:
            centres.append(spot)
    depth = design.planes * design.spacing_um[0]
    bodies = []
    for y, x in centres:
        z = depth * rng.normal(0.47, 0.04)
        lobes = rng.normal(0, 1, (2, 4)) * np.array([0.09, 0.05, 0.03, 0.02])
        radius = design.cell_um / 2 * rng.lognormal(0, 0.08)
        bodies.append(Body(np.array([z, y, x]), radius, depth * rng.normal(0.46, 0.05), lobes))
    return bodies


def territories(bodies: list[Body], design: PlateDesign) -> tuple[np.ndarray, list[Body]]:
    """Exact labels (Z, Y, X) int32 and the bodies they belong to: label i is bodies[i - 1].

    A voxel belongs to the cell in which it lies deepest, so that touching cells share a wall.
    Cells without a voxel in the field are left out.
    """
    shape = (design.planes, design.field_px, design.field_px)
    nearest = np.ones(shape, np.float32)
    owner = np.zeros(shape, np.int32)
    for number, body in enumerate(bodies, start=1):
        if (box := _box(body, design)) is None:
            continue
        gauge = body.gauge(*grid(box, design.spacing_um))
        closer = gauge < nearest[box]
        nearest[box][closer] = gauge[closer]
        owner[box][closer] = number
    labels = np.zeros(shape, np.int32)
    kept: list[Body] = []
    for number, place in enumerate(ndi.find_objects(owner), start=1):
        if place is None:
            continue
        parts, count = ndi.label(owner[place] == number)
        if count > 1:  # a sliver behind a neighbour is no part of this cell
            parts = parts == 1 + np.argmax(np.bincount(parts.ravel())[1:])
        kept.append(bodies[number - 1])
        labels[place][parts > 0] = len(kept)
    return labels, kept


def grid(box: Box, spacing: tuple[float, float, float]) -> list[np.ndarray]:
    """Open coordinate grids z, y, x of a box's voxel centres, in µm."""
    axes = [np.arange(side.start, side.stop, dtype=np.float32) for side in box]
    return list(
        np.ix_(*(axis * np.float32(step) for axis, step in zip(axes, spacing, strict=True)))
    )


def nuclei(
    body: Body, rng: np.random.Generator, shrink: float
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Centre and half axes (z, y, x) in µm of a cell's one nucleus, sometimes two."""
    size = body.radius * 0.5 * rng.normal(1, 0.07) * shrink
    axes = np.array([body.half_height * 0.66 * shrink, size * rng.uniform(0.75, 1.0), size])
    centre = body.centre + rng.normal(0, 1, 3) * [0.25, 1.2, 1.2]
    if rng.random() > 0.08:
        return [(centre, axes)]
    angle = rng.uniform(0, np.pi)
    step = 0.72 * size * np.array([0, np.sin(angle), np.cos(angle)])
    return [(centre - step, axes * 0.7), (centre + step, axes * 0.7)]


def _box(body: Body, design: PlateDesign) -> Box | None:
    """The part of the field that a body can reach."""
    reach = np.array([body.half_height, body.radius * 1.5, body.radius * 1.5])
    shape = (design.planes, design.field_px, design.field_px)
    first = np.floor((body.centre - reach) / design.spacing_um).astype(int).clip(0)
    last = np.ceil((body.centre + reach) / design.spacing_um).astype(int) + 1
    last = np.minimum(last, shape)
    if (last <= first).any():
        return None
    return (
        slice(int(first[0]), int(last[0])),
        slice(int(first[1]), int(last[1])),
        slice(int(first[2]), int(last[2])),
    )
