"""One cell, six stains: what a response changes is the cell's own texture."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import ndimage as ndi

from gradcamo.samples.design import CHANNELS
from gradcamo.samples.shapes import Body, Box, grid, nuclei

Spacing = tuple[float, float, float]
Axes = list[np.ndarray]
Core = tuple[np.ndarray, np.ndarray]
Rng = np.random.Generator


@lru_cache(maxsize=16)
def _tile(scale_um: float, spacing: Spacing, number: int) -> np.ndarray:
    """Periodic Gaussian noise of unit variance, smooth over a length in µm."""
    shape = (32, 128, 128)
    white = np.fft.rfftn(np.random.default_rng(number).standard_normal(shape))
    for axis, step in enumerate(spacing):
        frequency = (np.fft.rfftfreq if axis == 2 else np.fft.fftfreq)(shape[axis], step)
        decay = np.exp(-2 * (np.pi * frequency * scale_um) ** 2)
        white *= decay.reshape([-1 if side == axis else 1 for side in range(3)])
    white[0, 0, 0] = 0
    noise = np.fft.irfftn(white, shape, axes=(0, 1, 2))
    return (noise / noise.std()).astype(np.float32)


class Texture:
    """Noise for one cell: a window of a fixed tile, somewhere else for every cell."""

    def __init__(self, shape: tuple[int, ...], spacing: Spacing, rng: Rng) -> None:
        self.shape, self.spacing, self.rng = shape, spacing, rng

    def __call__(self, scale_um: float, number: int = 0) -> np.ndarray:
        tile = _tile(scale_um, self.spacing, number)
        start = self.rng.integers(0, tile.shape)
        axes = zip(start, self.shape, tile.shape, strict=True)
        return tile[np.ix_(*((np.arange(n) + s) % size for s, n, size in axes))]

    def threads(self, scale_um: float, width: float) -> np.ndarray:
        """A network of threads: where two noise fields cross zero together."""
        both = self(scale_um, 1) ** 2 + self(scale_um, 2) ** 2
        return np.exp(-both / (2 * width**2))

    def grains(self, scale_um: float, level: float) -> np.ndarray:
        """Round grains: the peaks of a noise field above a level."""
        return 1 / (1 + np.exp((level - self(scale_um, 3)) / 0.12))


def _blobs(axes: Axes, centres: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Soft balls in µm, 1 inside and 0 outside."""
    z, y, x = axes
    total = np.zeros(np.broadcast_shapes(z.shape, y.shape, x.shape), np.float32)
    for (cz, cy, cx), radius in zip(centres.astype(np.float32), radii, strict=True):
        distance = np.sqrt((z - cz) ** 2 + (y - cy) ** 2 + (x - cx) ** 2)
        np.maximum(total, (radius - distance) / 0.5 + 0.5, out=total)
    return total.clip(0, 1)


def paint(
    mask: np.ndarray,
    box: Box,
    body: Body,
    response: float,
    spacing: Spacing,
    rng: Rng,
    infected: float = 0.0,
) -> np.ndarray:
    """Expected brightness (C, Z, Y, X) of one cell in its box; 1 is a bright structure.

    Parameters
    ----------
    mask : (Z, Y, X) bool
        The cell's voxels in its box.
    response : float in [0, 1]
        With it mitochondria break into grains, the ER fills with vacuoles, actin moves from
        fibres to the cortex, nucleoli and the Golgi scatter and chromatin condenses.
    infected : float in [0, 1]
        Brightness of speckles in the cytoplasm that stain for DNA, 1: nearly as the nucleus.
    """
    axes = grid(box, spacing)
    noise = Texture(mask.shape, spacing, rng)
    walls = np.pad(mask, ((0, 0), (1, 1), (1, 1)), mode="edge")  # a cut by the border is no wall
    walls = np.pad(walls, ((1, 1), (0, 0), (0, 0)))
    depth = ndi.distance_transform_edt(walls, sampling=spacing)[1:-1, 1:-1, 1:-1].astype(np.float32)
    inside = np.clip(depth / 0.8, 0, 1)

    cores = nuclei(body, rng, shrink=1 - 0.12 * response)
    gauge = np.full(mask.shape, np.inf, np.float32)
    for centre, half in cores:
        np.minimum(
            gauge,
            sum(((a - c) / h) ** 2 for a, c, h in zip(axes, centre, half, strict=True)) ** 0.5,
            out=gauge,
        )
    rim = np.float32(body.radius * 0.48)
    nucleus = np.clip((1 - gauge) * rim / 0.7 + 0.5, 0, 1) * inside
    cytoplasm = inside * (1 - nucleus)
    near = np.exp(-np.clip(gauge - 1, 0, None) * rim / 4.5)  # 1 at the nucleus, less outwards

    nucleoli = _nucleoli(axes, cores, response, rng) * nucleus
    vacuoles = _vacuoles(axes, body, response, rng) * cytoplasm
    solid = cytoplasm * (1 - 0.85 * vacuoles)

    coarse = noise(2.5)
    chromatin = 0.75 + (0.12 + 0.22 * response) * noise(0.9) + 0.08 * coarse
    hoechst = nucleus * chromatin.clip(0.1, None) * (1 - 0.55 * nucleoli)

    if infected:
        clear = np.clip((depth - 1.6) / 0.8, 0, 1)  # of the wall, or optics carry light across it
        hoechst += 0.7 * infected * cytoplasm * clear * noise.grains(0.8, 0.2)

    mesh = noise.threads(1.1, 0.8)
    concanavalin = solid * (0.25 + 0.75 * near) * (0.45 + 0.6 * mesh) + 0.12 * nucleus

    syto14 = solid * (0.42 + 0.12 * coarse + 0.1 * near).clip(0.1, None)
    syto14 += 0.25 * nucleus + 0.75 * nucleoli

    wga = 0.75 * mask * np.exp(-((depth / 1.1) ** 2)) + 0.13 * solid + 0.06 * nucleus
    wga += _golgi(axes, cores[0], response, rng) * cytoplasm * (0.6 + 0.3 * noise(0.6))
    wga += 0.25 * cytoplasm * noise.grains(0.7, 2.0)

    cortex = mask * np.exp(-((depth / 1.3) ** 2)) * (0.75 + 0.2 * noise(0.9)).clip(0.1, None)
    phalloidin = cortex * (0.55 + 0.5 * response) + 0.1 * inside
    phalloidin += (
        (1 - response) * _fibres(axes, body, noise(4.0), (0.6 + 0.5 * coarse).clip(0), rng) * inside
    )

    threads = noise.threads(1.0, 0.5)
    grains = noise.grains(0.85, 1.25)
    mitochondria = (1 - response) * threads + response * 1.15 * grains
    mito = solid * np.clip(depth - 0.8, 0, 1) * (0.25 + 0.85 * near) * (0.08 + mitochondria)

    stains = np.stack([hoechst, concanavalin, syto14, wga, phalloidin, mito]).astype(np.float32)
    stains *= rng.lognormal(0, 0.13, (len(CHANNELS), 1, 1, 1)).astype(np.float32)
    return stains.clip(0) * mask


def _nucleoli(axes: Axes, cores: list[Core], response: float, rng: Rng) -> np.ndarray:
    centres, radii = [], []
    for centre, half in cores:
        for _ in range(2 + rng.poisson(0.5) + rng.binomial(6, response)):
            direction = rng.normal(size=3)
            direction *= rng.uniform(0.15, 0.65) / np.linalg.norm(direction)
            centres.append(centre + direction * half)
            radii.append(rng.normal(1.45 - 0.55 * response, 0.15))
    return _blobs(axes, np.array(centres), np.array(radii))


def _vacuoles(axes: Axes, body: Body, response: float, rng: Rng) -> np.ndarray:
    count = rng.poisson(0.4 + 16 * response)
    angle = rng.uniform(0, 2 * np.pi, count)
    distance = body.radius * np.sqrt(rng.uniform(0.2, 0.85, count))
    height = body.half_height * rng.uniform(-0.75, 0.75, count)
    centres = body.centre + np.stack(
        [height, distance * np.sin(angle), distance * np.cos(angle)], axis=1
    )
    return _blobs(axes, centres, rng.uniform(0.9, 1.7, count))


def _golgi(axes: Axes, core: Core, response: float, rng: Rng) -> np.ndarray:
    """Ribbon pieces beside the nucleus; a response spreads them around it."""
    centre, half = core
    middle, spread = rng.uniform(0, 2 * np.pi), 0.35 + 2.6 * response
    angle = middle + spread * rng.uniform(-1, 1, 7)
    height = rng.uniform(-0.5, 0.5, 7) * half[0]
    reach = half[1:].mean() * rng.uniform(1.1, 1.35 + 0.4 * response, 7)
    centres = centre + np.stack([height, reach * np.sin(angle), reach * np.cos(angle)], axis=1)
    return _blobs(axes, centres, np.full(7, 1.2 - 0.35 * response))


def _fibres(axes: Axes, body: Body, bend: np.ndarray, patches: np.ndarray, rng: Rng) -> np.ndarray:
    """Parallel stress fibres on the floor of the cell."""
    z, y, x = axes
    angle = rng.uniform(0, np.pi)
    across = (y - body.centre[1]) * np.cos(angle) - (x - body.centre[2]) * np.sin(angle)
    stripes = (0.5 + 0.5 * np.cos(2 * np.pi * across / 2.9 + 2.2 * bend)) ** 4
    floor = body.centre[0] - body.half_height
    return 0.9 * stripes * patches * np.exp(-np.clip(z - floor, 0, None) / 3.5)
