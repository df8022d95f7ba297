"""One pass over crops: logits, profiles, localization maps and scores."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from math import prod
from typing import NamedTuple

import numpy as np
import torch
from torch import OutOfMemoryError, Tensor, nn

from gradcamo.cells.overlap import Shares, check, footprints, score
from gradcamo.cells.upsampling import Placement
from gradcamo.datatypes import CamResult, CellCrop
from gradcamo.errors import GradcamoError
from gradcamo.networks.blocks import Inference
from gradcamo.networks.checkpoint import Checkpoint
from gradcamo.networks.efficientnet import precision
from gradcamo.networks.explained import Explained
from gradcamo.networks.fused import mirrored_for
from gradcamo.networks.geometry import place
from gradcamo.networks.gradcam import localize
from gradcamo.networks.meaning import check_classes, check_target, read
from gradcamo.networks.memory import ahead, keep_buffers, smaller_batch
from gradcamo.networks.outputs import is_transformer
from gradcamo.networks.preprocess import choose_device, rescaled
from gradcamo.networks.replay import Replayed
from gradcamo.networks.rounding import unrounded
from gradcamo.networks.trial import Trial
from gradcamo.networks.vit import attention_cam
from gradcamo.settings import Alignment, Gradients

BETWEEN = 67_000_000
"""Bytes of crops up to which a processor prepares a batch in one go: eight of the paper's."""


class Cell(NamedTuple):
    """A cell as a device fetches it: image (C, Z, Y, X), and whose each voxel is (Z, Y, X)."""

    label: int
    image: Tensor
    owners: Tensor


class _View(NamedTuple):
    """One layer's view of n cells, on the device that made it; ``shares`` is (n, 6)."""

    maps: Tensor
    profiles: Tensor
    shares: Tensor
    placement: Placement | None
    own: Tensor
    full: Tensor


def explain(
    crops: Iterable[CellCrop],
    checkpoint: Checkpoint,
    layers: tuple[str, ...],
    target: int | None = None,
    alignment: Alignment = "paper",
    batch_size: int | None = None,
    device: str = "auto",
    gradients: Gradients = "averaged",
) -> Iterator[tuple[Explained, ...]]:
    """Explain cells batch by batch: per batch one `Explained` for each layer, from one pass.

    A batch that does not fit the device's memory is halved, and so are those that follow. While a
    GPU works on one batch, threads cut the next. Of a network that others built, first cells tell
    whether it returns logits and whether cells see each other (`Trial`).

    Raises
    ------
    GradcamoError
        If independent labels are explained without a target, a network is random in eval mode, or
        softmax is inside.
    """
    check_target(target, checkpoint.classes, checkpoint.outputs)
    checkpoint.renew()
    trial = checkpoint.trial(layers)
    seen = _explained(
        crops, checkpoint, layers, target, alignment, batch_size, device, gradients, trial
    )
    yield from seen if trial is None else trial.judged(seen, lambda batch: batch[0].logits)


def _explained(
    crops: Iterable[CellCrop],
    checkpoint: Checkpoint,
    layers: tuple[str, ...],
    target: int | None,
    alignment: Alignment,
    batch_size: int | None,
    device: str,
    gradients: Gradients,
    trial: Trial | None,
) -> Iterator[tuple[Explained, ...]]:
    keep_buffers()
    where = choose_device(device)
    at_once = 1 if trial and trial.one_by_one else batch_size or usual_batch_size(where)
    target = None if target is None else int(target)
    how = (where, layers, target, alignment, gradients)
    look = checkpoint.last.pop(how, None) or Replayed(
        partial(_look, checkpoint, *how),
        possible=where.type == "cuda" and isinstance(checkpoint.ready, Inference),
    )

    def seen_of(cells: list[Cell]) -> tuple[Explained, ...] | None:
        """What is seen of them, or None if they must come alone; nothing else of them stays."""
        labels, images, masks = zip(*cells, strict=True)
        x = prepare(images, checkpoint, where)
        owners = torch.stack([mask.to(where, non_blocking=True) for mask in masks])
        if trial and trial.alone(look.work, x, owners, at_once) and len(cells) > 1:
            return None
        return _fetched(list(labels), layers, checkpoint, *look(x, owners))

    try:
        for batch in batches(crops, at_once, where):
            while batch:
                size = min(len(batch), at_once)
                try:
                    seen = seen_of(batch[:size])
                except OutOfMemoryError:
                    at_once = smaller_batch(size, "cell")
                    continue
                if seen is None:
                    at_once = 1
                    continue
                batch = batch[size:]
                yield seen
    finally:
        kept = any(other.recorded for other in list(checkpoint.last.values()))
        if look.recorded or (look.possible and not kept):
            checkpoint.last.clear()
            checkpoint.last[how] = look


def usual_batch_size(where: torch.device) -> int:
    """Cells of a batch, if nobody says how many: a GPU is idle with few."""
    return 32 if where.type == "cuda" else 8


def batches(
    crops: Iterable[CellCrop], batch_size: int, where: torch.device
) -> Iterator[list[Cell]]:
    """Cells in batches; for a GPU, the next one is cut in threads, and laid where it fetches it."""
    if where.type == "cuda":
        cells = ahead(partial(_cut, pinned=True), crops, batch_size)
    else:
        cells = map(_cut, crops)
    yield from iter(lambda: list(islice(cells, batch_size)), [])  # which keeps none of them


def _cut(crop: CellCrop, pinned: bool = False) -> Cell:
    """As it was read where that can be: it takes half the memory and is rescaled sooner."""
    image = crop.cut_raw() if crop.cut_raw else crop.image
    return Cell(crop.label, _tensor(image, pinned), _tensor(_owners(crop, image), pinned))


def _owners(crop: CellCrop, image: np.ndarray) -> np.ndarray:
    if image.shape[1:] != crop.labels.shape:
        raise GradcamoError(
            f"a crop's image {image.shape} and labels {crop.labels.shape} do not fit: expected "
            "(C, Z, Y, X) and (Z, Y, X)"
        )
    return np.add(crop.labels != 0, crop.labels == crop.label, dtype=np.uint8)


def _tensor(array: np.ndarray, pinned: bool) -> Tensor:
    empty = torch.empty(array.shape, dtype=getattr(torch, array.dtype.name), pin_memory=pinned)
    np.copyto(empty.numpy(), array)
    return empty


def prepare(images: Sequence[Tensor], checkpoint: Checkpoint, where: torch.device) -> Tensor:
    """What the network made ready sees of cells, (n, C, *input_size)."""
    if where.type != "cpu" or 4 * sum(image.numel() for image in images) <= BETWEEN:
        x = _prepared(images, checkpoint, where)
    else:  # what lies between is several times as large as crops are
        voxels = len(checkpoint.channels) * prod(checkpoint.input_size)
        room = torch.empty(len(images) * voxels)  # first, so that no gaps are left below it
        for i, image in enumerate(images):
            one = _prepared([image], checkpoint, where)
            x = room.as_strided((len(images), *one.shape[1:]), (voxels, *one.stride()[1:]))
            x[i] = one[0]
    return x.to(precision(checkpoint.ready))


def _prepared(images: Sequence[Tensor], checkpoint: Checkpoint, where: torch.device) -> Tensor:
    at = where if where.type == "cuda" else None
    together = torch.stack([image.to(at, non_blocking=True).float() for image in images])
    if checkpoint.crop.rescale == "min-max":  # else it is done
        together = rescaled(together)
    return checkpoint.prepare(mirrored_for(checkpoint.ready, together), where)


@unrounded()
def _look(
    checkpoint: Checkpoint,
    where: torch.device,
    layers: tuple[str, ...],
    target: int | None,
    alignment: Alignment,
    gradients: Gradients,
    x: Tensor,
    owners: Tensor,
) -> tuple[Tensor, Tensor, list[_View]]:
    """Logits, targets and each layer's view of a batch: all that a device does for it."""
    network = checkpoint.on(where)
    result = _localize(checkpoint, network, x, layers, target, gradients)
    check_classes(result.logits.shape[1], checkpoint.classes, checkpoint.outputs)
    if len(checkpoint.input_size) == 2:
        owners = owners[:, 0]
    maps = {name: mirrored_for(network, result.maps[name]).float() for name in layers}
    places = {
        name: (
            tuple(maps[name].shape[1:]),
            place(checkpoint.layers[name], checkpoint.input_size, owners.shape[1:], alignment),
        )
        for name in layers
    }
    distinct = list(dict.fromkeys(places.values()))  # most layers share a grid with another
    on = dict(zip(distinct, footprints(owners, distinct), strict=True))
    views = []
    for name in layers:
        on_grid = on[places[name]]
        shares = torch.stack(score(maps[name], on_grid), 1)
        profiles, placement = result.profiles[name].float(), places[name][1]
        views.append(_View(maps[name], profiles, shares, placement, on_grid.own, on_grid.full))
    return result.logits, result.target, views


def _fetched(
    labels: list[int],
    layers: tuple[str, ...],
    checkpoint: Checkpoint,
    logits: Tensor,
    target: Tensor,
    views: list[_View],
) -> tuple[Explained, ...]:
    n, here = len(labels), dict[int, np.ndarray]()

    def fetch(tensor: Tensor) -> np.ndarray:
        """Once: layers on the same grid share masks."""
        if id(tensor) not in here:
            here[id(tensor)] = tensor.cpu().numpy()
        return here[id(tensor)]

    z, asked = logits[:n].cpu(), target[:n].cpu()
    reading = read(z, asked, checkpoint.classes, checkpoint.outputs)
    seen = []
    for name, view in zip(layers, views, strict=True):
        maps = fetch(view.maps)[:n]
        shares = dict(zip(Shares._fields, fetch(view.shares)[:n].T, strict=True))
        check(maps, shares["chance"], labels)
        seen.append(
            Explained(
                layer=name,
                labels=labels,
                logits=z.numpy(),
                **reading._asdict(),
                target=asked.numpy(),
                maps=maps,
                profiles=fetch(view.profiles)[:n],
                shares=shares,
                placement=view.placement,
                own=fetch(view.own)[:n],
                full=fetch(view.full),
            )
        )
    return tuple(seen)


def _localize(
    checkpoint: Checkpoint,
    network: nn.Module,
    x: Tensor,
    layers: tuple[str, ...],
    target: int | None,
    gradients: Gradients,
) -> CamResult:
    if not is_transformer(network):
        known = {name: checkpoint.layers[name] for name in layers}
        return localize(network, x, known, target, gradients, checkpoint.reshape)
    if target is not None and checkpoint.outputs == "classes":
        raise GradcamoError("attention is the same for every treatment: leave the target out")
    if gradients != "averaged":
        raise GradcamoError("a transformer's maps come from attention: leave gradients averaged")
    result = attention_cam(network, x, layers)
    if target is None:
        return result
    return replace(result, target=torch.full_like(result.target, target))  # it is what is called
