"""The cells of a plate as training examples, cut from their stacks when asked for."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from gradcamo.cells.crops import crop_image, inside, padded
from gradcamo.cells.statistics import mean_and_std
from gradcamo.datatypes import ZStack
from gradcamo.files.told import TOLD
from gradcamo.settings import TrainSettings
from gradcamo.training.augment import Augmentation

OPEN_STACKS = 64


class CellDataset(Dataset):
    """Crops (C, Z, Y, X) float32 in [0, 1] and their class.

    Parameters
    ----------
    cells : DataFrame
        Rows of `index_cells`.
    classes : treatments in the order of the logits
    settings : TrainSettings
    augmented : whether items are augmented; these are asked for as (epoch, number), so that each
        draw follows from the seed, the epoch and the cell alone
    with_masks : whether items hold the cell's own voxels too, (Z, Y, X) bool

    Notes
    -----
    Each process opens the stacks itself, when it first needs them, and reads the window only.
    """

    def __init__(
        self,
        cells: pd.DataFrame,
        classes: Sequence[str],
        settings: TrainSettings,
        augmented: bool = False,
        with_masks: bool = False,
    ) -> None:
        self.images = cells["image"].to_numpy(object)
        columns = [name for name in ("image", "labels", *TOLD) if name in cells]
        stacks = cells[columns].drop_duplicates("image")
        self.stacks = {row["image"]: row for row in stacks.to_dict("records")}
        self.labels = cells["label"].to_numpy()
        self.starts = cells[["start_z", "start_y", "start_x"]].to_numpy()
        self.targets = np.array([classes.index(t) for t in cells["treatment"]], dtype=np.int64)
        self.settings, self.augmented, self.with_masks = settings, augmented, with_masks
        self._open: OrderedDict[Any, Any] = OrderedDict()

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, key: int | tuple[int, int]) -> tuple[Tensor, ...]:
        epoch, i = key if isinstance(key, tuple) else (0, key)
        crop, start = self.settings.crop, self.starts[i]
        image = crop_image(self._opened(self.images[i], _stack), start, crop)
        mask = None
        if self.with_masks:
            labels = self._opened(self.images[i], _labels)
            size = crop.window(len(labels))
            mask = padded(inside(labels, start, size), start, size)
            mask = mask == self.labels[i]
        if self.augmented:
            rng = np.random.default_rng([self.settings.seed, 2, epoch, i])
            drawn = Augmentation.draw(self.settings, rng)
            image, mask = drawn.image(image), None if mask is None else drawn.flip(mask)
        arrays = [image] if mask is None else [image, mask]
        first, *rest = [torch.from_numpy(np.ascontiguousarray(array)) for array in arrays]
        return first, torch.tensor(self.targets[i]), *rest

    def _opened(self, image: str, read: Callable[[Any], Any]) -> Any:
        """A stack or its labels; those not used for longest are closed."""
        key = (image, read)
        if key not in self._open:
            self._open[key] = read(self.stacks[image])
            if len(self._open) > OPEN_STACKS:
                self._open.popitem(last=False)
        self._open.move_to_end(key)
        return self._open[key]

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_open": OrderedDict()}


def _stack(row: Mapping[str, Any]) -> ZStack:
    from gradcamo.files.stacks import read_stack

    return read_stack(row)


def _labels(row: Mapping[str, Any]) -> np.ndarray:
    from gradcamo.files.labels import read_labels

    labels = read_labels(row, like=_stack(row) if row.get("labels_coarser") else None)
    return labels.astype(np.min_scalar_type(int(labels.max())))


class EpochOrder(Sampler):
    """Cells in an order that follows from seed and epoch, as (epoch, number).

    Where several GPUs share a training, each goes through its own part of that order.
    """

    def __init__(self, n: int, seed: int) -> None:
        self.n, self.seed, self.epoch = n, seed, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.n // _rank_of()[1]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        rank, ranks = _rank_of()
        order = np.random.default_rng([self.seed, 3, self.epoch]).permutation(self.n)
        mine = order[rank::ranks][: len(self)]
        return iter([(self.epoch, int(i)) for i in mine])


def _rank_of() -> tuple[int, int]:
    """Which of how many processes that train together this is."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1


def loader(
    cells: pd.DataFrame, classes: Sequence[str], settings: TrainSettings, training: bool = False
) -> DataLoader:
    """Batches of cells: in their order, or shuffled and augmented for training."""
    masks = training and settings.regularise_weight > 0
    return DataLoader(
        CellDataset(cells, classes, settings, augmented=training, with_masks=masks),
        batch_size=settings.batch_size,
        sampler=EpochOrder(len(cells), settings.seed) if training else None,
        drop_last=training,  # BatchNorm cannot learn from one cell
        num_workers=settings.workers,
        persistent_workers=settings.workers > 0,
        generator=torch.Generator().manual_seed(settings.seed),
    )


def averaging_loader(
    cells: pd.DataFrame, classes: Sequence[str], settings: TrainSettings
) -> DataLoader:
    """Some training cells, drawn by lot and augmented, the same whenever they are asked for."""
    wanted = max(settings.batch_norm_cells, settings.batch_size)
    drawn = cells.sample(min(wanted, len(cells)), random_state=settings.seed)
    without_masks = settings.model_copy(update={"regularise_weight": 0.0})
    return loader(drawn, classes, without_masks, training=True)


def channel_statistics(
    cells: pd.DataFrame,
    settings: TrainSettings,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel over all voxels of the crops, in one pass."""
    dataset = CellDataset(cells, sorted(cells["treatment"].unique()), settings)

    def images() -> Iterator[np.ndarray]:
        for i in range(len(dataset)):
            progress(i, len(dataset))
            yield dataset[i][0].numpy()

    found = mean_and_std(images())
    progress(len(dataset), len(dataset))
    return found
