"""What the network sees of a coalition, without building and resizing each composite.

Min-max scaling for given limits is linear, and so is resizing R. With T the cell's own voxels, F
the fill, and D_p = T - F in region p, 0 elsewhere, the input of coalition S is::

    R(T) a - sum_{p not in S} R(D_p) a - R(inside) low a - mean / std        a = 1 / (span std)

where low and span come from the extrema of each region of T and of F. So one crop and three
regions a draw are resized in y and x, the eight sums are made there, and resizing along z goes
straight into the network's batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gradcamo.causal.regions import EVERYONE
from gradcamo.cells.rescaling import quantiles
from gradcamo.cells.upsampling import plain_placement, upsampling_matrix
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


class Mix(NamedTuple):
    """A coalition's input before it is resized along z.

    ``base`` and ``gaps`` are (Z, H, W C), ``inside`` too or None; ``scale`` and ``rest`` (W C) say
    (base - gaps) scale + rest, and ``low`` (W C) what is taken away where ``inside``.
    """

    base: Tensor
    gaps: tuple[Tensor, ...]
    scale: Tensor
    rest: Tensor
    inside: Tensor | None
    low: Tensor

    def planes(self, which: slice) -> Tensor:
        """Some planes of it, (planes, H, W C)."""
        total = self.base[which]
        for gap in self.gaps:
            total = total - gap[which]
        total = torch.addcmul(self.rest, total, self.scale)
        return total if self.inside is None else total.addcmul_(self.inside[which], self.low)


class Inputs:
    """Makes a network's inputs on a device.

    Rows are (V, C) of a crop's voxels, columns (Z, H, W C) of the network's pixels.
    """

    def __init__(self, checkpoint: Checkpoint, shape: Sequence[int], device: torch.device) -> None:
        self.shape, self.device = tuple(shape), device
        self.mirrored = isinstance(checkpoint.ready, Inference)
        self.rescale = checkpoint.crop.rescale
        self.input_size, self.channels = checkpoint.input_size, len(checkpoint.channels)
        self._along_z: Tensor | None = None
        if len(self.input_size) == 3:
            depth = self.input_size[:1]
            (step,), (origin,) = plain_placement(shape[:1], depth)
            self._along_z = upsampling_matrix(shape[0], *depth, step, origin).to(device)
        self.mean = torch.tensor(checkpoint.channel_mean, dtype=torch.float32, device=device)
        self.std = torch.tensor(checkpoint.channel_std, dtype=torch.float32, device=device)

    def wide(self, rows: Tensor) -> Tensor:
        """Rows of a crop, resized in x, then in y, as the network is turned: (Z, H, W C)."""
        if self.mirrored:
            rows = rows.flip(0)  # z, y and x at once
        (z, y, x), (height, width) = self.shape, self.input_size[-2:]
        lines = rows.view(z * y, 1, x, -1).permute(0, 3, 1, 2)
        lines = _linear(lines, (1, width)).permute(0, 2, 3, 1)
        # whole lines stand where torch expects channels, which it blends fastest
        columns = lines.reshape(z, y, 1, -1).permute(0, 3, 1, 2)
        return _linear(columns, (height, 1)).permute(0, 2, 3, 1).reshape(z, height, -1)

    def room(self, n: int) -> Tensor:
        """Where a batch of n inputs is made, again and again."""
        *depth, height, width = self.input_size
        return torch.empty((n, *depth, height, width * self.channels), device=self.device)

    def batch(self, mixes: Iterable[Mix], room: Tensor) -> Tensor:
        """Mixes, at most as many as there is room for, as a batch (n, C, *input_size).

        It holds until the next one. One mix is asked for after the other, and none is kept.
        """
        n = 0
        for mix in mixes:
            self._lay(mix, room[n])
            n += 1
            del mix  # before the next one is made
        x = room[:n].unflatten(-1, (-1, self.channels)).movedim(-1, 1)
        return x.contiguous() if self.device.type == "cuda" else x

    def _lay(self, mix: Mix, place: Tensor) -> None:
        if self._along_z is None:
            place.copy_(mix.planes(slice(1))[0])
        elif self.device.type == "cpu":
            self._blend(mix, place)
        else:
            whole = mix.planes(slice(None)).flatten(1)
            torch.mm(self._along_z, whole, out=place.flatten(1))

    def _blend(self, mix: Mix, place: Tensor) -> None:
        """Along z, two planes at a time, which stay in a processor's cache."""
        assert self._along_z is not None
        planes: dict[int, Tensor] = {}
        for row, out in zip(self._along_z, place, strict=True):
            lower, *upper = torch.nonzero(row)[:, 0].tolist()
            for z in (lower, *upper):
                if z not in planes:
                    planes = {k: plane for k, plane in planes.items() if k == z - 1}
                    planes[z] = mix.planes(slice(z, z + 1))[0]
            if upper:
                torch.lerp(planes[lower], planes[upper[0]], float(row[upper[0]]), out=out)
            else:
                out.copy_(planes[lower])

    def mix(
        self, base: Tensor, gaps: Sequence[Tensor], inside: Tensor | None, limits: Limits
    ) -> Mix:
        """A resized sum, rescaled within limits and standardised; ``inside`` is the resized mask
        of the stack, None where all of the crop lies in it."""
        span = limits.high - limits.low
        scale = 1 / (torch.where(span > 0, span, 1) * self.std)
        rest, low = -self.mean / self.std, -limits.low * scale
        if inside is None:
            rest = rest + low
        width = self.input_size[-1]
        of_row = (values.repeat(width) for values in (scale, rest, low))
        scale, rest, low = of_row
        return Mix(base, tuple(gaps), scale, rest, inside, low)


def case_on(inputs: Inputs, rows: Tensor, kinds: Tensor) -> Case:
    """A cell's voxels as the network's crops are rescaled."""
    kind = Case if inputs.rescale == "min-max" else ClippedCase
    return kind(inputs, rows, kinds)


def _linear(images: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(images.shape[2:]) == size:
        return images
    return F.interpolate(images, size, mode="bilinear", align_corners=False)


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
        self.within = None if bool(within.all()) else within[:, None].float()
        own = self.extrema(rows)
        self._low, high = own.low.amin(0), own.high.amax(0)
        self._span = torch.where(high > self._low, high - self._low, 1)
        self.inside = None
        if self.within is not None:
            self.inside = inputs.wide(self.within.expand(-1, inputs.channels).contiguous())
        self.own = self.on_scale(rows)
        self.own_limits = self.extrema(self.own)
        self.wide = inputs.wide(self.own)

    def on_scale(self, rows: Tensor) -> Tensor:
        """Intensities in units of the crop's own range, float32: sums of them lose nothing."""
        values = (rows - self._low).div_(self._span).float()
        return values if self.within is None else values.mul_(self.within)

    def extrema(self, values: Tensor) -> Limits:
        """Of each region, (3, C); a region without voxels has the widest bounds."""
        low = values.new_full((3, values.shape[1]), torch.inf)
        high = -low
        for p, member in enumerate(self.members):
            if len(member):
                low[p], high[p] = values[member].aminmax(dim=0)
        return Limits(low, high)

    def real(self) -> Mix:
        """The crop as it is."""
        return self._mix((), self._mixed(self.own_limits, EVERYONE))

    def swapped(
        self, fill: Tensor, coalitions: Sequence[int], limited: bool = False
    ) -> Iterator[Mix]:
        """Composites of one draw in which each coalition keeps its own voxels.

        Parameters
        ----------
        fill : (V, C), the draw's intensities
        coalitions : sums of bits, own 1, neighbours 2, background 4
        limited : whether two more follow: nothing real within the crop's own limits, and the crop
            within the limits of nothing real
        """
        filled = self.on_scale(fill)
        limits, gap = self.extrema(filled), self.own - filled
        gaps = {
            p: self.inputs.wide(torch.where((self.kinds == p + 1)[:, None], gap, 0))
            for p, member in enumerate(self.members)
            if len(member)
        }
        for coalition in coalitions:
            lost = [gap for p, gap in gaps.items() if not coalition >> p & 1]
            yield self._mix(lost, self._mixed(limits, coalition))
        if limited:
            yield self._mix(list(gaps.values()), self._mixed(limits, EVERYONE))
            yield self._mix((), self._mixed(limits, 0))

    def _mix(self, lost: Sequence[Tensor], limits: Limits) -> Mix:
        return self.inputs.mix(self.wide, lost, self.inside, limits)

    def _mixed(self, fill: Limits, coalition: int) -> Limits:
        """Limits of the composite in which a coalition keeps its own voxels."""
        kept = torch.tensor([[coalition >> p & 1] for p in range(3)], device=self.kinds.device)
        low = torch.where(kept > 0, self.own_limits.low, fill.low).amin(0)
        high = torch.where(kept > 0, self.own_limits.high, fill.high).amax(0)
        return Limits(low, high)


class ClippedCase(Case):
    """The same where crops are rescaled by percentiles: that is not linear, so every composite is
    built, rescaled by its own percentiles and resized."""

    def __init__(self, inputs: Inputs, rows: Tensor, kinds: Tensor) -> None:
        super().__init__(inputs, rows, kinds)
        self._seen = torch.nonzero(self.kinds > 0)[:, 0]

    def real(self) -> Mix:
        return self._clipped(self.own, self._ends(self.own))

    def swapped(
        self, fill: Tensor, coalitions: Sequence[int], limited: bool = False
    ) -> Iterator[Mix]:
        filled = self.on_scale(fill)
        for coalition in coalitions:
            kept = self.kinds.new_tensor([0, *(coalition >> p & 1 for p in range(3))]).bool()
            rows = torch.where(kept[self.kinds.int()][:, None], self.own, filled)
            yield self._clipped(rows, self._ends(rows))
        if limited:
            yield self._clipped(filled, self._ends(self.own))
            yield self._clipped(self.own, self._ends(filled))

    def _ends(self, rows: Tensor) -> Limits:
        inside = rows[self._seen].T.cpu().numpy()
        low, high = np.array([quantiles(channel) for channel in inside], np.float32).T
        return Limits(torch.from_numpy(low).to(rows), torch.from_numpy(high).to(rows))

    def _clipped(self, rows: Tensor, ends: Limits) -> Mix:
        span = (ends.high - ends.low).clamp(min=torch.finfo(torch.float32).tiny)
        values = ((rows - ends.low) / span).clamp_(0, 1)
        if self.within is not None:
            values *= self.within
        whole = Limits(torch.zeros_like(span), torch.ones_like(span))
        return self.inputs.mix(self.inputs.wide(values), (), None, whole)
