"""Does Grad-CAMO find a network that cheats? Plates whose truth is known, because it was planted.

    python benchmarks/planted_truth.py            # everything, cached step by step
    python benchmarks/planted_truth.py --only own background

Four plates, told apart by where the class can be read:

own             treated cells stand alone, no crop shows another treated cell
neighbour       the central cell is never treated; the class says whether a neighbour is
background      a faint pattern between the cells
own+background  both; a second network is trained with Grad-CAMO in its loss

On each a small network is trained (plate column 02), then the cells of column 03 are scored at
every layer, in both alignments. Tables land in benchmarks/results, figures in docs/images.
"""

from __future__ import annotations

import argparse
import json
import time
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd

from gradcamo.files.plates import read_plate
from gradcamo.networks.checkpoint import Checkpoint
from gradcamo.samples.design import PlateDesign
from gradcamo.samples.plate import make_plate
from gradcamo.settings import CropSettings, TrainSettings
from gradcamo.training.dataset import index_cells
from gradcamo.training.layer_audit import crops_of, explain_cells
from gradcamo.training.split import TEST
from gradcamo.training.train import train_and_save

HERE = Path(__file__).parent
CACHE, RESULTS = HERE / ".cache" / "planted_truth", HERE / "results"
TREATED = "treated"

# wells and sites are chosen so that both classes have about as many cells
DESIGNS = {
    "own": PlateDesign(signal="own", rows=("E", "F", "G", "D"), sites=5),
    "neighbour": PlateDesign(signal="neighbour", rows=("E", "F", "D"), sites=5),
    "background": PlateDesign(signal="background", rows=("E", "D"), sites=5),
    "own+background": PlateDesign(signal="own+background", rows=("E", "F", "G", "D"), sites=5),
}
TRAINING = TrainSettings(
    width=0.25,
    input_size=(64, 64, 64),
    crop=CropSettings(size_yx=(64, 64)),
    epochs=14,
    patience=14,
    learning_rate=2e-3,
    brightness_probability=0,  # a training this short has no steps to spare for it
)
REGULARISED = TRAINING.model_copy(
    update={"regularise_weight": 1.0, "regularise_alignment": "receptive-field"}
)
TRAININGS = {
    "own": ("own", TRAINING),
    "neighbour": ("neighbour", TRAINING),
    "background": ("background", TRAINING),
    "own+background": ("own+background", TRAINING),
    "own+background, regularised": ("own+background", REGULARISED),
}


def cached(name: str, *recipe: object) -> Path:
    """A folder of its own for every recipe."""
    text = json.dumps([getattr(part, "model_dump", lambda p=part: str(p))() for part in recipe])
    folder = CACHE / f"{name.replace(', ', '-')}-{sha256(text.encode()).hexdigest()[:8]}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def plate(design: PlateDesign, name: str) -> Path:
    folder = cached(f"plate-{name}", design)
    if not (folder / "plate.csv").is_file():
        say(f"making the plate {name}")
        make_plate(folder, design)
    return folder / "plate.csv"


def network(name: str) -> Checkpoint:
    case, settings = TRAININGS[name]
    folder = cached(f"network-{name}", DESIGNS[case], settings)
    if not (folder / "model.safetensors").is_file():
        say(f"training on {name}")
        start = time.perf_counter()
        train_and_save(
            plate(DESIGNS[case], case), folder / "model.safetensors", settings, print, resume=True
        )
        minutes = (time.perf_counter() - start) / 60
        (folder / "minutes.txt").write_text(f"{minutes:.1f}\n")
    return Checkpoint.load(folder / "model.safetensors")


def scores(name: str, variant: str = "paired") -> pd.DataFrame:
    """Held-out cells of a network at every layer in both alignments."""
    case, settings = TRAININGS[name]
    design = DESIGNS[case].model_copy(update={"background": variant})
    folder = cached(f"scores-{name}-{variant}", DESIGNS[case], settings, variant)
    if not (folder / "cells.parquet").is_file():
        checkpoint = network(name)
        if variant != "paired":
            design = design.model_copy(update={"columns": ("03",)})
        split = read_plate(plate(design, f"{case}-{variant}" if variant != "paired" else case))
        split = split[split["well"].str.endswith("03")].assign(split=TEST)
        cells = index_cells(split.reset_index(drop=True), settings)
        say(f"scoring {len(cells)} cells of {name} ({variant})")
        tables = [
            explain_cells(cells, checkpoint, tuple(checkpoint.layers), alignment)[0]
            for alignment in ("paper", "receptive-field")
        ]
        areas = pd.DataFrame(
            [area_shares(crop.label, crop.labels) for crop in crops_of(cells, checkpoint.crop)]
        )
        n = 2 * len(checkpoint.layers)
        table = pd.concat(tables, ignore_index=True)
        table = table.join(pd.concat([areas] * n, ignore_index=True))
        table.drop(columns="image").assign(network=name, variant=variant).to_parquet(
            folder / "cells.parquet"
        )
    return pd.read_parquet(folder / "cells.parquet")


def area_shares(label: int, labels: np.ndarray) -> dict[str, float]:
    """What a flat map scores on neighbours and background."""
    return {
        "neighbour_area": float(((labels != label) & (labels != 0)).mean()),
        "background_area": float((labels == 0).mean()),
    }


def summarise(cells: pd.DataFrame) -> pd.DataFrame:
    """Means per network, variant, alignment, layer and class."""
    cells = cells.assign(
        right=cells["predicted"] == cells["treatment"], empty=cells["grad_camo"].isna()
    )
    keys = ["network", "variant", "alignment", "layer", "treatment"]
    columns = [
        *("right", "grad_camo", "neighbour_share", "background_share", "chance"),
        *("neighbour_area", "background_area", "ceiling", "attainable", "empty"),
    ]
    grouped = cells.groupby(keys, sort=False)
    return grouped[columns].mean().join(grouped.size().rename("cells")).reset_index()


def separation(cells: pd.DataFrame) -> pd.DataFrame:
    """AUROC of the score between treated cells of (own) and of (background), layer by layer."""
    from sklearn.metrics import roc_auc_score

    rows = []
    chosen = cells[(cells["variant"] == "paired") & (cells["treatment"] == TREATED)]
    chosen = chosen[chosen["network"].isin(["own", "background"])].dropna(subset="grad_camo")
    for (alignment, layer), group in chosen.groupby(["alignment", "layer"], sort=False):
        truth = group["network"] == "own"
        row = {"alignment": alignment, "layer": layer, "cells": len(group)}
        for score in ("grad_camo", "attainable"):
            both = truth.nunique() == 2
            row[f"auroc_{score}"] = roc_auc_score(truth, group[score]) if both else np.nan
        for cut in (0.25, 0.5):
            row[f"own_passing_{cut}"] = (group.loc[truth, "grad_camo"] >= cut).mean()
            row[f"background_passing_{cut}"] = (group.loc[~truth, "grad_camo"] >= cut).mean()
        rows.append(row)
    return pd.DataFrame(rows)


def accuracies(cells: pd.DataFrame) -> pd.DataFrame:
    once = cells[(cells["layer"] == "head") & (cells["alignment"] == "paper")]
    once = once.assign(right=once["predicted"] == once["treatment"])
    by_class = once.groupby(["network", "variant", "treatment"], sort=False)["right"].mean()
    balanced = by_class.groupby(["network", "variant"], sort=False).mean()
    plain = once.groupby(["network", "variant"], sort=False)["right"].mean()
    return pd.DataFrame({"accuracy": plain, "balanced_accuracy": balanced}).reset_index()


def say(text: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=list(TRAININGS), default=list(TRAININGS))
    chosen = parser.parse_args().only
    tables = [scores(name) for name in chosen]
    tables += [
        scores(name, variant)
        for name in chosen
        if name.startswith("own+background")
        for variant in ("removed", "shuffled")
    ]
    cells = pd.concat(tables, ignore_index=True)
    RESULTS.mkdir(exist_ok=True)
    for name, table in (
        ("layers", summarise(cells)),
        ("accuracy", accuracies(cells)),
        ("separation", separation(cells)),
    ):
        table.round(4).to_csv(RESULTS / f"planted_truth_{name}.csv", index=False)
    say(f"tables in {RESULTS}")
    print(accuracies(cells).round(3).to_string(index=False))


if __name__ == "__main__":
    main()
