"""One pass over crops: logits, profiles, localization maps and scores."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from torch import OutOfMemoryError, Tensor, nn
from torch.backends import cudnn

from gradcamo.cells.overlap import Placement, footprints, score
from gradcamo.errors import GradcamoError
from gradcamo.networks.checkpoint import Checkpoint
from gradcamo.networks.efficientnet import precision
from gradcamo.networks.fused import facing
from gradcamo.networks.geometry import place
from gradcamo.networks.gradcam import grad_cam
from gradcamo.networks.memory import ahead, keep_buffers, smaller_batch
from gradcamo.networks.preprocess import choose_device
from gradcamo.networks.vit import attention_cam, is_transformer
from gradcamo.settings import Alignment, Gradients
from gradcamo.types import CamResult, CellCrop


class Explained(NamedTuple):
    """One layer's view of a batch of n cells, as arrays.

    ``probabilities`` (n, K), ``target`` (n,), ``maps`` (n, *grid) after equation 3, ``profiles``
    (n, C'), ``shares`` the columns of equation 5, (n,) each. ``own`` (n, *grid) and ``full``
    (*grid) are the cells' masks and the whole crop projected on the grid.
    """

    layer: str
    labels: list[int]
    probabilities: np.ndarray
    target: np.ndarray
    maps: np.ndarray
    profiles: np.ndarray
    shares: dict[str, np.ndarray]
    placement: Placement | None
    own: np.ndarray
    full: np.ndarray


def explain(
    crops: Iterable[CellCrop],
    checkpoint: Checkpoint,
    layers: tuple[str, ...],
    target: int | None = None,
    alignment: Alignment = "paper",
    batch_size: int = 8,
    device: str = "auto",
    gradients: Gradients = "averaged",
) -> Iterator[tuple[Explained, ...]]:
    """Explain cells batch by batch: per batch one `Explained` for each layer, from one pass.

    A batch that does not fit the device's memory is halved, and so are those that follow. While a
    GPU works on one batch, a thread cuts the next.
    """
    keep_buffers()
    where = choose_device(device)
    network = checkpoint.on(where)
    for batch, images in stacked(crops, batch_size, where):
        while batch:
            part = batch[:batch_size]
            try:
                seen = images[: len(part)].to(where, non_blocking=True)
                x = checkpoint.prepare(facing(network, seen), where)
                # a GPU's rounded products (TF32) would move scores by some thousandths
                with cudnn.flags(enabled=True, allow_tf32=False):
                    result = _localize(network, x.to(precision(network)), layers, target, gradients)
            except OutOfMemoryError:
                batch_size = smaller_batch(len(part), "cell")
                continue
            batch, images = batch[len(part) :], images[len(part) :]
            _check_logits(result, checkpoint)
            yield tuple(_views(part, checkpoint, result, layers, alignment))


def stacked(
    crops: Iterable[CellCrop], batch_size: int, where: torch.device
) -> Iterator[tuple[list[CellCrop], Tensor]]:
    """Batches of crops and their images, (n, C, Z, Y, X), where the device fetches them fastest."""
    gpu = where.type == "cuda"

    def batches() -> Iterator[tuple[list[CellCrop], Tensor]]:
        rest = iter(crops)
        while batch := list(islice(rest, batch_size)):
            images = torch.empty((len(batch), *batch[0].image.shape), pin_memory=gpu)
            np.stack([crop.image for crop in batch], out=images.numpy())
            yield batch, images

    return ahead(batches()) if gpu else batches()


def _check_logits(result: CamResult, checkpoint: Checkpoint) -> None:
    if result.logits.shape[1] != len(checkpoint.classes):
        raise GradcamoError(
            f"the network gives {result.logits.shape[1]} logits for {len(checkpoint.classes)} "
            f"classes ({', '.join(checkpoint.classes)}): name one class per logit"
        )


def _localize(
    network: nn.Module,
    x: Tensor,
    layers: tuple[str, ...],
    target: int | None,
    gradients: Gradients,
) -> CamResult:
    if not is_transformer(network):
        return grad_cam(network, x, layers, target, gradients)
    if target is not None:
        raise GradcamoError("attention is the same for every treatment: leave the target out")
    if gradients != "averaged":
        raise GradcamoError("a transformer's maps come from attention: leave gradients averaged")
    return attention_cam(network, x, layers)


def _views(
    batch: list[CellCrop],
    checkpoint: Checkpoint,
    result: CamResult,
    layers: tuple[str, ...],
    alignment: Alignment,
) -> Iterator[Explained]:
    labels = np.stack([crop.labels for crop in batch])
    if len(checkpoint.input_size) == 2:
        labels = labels[:, 0]
    ids = [crop.label for crop in batch]
    places = {
        name: (
            tuple(result.maps[name].shape[1:]),
            place(checkpoint.layers[name], checkpoint.input_size, labels.shape[1:], alignment),
        )
        for name in layers
    }
    distinct = list(dict.fromkeys(places.values()))  # most layers share a grid with another
    on = dict(zip(distinct, footprints(labels, ids, distinct), strict=True))
    # only now is a GPU waited for: it worked while masks were projected
    maps = {name: facing(checkpoint.ready, result.maps[name]).float().cpu() for name in layers}
    probabilities = result.logits.softmax(1).cpu().numpy()
    for name in layers:
        on_grid = on[places[name]]
        yield Explained(
            layer=name,
            labels=ids,
            probabilities=probabilities,
            target=result.target.cpu().numpy(),
            maps=maps[name].numpy(),
            profiles=result.profiles[name].float().cpu().numpy(),
            shares={key: values.numpy() for key, values in score(maps[name], on_grid).items()},
            placement=places[name][1],
            own=on_grid.own.numpy(),
            full=on_grid.full.numpy(),
        )
