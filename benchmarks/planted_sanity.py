"""Do maps and causal shares depend on the network, on its evidence, and on the labels?

    python benchmarks/planted_sanity.py                            # one network of each kind
    python benchmarks/planted_sanity.py --only own background --parts randomised faithful

Asks the first network of each kind that planted_truth.py made (weights in its cache):

randomised  weights are replaced by untrained ones, from the top downwards; maps and causal
            attention of what is left
faithful    voxels are put back (insertion) and taken away (deletion) in the order of a map, filled
            from donors of the other class; against random order, and the true region first
labels      eroded, dilated, shifted, merged labels, of donors as of cells
by_lot      a network trained on the own plate with labels dealt by lot

Each part of each kind is a file in benchmarks/results/planted_truth/sanity; what is there is left
as it is. planted_truth_tables.py makes the tables.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import planted_truth
import torch
from planted_kinds import KINDS
from planted_results import RESULTS, read_network, run
from planted_truth import donors, held_out, network, one_thread, plate_csv, say, short
from scipy import ndimage
from scipy.spatial import cKDTree
from skimage.morphology import disk
from skimage.segmentation import expand_labels

from gradcamo.causal.attention import causal_attention
from gradcamo.causal.bank import DonorBank
from gradcamo.causal.regions import OUTSIDE, PLAYERS
from gradcamo.causal.swapped import swapped_crops
from gradcamo.cells.crops import CellCrops
from gradcamo.cells.upsampling import upsample_cam
from gradcamo.files.labels import read_labels
from gradcamo.files.plates import read_plate
from gradcamo.files.stacks import read_stack
from gradcamo.networks.checkpoint import Checkpoint
from gradcamo.networks.efficientnet import efficientnet3d
from gradcamo.networks.geometry import place
from gradcamo.networks.infer import explain
from gradcamo.networks.preprocess import rescaled
from gradcamo.settings import CausalSettings
from gradcamo.training.explain_cells import explain_cells
from gradcamo.training.train import train

OUT = RESULTS / "sanity"
CELLS, SETTINGS = 15, CausalSettings(draws=2)
"""Cells of each class, of those that planted_truth.py asks, and draws of each pool."""
LAYERS, GRADIENTS = ("block_0", "block_2", "block_4", "head"), ("averaged", "local")
STEPS = {"trained": 99, "head": 16, "blocks 8 to 15": 8, "blocks 3 to 15": 3, "blocks 1 to 15": 1}
"""From which block on weights are untrained; the head always is, but for ``trained``."""
FRACTIONS = np.arange(0.1, 1, 0.2)


def cells_of(kind: str) -> pd.DataFrame:
    """Cells of each class by lot, of those whose crops planted_truth.py asks."""
    cells = planted_truth.drawn(held_out(KINDS[kind].plate, KINDS[kind].training))
    lots = [group.head(CELLS) for _, group in cells.groupby("treatment")]
    return cells.loc[pd.concat(lots).index.sort_values()].reset_index(drop=True)


def by_stack(
    cells: pd.DataFrame, change: Callable[[np.ndarray], np.ndarray] = np.asarray
) -> Iterator[tuple[pd.DataFrame, CellCrops]]:
    """Cells of one stack, and its crops with labels changed."""
    for image, group in cells.groupby("image", sort=False):
        labels = change(np.asarray(read_labels(group["labels"].iloc[0])))
        yield group, CellCrops(read_stack(image), labels, KINDS["own"].training.crop)


def causal(
    cells: pd.DataFrame,
    checkpoint: Checkpoint,
    bank: DonorBank,
    change: Callable[[np.ndarray], np.ndarray] = np.asarray,
) -> pd.DataFrame:
    """What causal attention says of cells, with their treatments."""
    found = []
    for group, crops in by_stack(cells, change):
        row, there = group.iloc[0], set(crops.table.loc[crops.scorable, "label"])
        only = [label for label in group["label"] if label in there]
        if not only:
            continue
        table = causal_attention(
            crops.stack, crops.labels, checkpoint, bank, SETTINGS, only, row["plate"], row["well"]
        )
        told = group.set_index("label")[["stem", "treatment"]]
        found.append(table.drop(columns="image", errors="ignore").join(told, on="label"))
    table = pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=ASKED)
    return table.rename(columns={"stem": "image"})


def randomised(kind: str) -> pd.DataFrame:
    """Maps and causal attention of each cell with ever more of the network untrained."""
    path = network(kind, 0)[1] / "model.safetensors"
    cells, bank, found = cells_of(kind), None, []
    for step, first in STEPS.items():
        checkpoint = untrained_from(path, first)
        bank = bank or donors(KINDS[kind].plate, checkpoint)
        answers = causal(cells, checkpoint, bank)[["image", "label", *CAUSAL]]
        for gradients in GRADIENTS:
            maps = explain_cells(cells, checkpoint, LAYERS, "receptive-field", gradients=gradients)[
                0
            ]
            maps = maps.assign(image=maps["stem"], step=step)[[*MAPS]]
            found.append(maps.merge(answers, on=["image", "label"]))
    return pd.concat(found, ignore_index=True)


MAPS = ("step", "image", "label", "treatment", "predicted", "layer", "gradients", "grad_camo")
CAUSAL = ("causal_own", "causal_effect", "causal_answered")
ASKED = ["image", "label", "treatment", "predicted", *CAUSAL]
ASKED += ["causal_neighbour", "causal_background"]


def untrained_from(path: Path, first: int) -> Checkpoint:
    """A checkpoint whose blocks from ``first`` on, and its head, are as before any training."""
    checkpoint = Checkpoint.load(path)
    torch.manual_seed(0)
    fresh, state = efficientnet3d(**checkpoint.architecture).state_dict(), {}
    for name, trained in checkpoint.network.state_dict().items():
        part, *numbers = name.split(".")
        block = int(numbers[1]) if part == "_blocks" else None
        above = part in ("_conv_head", "_bn1", "_fc") if block is None else block >= first
        state[name] = fresh[name] if above and first < 99 else trained
    checkpoint.network.load_state_dict(state)
    return checkpoint


def faithful(kind: str) -> pd.DataFrame:
    """Insertion and deletion of each order of voxels, of each cell that is called rightly.

    ``insertion`` and ``deletion`` are mean margins over the path, as shares of the way from the
    crop that is all filled (0) to the crop as it is (1).
    """
    checkpoint, _ = network(kind, 0)
    bank, rows = donors(KINDS[kind].plate, checkpoint), []
    right = read_network(RESULTS / f"{kind}-0")["right"]
    for group, crops in by_stack(cells_of(kind)):
        number = {label: i for i, label in enumerate(crops.table["label"])}
        for label, treatment in zip(group["label"], group["treatment"], strict=True):
            swapped = swapped_crops(crops, label, checkpoint, bank)
            leaves = not len(swapped.kinds) or (swapped.kinds == OUTSIDE).any()
            if leaves or swapped.target != treatment:  # its limits are not those of a box
                continue
            rng = np.random.default_rng([label, len(rows)])
            ranked = dict(orders(crops[number[label]], checkpoint, rng, swapped.target))
            smooth = ranked["random"]
            if right:
                ranked["true region first"] = smooth + 2 * (
                    swapped.kinds == PLAYERS.index(right) + 1
                )
            filled, real = swapped.composites[0][0], swapped.composites[0][7]
            k, r = (checkpoint.classes.index(c) for c in (swapped.target, swapped.reference))
            ends = margins([filled, real], checkpoint, k, r)
            for name, values in ranked.items():
                rank = (values + 1e-9 * smooth).ravel().argsort().argsort().reshape(values.shape)
                path = [rank >= (1 - share) * rank.size for share in FRACTIONS]
                put = margins([np.where(there, real, filled) for there in path], checkpoint, k, r)
                cut = margins([np.where(there, filled, real) for there in path], checkpoint, k, r)
                scale = ends[1] - ends[0]
                row = {"image": group["stem"].iloc[0], "label": label, "treatment": treatment}
                row |= {"order": name, "way": scale}
                row |= {"insertion": (put.mean() - ends[0]) / scale}
                rows.append(row | {"deletion": (cut.mean() - ends[0]) / scale})
    return pd.DataFrame(rows)


def orders(
    crop, checkpoint: Checkpoint, rng: np.random.Generator, target: str
) -> Iterator[tuple[str, np.ndarray]]:
    """A value for each voxel of a crop, by which they are put back: each map, and noise."""
    size, k = crop.labels.shape, checkpoint.classes.index(target)
    for gradients in GRADIENTS:
        ways = ([crop], checkpoint, LAYERS, k, "receptive-field", 1, "auto", gradients)
        for seen in next(iter(explain(*ways))):
            spot = place(
                checkpoint.layers[seen.layer], checkpoint.input_size, size, "receptive-field"
            )
            yield f"{seen.layer}, {gradients}", np.asarray(upsample_cam(seen.maps[0], size, spot))
    grid = checkpoint.layers[LAYERS[0]].grid
    spot = place(checkpoint.layers[LAYERS[0]], checkpoint.input_size, size, "receptive-field")
    yield "random", np.asarray(upsample_cam(rng.random(grid).astype("float32"), size, spot))


def margins(images: list[np.ndarray], checkpoint: Checkpoint, k: int, r: int) -> np.ndarray:
    """Of raw crops (C, Z, Y, X) that lie inside their stacks."""
    given = rescaled(torch.from_numpy(np.stack(images).astype("float32")))
    logits = checkpoint.logits(given).double().numpy()
    return logits[:, k] - logits[:, r]


def labels(kind: str) -> pd.DataFrame:
    """Causal attention where labels of cells and donors are off."""
    checkpoint, _ = network(kind, 0)
    cells, training, found = cells_of(kind), learnt_from(kind), []
    for name, change in CHANGES.items():
        sources = []
        for group, crops in by_stack(training, change):
            there, named = set(crops.table["label"]), group.set_index("label")["treatment"]
            classes = {k: v for k, v in named.items() if k in there}
            row = group.iloc[0]
            sources.append((crops.stack, crops.labels, classes, row["plate"], row["well"]))
        bank = DonorBank.cut(sources, checkpoint)
        table = causal(cells, checkpoint, bank, change)
        found.append(table.reindex(columns=ASKED).assign(labels=name))
    return pd.concat(found, ignore_index=True)


def learnt_from(kind: str) -> pd.DataFrame:
    """Cells of the training wells."""
    from gradcamo.training.cell_index import index_cells
    from gradcamo.training.split import TRAIN

    stacks = read_plate(plate_csv(KINDS[kind].plate))
    stacks = stacks[stacks["well"].str.endswith("02")].assign(split=TRAIN)
    return index_cells(stacks.reset_index(drop=True), KINDS[kind].training)


def planes(change: Callable[[np.ndarray], np.ndarray], labels: np.ndarray) -> np.ndarray:
    return np.stack([change(plane) for plane in labels])


def eroded(plane: np.ndarray, by: int) -> np.ndarray:
    """Without voxels that are nearer than ``by`` pixels to another label or none."""
    around = {"footprint": disk(by), "mode": "nearest"}
    inner = ndimage.minimum_filter(plane, **around) == ndimage.maximum_filter(plane, **around)
    return np.where(inner, plane, 0)


def moved(plane: np.ndarray, by: int) -> np.ndarray:
    """Shifted along y and x, 0 where nothing comes from."""
    return np.pad(plane, ((by, 0), (by, 0)))[:-by, :-by]


def merged(labels: np.ndarray) -> np.ndarray:
    """Each cell and the nearest one as one cell, where each is the other's nearest."""
    ids = np.unique(labels)[1:]
    centres = np.array(ndimage.center_of_mass(labels > 0, labels, ids))
    nearest = cKDTree(centres).query(centres, 2)[1][:, 1]
    out = labels.copy()
    for i, j in enumerate(nearest):
        if nearest[j] == i and i < j:
            out[labels == ids[j]] = ids[i]
    return out


CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "as they are": np.asarray,
    "eroded by 2 px": partial(planes, partial(eroded, by=2)),
    "eroded by 4 px": partial(planes, partial(eroded, by=4)),
    "dilated by 2 px": partial(planes, partial(expand_labels, distance=2)),
    "shifted by 3 px in y and x": partial(planes, partial(moved, by=3)),
    "merged with the nearest": merged,
}


def by_lot(kind: str) -> pd.DataFrame:
    """Causal attention of a network that was trained on labels dealt by lot among all cells."""
    folder = planted_truth.CACHE / f"lot-{KINDS[kind].plate}"
    folder.mkdir(parents=True, exist_ok=True)
    plate = read_plate(plate_csv(KINDS[kind].plate))
    tables = [pd.read_csv(path, keep_default_na=False) for path in plate["cells"]]
    treatments = pd.concat(tables, keys=range(len(tables)))["treatment"]
    named = treatments[treatments != ""]
    treatments[named.index] = np.random.default_rng(0).permutation(named)
    for i in range(len(tables)):
        path = folder / f"{i}.csv"
        tables[i].assign(treatment=treatments[i])[["label", "treatment"]].to_csv(path, index=False)
        plate.loc[plate.index[i], "cells"] = path
    plate.to_csv(folder / "plate.csv", index=False)
    model = folder / "model.safetensors"
    if not model.is_file():
        train(folder / "plate.csv", KINDS[kind].training).save(model)
    checkpoint, cells = Checkpoint.load(model), cells_of(kind)
    table = causal(cells, checkpoint, donors(KINDS[kind].plate, checkpoint))
    return table[ASKED]


PARTS = {"randomised": randomised, "faithful": faithful, "labels": labels, "by_lot": by_lot}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    there = [kind for kind in KINDS if (RESULTS / f"{kind}-0" / "network.json").is_file()]
    own = [kind for kind in there if not KINDS[kind].network]
    parser.add_argument("--only", nargs="+", choices=own, default=own)
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    options = parser.parse_args()
    one_thread()
    OUT.mkdir(parents=True, exist_ok=True)
    for part in options.parts:
        for kind in options.only if part != "by_lot" else ["own"]:
            if not (path := OUT / f"{part}-{kind}.parquet").is_file():
                say(f"{part}, {kind}")
                short(PARTS[part](kind)).to_parquet(path, compression="zstd", index=False)


if __name__ == "__main__":
    run(main)
