"""Cells of many stacks explained at several layers, in one pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd

from gradcamo.cells.crops import CellCrops
from gradcamo.columns import SCORES
from gradcamo.datatypes import CellCrop
from gradcamo.networks.checkpoint import Checkpoint
from gradcamo.settings import Alignment, CropSettings, Gradients


def explain_cells(
    cells: pd.DataFrame,
    checkpoint: Checkpoint,
    layers: Sequence[str],
    alignment: Alignment = "paper",
    batch_size: int | None = None,
    device: str = "auto",
    progress: Callable[[int, int], None] = lambda done, total: None,
    gradients: Gradients = "averaged",
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Scores and profiles of the cells of `index_cells` at several layers, from one pass.

    Returns
    -------
    table : DataFrame
        Layer after layer, within each the rows of ``cells`` in their order, with layer,
        alignment, gradients, predicted, confidence and the columns of equation 5.
    profiles : dict of (cells, C') float32
    """
    scores = ExplainedCells(checkpoint, layers, alignment, gradients)
    for done in scores.explain(cells, batch_size, device):
        progress(done, len(cells))
    return scores.table(cells), {name: scores.profiles(name) for name in layers}


class ExplainedCells:
    """What one pass over cells says at several layers."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        layers: Sequence[str],
        alignment: Alignment,
        gradients: Gradients,
    ) -> None:
        self.checkpoint, self.layers = checkpoint, tuple(layers)
        self.alignment, self.gradients = alignment, gradients
        self._tables: dict[str, list[pd.DataFrame]] = {name: [] for name in layers}
        self._profiles: dict[str, list[np.ndarray]] = {name: [] for name in layers}

    def explain(self, cells: pd.DataFrame, batch_size: int | None, device: str) -> Iterator[int]:
        """Batch by batch, how many cells are done."""
        from gradcamo.networks.infer import explain

        crops = crops_of(cells, self.checkpoint.crop)
        done = 0
        for batch in explain(
            crops,
            self.checkpoint,
            self.layers,
            None,
            self.alignment,
            batch_size,
            device,
            self.gradients,
        ):
            for seen in batch:
                self._tables[seen.layer].append(
                    pd.DataFrame(
                        {
                            "layer": seen.layer,
                            "alignment": self.alignment,
                            "gradients": self.gradients,
                            "predicted": seen.predicted,
                            "confidence": seen.confidence,
                            **{name: seen.shares[name] for name in SCORES},
                        }
                    )
                )
                self._profiles[seen.layer].append(seen.profiles)
            done += len(batch[0].labels)
            yield done

    def table(self, cells: pd.DataFrame) -> pd.DataFrame:
        tables = [part for name in self.layers for part in self._tables[name]]
        given = pd.concat([cells] * len(self.layers), ignore_index=True)
        given = given.drop(columns=["start_z", "start_y", "start_x", "labels"])
        return pd.concat([given, pd.concat(tables, ignore_index=True)], axis=1)

    def profiles(self, layer: str) -> np.ndarray:
        return np.concatenate(self._profiles[layer])


def crops_of(cells: pd.DataFrame, settings: CropSettings) -> Iterator[CellCrop]:
    """The crops of cells, stack by stack; rows of one stack stand together."""
    from gradcamo.files.labels import read_labels
    from gradcamo.files.stacks import read_stack

    stacks = (cells["image"] != cells["image"].shift()).cumsum()
    for _, group in cells.groupby(stacks, sort=False):
        row = group.iloc[0]
        stack = read_stack(row)
        crops = CellCrops(stack, read_labels(row, like=stack), settings)
        place = {label: i for i, label in enumerate(crops.table["label"])}
        yield from crops.each(place[label] for label in group["label"])
