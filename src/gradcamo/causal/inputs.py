"""What the network sees of a coalition, without building and resizing each composite.

Min-max scaling for given limits is linear, and so is resizing R. With T the cell's own voxels, F
the fill, and D_p = T - F in region p, 0 elsewhere, the input of coalition S is::

    R(T) a - sum_{p not in S} R(D_p) a - R(inside) low a - mean / std        a = 1 / (span std)

where low and span come from the extrema of each region of T and of F. So one crop and three
regions a draw are resized in y and x, the eight sums are made there, and resizing along z goes
straight into the network's batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gradcamo.causal.regions import EVERYONE
from gradcamo.cells.overlap import plain_placement, upsampling_matrix
from gradcamo.networks.blocks import Inference
from gradcamo.networks.checkpoint import Checkpoint

_BITS = {torch.uint16: torch.int16, torch.uint32: torch.int32, torch.uint64: torch.int64}


def as_rows(voxels: np.ndarray) -> Tensor:
    """Voxels (..., C) as rows (V, C); unsigned ones as the signed of the same bits, which torch
    can index everywhere."""
    rows = torch.from_numpy(np.ascontiguousarray(voxels)).flatten(0, -2)
    return rows.view(_BITS[rows.dtype]) if rows.dtype in _BITS else rows


def intensities(rows: Tensor, dtype: np.dtype) -> Tensor:
    """Rows of `as_rows` as numbers that hold them exactly."""
    wanted = getattr(torch, dtype.name)
    precise = torch.float64 if np.result_type(dtype, np.float32) == np.float64 else torch.float32
    if rows.device.type == "mps":
        precise = torch.float32  # it has no other
    return rows.view(wanted).to(precise) if wanted in _BITS else rows.to(precise)


class Limits(NamedTuple):
    """Minimum and maximum of each channel, (..., C)."""

    low: Tensor
    high: Tensor


class Inputs:
    """Makes a network's inputs on a device.

    Volumes are (Z, Y, X, C) in the crop's rows, columns in the network's, ``(planes, H, W, C)``.
    """

    def __init__(self, checkpoint: Checkpoint, shape: Sequence[int], device: torch.device) -> None:
        self.shape, self.device = tuple(shape), device
        self.mirrored = isinstance(checkpoint.ready, Inference)
        self.input_size, self.channels = checkpoint.input_size, len(checkpoint.channels)
        self.size_yx = self.input_size[-2:]
        self._along_z: Tensor | None = None
        if len(self.input_size) == 3:
            depth = self.input_size[:1]
            (step,), (origin,) = plain_placement(shape[:1], depth)
            self._along_z = upsampling_matrix(shape[0], *depth, step, origin).to(device)
        self.mean = torch.tensor(checkpoint.channel_mean, dtype=torch.float32, device=device)
        self.std = torch.tensor(checkpoint.channel_std, dtype=torch.float32, device=device)

    def wide(self, rows: Tensor) -> Tensor:
        """Rows (V, C) of a crop, resized in y and x: (Z, H, W, C), as the network is turned."""
        if self.mirrored:
            rows = rows.flip(0)  # z, y and x at once
        volume = rows.view(*self.shape, -1).permute(0, 3, 1, 2)
        if self.size_yx != self.shape[1:]:
            volume = F.interpolate(volume, self.size_yx, mode="bilinear", align_corners=False)
        return volume.permute(0, 2, 3, 1).contiguous()

    def room(self, n: int) -> Tensor:
        """Where a batch of n inputs is made, again and again."""
        *depth, height, width = self.input_size
        return torch.empty((n, *depth, height, width, self.channels), device=self.device)

    def batch(self, columns: Sequence[Tensor], room: Tensor) -> Tensor:
        """Columns resized along z, as a batch (n, C, *input_size). It holds until the next one."""
        x = room[: len(columns)]
        for column, place in zip(columns, x, strict=True):
            if self._along_z is None:
                place.copy_(column[0])
            else:
                torch.mm(self._along_z, column.flatten(1), out=place.flatten(1))
        x = x.movedim(-1, 1)
        return x.contiguous() if self.device.type == "cuda" else x

    def scale(self, limits: Limits) -> Tensor:
        """Factor of each channel, (C,): 1 / (span std)."""
        span = limits.high - limits.low
        return 1 / (torch.where(span > 0, span, 1) * self.std)

    def scaled(self, volume: Tensor, inside: Tensor | None, limits: Limits) -> Tensor:
        """A resized sum, rescaled within limits and standardised; ``inside`` is the resized mask
        of the stack, None where all of the crop lies in it."""
        a = self.scale(limits)
        width = self.size_yx[1]
        flat = volume.flatten(2)  # a row of pixels and channels: long enough to go fast
        rest = -self.mean / self.std
        if inside is None:
            rest = rest - limits.low * a
        out = torch.addcmul(rest.repeat(width), flat, a.repeat(width)).view(volume.shape)
        return out if inside is None else out.sub_(inside * (limits.low * a))


class Case:
    """A cell's own voxels, ready for its coalitions.

    Parameters
    ----------
    inputs : Inputs
    rows : (V, C), the crop's intensities, on the device
    kinds : (Z, Y, X) uint8
    """

    def __init__(self, inputs: Inputs, rows: Tensor, kinds: Tensor) -> None:
        self.inputs, self.kinds = inputs, kinds.flatten()
        self.members = [torch.nonzero(self.kinds == kind)[:, 0] for kind in (1, 2, 3)]
        within = self.kinds > 0
        low, high = rows[within].aminmax(dim=0)
        self._low, self._span = low, torch.where(high > low, high - low, 1)
        outside = not bool(within.all())
        self.within = within[:, None].float() if outside else None
        self.inside = inputs.wide(self.within) if self.within is not None else None
        self.own = self.on_scale(rows)
        self.own_limits = self.extrema(self.own)
        self.wide = inputs.wide(self.own)

    def on_scale(self, rows: Tensor) -> Tensor:
        """Intensities in units of the crop's own range, float32: sums of them lose nothing."""
        values = ((rows - self._low) / self._span).float()
        return values if self.within is None else values * self.within

    def extrema(self, values: Tensor) -> Limits:
        """Of each region, (3, C); a region without voxels has the widest bounds."""
        low = values.new_full((3, values.shape[1]), torch.inf)
        high = -low
        for p, member in enumerate(self.members):
            if len(member):
                low[p], high[p] = values[member].aminmax(dim=0)
        return Limits(low, high)

    @property
    def present(self) -> int:
        """The coalition of all players that the cell has."""
        return sum(1 << p for p, member in enumerate(self.members) if len(member))

    def real(self) -> Tensor:
        """The crop as it is, (Z, H, W, C)."""
        return self._scaled(self.wide, self._mixed(self.own_limits, EVERYONE))

    def swapped(
        self, fill: Tensor, coalitions: Sequence[int], limited: bool = False
    ) -> Iterator[Tensor]:
        """Composites of one draw, (Z, H, W, C), in which each coalition keeps its own voxels.

        Parameters
        ----------
        fill : (V, C), the draw's intensities
        coalitions : sums of bits, own 1, neighbours 2, background 4
        limited : whether two more follow: nothing real within the crop's own limits, and the crop
            within the limits of nothing real
        """
        filled = self.on_scale(fill)
        limits, gaps = self.extrema(filled), self._gaps(filled)
        for coalition in coalitions:
            yield self._scaled(self._without(gaps, coalition), self._mixed(limits, coalition))
        if limited:
            yield self._scaled(self._without(gaps, 0), self._mixed(limits, EVERYONE))
            yield self._scaled(self.wide, self._mixed(limits, 0))

    def _gaps(self, filled: Tensor) -> dict[int, Tensor]:
        """R(D_p) of the players that the cell has."""
        gap = self.own - filled
        return {
            p: self.inputs.wide(torch.where((self.kinds == p + 1)[:, None], gap, 0))
            for p, member in enumerate(self.members)
            if len(member)
        }

    def _without(self, gaps: dict[int, Tensor], coalition: int) -> Tensor:
        volume = self.wide
        for p, gap in gaps.items():
            if not coalition >> p & 1:
                volume = volume - gap
        return volume

    def _scaled(self, volume: Tensor, limits: Limits) -> Tensor:
        return self.inputs.scaled(volume, self.inside, limits)

    def _mixed(self, fill: Limits, coalition: int) -> Limits:
        """Limits of the composite in which a coalition keeps its own voxels."""
        kept = torch.tensor([[coalition >> p & 1] for p in range(3)], device=self.kinds.device)
        low = torch.where(kept > 0, self.own_limits.low, fill.low).amin(0)
        high = torch.where(kept > 0, self.own_limits.high, fill.high).amax(0)
        return Limits(low, high)
