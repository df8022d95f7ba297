"""A lazy sequence of single-cell crops: a window around each cell of a stack."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from gradcamo.cells.extents import cell_extents
from gradcamo.cells.rescaling import hot_channels, rescale
from gradcamo.cells.windows import groups, lies_in_memory, windows
from gradcamo.datatypes import CellCrop, ZStack, refuse_no_stack, voxel_um3
from gradcamo.errors import GradcamoError
from gradcamo.files.masks import refuse_no_labels, too_large
from gradcamo.files.misfits import refuse_misfit
from gradcamo.mapped import native
from gradcamo.settings import CropSettings


def window_start(first: Any, last: Any, size: int) -> Any:
    """First voxel of a window of ``size`` centred on the extent [first, last]; may be negative.

    ``c = (first + last) / 2``, start ``floor(c - (size - 1) / 2 + 1 / 2)``, in integers.
    """
    return (first + last - size + 2) // 2


def refuse_planes(crop: CropSettings, input_size: Sequence[int]) -> None:
    """Refuse a window in z that a network cannot look at: 2D ones see one plane, others several.

    Raises
    ------
    GradcamoError
        If so.
    """
    flat = len(input_size) == 2
    if crop.planes is not None and (crop.planes == 1) != flat:
        raise GradcamoError(
            f"a network that sees {' × '.join(map(str, input_size))} is {'2D' if flat else '3D'} "
            f"and takes crops of {'one plane' if flat else 'several planes'}, not of "
            f"{crop.planes}: choose another number of planes (--crop-planes), or leave it out"
        )


def refuse_depth(stack: ZStack, crop: CropSettings, input_size: Sequence[int]) -> None:
    """Refuse a stack of one plane for a 3D network, and crops of several for a 2D one.

    Raises
    ------
    GradcamoError
        If so.
    """
    planes = stack.shape[1]
    if len(input_size) == 3 and planes == 1:
        raise GradcamoError(
            f"the checkpoint is a 3D network, {stack.source or 'the image'} has one plane: "
            "open a Z-stack, or use a 2D network"
        )
    if len(input_size) == 2 and crop.window(planes)[0] > 1:
        raise GradcamoError(
            f"the checkpoint is a 2D network, {stack.source or 'the stack'} has {planes} planes: "
            "project it, let crops be the middle plane of each cell (CropSettings(planes=1)), or "
            "use a 3D network"
        )


class CellCrops(Sequence[CellCrop]):
    """Every cell of a stack in its window, cut when asked for, in ascending label.

    Parameters
    ----------
    stack : ZStack
        (C, Z, Y, X).
    labels : array of int
        (Z, Y, X), 0 outside cells.
    settings : CropSettings, optional
        Size of the window in voxels, and how intensities are rescaled.

    Attributes
    ----------
    table : DataFrame
        One row per cell: label, touches_border, volume_um3 (NaN unless the voxel size is known
        along all axes), centroid_z, centroid_y, centroid_x
        (voxels), start_z, start_y, start_x (voxels, may be negative), cell_in_crop (share of the
        cell's voxels that its window holds).
    window : tuple of int
        Size (z, y, x) of every crop, in voxels.
    scorable : ndarray
        (N,) bool: which cells can be trained on and scored: whole, and at least partly in their
        windows.
    hot : ndarray
        (N, C) bool: which channels of the crops cut so far hold hot voxels, where crops are
        rescaled by them.

    Raises
    ------
    GradcamoError
        If labels and stack do not fit, or labels are not whole numbers from 0 up. When a crop is
        cut: if a channel holds NaN or infinite intensities.

    Notes
    -----
    Reading is the only thing a crop does, so crops may be cut in any order and from threads.

    Examples
    --------
    >>> import gradcamo as gc
    >>> stack = gc.read_stack("plate/images/E02_s1.ome.tif")
    >>> labels = gc.read_labels("plate/labels/E02_s1.ome.tif")
    >>> crops = gc.CellCrops(stack, labels, gc.CropSettings(size_yx=(64, 64)))
    >>> len(crops), int(crops.scorable.sum())
    (18, 10)
    >>> crops[0].image.shape
    (6, 9, 64, 64)
    """

    def __init__(self, stack: ZStack, labels: Any, settings: CropSettings | None = None) -> None:
        refuse_no_stack(stack, "a cutting of crops")
        refuse_no_labels(labels)
        refuse_misfit(labels.shape, stack)
        self.stack, self.labels, self.settings = stack, native(labels), settings or CropSettings()
        cells = cell_extents(labels)
        if len(cells) and (first := int(cells.index[0])) < 0:
            if np.dtype(labels.dtype).kind == "u":
                raise GradcamoError(f"the label image {too_large(first + 2**64)}")
            raise GradcamoError(f"labels start at 0 (background), found {first}")
        self._ids = cells.index.to_numpy()
        height, width = stack.shape[2:]
        self.window = self.settings.window(stack.shape[1])
        self._starts = np.stack(
            [
                window_start(cells[f"{axis}0"], cells[f"{axis}1"], size)
                for axis, size in zip("zyx", self.window, strict=True)
            ],
            axis=1,
        )
        if self.settings.planes is None:
            self._starts[:, 0] = 0
        edges = (cells["y1"] == height - 1) | (cells["x1"] == width - 1)
        self._partial = (edges | (cells["y0"] == 0) | (cells["x0"] == 0)).to_numpy()
        self.table = pd.DataFrame(
            {
                "label": self._ids,
                "touches_border": self._partial,
                "volume_um3": cells["voxels"].to_numpy() * voxel_um3(stack.spacing_um),
                **{f"centroid_{a}": cells[f"centroid_{a}"].to_numpy() for a in "zyx"},
                **{f"start_{a}": self._starts[:, n] for n, a in enumerate("zyx")},
                "cell_in_crop": self._held_by_windows(cells),
            }
        )
        # a cell in two distant pieces may leave none of itself to a window centred on both
        self.scorable = ~self._partial & (self.table["cell_in_crop"] > 0).to_numpy()
        self.hot = np.zeros((len(cells), stack.shape[0]), bool)

    def _held_by_windows(self, cells: pd.DataFrame) -> np.ndarray:
        held = np.ones(len(cells))
        axes = zip("zyx", self.window, strict=True)
        larger = [cells[f"{axis}1"] - cells[f"{axis}0"] >= size for axis, size in axes]
        for i in np.flatnonzero(np.any(larger, axis=0)):
            held[i] = np.count_nonzero(self._window(self.labels, i) == self._ids[i])
            held[i] /= cells["voxels"].to_numpy()[i]
        return held

    def _window(self, array: Any, i: int) -> np.ndarray:
        """The part of ``array`` (..., Z, Y, X) inside the stack that cell i's window covers."""
        return inside(array, self._starts[i], self.window)

    def _exact_inside(self, i: int) -> bool:
        start, shape = self._starts[i], self.stack.shape[1:]
        inside = (start >= 0).all() and (start + self.window <= shape).all()
        exact = np.dtype(self.stack.data.dtype) in (np.uint8, np.uint16)
        return bool(inside) and exact and self.settings.rescale == "min-max"

    def _image(self, i: int, part: np.ndarray | None) -> np.ndarray:
        """Cell i's image, rescaled and filled up with 0."""
        stack, how = self.stack, self.settings.rescale
        if part is None:
            part = self._window(stack.data, i)
        first = max(self.start(i)[0], 0)
        values = rescale(part, stack.channels.__getitem__, stack.source, how, first)
        if how == "min-max":
            self.hot[i] = hot_channels(values)
        return padded(values, self._starts[i], self.window)

    def _raw(self, i: int, part: np.ndarray | None) -> np.ndarray:
        """Cell i's image as it was read."""
        if part is None:
            part = self._window(self.stack.data, i)
        self.hot[i] = hot_channels(part)
        return part

    def rows_of(self, labels: Collection[int] | None) -> np.ndarray:
        """The rows of cells, ascending; of all of them where None are named.

        Raises
        ------
        GradcamoError
            If there is no such cell.
        """
        if labels is None:
            return np.arange(len(self))
        if missing := sorted(set(labels) - set(self._ids.tolist())):
            raise GradcamoError(
                f"the labels hold no cell {missing[0]} ({len(missing)} are missing)"
            )
        return np.flatnonzero(np.isin(self._ids, list(labels)))

    def start(self, i: int) -> tuple[int, int, int]:
        """First voxel (z, y, x) of cell i's window in the stack."""
        z, y, x = self._starts[i].tolist()
        return z, y, x

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            return [self[j] for j in range(*i.indices(len(self)))]
        if not -len(self) <= i < len(self):
            raise IndexError(f"cell {i} of {len(self)}")
        return self._crop(i % len(self))

    def each(self, rows: Iterable[int]) -> Iterator[CellCrop]:
        """The same as ``crops[i]`` for each of some rows, one after the other.

        Of a stack that does not lie in memory, each part of the file is read once for many crops.
        """
        for i, part in self.parts(rows):
            yield self._crop(i, part)

    def parts(self, rows: Iterable[int]) -> Iterator[tuple[int, np.ndarray]]:
        """Row by row its number, and what its window holds of the stack, as `each` reads it."""
        data, wanted = self.stack.data, np.fromiter(rows, np.int64)
        if lies_in_memory(data):
            yield from ((i, self._window(data, i)) for i in wanted.tolist())
            return
        for group in groups(wanted, self.window, data):
            cut = windows(data, self._starts[group], self.window)[::-1]
            for i in group.tolist():
                yield i, cut.pop()

    def _crop(self, i: int, part: np.ndarray | None = None) -> CellCrop:
        """Cell i; ``part`` is what its window holds of the stack, where it was read ahead."""
        return CellCrop(
            label=int(self._ids[i]),
            start_zyx=self.start(i),
            touches_border=bool(self._partial[i]),
            cut_image=lambda: self._image(i, part),
            cut_labels=lambda: padded(self._window(self.labels, i), self._starts[i], self.window),
            cut_raw=(lambda: self._raw(i, part)) if self._exact_inside(i) else None,
        )


def crop_image(stack: ZStack, start: Any, settings: CropSettings) -> np.ndarray:
    """A window of a stack, rescaled and filled up with 0: (C, Z, Y, X) float32."""
    size = settings.window(stack.shape[1])
    part = inside(stack.data, start, size)
    first = max(int(start[0]), 0)
    values = rescale(part, stack.channels.__getitem__, stack.source, settings.rescale, first)
    return padded(values, start, size)


def inside(array: Any, start: Sequence[int], size: Sequence[int]) -> np.ndarray:
    """The part of a window that lies inside ``array``, whose last axes are the window's."""
    ranges = zip(start, size, array.shape[-len(size) :], strict=True)
    window = tuple(slice(max(s, 0), min(s + n, whole)) for s, n, whole in ranges)
    return np.asarray(array[(..., *window)])


def padded(window: np.ndarray, start: Sequence[int], size: Sequence[int]) -> np.ndarray:
    """The part inside, which `inside` cut, in its whole window, filled up with 0."""
    n = len(size)
    if window.shape[-n:] == tuple(size):
        return window
    out = np.zeros((*window.shape[:-n], *size), window.dtype)
    places = zip(start, window.shape[-n:], strict=True)
    out[(..., *(slice(max(-s, 0), max(-s, 0) + n) for s, n in places))] = window
    return out
