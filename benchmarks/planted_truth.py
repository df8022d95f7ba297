"""What do networks use whose shortcut is known, because it was planted? And what do columns say?

    python benchmarks/planted_truth.py                       # everything that is not there yet
    python benchmarks/planted_truth.py --only own density --seeds 1

On each plate of `planted_kinds.PLATES` small networks are trained (wells of column 02), and cells
of column 03, drawn by lot, are asked with all that the library has: maps at every layer, with
averaged and local gradients; causal attention; the plate table of what a network uses. First comes
one network of every kind, then a second of every kind, then the others.

Each network has a folder in benchmarks/results/planted_truth; its README says what the files hold.
A network whose folder was made by the same recipe is left as it is, so a run goes on where it was
stopped. Plates and weights are kept in benchmarks/.cache/planted_truth.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from hashlib import sha256
from importlib.metadata import version
from itertools import zip_longest
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from planted_check import counts, look, probes
from planted_kinds import KINDS, LEARNT, PLATES, Kind, Sampled
from planted_measures import measures, met, right_region
from planted_plates import change
from planted_results import RESULTS, read_note, read_plates, run
from planted_truth_tables import main as make_tables

from gradcamo.auditing.causal import ask_causally, called_with_one_region
from gradcamo.causal.bank import DonorBank
from gradcamo.causal.uses import uses_table
from gradcamo.cells.crops import CellCrops
from gradcamo.columns import SCORES
from gradcamo.files.labels import read_labels
from gradcamo.files.plates import read_plate
from gradcamo.files.stacks import read_stack
from gradcamo.networks.checkpoint import Checkpoint
from gradcamo.networks.preprocess import choose_device
from gradcamo.progress import TrainingProgress
from gradcamo.samples.design import PlateDesign
from gradcamo.samples.plate import make_plate
from gradcamo.settings import Settings, TrainSettings
from gradcamo.training.cell_index import index_cells
from gradcamo.training.dataset import loader
from gradcamo.training.explain_cells import explain_cells
from gradcamo.training.plate_donors import plate_donors
from gradcamo.training.split import TEST
from gradcamo.training.train import train

HERE = Path(__file__).parent
CACHE = HERE / ".cache" / "planted_truth"
SAMPLED = Sampled()
WHOSE = ["image", "well", "label", "treatment", "predicted"]


def hash_of(*recipe: object) -> str:
    """Of all that decides what comes out."""
    said = json.dumps([_said(part) for part in recipe], sort_keys=True)
    return sha256(said.encode()).hexdigest()[:8]


def _said(part: object) -> object:
    if isinstance(part, Settings):
        return part.model_dump(mode="json")
    return [_said(inner) for inner in part] if isinstance(part, (tuple, list)) else part


@contextmanager
def kept(name: str, *recipe: object) -> Iterator[tuple[Path, bool]]:
    """A folder of the cache, and whether it has yet to be filled; its costs are noted."""
    folder = CACHE / f"{name}-{hash_of(SAMPLED.edition, *recipe)}"
    note = folder / "cpu_s.json"
    folder.mkdir(parents=True, exist_ok=True)
    cpu, missing = time.process_time(), not note.is_file()
    yield folder, missing
    if missing:
        note.write_text(json.dumps(time.process_time() - cpu))


def plate_csv(name: str, variant: str = "paired") -> Path:
    """The table of a plate, which is made if need be; or of its test wells, clouds changed."""
    plate = PLATES[name]
    if variant != "paired":
        changes = {"background": variant, "columns": ("03",)}
        designs = tuple(design.model_copy(update=changes) for design in plate.designs)
        plate = plate._replace(designs=designs)
    with kept(f"plate-{name}-{variant}", *plate.recipe) as (folder, missing):
        if missing:
            say(f"plate {name}, {variant}")
            if len(plate.designs) == 1 and not plate.change:
                make_plate(folder, plate.designs[0])
            else:
                change([built_in(design) for design in plate.designs], plate, folder)
    return folder / "plate.csv"


def built_in(design: PlateDesign) -> Path:
    """A plate as the generator makes it, for plates that are changed."""
    with kept("built-in", design) as (folder, missing):
        if missing:
            make_plate(folder, design)
    return folder / "plate.csv"


def training(kind: Kind, seed: int) -> TrainSettings:
    return kind.training.model_copy(update={"seed": seed})


def network(name: str, seed: int) -> tuple[Checkpoint, Path]:
    """The network of a kind, which is trained if need be, and its folder in the cache."""
    kind = KINDS[KINDS[name].network or name]
    plate, settings = PLATES[kind.plate], training(kind, seed)
    csv = plate_csv(kind.plate)
    recipe = (*plate.recipe, settings, LEARNT)
    with kept(f"network-{KINDS[name].network or name}-{seed}", *recipe) as (folder, missing):
        if missing:
            watch = Epochs(f"{name}, seed {seed}", settings)
            train(csv, settings, watch, watch.stop).save(folder / "model.safetensors")
    return Checkpoint.load(folder / "model.safetensors"), folder


class Epochs:
    """Prints each epoch once, and says when nothing is left to learn.

    With Grad-CAMO in the loss that loss goes on when the class is learnt, so its training does.
    """

    def __init__(self, name: str, settings: TrainSettings) -> None:
        self.name, self.said, self.learnt = name, 0, False
        self.least = 0.0 if settings.regularise_weight else LEARNT

    def __call__(self, event: TrainingProgress) -> None:
        for epoch in event.history[self.said :]:
            told = ", ".join(f"{k} {v:.3g}" for k, v in epoch._asdict().items() if v is not None)
            say(f"  {self.name}: {told}")
            self.learnt = epoch.validation_loss < self.least
        self.said = max(self.said, len(event.history))

    def stop(self) -> bool:
        return self.learnt


def donors(plate: str, checkpoint: Checkpoint) -> DonorBank:
    """Cells of a plate's training wells; they depend on crops and channels alone."""
    with kept(f"donors-{plate}", *PLATES[plate].recipe) as (folder, missing):
        if missing:
            plate_donors(plate_csv(plate), checkpoint).save(folder / "donors.npz")
    return DonorBank.load(folder / "donors.npz")


def held_out(plate: str, settings: TrainSettings, variant: str = "paired") -> pd.DataFrame:
    """Every cell of the test wells, as `index_cells` gives them; ``stem`` names its stack."""
    stacks = read_plate(plate_csv(plate, variant))
    stacks = stacks[stacks["well"].str.endswith("03")].assign(split=TEST)
    cells = index_cells(stacks.reset_index(drop=True), settings)
    return cells.assign(stem=[Path(image).name.split(".")[0] for image in cells["image"]])


def drawn(cells: pd.DataFrame) -> pd.DataFrame:
    """Cells of each class by lot, the same for all networks of a plate, in the plate's order."""
    n = SAMPLED.cells_per_class
    lots = [
        group.sample(min(n, len(group)), random_state=0) for _, group in cells.groupby("treatment")
    ]
    return cells.loc[pd.concat(lots).index.sort_values()].reset_index(drop=True)


def accuracy(cells: pd.DataFrame, checkpoint: Checkpoint, settings: TrainSettings) -> dict:
    """Share of cells called rightly, by class and balanced over them, of all test cells."""
    where = choose_device("auto")
    called: list[int] = []
    for images, *_ in loader(cells, checkpoint.classes, settings):
        called += checkpoint.logits(images, where).argmax(1).tolist()
    right = np.array(checkpoint.classes)[called] == cells["treatment"]
    by_class = right.groupby(cells["treatment"]).mean()
    return {"balanced": by_class.mean(), **by_class, "cells": len(cells)}


def maps(cells: pd.DataFrame, checkpoint: Checkpoint) -> pd.DataFrame:
    """Equation 5 and its companions of cells at every layer, with both kinds of gradients."""
    tables = [
        explain_cells(
            cells, checkpoint, tuple(checkpoint.layers), "receptive-field", gradients=gradients
        )[0]
        for gradients in ("averaged", "local")
    ]
    table = pd.concat(tables, ignore_index=True)
    scores = ["grad_camo", "attainable", "chance", "neighbour_share", "background_share"]
    assert set(scores) <= set(SCORES)
    return table.assign(image=table["stem"])[[*WHOSE, "layer", "gradients", *scores]]


def asked(
    cells: pd.DataFrame, checkpoint: Checkpoint, bank: DonorBank
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Causal attention of cells, and what they are called with one region real."""
    causal, called = [], []
    for image, group in cells.groupby("image", sort=False):
        row = group.iloc[0]
        stack = read_stack(image)
        crops = CellCrops(
            stack.select(checkpoint.channels), read_labels(row["labels"]), checkpoint.crop
        )
        only = group["label"].tolist()
        where = {"plate": row["plate"], "well": row["well"]}
        found = ask_causally(crops, checkpoint, bank, SAMPLED.causal, only, **where).table
        about = group.set_index("label")[["stem", "well", "treatment"]]
        found = found.drop(columns="image").join(about, on="label")
        causal.append(found.rename(columns={"stem": "image"}))
        one = called_with_one_region(crops, checkpoint, bank, SAMPLED.causal, only, **where)
        predicted = found.set_index("label")["predicted"]
        called.append(one.join(about["treatment"]).join(predicted))
    table = pd.concat(causal, ignore_index=True)
    table = table[[*WHOSE, *(name for name in table if name not in WHOSE)]]
    return table, uses_table(pd.concat(called, ignore_index=True), len(checkpoint.classes))


def follow(name: str, seed: int) -> None:
    """Train a network, ask it, and write its folder."""
    kind = KINDS[name]
    out, recipe = RESULTS / f"{name}-{seed}", recipe_of(name, seed)
    if is_there(out, recipe):
        return
    say(f"{name}, seed {seed}")
    settings, spent = training(kind, seed), {}
    checkpoint, folder = network(name, seed)
    spent["training"] = json.loads((folder / "cpu_s.json").read_text())
    bank = donors(KINDS[kind.network or name].plate, checkpoint)
    cells = held_out(kind.plate, settings)
    clock = Clock(spent)
    right = {"paired": accuracy(cells, checkpoint, settings)}
    for variant in kind.variants:
        right[variant] = accuracy(held_out(kind.plate, settings, variant), checkpoint, settings)
    clock("accuracy")
    chosen = drawn(cells)
    of_maps = maps(chosen, checkpoint)
    clock("maps")
    causal, uses = asked(chosen, checkpoint, bank)
    clock("causal")
    region = right_region(kind, right)
    found = measures(causal, uses, region)
    fitted = checkpoint.recipe
    about = {
        "kind": name,
        "title": kind.title,
        "seed": seed,
        "plate": kind.plate,
        "network": kind.network or name,
        "recipe": recipe,
        "software": f"napari-gradcamo {version('napari-gradcamo')}, torch {torch.__version__}",
        "checkpoint": checkpoint.hash,
        "settings": settings.model_dump(mode="json"),
        "sampled": SAMPLED.model_dump(mode="json"),
        "ended": "learnt" if fitted["ended"] == "stopped" else fitted["ended"],
        "epochs": len(fitted["history"]),
        "best_epoch": fitted["best_epoch"],
        "history": fitted["history"],
        "cpu_s": spent,
        "accuracy": right,
        "right": region,
        "uses": uses.to_dict(orient="index"),
        "measures": found,
        "met": met(kind, found),
        "cautions": causal.attrs.get("cautions", []),
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "network.json").unlink(missing_ok=True)  # it comes last: a folder without is not done
    for file, table in (("maps", of_maps), ("causal", causal)):
        short(table).to_parquet(out / f"{file}.parquet", compression="zstd", index=False)
    (out / "network.json").write_text(json.dumps(rounded(about), indent=1) + "\n")
    say(f"  {name}, seed {seed}: {about['met']} {rounded(found)} {rounded(spent)}")


def recipe_of(name: str, seed: int) -> str:
    """Hash of all that decides what a network's folder holds."""
    kind = KINDS[name]
    parts = [PLATES[KINDS[k].plate].recipe for k in (name, kind.network or name)]
    return hash_of(*parts, training(kind, seed), kind.variants, kind.right, LEARNT, SAMPLED)


def is_there(folder: Path, recipe: str) -> bool:
    """Whether a folder holds this network; one that is damaged says so, and is not replaced."""
    if not (folder / "network.json").is_file():
        return False
    return bool(read_note(folder).get("recipe") == recipe)


class Clock:
    """CPU seconds of each step of this process."""

    def __init__(self, spent: dict[str, float]) -> None:
        self.spent, self.since = spent, time.process_time()

    def __call__(self, step: str) -> None:
        now = time.process_time()
        self.spent[step], self.since = now - self.since, now


def short(table: pd.DataFrame) -> pd.DataFrame:
    """Numbers to three decimals, which is what a run repeats."""
    floats = table.select_dtypes("floating").columns
    return table.assign(**{name: table[name].round(3).astype("float32") for name in floats})


def rounded(value: Any) -> Any:
    """The same in JSON: NaN is null."""
    if isinstance(value, dict):
        return {str(key): rounded(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(inner) for inner in value]
    if isinstance(value, (float, np.floating)):
        return round(float(value), 4) if np.isfinite(value) else None
    return value.item() if isinstance(value, (np.integer, np.bool_)) else value


def check(name: str) -> None:
    """Look into a plate, unless the tables say that it was; what is found goes into both."""
    plate = PLATES[name]
    recipe = hash_of(*plate.recipe, SAMPLED.edition)
    tables = {kind: RESULTS / f"{kind}.csv" for kind in ("plates", "probes")}
    there = [kind for kind, path in tables.items() if path.is_file()]
    before = {kind: read_plates(RESULTS, kind) for kind in there}
    if len(before) == 2 and ((known := before["plates"])["recipe"] == recipe).any():
        assert (known["plate"] == name).any()
        return
    csv = plate_csv(name)
    say(f"looking into {name}")
    seen = list(look(plate, csv))
    found = {"plates": [counts(name, plate, seen)], "probes": probes(name, seen)}
    RESULTS.mkdir(parents=True, exist_ok=True)
    order = list(PLATES)
    for kind, path in tables.items():
        table = pd.DataFrame(found[kind]).assign(recipe=recipe)
        if kind in before:
            old = before[kind]
            table = pd.concat([old[old["plate"] != name], table], ignore_index=True)
        table = table.sort_values("plate", key=lambda p: p.map(order.index), kind="stable")
        table.round(3).to_csv(path, index=False)


def tasks(names: Iterable[str], seeds: int) -> list[tuple[str, int]]:
    """One network of every kind, then a second of every kind, and so on."""
    rows = [[(name, s) for s in range(min(KINDS[name].seeds, seeds))] for name in names]
    return [task for turn in zip_longest(*rows) for task in turn if task]


def one_thread() -> None:
    """In each process: sums come out the same however many cores there are."""
    torch.set_num_threads(1)


def say(text: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--seeds", type=int, default=max(k.seeds for k in KINDS.values()))
    parser.add_argument("--workers", type=int, default=1, help="processes")
    options = parser.parse_args()
    wanted = tasks(options.only, options.seeds)
    start = time.perf_counter()
    if options.workers == 1:
        one_thread()
        for name, seed in wanted:
            check(KINDS[name].plate)
            follow(name, seed)
    else:
        for kind in (KINDS[name] for name in options.only):  # no two processes make one plate
            check(kind.plate)
            for variant in ("paired", *kind.variants):
                plate_csv(kind.plate, variant)
        own = [task for task in wanted if not KINDS[task[0]].network]
        shown = [task for task in wanted if KINDS[task[0]].network]  # networks that are there then
        with ProcessPoolExecutor(options.workers, get_context("spawn"), one_thread) as pool:
            for part in (own, shown):
                list(pool.map(follow, *zip(*part, strict=True))) if part else None
    make_tables()  # and the pages that quote them
    say(f"{(time.perf_counter() - start) / 60:.1f} minutes")


if __name__ == "__main__":
    run(main)
