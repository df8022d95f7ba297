"""What travels between the stages: frozen, checked at birth, units in the names."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcamo.errors import GradcamoError, GradcamoWarning
from gradcamo.mapped import SomeChannels, native, slabs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import pandas as pd
    from torch import Tensor


Spacing = tuple[float | None, float | None, float | None]
"""Voxel size (z, y, x) in µm, None along each axis where it is not known."""


def voxel_um3(spacing_um: Spacing | None) -> float:
    """Volume of a voxel in µm³; NaN unless all three of its sides are known."""
    sides = [np.nan if step is None else step for step in spacing_um or (None,) * 3]
    return float(np.prod(sides))


def spacing_text(spacing_um: Spacing | None) -> str:
    """A voxel size as it is told: ``0.6 × 0.35 × 0.35 µm``, ``?`` where it is not known."""
    steps = ("?" if step is None else f"{step:.4g}" for step in spacing_um or (None,) * 3)
    return f"{' × '.join(steps)} µm"


def unknown_axes(spacing_um: Spacing | None) -> str:
    """The axes along which a voxel size is not known, such as ``z`` or ``z, y, x``."""
    steps = zip("zyx", spacing_um or (None,) * 3, strict=True)
    return ", ".join(axis for axis, step in steps if step is None)


def absent_text(absent: Mapping[str, Sequence[int]]) -> str:
    """What is said of chunks that a store lacks: by channel how many, of how many."""
    parts = [f"{n} of {of} in {name}" for name, (n, of) in absent.items()]
    return f"chunks are absent from the store and were read as 0: {', '.join(parts)}"


@dataclass(frozen=True, eq=False)
class ZStack:
    """A multi-channel Z-stack, read when it is indexed.

    Parameters
    ----------
    data : array-like
        (C, Z, Y, X): NumPy, memory-mapped or Dask array. A 2D image has one plane.
    channels : tuple of str
        One name per channel, each different.
    spacing_um : tuple of float or None, optional
        Voxel size (z, y, x) in µm, None along each axis that the file says nothing of; None where
        it says nothing at all.
    source : str
        Where it came from; the ``image`` column of every table.
    lacking : callable, optional
        Lists, by channel, how many chunks its file lacks, of how many.

    Raises
    ------
    GradcamoError
        If the array is not (C, Z, Y, X), has an empty axis, or names and sizes do not fit it.

    Examples
    --------
    >>> import gradcamo as gc
    >>> import numpy as np
    >>> voxels = np.zeros((2, 5, 64, 64), np.uint16)
    >>> stack = gc.ZStack(voxels, channels=("DNA", "ER"), spacing_um=(1.0, 0.3, 0.3))
    >>> stack.select(("ER",)).shape
    (1, 5, 64, 64)
    """

    data: Any
    channels: tuple[str, ...]
    spacing_um: Spacing | None = None
    source: str = ""
    lacking: Callable[[], Mapping[str, tuple[int, int]]] | None = None

    def __post_init__(self) -> None:
        if not hasattr(self.data, "dtype"):
            raise GradcamoError(
                f"a Z-stack is an array (C, Z, Y, X), got {type(self.data).__name__}: open a file "
                "with gc.read_stack(path), or take numpy.asarray(data)"
            )
        shape = tuple(self.data.shape)
        if len(shape) != 4 or 0 in shape:
            raise GradcamoError(
                f"a Z-stack is (C, Z, Y, X) without empty axes, this array is {shape}: "
                "add the missing axes or say which is which with axes='…'"
            )
        if np.dtype(self.data.dtype).kind not in "uifb":
            raise GradcamoError(
                f"a Z-stack holds real numbers, not {self.data.dtype}: convert it first"
            )
        if isinstance(self.channels, str):
            raise GradcamoError(
                f"channels are names in a tuple, got the text {self.channels!r}: of one channel "
                f"write ({self.channels!r},)"
            )
        object.__setattr__(self, "data", native(self.data))
        object.__setattr__(self, "channels", tuple(str(name) for name in self.channels))
        if len(self.channels) != shape[0] or len(set(self.channels)) != shape[0]:
            raise GradcamoError(
                f"{shape[0]} channels need as many different names, got {list(self.channels)}: "
                f"give one name per channel; this array of {shape} is taken for (C, Z, Y, X)"
            )
        if self.spacing_um is not None:
            spacing = tuple(None if step is None else float(step) for step in self.spacing_um)
            known = [step for step in spacing if step is not None]
            if len(spacing) != 3 or not all(0 < step < np.inf for step in known):
                raise GradcamoError(
                    f"a voxel size is three positive lengths (z, y, x) in µm, got {spacing}"
                )
            object.__setattr__(self, "spacing_um", spacing if known else None)

    def __repr__(self) -> str:
        """Without the voxels, which would have to be read, and fill the screen."""
        size = " × ".join(map(str, self.shape))
        return (
            f"<ZStack {size} {self.data.dtype} ({', '.join(self.channels)}), "
            f"{spacing_text(self.spacing_um)}, {self.source or 'of no file'}>"
        )

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Number of channels, planes, rows and columns."""
        return tuple(self.data.shape)

    @cached_property
    def constant_channels(self) -> tuple[str, ...]:
        """Channels with one value throughout; of others a plane is read."""
        planes = (slabs(self.data[c]) for c in range(len(self.channels)))
        named = zip(self.channels, planes, strict=True)
        return tuple(name for name, channel in named if _is_constant(channel))

    @cached_property
    def absent_chunks(self) -> dict[str, tuple[int, int]]:
        """By channel, how many chunks of the file are absent, of how many; they read as a fill."""
        found = self.lacking() if self.lacking else {}
        return {name: found[name] for name in self.channels if found.get(name, (0, 0))[0]}

    def warn_of_absent_chunks(self) -> None:
        """Say which chunks its file lacks, where voxels are used without a table to say it in."""
        if self.absent_chunks:
            said = f"{self.source or 'the stack'}: {absent_text(self.absent_chunks)}"
            warnings.warn(said, GradcamoWarning, stacklevel=3)

    def in_memory(self) -> ZStack:
        """The same stack with its voxels loaded."""
        if not hasattr(self.data, "dask"):
            return replace(self, data=np.asarray(self.data))
        voxels = np.empty(self.shape, self.data.dtype)
        self.data.store(voxels, lock=False)  # a Dask array that is computed is there twice
        return replace(self, data=voxels)

    def select(self, channels: tuple[str, ...]) -> ZStack:
        """The named channels, in the order asked for.

        Raises
        ------
        GradcamoError
            If the stack lacks one of them.
        """
        if missing := [name for name in channels if name not in self.channels]:
            raise GradcamoError(
                f"{self.source or 'the stack'} has the channels {list(self.channels)}, "
                f"not {missing}: choose which to use with --channels"
            )
        if tuple(channels) == self.channels:
            return self
        order = [self.channels.index(name) for name in channels]
        mapped = isinstance(self.data, np.memmap)
        data = SomeChannels(self.data, order) if mapped else self.data[order]
        return replace(self, data=data, channels=tuple(channels))


def refuse_no_stack(given: object, taker: str) -> None:
    """Say what is taken where a Z-stack is expected, and something else came.

    Raises
    ------
    GradcamoError
        If so.
    """
    if not isinstance(given, ZStack):
        raise GradcamoError(
            f"{taker} takes a stack, got {type(given).__name__}: open a file with "
            "gc.read_stack(path), or name the channels of an array (C, Z, Y, X) in "
            "gc.ZStack(array, channels=(…))"
        )


def _is_constant(planes: Iterable[np.ndarray]) -> bool:
    seen = iter(planes)
    first = next(seen)
    value = first.flat[0]
    return bool((first == value).all() and all((plane == value).all() for plane in seen))


@dataclass(frozen=True, eq=False)
class CellCrop:
    """One cell in its window, cut when it is looked at, as `CellCrops` hold it.

    Attributes
    ----------
    label : int
        The cell's number in the label image.
    start_zyx : tuple of int
        The window's first voxel (z, y, x) in the stack; it may be negative.
    touches_border : bool
        Whether the cell is cut off at the image's border.
    image : ndarray
        (C, Z, Y, X) float32, each channel rescaled to [0, 1], 0 outside the stack.
    labels : ndarray
        (Z, Y, X), the labels of the cell and of its neighbours.
    cut_raw : callable, optional
        Gives the image before it is rescaled, where float32 holds it exactly and all of its window
        lies inside the stack.

    Examples
    --------
    >>> import gradcamo as gc
    >>> stack = gc.read_stack("plate/images/E02_s1.ome.tif")
    >>> labels = gc.read_labels("plate/labels/E02_s1.ome.tif")
    >>> cell = gc.CellCrops(stack, labels, gc.CropSettings(size_yx=(64, 64)))[0]
    >>> cell.label, cell.image.shape, cell.labels.shape
    (1, (6, 9, 64, 64), (9, 64, 64))
    """

    label: int
    start_zyx: tuple[int, int, int]
    touches_border: bool
    cut_image: Callable[[], np.ndarray]
    cut_labels: Callable[[], np.ndarray]
    cut_raw: Callable[[], np.ndarray] | None = None

    @cached_property
    def image(self) -> np.ndarray:
        return self.cut_image()

    @cached_property
    def labels(self) -> np.ndarray:
        return self.cut_labels()


@dataclass(frozen=True, eq=False)
class CamResult:
    """Localization maps and profiles of N cells, as tensors; what `grad_cam` returns.

    Attributes
    ----------
    logits : Tensor
        (N, K) float32, before softmax.
    predicted, target : Tensor
        (N,), the class that the network calls and the one that is explained.
    maps : mapping of str to Tensor
        By layer, ``(N, *grid)`` after equation 3: not negative, not scaled.
    profiles : mapping of str to Tensor
        By layer, (N, C'), the mean of each channel over the grid.

    Examples
    --------
    >>> import gradcamo as gc
    >>> import torch
    >>> network = gc.efficientnet3d(in_channels=2, num_classes=3, width=0.1)
    >>> seen = gc.grad_cam(network, torch.rand(1, 2, 64, 64, 64), layers=["block_4", "head"])
    >>> {layer: tuple(cam.shape) for layer, cam in seen.maps.items()}
    {'block_4': (1, 4, 4, 4), 'head': (1, 1, 1, 1)}
    """

    logits: Tensor
    predicted: Tensor
    target: Tensor
    maps: Mapping[str, Tensor]
    profiles: Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class Profiles:
    """Morphological profiles and the table they belong to, row by row, as `read_profiles` returns.

    Parameters
    ----------
    values : ndarray
        (N, d), one row a cell.
    table : DataFrame
        N rows, which say image, label and layer of each.
    recipe : mapping, optional
        How they were made.

    Raises
    ------
    GradcamoError
        If there are not as many profiles as rows.

    Examples
    --------
    >>> import gradcamo as gc
    >>> profiles = gc.read_profiles("cells.h5ad")
    >>> whole = ~profiles.table["touches_border"]
    >>> bool((profiles.values[whole] >= 0).any())
    True
    """

    values: np.ndarray
    table: pd.DataFrame
    recipe: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or len(self.values) != len(self.table):
            raise GradcamoError(
                f"profiles are (cells, features) with one row per cell of the table, got "
                f"{self.values.shape} for {len(self.table)} rows"
            )
