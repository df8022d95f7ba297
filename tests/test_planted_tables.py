"""Tables of planted truth are made of what networks said, and pages quote nothing else."""

import json
import re

import numpy as np
import pandas as pd
import planted_pages
import planted_truth_tables as tables
import pytest
from planted_pages import MARK, PAGES, ROOT, filled, finds, spread, values
from planted_results import stopped
from sklearn.metrics import roc_auc_score

from gradcamo.errors import GradcamoError

SHARES = ("own", "neighbour", "background")


def network(folder, kind, right, owed, lies, seed=0, accuracy=1.0, n=40):
    """A folder as planted_truth.py writes it: cells owe ``owed`` to themselves, maps lie ``lies``.

    Every tenth cell is called wrongly, and says the opposite.
    """
    rng = np.random.default_rng([seed, len(kind)])
    treatment = np.array(["treated", "untreated"])[np.arange(n) % 2]
    wrong = np.arange(n) % 10 == 0
    predicted = np.where(wrong, treatment[(np.arange(n) + 1) % n], treatment)
    own = np.where(wrong, 1 - owed, owed) + rng.normal(0, 0.06, n)
    cells = pd.DataFrame({"image": "E03_s1", "label": range(1, n + 1), "treatment": treatment})
    cells = cells.assign(predicted=predicted, causal_own=own.clip(0, 1), causal_effect=4.0)
    cells = cells.assign(causal_neighbour=0.0, causal_background=1 - cells["causal_own"])
    cells = cells.assign(volume_own=0.2, volume_neighbour=0.3, volume_background=0.5)
    cells = cells.assign(**{f"causal_needed_{region}": 3.0 for region in SHARES})
    cells = cells.assign(**{f"causal_alone_{region}": [1.0, 0.0] * (n // 2) for region in SHARES})
    maps = pd.concat(
        cells[["image", "label", "treatment", "predicted"]].assign(
            layer=layer,
            gradients=gradients,
            grad_camo=np.where(wrong, 1 - lies, lies) + rng.normal(0, 0.1, n),
            attainable=0.1,
            chance=0.2,
            neighbour_share=0.1,
            background_share=0.5,
        )
        for layer in ("block_0", "block_2")
        for gradients in ("averaged", "local")
    )
    measures = dict.fromkeys(("asked", "answered", "layout", "swap", "limits", "against"), 1.0)
    measures |= {f"{region}_share": 0.3 for region in SHARES}
    measures |= {"right_region": 0.99, "largest_share": 0.9, "background_only": 0.5}
    measures |= {"background_only_off": 0.1}
    about = {"kind": kind, "seed": seed, "plate": kind, "network": kind, "right": right}
    about |= {
        "recipe": "0",
        "epochs": 9,
        "ended": "learnt",
        "cpu_s": {"training": 120.0},
        "met": {"a": True},
    }
    about |= {"accuracy": {"paired": {"balanced": accuracy}}, "measures": measures}
    out = folder / f"{kind}-{seed}"
    out.mkdir()
    (out / "network.json").write_text(json.dumps(about))
    cells.to_parquet(out / "causal.parquet")
    maps.to_parquet(out / "maps.parquet")
    return cells[~wrong], maps[maps["predicted"] == maps["treatment"]]


def test_an_honest_network_is_held_against_each_that_is_not(tmp_path):
    honest = network(tmp_path, "own", "own", 0.9, 0.5)
    cheat = network(tmp_path, "background", "background", 0.2, 0.35)
    network(tmp_path, "neighbour", "neighbour", 0.1, 0.1, accuracy=0.7)  # has not learnt it
    found = tables.pairs(tables.Results(tmp_path))
    assert set(found["other"]) == {"background"}
    for treatment in ("treated", "both"):
        mine, theirs = (
            [t if treatment == "both" else t[t["treatment"] == "treated"] for t in both]
            for both in (honest, cheat)
        )
        here = found[found["treatment"] == treatment].set_index(["score", "layer", "gradients"])
        truth = [1] * len(mine[0]) + [0] * len(theirs[0])
        owed = pd.concat([mine[0]["causal_own"], theirs[0]["causal_own"]])
        assert here.loc[("causal_own", "", ""), "auroc"] == pytest.approx(
            roc_auc_score(truth, owed)
        )
        for at in (("block_0", "local"), ("block_2", "averaged")):
            scores = pd.concat(
                t[(t["layer"] == at[0]) & (t["gradients"] == at[1])]["grad_camo"]
                for t in (mine[1], theirs[1])
            )
            auroc = here.loc[("grad_camo", *at), "auroc"]
            assert auroc == pytest.approx(roc_auc_score(truth, scores))
            assert 0.5 < auroc < 1
        assert here.loc[("chance", "block_0", "local"), "auroc"] == 0.5  # ties count half


def test_no_score_is_no_rank():
    assert tables.auroc(np.array([np.nan, 2.0]), np.array([1.0, np.nan])) == 1
    assert np.isnan(tables.auroc(np.array([np.nan]), np.array([1.0])))


def test_seeds_are_told_as_median_and_range(tmp_path):
    for seed, lies in enumerate((0.4, 0.6, 0.9)):
        network(tmp_path, "own", "own", 0.9, lies, seed)
    network(tmp_path, "background", "background", 0.2, 0.3)
    found = tables.separation(tables.pairs(tables.Results(tmp_path)))
    maps = found[(found["score"] == "grad_camo") & (found["layer"] == "block_0")]
    row = maps[(maps["gradients"] == "local") & (maps["treatment"] == "both")].iloc[0]
    assert row["pairs"] == 3
    assert row["least"] < row["median"] < row["most"] == 1
    told = spread(maps[(maps["gradients"] == "local") & (maps["treatment"] == "both")])
    assert told == f"{row['median']:.2f} ({row['least']:.2f}–1.00)"


def test_groups_hold_the_median_of_all_their_pairs_however_many_a_kind_has(tmp_path):
    for seed, lies in enumerate((0.4, 0.6)):
        network(tmp_path, "own", "own", 0.9, lies, seed)
    for seed, lies in enumerate((0.3, 0.35, 0.45)):
        network(tmp_path, "background", "background", 0.2, lies, seed)
    network(tmp_path, "neighbour", "neighbour", 0.2, 0.2)
    network(tmp_path, "own-background-3", "background", 0.2, 0.95)
    found = tables.pairs(tables.Results(tmp_path))
    at = {"score": "grad_camo", "layer": "block_0", "gradients": "local", "treatment": "both"}
    of = planted_pages.pick(found, **at)
    told = planted_pages.pick(tables.groups(found), **at).set_index("group")
    core = of[of["other"] != "own-background-3"]["auroc"]
    assert told.loc["core", "pairs"] == len(core) == 8
    assert told.loc["core", "median"] == np.median(core)
    assert told.loc["pleased", "most"] < 0.5


def test_ranks_are_told_within_a_network_only_where_shares_vary(tmp_path):
    network(tmp_path, "own", "own", 0.9, 0.4)
    path = tmp_path / "own-0" / "causal.parquet"
    found = tables.ranks(tables.Results(tmp_path))
    assert found.loc[found["kind"] == "own", "told"].notna().all()
    flat = pd.read_parquet(path).assign(causal_own=lambda t: 0.9 + t["label"] / 1e4)
    flat.to_parquet(path)
    found = tables.ranks(tables.Results(tmp_path))
    assert found["told"].isna().all()
    assert found["rho"].notna().all()


def test_what_finds_a_shortcut_is_marked_where_it_does_in_every_pair(tmp_path):
    for seed, lies in enumerate((0.9, 0.25)):
        network(tmp_path, "own", "own", 0.9, lies, seed)
    network(tmp_path, "background", "background", 0.2, 0.2)
    network(tmp_path, "background", "background", 0.9, 0.9, 1, accuracy=0.7)
    results = tables.Results(tmp_path)
    apart = tables.separation(tables.pairs(results))
    told = finds(results.networks(), apart, tables.causes(results))
    (row,) = [line for line in told.splitlines() if line.startswith("| background")]
    who, averaged, local, causal, right, *_ = row.split(" | ")
    assert who == "| background (1 of 2 not learnt, left out)"
    assert averaged.endswith("✗")
    assert local.endswith("✗")  # one pair of two
    assert causal == "1.00 ✓"
    assert right == "**0.99** (≥ 0.98: ✓ 1 of 1)"
    assert row.endswith("| 2.25 |")


def test_what_regions_are_needed_for_and_worth_alone_adds_up_in_effects(tmp_path):
    network(tmp_path, "own", "own", 0.9, 0.4)
    found = tables.causes(tables.Results(tmp_path)).set_index("treatment")
    assert found["needed"].tolist() == [3 * 3 / 4] * 2
    assert found["alone"].to_dict() == {"treated": 3 / 4, "untreated": 0.0}
    path = tmp_path / "own-0" / "causal.parquet"
    one_region = {f"causal_needed_{region}": np.nan for region in ("neighbour", "background")}
    pd.read_parquet(path).assign(**one_region).to_parquet(path)
    found = tables.causes(tables.Results(tmp_path))
    assert found["needed"].tolist() == [3 / 4] * 2  # what a crop has none of is not needed


@pytest.mark.parametrize("page", PAGES)
def test_every_number_of_planted_truth_on_the_pages_is_that_of_the_results(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    assert filled(text, values()) == text, "python benchmarks/planted_truth_tables.py"


@pytest.mark.parametrize("page", PAGES)
def test_no_mark_within_a_sentence_begins_a_line(page):
    told = values()
    for line in (ROOT / page).read_text(encoding="utf-8").splitlines():
        if mark := re.match(r"\s*<!-- ([\w-]+) -->", line):  # Markdown would end the sentence there
            assert told[mark[1]].startswith("\n"), line


def test_the_tables_are_those_of_the_networks_that_they_name():
    named = pd.read_csv(tables.RESULTS / "networks.csv")
    only = set(zip(named["kind"], named["seed"], strict=True))
    for name, table in tables.made(tables.Results(only=only)).items():
        kept = pd.read_csv(tables.RESULTS / f"{name}.csv")
        pd.testing.assert_frame_equal(
            kept.fillna(""), _as_read(table).fillna(""), check_dtype=False, atol=2e-4
        )


def _as_read(table):
    from io import StringIO

    return pd.read_csv(StringIO(table.round(4).to_csv(index=False)))


def test_a_mark_that_nothing_stands_behind_is_an_error():
    page = "has <!-- cost -->9<!-- /cost --> minutes"
    assert filled(page, {"cost": "3"}) == "has <!-- cost -->3<!-- /cost --> minutes"
    with pytest.raises(KeyError):
        filled(page, {})
    assert MARK.findall((planted_pages.ROOT / "docs/planted_truth.md").read_text())


DAMAGES = {
    "a note cut off": ("network.json", lambda path: path.write_text(path.read_text()[:90])),
    "a note of another": ("network.json", lambda path: edit(path, kind="background")),
    "a note without parts": ("network.json", lambda path: edit(path, measures={"asked": 3})),
    "a note that is a list": ("network.json", lambda path: path.write_text("[1]")),
    "cells that are gone": ("causal.parquet", lambda path: path.unlink()),
    "cells cut off": ("causal.parquet", lambda path: path.write_bytes(path.read_bytes()[:500])),
    "maps without a column": (
        "maps.parquet",
        lambda path: pd.read_parquet(path).drop(columns="grad_camo").to_parquet(path),
    ),
    "maps without rows": (
        "maps.parquet",
        lambda path: pd.read_parquet(path)[:0].to_parquet(path),
    ),
}


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("what", DAMAGES)
def test_a_damaged_folder_is_named_with_what_to_do(tmp_path, what):
    network(tmp_path, "own", "own", 0.9, 0.4)
    file, damage = DAMAGES[what]
    damage(tmp_path / "own-0" / file)
    said = rf"own-0/{file} .*: remove \S*own-0 and run 'python benchmarks/planted_truth\.py' again"
    with pytest.raises(GradcamoError, match=said):
        tables.made(tables.Results(tmp_path))


def test_damaged_tables_of_plates_and_sanity_are_named_alone(tmp_path):
    for name in ("plates", "probes"):
        (tmp_path / f"{name}.csv").write_text((tables.RESULTS / f"{name}.csv").read_text())
    network(tmp_path, "own", "own", 0.9, 0.4)
    tables.write(tmp_path)
    assert values(tmp_path)["cost"] == "2"
    probes = tmp_path / "probes.csv"
    whole = probes.read_text()
    probes.write_text(whole[:-20])
    with pytest.raises(GradcamoError, match=r"probes.csv ends in .*: remove \S*probes.csv and run"):
        values(tmp_path)
    probes.write_text("\n".join(line for line in whole.splitlines() if "own," not in line))
    with pytest.raises(GradcamoError, match=r"probes.csv has no row of plate own: remove"):
        values(tmp_path)
    probes.write_text(whole)
    (tmp_path / "groups.csv").write_text("")
    with pytest.raises(GradcamoError, match=r"groups.csv cannot be read.*planted_truth_tables"):
        values(tmp_path)
    (tmp_path / "sanity").mkdir()
    (tmp_path / "sanity" / "labels-own.parquet").write_text("no table")
    with pytest.raises(GradcamoError, match=r"remove \S*labels-own.parquet .*planted_sanity"):
        tables.write(tmp_path)


def test_a_run_that_was_stopped_is_told_and_not_refused(tmp_path):
    network(tmp_path, "own", "own", 0.9, 0.4)
    (tmp_path / "own-3").mkdir()
    (tmp_path / "sanity").mkdir()
    assert stopped(tmp_path) == ["own-3"]
    assert len(tables.Results(tmp_path).about) == 1


def test_a_number_beside_its_bound_never_looks_equal_to_it():
    assert planted_pages.two(0.9796, 0.98) == "0.9796"
    assert planted_pages.two(0.97, 0.98) == planted_pages.two(0.97) == "0.97"
    assert planted_pages.two(-0.001) == "0.00"
