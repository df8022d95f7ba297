"""What a training used and how well it did: for the recipe, for reading, for a look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gradcamo.files.landing import landing, to_json
from gradcamo.training.split import SPLITS, TEST, TRAIN, VALIDATION, WELL

IMBALANCE = 3.0
"""Training cells of the largest class per cell of the smallest, from which it is noted."""
FOLLOWS = 0.5
"""Share of the regularised layers' attainable score that another layer should reach."""


def describe_cells(cells: pd.DataFrame, classes: Sequence[str]) -> dict[str, Any]:
    """Wells of each split and cells of each class, as plain values."""
    groups = [*WELL, "treatment", "split"]
    per_well = cells.groupby(groups, sort=False).size().reset_index(name="cells")
    counts = pd.crosstab(cells["split"], cells["treatment"])
    counts = counts.reindex(index=list(SPLITS), columns=list(classes), fill_value=0)
    wells = {
        split: sorted(cells.loc[cells["split"] == split, "well"].astype(str).unique())
        for split in SPLITS
    }
    learnt = counts.loc[TRAIN]
    most, least = int(max(learnt)), int(min(learnt))
    notes = []
    if most > IMBALANCE * least:
        notes.append(
            f"classes are unbalanced: {most} training cells of {learnt.idxmax()}, "
            f"{least} of {learnt.idxmin()}; accuracy favours the larger"
        )
    if not wells[TEST]:
        notes.append("no well was held out: how well it does on unseen wells is not known")
    return {
        "train_wells": wells[TRAIN],
        "test_wells": wells[TEST],
        "cells": {split: counts.loc[split].astype(int).to_dict() for split in SPLITS},
        "cells_per_well": per_well.to_dict("records"),
        "partial_cells_left_out": int(cells.attrs.get("partial", 0)),
        "imbalance": most / least,
        "notes": notes,
    }


def describe_results(
    cells: pd.DataFrame, classes: Sequence[str], predicted: np.ndarray | None
) -> dict[str, Any]:
    """Accuracy, confusion and accuracy per class of each split, as plain values.

    Parameters
    ----------
    predicted : (cells,) number of the predicted class, or None where the training was stopped
        before cells were classified
    """
    if predicted is None:
        return {"accuracy": None, "confusion": None, "accuracy_per_well": None}
    given = pd.Categorical(cells["treatment"], categories=list(classes)).codes
    right = cells.assign(right=given == predicted)
    confusion = {}
    for split in SPLITS:
        table = np.zeros((len(classes), len(classes)), int)
        here = (cells["split"] == split).to_numpy()
        np.add.at(table, (given[here], predicted[here]), 1)
        confusion[split] = table.tolist()
    per_well = right.groupby([*WELL, "split"], sort=False)["right"].mean().reset_index()
    return {
        "accuracy": right.groupby("split")["right"].mean().to_dict(),
        "confusion": confusion,
        "accuracy_per_well": per_well.rename(columns={"right": "accuracy"}).to_dict("records"),
    }


def describe_layer_scores(table: pd.DataFrame, regularised: Sequence[str]) -> dict[str, Any]:
    """Grad-CAMO of each layer after a regularised training, and whether the others followed.

    Parameters
    ----------
    table : DataFrame
        Cells at every layer: ``layer, grad_camo, chance, ceiling, attainable``.
    regularised : layers whose Grad-CAMO was part of the loss
    """
    columns = ["grad_camo", "chance", "ceiling", "attainable"]
    scores = table.groupby("layer", sort=False)[columns].mean()
    asked = scores.index.isin(regularised)
    fine = scores["ceiling"] > 2 * scores["chance"]  # a layer that can localize at all
    reached = scores.loc[asked, "attainable"].mean()
    others = scores.loc[~asked & fine, "attainable"].fillna(0)  # no evidence at all: no following
    notes = []
    if not others.empty and others.max() < FOLLOWS * reached:
        notes.append(
            f"Grad-CAMO rose where it was asked for ({', '.join(regularised)}: attainable "
            f"{reached:.2f}) but on no other layer (best: {others.idxmax()}, {others.max():.2f}). "
            "The network may have learnt to please the score; do not trust it there"
        )
    return {"layer_scores": scores.reset_index().to_dict("records"), "layer_notes": notes}


def outcome(recipe: Mapping[str, Any]) -> str:
    """How a training ended, in a sentence or two."""
    best = recipe["history"][recipe["best_epoch"] - 1]
    kept = f"weights of epoch {best['epoch']} of {len(recipe['history'])}"
    accuracy = recipe["accuracy"]
    if accuracy is None:
        return (
            f"Stopped: {kept} are kept, {best['validation_accuracy']:.0%} of validation cells "
            "right, not tested."
        )
    names = {TEST: "in held-out wells", VALIDATION: "of validation", TRAIN: "of training"}
    right = [f"{accuracy[split]:.0%} {name}" for split, name in names.items() if split in accuracy]
    return f"Right: {', '.join(right)} ({kept})."


def report_text(recipe: Mapping[str, Any]) -> str:
    """A training in a page of plain text."""
    classes = list(recipe["cells"][TRAIN])
    n = {split: sum(recipe["cells"][split].values()) for split in SPLITS}
    epochs, best = recipe["history"], recipe["best_epoch"]
    lines = [
        f"Trained on {n[TRAIN]} cells of the wells {', '.join(recipe['train_wells'])}",
        f"{n[VALIDATION]} cells decided when to stop; {n[TEST]} cells of the wells "
        f"{', '.join(recipe['test_wells']) or 'none'} were held out",
        f"{recipe['partial_cells_left_out']} partial cells at the border took no part",
        f"{len(epochs)} epochs ({recipe['ended']}); weights of epoch {best}, validation loss "
        f"{epochs[best - 1]['validation_loss']:.3f}",
        "",
    ]
    accuracy = recipe["accuracy"]
    if accuracy is None:
        seen = epochs[best - 1]["validation_accuracy"]
        lines.append(f"stopped: accuracy on validation cells {seen:.1%}, not tested")
    else:
        names = {TRAIN: "training cells", VALIDATION: "validation cells", TEST: "held-out wells"}
        lines += [
            f"accuracy on {names[split]:<17}{accuracy[split]:6.1%}"
            for split in SPLITS
            if split in accuracy
        ]
        split = TEST if n[TEST] else VALIDATION
        largest = max(recipe["cells"][split].values()) / n[split]
        lines += [f"(always the largest class: {largest:.1%})", ""]
        lines += _confusion_text(recipe["confusion"][split], classes, names[split])
    lines += ["", *_wells_text(recipe)]
    lines += [
        f"{row['layer']:<9} Grad-CAMO {row['grad_camo']:.2f} (chance {row['chance']:.2f}, ceiling "
        f"{row['ceiling']:.2f}), attainable {row['attainable']:.2f}"
        for row in recipe.get("layer_scores", ())
    ]
    lines += [f"Note: {note}" for note in [*recipe["notes"], *recipe.get("layer_notes", ())]]
    return "\n".join(lines)


def _confusion_text(table: Sequence[Sequence[int]], classes: Sequence[str], what: str) -> list[str]:
    width = max(8, *(len(name) + 1 for name in classes))
    lines = [
        f"{what}: treatment (rows) and prediction (columns)",
        " " * width + "".join(f"{name:>{width}}" for name in classes) + f"{'right':>8}",
    ]
    for k, row in enumerate(table):
        share = row[k] / sum(row) if sum(row) else float("nan")
        cells = "".join(f"{count:>{width}}" for count in row)
        lines.append(f"{classes[k]:<{width}}{cells}{share:>8.0%}")
    return lines


def _wells_text(recipe: Mapping[str, Any]) -> list[str]:
    lines = ["cells per well"]
    per_well = recipe["accuracy_per_well"] or []
    accuracy = {(w["plate"], w["well"], w["split"]): w["accuracy"] for w in per_well}
    for row in recipe["cells_per_well"]:
        right = accuracy.get((row["plate"], row["well"], row["split"]))
        lines.append(
            f"  {row['plate']}  {row['well']}  {row['treatment']:<12}{row['split']:<11}"
            f"{row['cells']:>6}" + ("" if right is None else f"   {right:.0%} right")
        )
    return lines


def write_report(recipe: Mapping[str, Any], checkpoint_file: str | Path) -> list[Path]:
    """Write the report beside a checkpoint: ``.report.json``, ``.report.txt``, ``.report.png``."""
    stem = Path(checkpoint_file).with_suffix("")
    files = [stem.with_name(f"{stem.name}.report.{kind}") for kind in ("json", "txt", "png")]
    with landing(files[0]) as scratch:
        scratch.write_text(to_json(recipe), encoding="utf-8")
    with landing(files[1]) as scratch:
        scratch.write_text(report_text(recipe) + "\n", encoding="utf-8")
    if recipe["confusion"] is None:
        return files[:2]
    from gradcamo.figures import confusion_matrix, save_figure

    save_figure(confusion_matrix(_as_table(recipe)), files[2])
    return files


def _as_table(recipe: Mapping[str, Any]) -> pd.DataFrame:
    """Counts of the held-out wells (else validation) as one row a cell."""
    classes = np.array(list(recipe["cells"][TRAIN]))
    split = TEST if recipe["test_wells"] else VALIDATION
    table = np.array(recipe["confusion"][split])
    given, predicted = np.nonzero(table)
    times = table[given, predicted]
    return pd.DataFrame(
        {
            "treatment": classes[np.repeat(given, times)],
            "predicted": classes[np.repeat(predicted, times)],
        }
    )
