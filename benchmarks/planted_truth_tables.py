"""What the networks of planted_truth.py say together, as tables; and the pages that quote them.

    python benchmarks/planted_truth_tables.py

Takes whatever folders lie in benchmarks/results/planted_truth, writes the tables there, and puts
every table and number of docs/planted_truth.md, README.md and the other pages in their places
(`planted_pages`). Needs neither plates nor networks.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from planted_kinds import KINDS
from planted_measures import REGIONS
from planted_results import CELL, RESULTS, read_cells, read_networks, run, stopped
from scipy.stats import rankdata

from gradcamo.auditing.agreement import agreement
from gradcamo.auditing.verdict import FEW, are_read_together, read_together

TREATED, UNTREATED, BOTH = "treated", "untreated", "both"
LEARNT = 0.8
"""Balanced accuracy below which a network has nothing to explain: it is left out of pairs."""
CUTOFF = 0.25
MOVED, FEWEST = 1.0, 5
"""Logits by which filling has to move a cell, and how many such cells make a mean."""
WAYS: tuple[Literal["needed", "alone"], ...] = ("needed", "alone")
HONEST = ("own", "own-diffuse")
"""Kinds of which the class was planted in the cell alone."""
GROUPS = {
    "core": ("background", "neighbour", "own-background"),
    "pleased": ("own-background-10", "own-background-3"),
}
"""Kinds that use something else; the second have Grad-CAMO in their loss, and please it."""


class Results:
    """Every network's folder that is there, read once.

    Parameters
    ----------
    folder : path of ``KIND-SEED`` folders
    only : kinds and seeds, where not all that are there are meant
    """

    def __init__(self, folder: Path = RESULTS, only: Set[tuple[str, int]] | None = None) -> None:
        self.folder = folder
        found = read_networks(folder)
        found = [n for n in found if only is None or (n["kind"], n["seed"]) in only]
        order = list(KINDS)
        self.about = sorted(found, key=lambda n: (order.index(n["kind"]), n["seed"]))

    @cached_property
    def cells(self) -> dict[tuple[str, int], pd.DataFrame]:
        """By kind and seed: cells that are called rightly, causal columns."""
        return {key: right(self._table(key, "causal")) for key in self._keys}

    @cached_property
    def maps(self) -> dict[tuple[str, int], pd.DataFrame]:
        """By kind and seed: the same cells × layer × gradients, with ``causal_own``."""
        answers = ["causal_own", "causal_effect"]
        return {
            key: right(self._table(key, "maps")).merge(
                self.cells[key][[*CELL, *answers]], on=CELL, how="left"
            )
            for key in self._keys
        }

    @property
    def _keys(self) -> list[tuple[str, int]]:
        return [(network["kind"], network["seed"]) for network in self.about]

    def _table(self, key: tuple[str, int], name: str) -> pd.DataFrame:
        return read_cells(self.folder / f"{key[0]}-{key[1]}" / f"{name}.parquet", name)

    def networks(self) -> pd.DataFrame:
        """One row a network: accuracies, measures, whether its bounds are met."""
        rows = [
            {
                "kind": n["kind"],
                "seed": n["seed"],
                "plate": n["plate"],
                "right": n["right"],
                "epochs": n["epochs"],
                "ended": n["ended"],
                **{f"accuracy_{name}": of["balanced"] for name, of in n["accuracy"].items()},
                **n["measures"],
                "met": all(n["met"].values()),
                "cpu_s": sum(n["cpu_s"].values()),
            }
            for n in self.about
        ]
        return pd.DataFrame(rows)

    def learnt(self, only: Callable[[dict[str, Any]], bool]) -> list[tuple[str, int]]:
        """Kinds and seeds of networks that learnt their class and are as asked for."""
        return [
            (n["kind"], n["seed"])
            for n in self.about
            if n["accuracy"]["paired"]["balanced"] >= LEARNT and only(n)
        ]


def right(cells: pd.DataFrame) -> pd.DataFrame:
    """Cells that are called what they are: a map of another is about the other class."""
    return cells[cells["predicted"] == cells["treatment"]].reset_index(drop=True)


def auroc(honest: np.ndarray, other: np.ndarray) -> float:
    """How often a cell of an honest network scores more than one of another; ties count half.

    NaN is no score.
    """
    honest, other = (values[~np.isnan(values)] for values in (honest, other))
    if not len(honest) or not len(other):
        return float("nan")
    ranks = rankdata(np.concatenate([honest, other]))[: len(honest)]
    above = ranks.sum() - len(honest) * (len(honest) + 1) / 2
    return float(above / len(honest) / len(other))


def pairs(results: Results) -> pd.DataFrame:
    """Every honest network against every other: AUROC by score, layer, gradients and class.

    ``causal_own`` has no layer; ``chance`` is the size of the cells alone.
    """
    honest = results.learnt(lambda n: n["right"] == "own" and n["plate"] != "idle")
    others = results.learnt(lambda n: n["right"] != "own")
    rows = []
    for treatment in (TREATED, BOTH):
        said = {key: scores(results, key, treatment) for key in (*honest, *others)}
        for one, other in product(honest, others):
            about = (*one, *other, treatment)
            for at, mine in said[one].items():
                rows.append((*about, *at, auroc(mine, said[other][at])))
    columns = ["honest", "honest_seed", "other", "other_seed", "treatment"]
    return pd.DataFrame(rows, columns=[*columns, "score", "layer", "gradients", "auroc"])


def scores(results: Results, key: tuple[str, int], treatment: str) -> dict[tuple, np.ndarray]:
    """What a network's cells score, by score, layer and gradients."""
    found = {
        (score, layer, gradients): cells[score].to_numpy(float)
        for (layer, gradients), cells in _of_class(results.maps[key], treatment).groupby(
            ["layer", "gradients"], sort=False
        )
        for score in ("grad_camo", "attainable", "chance")
    }
    owed = _of_class(results.cells[key], treatment)["causal_own"].to_numpy(float)
    return {("causal_own", "", ""): owed} | found


def _of_class(cells: pd.DataFrame, treatment: str) -> pd.DataFrame:
    return cells if treatment == BOTH else cells[cells["treatment"] == treatment]


def separation(found: pd.DataFrame) -> pd.DataFrame:
    """`pairs` over seeds: how many, the median AUROC and its range."""
    return _over_pairs(found, ["honest", "other"])


def groups(found: pd.DataFrame) -> pd.DataFrame:
    """The same over all pairs of `GROUPS`."""
    honest = found[found["honest"].isin(HONEST)]
    named = [
        honest[honest["other"].isin(others)].assign(group=name) for name, others in GROUPS.items()
    ]
    return _over_pairs(pd.concat(named, ignore_index=True), ["group"])


def _over_pairs(found: pd.DataFrame, of: list[str]) -> pd.DataFrame:
    keys = [*of, "treatment", "score", "layer", "gradients"]
    grouped = found.groupby(keys, sort=False)["auroc"]
    return grouped.agg(pairs="count", median="median", least="min", most="max").reset_index()


def ranks(results: Results) -> pd.DataFrame:
    """Spearman's ρ of Grad-CAMO with the causal share of the own cell, by layer and gradients.

    Within each network, and over all networks that learnt their class (kind ``all``, without those
    that are shown another's plate), where honest and cheat are mixed. ``told`` is what the
    library says of it: NaN where the causal share hardly varies.
    """
    mixed = results.learnt(lambda n: n["network"] == n["kind"])
    tables = {key: results.maps[key] for key in results.maps}
    if mixed:
        tables["all", len(mixed)] = pd.concat([results.maps[key] for key in mixed])
    rows = []
    for (kind, seed), maps in tables.items():
        for (layer, gradients), cells in maps.groupby(["layer", "gradients"], sort=False):
            both = cells.dropna(subset=["grad_camo", "causal_own"])
            rho = both["grad_camo"].corr(both["causal_own"], method="spearman")
            sd, told = both["causal_own"].std(), agreement(cells).rho
            row = {"kind": kind, "seed": seed, "layer": layer, "gradients": gradients, "rho": rho}
            rows.append(row | {"told": told, "cells": len(both), "sd_causal_own": sd})
    columns = ["kind", "seed", "layer", "gradients", "rho", "told", "cells", "sd_causal_own"]
    return pd.DataFrame(rows, columns=columns)


def shares(results: Results) -> pd.DataFrame:
    """Where maps of each class lie, beside a flat map, and how many cells reach the cut-off."""
    rows = []
    for (kind, seed), maps in results.maps.items():
        keys = ["layer", "gradients", "treatment"]
        for key, cells in maps.groupby(keys, sort=False):
            means = cells[["grad_camo", "neighbour_share", "background_share", "chance"]].mean()
            rows.append(
                {"kind": kind, "seed": seed, **dict(zip(keys, key, strict=True)), **means}
                | {"passing": (cells["grad_camo"] >= CUTOFF).mean()}
                | {"empty": cells["grad_camo"].isna().mean(), "cells": len(cells)}
            )
    return pd.DataFrame(rows)


def causes(results: Results) -> pd.DataFrame:
    """What predictions of each network owe to each region, by class: means over answered cells.

    ``needed`` and ``alone`` are what is lost without each region, and what each is worth by
    itself, added up over regions, in effects (`read_together`): 1 where one region holds the cue.
    ``together`` is whether the verdict would say that regions are read together.
    """
    rows = []
    for (kind, seed), cells in results.cells.items():
        for treatment, mine in cells.groupby("treatment", sort=False):
            told = [*(f"causal_{region}" for region in REGIONS)]
            told += [f"volume_{region}" for region in REGIONS]
            answered = mine[mine["causal_own"].notna()]
            row = {"kind": kind, "seed": seed, "treatment": treatment, "asked": len(mine)}
            rows.append(
                row
                | {"answered": len(answered), **answered[told].mean()}
                | {way: read_together(answered, way) for way in WAYS}
                | {
                    "together": len(answered) >= FEW
                    and any(are_read_together(answered, way) for way in WAYS)
                }
            )
    return pd.DataFrame(rows)


def sanity_randomised(folder: Path) -> pd.DataFrame:
    """What is left of maps and causal effects when weights are untrained from the top downwards.

    Per kind and step: ``effect_left``, the median effect over the trained network's; ``answered``;
    ``rho_…``, Spearman's ρ of Grad-CAMO with the trained network's, cell by cell; and for other
    kinds than own ``auroc_…``, of own against it, both with the same weights untrained.
    """
    tables, rows = _sanity(folder, "randomised"), []
    for kind, cells in tables.items():
        steps = dict(list(cells.groupby("step", sort=False)))
        trained = steps["trained"]
        for step, mine in steps.items():
            one = mine.drop_duplicates(CELL)
            row = {"kind": kind, "step": step, "cells": len(one)}
            effect = trained.drop_duplicates(CELL)["causal_effect"].median()
            row["effect_left"] = one["causal_effect"].median() / effect
            row["answered"] = one["causal_answered"].fillna(False).astype(bool).mean()
            for layer, gradients in (
                ("block_0", "averaged"),
                ("block_0", "local"),
                ("block_2", "averaged"),
            ):
                at = f"{layer}_{gradients}"
                both = _at(mine, layer, gradients).merge(_at(trained, layer, gradients), on=CELL)
                row[f"rho_{at}"] = both["grad_camo_x"].corr(both["grad_camo_y"], method="spearman")
                if kind != "own" and "own" in tables:
                    own = tables["own"][tables["own"]["step"] == step]
                    ours, theirs = (_at(t, layer, gradients) for t in (own, mine))
                    treated = (
                        t.loc[t["treatment"] == TREATED, "grad_camo"] for t in (ours, theirs)
                    )
                    row[f"auroc_{at}"] = auroc(*(scores.to_numpy(float) for scores in treated))
            rows.append(row)
    return pd.DataFrame(rows)


def _at(maps: pd.DataFrame, layer: str, gradients: str) -> pd.DataFrame:
    return maps[(maps["layer"] == layer) & (maps["gradients"] == gradients)]


def sanity_faithful(folder: Path) -> pd.DataFrame:
    """Insertion, deletion and their difference by kind and order: means over cells.

    Of cells whose margin falls by at least `MOVED` when all is filled: there is nothing to put
    back in the others.
    """
    rows = []
    for kind, cells in _sanity(folder, "faithful").items():
        cells = cells[cells["way"] >= MOVED]
        cells = cells.assign(difference=cells["insertion"] - cells["deletion"])
        means = cells.groupby("order", sort=False)[["insertion", "deletion", "difference"]].mean()
        means = means.assign(kind=kind, cells=cells.groupby("order").size())
        rows.append(means[means["cells"] >= FEWEST].reset_index())
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame()


def sanity_labels(folder: Path) -> pd.DataFrame:
    """What predictions owe where labels are off: means over answered cells called rightly."""
    rows = []
    for kind, cells in _sanity(folder, "labels").items():
        for labels, mine in right(cells).groupby("labels", sort=False):
            shares = [f"causal_{region}" for region in REGIONS]
            row = {"kind": kind, "labels": labels, "cells": len(mine), **mine[shares].mean()}
            rows.append(row | {"answered": mine["causal_own"].notna().mean()})
    return pd.DataFrame(rows)


def sanity_by_lot(folder: Path) -> pd.DataFrame:
    """A network whose labels were dealt by lot: is any cell answered?"""
    rows = []
    for kind, cells in _sanity(folder, "by_lot").items():
        answered = cells["causal_answered"].fillna(False).astype(bool)
        row = {"kind": kind, "cells": len(cells), "answered": answered.mean()}
        rows.append(row | {"effect": cells["causal_effect"].abs().median()})
    return pd.DataFrame(rows)


SANITY = (sanity_randomised, sanity_faithful, sanity_labels, sanity_by_lot)


def _sanity(folder: Path, part: str) -> dict[str, pd.DataFrame]:
    """What planted_sanity.py found, by kind."""
    found = {kind: folder / "sanity" / f"{part}-{kind}.parquet" for kind in KINDS}
    return {kind: read_cells(path, part) for kind, path in found.items() if path.is_file()}


def write(folder: Path = RESULTS) -> dict[str, pd.DataFrame]:
    """Make all tables of a folder of results, and write them there."""
    tables = made(Results(folder))
    for name, table in tables.items():
        table.round(4).to_csv(folder / f"{name}.csv", index=False)
    return tables


def made(results: Results) -> dict[str, pd.DataFrame]:
    """All tables, by the names of their files."""
    sane = {make.__name__: make(results.folder) for make in SANITY}
    apart = pairs(results)
    return {name: table for name, table in sane.items() if len(table)} | {
        "networks": results.networks(),
        "separation": separation(apart),
        "groups": groups(apart),
        "ranks": ranks(results),
        "shares": shares(results),
        "causes": causes(results),
    }


def main() -> None:
    from planted_pages import write_pages

    for name in stopped(RESULTS):
        print(f"{name} is left out: its run was stopped, planted_truth.py goes on with it")
    tables = write()
    print(tables["networks"][["kind", "seed", "accuracy_paired", "right", "met"]].to_string())
    for page in write_pages():
        print(f"{page} is changed")


if __name__ == "__main__":
    run(main)
