"""Does Grad-CAMO find a network that cheats? Plates whose truth is known, because it was planted.

    python benchmarks/planted_truth.py            # everything, cached step by step
    python benchmarks/planted_truth.py --only own background --seeds 1

Plates, told apart by where the class can be read:

own             treated cells stand alone, no crop shows another treated cell; they hold
                speckles that stain for DNA, which no other cell does
own, diffuse    the same, but all textures of treated cells shift, and no new structure appears
neighbour       the central cell is never treated; the class says whether a neighbour is
background      a faint pattern between the cells
own+background  both; a second network is trained with Grad-CAMO in its loss

On each, small networks are trained (plate column 02), one per seed, since where a network looks is
a matter of chance, too. Then the cells of column 03 are scored at every layer, in both alignments,
with averaged and with local gradients.
Every core works on a network of its own. Tables land in benchmarks/results;
planted_truth_figures.py draws them into docs/images.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from hashlib import sha256
from itertools import islice, tee
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from planted_truth_tables import TREATED, accuracies, separation, summarise

from gradcamo.cells.crops import CellCrops
from gradcamo.cells.overlap import attention_shares
from gradcamo.files.labels import read_labels
from gradcamo.files.plates import read_plate
from gradcamo.files.stacks import read_stack
from gradcamo.networks.checkpoint import Checkpoint
from gradcamo.networks.geometry import place
from gradcamo.networks.infer import explain
from gradcamo.progress import TrainingProgress
from gradcamo.samples.design import PlateDesign
from gradcamo.samples.planting import has_background
from gradcamo.samples.plate import make_plate
from gradcamo.settings import CropSettings, Gradients, Settings, TrainSettings
from gradcamo.training.cell_index import index_cells
from gradcamo.training.explain_cells import crops_of
from gradcamo.training.split import TEST
from gradcamo.training.train import train_and_save

HERE = Path(__file__).parent
CACHE, RESULTS = HERE / ".cache" / "planted_truth", HERE / "results"

# wells and sites are chosen so that both classes have about as many cells
SPECKLES = PlateDesign(phenotype="speckles", rows=("E", "F", "G", "D"), sites=5)
DESIGNS = {
    "own": SPECKLES.model_copy(update={"signal": "own"}),
    "own, diffuse": SPECKLES.model_copy(update={"signal": "own", "phenotype": "response"}),
    "neighbour": SPECKLES.model_copy(update={"signal": "neighbour", "rows": ("E", "F", "D")}),
    "background": PlateDesign(signal="background", rows=("E", "D"), sites=5),
    "own+background": SPECKLES.model_copy(
        update={"signal": "own+background", "cell_contrast": 0.4}
    ),
}
TRAINING = TrainSettings(
    width=0.25,
    input_size=(64, 64, 64),
    crop=CropSettings(size_yx=(64, 64)),
    epochs=20,
    patience=20,
    learning_rate=1e-3,
    brightness_probability=0,  # a training this short has no steps to spare for it
)
BOTH = TRAINING.model_copy(update={"gamma_probability": 0})  # nor for the intensities' power
REGULARISED = BOTH.model_copy(
    update={
        "regularise_weight": 10.0,
        "regularise_layers": ("block_0", "block_2"),  # block_1 between them is for the check
        "regularise_alignment": "receptive-field",
    }
)
TRAININGS = {
    **{name: (name, TRAINING) for name in DESIGNS},
    "own+background": ("own+background", BOTH),
    "own+background, regularised": ("own+background", REGULARISED),
}
SEEDS = {**dict.fromkeys(TRAININGS, 3), "own, diffuse": 1}
VARIANTS = {
    "own": ("paired",),
    "own, diffuse": ("paired",),
    "neighbour": ("paired",),
    "background": ("paired", "removed"),
    "own+background": ("paired", "removed", "shuffled"),
}
"""Test plates: as trained on, and with the background's signal taken away or dealt by lot."""
GRADIENTS: dict[str, tuple[Gradients, ...]] = {"paired": ("averaged", "local")}
COSTS: dict[str, dict[str, object]] = {}


def cached(name: str, *recipe: object) -> Path:
    """A folder of its own for every recipe."""
    said = [
        part.model_dump(mode="json") if isinstance(part, Settings) else str(part) for part in recipe
    ]
    key = sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:8]
    folder = CACHE / f"{name.replace(', ', '-')}-{key}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def step(name: str, folder: Path) -> Iterator[bool]:
    """Whether a step has yet to be made; what it took is noted beside it."""
    note = folder / "cost.json"
    if not note.is_file():
        say(name)
        wall, cpu = time.perf_counter(), time.process_time()
        yield True
        took = {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}
        note.write_text(json.dumps({"step": name, **took}))
    else:
        yield False
    COSTS[folder.name] = json.loads(note.read_text())


def plate(design: PlateDesign, name: str) -> Path:
    folder = cached(f"plate-{name}", design)
    with step(f"plate {name}", folder) as missing:
        if missing:
            make_plate(folder, design)
    return folder / "plate.csv"


def network(name: str, seed: int = 0) -> Checkpoint:
    case, settings = training(name, seed)
    folder = cached(f"network-{name}-{seed}", DESIGNS[case], settings)
    csv, out = plate(DESIGNS[case], case), folder / "model.safetensors"
    with step(f"training {name}, seed {seed}", folder) as missing:
        if missing:
            epochs = Epochs(f"{name}, seed {seed}")
            train_and_save(csv, out, settings, print, epochs, resume=True)
    return Checkpoint.load(out)


def training(name: str, seed: int) -> tuple[str, TrainSettings]:
    case, settings = TRAININGS[name]
    return case, settings.model_copy(update={"seed": seed})


class Epochs:
    """Prints each epoch once."""

    def __init__(self, name: str) -> None:
        self.name, self.said = name, 0

    def __call__(self, event: TrainingProgress) -> None:
        for epoch in event.history[self.said :]:
            told = ", ".join(f"{k} {v:.3g}" for k, v in epoch._asdict().items() if v)
            say(f"  {self.name}: {told}")
        self.said = max(self.said, len(event.history))


def scores(name: str, seed: int = 0, variant: str = "paired") -> pd.DataFrame:
    """Held-out cells of a network at every layer in both alignments."""
    case, settings = training(name, seed)
    ways = GRADIENTS.get(variant, ("averaged",))
    recipe = (DESIGNS[case], settings, variant, *ways)
    folder = cached(f"scores-{name}-{seed}-{variant}", *recipe)
    checkpoint, cells, out = network(name, seed), held_out(name, variant), folder / "cells.parquet"
    with step(f"scoring {name}, seed {seed}, {variant}", folder) as missing:
        if missing:
            table = pd.concat([score(cells, checkpoint, way) for way in ways])
            table.assign(network=name, seed=seed, variant=variant).to_parquet(out)
    return pd.read_parquet(out)


def follow(task: tuple[str, int]) -> tuple[pd.DataFrame, dict[str, dict[str, object]]]:
    """Train one network and score it on every variant of its plate; and what that cost."""
    name, seed = task
    variants = VARIANTS[TRAININGS[name][0]]
    return pd.concat([scores(name, seed, variant) for variant in variants]), COSTS


def prepare(plate_of: tuple[str, str]) -> tuple[dict[str, object], dict[str, dict[str, object]]]:
    """Make a plate, as trained on or with its background changed; look into the first kind."""
    name, variant = plate_of
    if variant == "paired":
        return check(name), COSTS
    changed(name, variant)
    return {}, COSTS


def held_out(name: str, variant: str = "paired") -> pd.DataFrame:
    """The cells that a network is scored on, as `index_cells` gives them."""
    case, settings = TRAININGS[name]
    csv = plate(DESIGNS[case], case) if variant == "paired" else changed(case, variant)
    stacks = read_plate(csv)
    stacks = stacks[stacks["well"].str.endswith("03")].assign(split=TEST)
    return index_cells(stacks.reset_index(drop=True), settings)


def changed(case: str, variant: str) -> Path:
    """The test wells of a plate with its background's signal removed or shuffled."""
    changes = {"background": variant, "columns": ("03",)}
    return plate(DESIGNS[case].model_copy(update=changes), f"{case}-{variant}")


def score(cells: pd.DataFrame, checkpoint: Checkpoint, gradients: Gradients) -> pd.DataFrame:
    """One row per cell, layer and alignment: prediction, equation 5, what a flat map scores."""
    crops, again = tee(crops_of(cells, checkpoint.crop))
    parts, done = [], 0
    for batch in explain(crops, checkpoint, tuple(checkpoint.layers), gradients=gradients):
        n = len(batch[0].labels)
        given = cells.iloc[done : done + n][["image", "label", "well", "treatment"]]
        labels = np.stack([crop.labels for crop in islice(again, n)])
        ids = np.array(batch[0].labels)
        own = labels == ids[:, None, None, None]
        flat = {
            "neighbour_area": ((labels > 0) & ~own).mean((1, 2, 3)),
            "background_area": (labels == 0).mean((1, 2, 3)),
        }
        for seen in batch:
            for alignment in ("paper", "receptive-field"):
                placement = place(
                    checkpoint.layers[seen.layer],
                    checkpoint.input_size,
                    labels.shape[1:],
                    alignment,
                )
                table = given.assign(
                    layer=seen.layer,
                    alignment=alignment,
                    gradients=gradients,
                    predicted=np.array(checkpoint.classes)[seen.probabilities.argmax(1)],
                    confidence=seen.probabilities.max(1),
                    **attention_shares(seen.maps, labels, ids, placement),
                    **flat,
                )
                parts.append(table)
        done += n
    return pd.concat(parts, ignore_index=True)


def check(name: str) -> dict[str, object]:
    """Looks into every crop of a plate that is used: is the plate what it says it is?"""
    design = DESIGNS[name]
    counts = {
        f"{treatment}_{what}": 0
        for treatment in (TREATED, "untreated")
        for what in ("cells", "own", "neighbour", "background")
    }
    for _, row in read_plate(plate(design, name)).iterrows():
        truth = pd.read_csv(row["cells"], keep_default_na=False).set_index("label")
        crops = CellCrops(read_stack(row["image"]), read_labels(row["labels"]), TRAINING.crop)
        site = int(row["site"])
        for i in np.flatnonzero(~crops.table["touches_border"].to_numpy()):
            crop = crops[i]
            here = truth.loc[crop.label]
            if here["treatment"] == "":
                continue
            seen = np.setdiff1d(np.unique(crop.labels), [0, crop.label])
            counts[f"{here['treatment']}_cells"] += 1
            counts[f"{here['treatment']}_own"] += bool(here["own"])
            counts[f"{here['treatment']}_neighbour"] += bool(truth.loc[seen, "own"].any())
            counts[f"{here['treatment']}_background"] += has_background(design, row["well"], site)
    for where in ("own", "neighbour", "background"):
        expected = counts["treated_cells"] if where in design.signal.split("+") else 0
        if (counts[f"treated_{where}"], counts[f"untreated_{where}"]) != (expected, 0):
            raise RuntimeError(f"the plate {name} is not what it says: {counts}")
    return {"plate": name, **counts}


def one_thread() -> None:
    """In each process: sums come out the same however many cores there are."""
    torch.set_num_threads(1)


def say(text: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=list(TRAININGS), default=list(TRAININGS))
    parser.add_argument("--seeds", type=int, default=max(SEEDS.values()), help="at most")
    options = parser.parse_args()
    chosen = options.only
    start = time.perf_counter()
    cases = list(dict.fromkeys(TRAININGS[name][0] for name in chosen))
    plates = [(case, variant) for case in cases for variant in VARIANTS[case]]
    tasks = [(name, seed) for name in chosen for seed in range(min(SEEDS[name], options.seeds))]
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn"), one_thread) as pool:
        made = list(pool.map(prepare, plates))
        # the last take longest, so they start first
        followed = list(pool.map(follow, tasks[::-1]))[::-1]
    for _, costs in (*made, *followed):
        COSTS.update(costs)
    cells = pd.concat([part for part, _ in followed], ignore_index=True)
    found = {
        "plates": pd.DataFrame([counts for counts, _ in made if counts]),
        "accuracy": accuracies(cells),
        "layers": summarise(cells),
        "separation": separation(cells),
        "costs": pd.DataFrame(COSTS.values()),
    }
    for name, table in found.items():
        if set(chosen) == set(TRAININGS) and options.seeds >= max(SEEDS.values()):
            RESULTS.mkdir(exist_ok=True)
            table.round(4).to_csv(RESULTS / f"planted_truth_{name}.csv", index=False)
        if name != "layers":
            print(f"\n{name}\n{table.round(3).to_string(index=False)}")
    say(f"{(time.perf_counter() - start) / 60:.1f} minutes on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
