"""Grad-CAMO against the causal share of the own cell, by rank."""

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from scipy.stats import spearmanr

from gradcamo.auditing.agreement import agreement, agreement_by_layer, asked_in, ranks_otherwise
from gradcamo.auditing.cautions import cautions
from gradcamo.auditing.layer_audit import with_agreement
from gradcamo.auditing.layer_report import rank_text
from gradcamo.cli.commands import main
from gradcamo.files.store import read_table
from gradcamo.report import write_report
from gradcamo.settings import CautionSettings

DOUBTS = ("unfilled_own", "against", "swap", "limits")


def cells(n=40, spread=0.2, seed=0):
    """Answered cells with scores that do not know the causal share."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "image": "a.tif",
            "label": np.arange(1, n + 1),
            "touches_border": False,
            "treatment": "dose",
            "predicted": "dose",
            "grad_camo": rng.uniform(0.1, 0.9, n),
            "causal_effect": 5.0,
            "causal_own": np.clip(0.5 + rng.normal(0, spread, n), 0, 1),
            "causal_reason": "",
            "causal_draws": 4,
            **dict.fromkeys((f"causal_{doubt}" for doubt in DOUBTS), 0.0),
        }
    )


def test_grad_camo_is_held_against_the_causal_share_by_rank():
    table = cells()
    found = agreement(table)
    assert found.rho == pytest.approx(spearmanr(table["grad_camo"], table["causal_own"])[0])
    assert found.cells == 40
    assert found.said.startswith(f"Spearman's ρ = {found.rho:.2f} over 40 cells")
    assert "hardly varies" not in found.said


def test_nothing_is_told_of_few_cells_and_of_shares_that_hardly_vary():
    table = cells()
    table.loc[:10, "causal_own"] = np.nan
    few, flat = agreement(table), agreement(cells(spread=0.04))
    assert few.said == "29 cells with both: a rank correlation needs 30."
    assert "hardly varies" in flat.said
    for rho in (few.rho, flat.rho):
        assert np.isnan(rho)
        assert not ranks_otherwise(rho)


def test_a_table_says_that_its_layer_ranks_cells_otherwise():
    table = cells()
    recipe = {"settings": {"layer": "block_4", "gradients": "averaged"}}
    rho = spearmanr(table["grad_camo"], table["causal_own"])[0]
    (said,) = [one for one in cautions(table, recipe) if "ranks" in one]
    assert said.startswith("at block_4 with averaged gradients Grad-CAMO ranks 40 cells otherwise")
    assert f"(Spearman's ρ {rho:.2f}, below 0.5)" in said
    easy = CautionSettings(agreement=rho - 0.01)
    for better, limits in (
        (table.assign(grad_camo=table["causal_own"]), CautionSettings()),
        (table, easy),
        (table.head(29), CautionSettings()),
        (table.drop(columns="causal_own"), CautionSettings()),
    ):
        assert not [one for one in cautions(better, recipe, limits) if "ranks" in one]


def test_each_layer_is_held_against_the_same_cells():
    asked = cells(35).sample(frac=1, random_state=0)
    scores = cells(35, seed=1)["grad_camo"]
    first = cells(35)[["image", "label", "treatment", "predicted", "grad_camo"]]
    second = first.assign(grad_camo=scores)
    layers = pd.concat([first.assign(layer="b"), second.assign(layer="a")])
    found = agreement_by_layer(layers, asked)
    assert found.index.tolist() == ["b", "a"]
    owed = asked.sort_values("label")["causal_own"]
    expected = [spearmanr(part["grad_camo"], owed)[0] for part in (first, second)]
    assert found["causal_rho"].tolist() == pytest.approx(expected)
    assert found["causal_cells"].tolist() == [35, 35]


@pytest.mark.parametrize(
    "change",
    [
        lambda asked: asked.assign(image="b.tif"),
        lambda asked: asked.assign(predicted="control"),
        lambda asked: asked.drop(columns="causal_own"),
        lambda asked: asked.assign(causal_own=np.nan),
    ],
)
def test_other_cells_and_cells_that_were_not_asked_tell_nothing(change):
    layers = cells().drop(columns=["causal_effect", "causal_own"]).assign(layer="a")
    found = agreement_by_layer(layers, change(cells()))
    assert found["causal_rho"].isna().all()
    assert found["causal_cells"].tolist() == [0]


def test_another_networks_answers_tell_nothing():
    layers = cells().drop(columns=["causal_effect", "causal_own"]).assign(layer="a")
    layers.attrs, asked = {"recipe": {"checkpoint": "one"}}, cells()
    asked.attrs = {"recipe": {"checkpoint": "another"}}
    assert agreement_by_layer(layers, asked)["causal_cells"].tolist() == [0]
    asked.attrs = {"recipe": {"checkpoint": "one"}}
    assert agreement_by_layer(layers, asked)["causal_cells"].tolist() == [40]


def test_the_command_and_the_report_say_it_in_the_layers_row(asked_plate, tmp_path):
    asked = asked_in(asked_plate.parent)
    (tmp_path / "cells.parquet").write_bytes((asked_plate.parent / "cells.parquet").read_bytes())
    flags = ["--layers", "block_2,block_4", "--out", str(tmp_path)]
    result = CliRunner().invoke(main, ["layers", "bundled", "--audit", str(asked_plate), *flags])
    assert result.exit_code == 0, result.output
    kept = read_table(tmp_path / "layers.parquet")
    page = write_report(tmp_path, tmp_path / "report.html").read_text()
    rhos = {}
    for layer, scores in kept.groupby("layer"):
        both = scores.merge(asked, on=["image", "label"])
        assert len(both) >= 30
        rhos[layer] = spearmanr(both["grad_camo_x"], both["causal_own"])[0]
        (row,) = [line for line in result.output.splitlines() if line.startswith(layer)]
        assert row.endswith(rank_text(rhos[layer]))
        assert f"<td>{rank_text(rhos[layer])}" in page
    assert rhos["block_2"] > 0.5 > rhos["block_4"]
    assert rank_text(rhos["block_2"]) == f"ρ {rhos['block_2']:.2f}"
    assert (
        rank_text(rhos["block_4"]) == f"ρ {rhos['block_4']:.2f} (below 0.5: ranks cells otherwise)"
    )
    (said,) = [line for line in result.output.splitlines() if "depends on it" in line]
    assert said.endswith(f"depends on it: block_4 ({rhos['block_4']:.2f})")
    assert kept.attrs["recipe"]["cautions"][-1] in said


def test_a_folder_without_causal_answers_leaves_the_layers_as_they_were(tmp_path):
    assert asked_in(tmp_path) is None
    audit = object()
    assert with_agreement(audit, None) is audit
