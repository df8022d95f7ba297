"""Every layer, scored in one pass."""

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from small_training import edited

import gradcamo as gc
from gradcamo.auditing.layer_audit import _probe, layer_audit
from gradcamo.cli.commands import main
from gradcamo.errors import GradcamoError
from gradcamo.files.labels import read_labels
from gradcamo.files.plates import read_plate
from gradcamo.files.stacks import read_stack
from gradcamo.files.store import read_table, write_table
from gradcamo.networks.bundled import BUNDLED
from gradcamo.report import write_report
from gradcamo.settings import AuditSettings, LayerAuditSettings, TrainSettings


def test_a_layer_audit_scores_each_held_out_cell_as_an_audit_does(small_plate, trained):
    checkpoint = trained[0]
    layers = ("block_2", "head", "block_2")  # asked for twice, scored once
    found = layer_audit(small_plate, checkpoint, LayerAuditSettings(layers=layers))
    cells = found.cells[found.cells["layer"] == "block_2"]
    expected = []
    for _, row in read_plate(small_plate).iterrows():
        if row["well"] in checkpoint.recipe["test_wells"]:
            stack, labels = read_stack(row["image"]), read_labels(row["labels"])
            table = gc.audit(
                stack, labels, checkpoint, AuditSettings(layer="block_2", gradients="local")
            )
            expected.append(table[~table["touches_border"]])
    expected = pd.concat(expected)
    assert cells["label"].tolist() == expected["label"].tolist()
    for column in ("grad_camo", "chance", "ceiling", "attainable"):
        np.testing.assert_allclose(cells[column], expected[column], atol=1e-4)
    assert found.summary["layer"].tolist() == ["block_2", "head"]
    mean = expected["grad_camo"].mean()
    assert found.summary["grad_camo"][0] == pytest.approx(mean, abs=1e-4, nan_ok=True)
    assert found.summary["probe_accuracy"].between(0, 1).all()


def test_a_setting_that_only_another_version_knew_is_left_out():
    recipe = {"settings": {"seed": 7, "momentum_of_old": None}}
    assert TrainSettings.recorded(recipe) == TrainSettings(seed=7)
    assert TrainSettings.recorded({}) == TrainSettings()


def test_the_command_prints_and_keeps_what_the_report_takes_up(small_plate, tmp_path):
    checkpoint = gc.Checkpoint.load(BUNDLED)
    row = read_plate(small_plate).iloc[1]
    cells = gc.audit(read_stack(row["image"]), read_labels(row["labels"]), checkpoint)
    write_table(cells, tmp_path / "cells.parquet", {})
    flags = ["--layers", "block_2,block_4", "--out", str(tmp_path)]
    result = CliRunner().invoke(main, ["layers", "bundled", "--audit", str(small_plate), *flags])
    assert result.exit_code == 0, result.output
    summary = pd.read_csv(tmp_path / "layer_summary.csv")
    assert summary["layer"].tolist() == ["block_2", "block_4"]
    for row in summary.to_dict("records"):
        (line,) = [line for line in result.output.splitlines() if line.startswith(row["layer"])]
        assert f"{row['grad_camo']:.2f} ± {row['grad_camo_sd']:.2f}" in line
        assert line.endswith(f"{row['probe_accuracy']:.0%}")
    kept = read_table(tmp_path / "layers.parquet")
    assert kept.attrs["recipe"]["checkpoint"] == checkpoint.hash
    assert kept.groupby("layer")["grad_camo"].mean().tolist() == pytest.approx(
        summary["grad_camo"].tolist()
    )
    assert (tmp_path / "layers.png").stat().st_size > 10_000
    page = write_report(tmp_path, tmp_path / "report.html").read_text()
    median = kept.loc[kept["layer"] == "block_2", "grad_camo"].median()
    assert '"layer": "block_2"' in page
    assert f'"median": {round(float(median), 4)}' in page


def test_a_plate_without_held_out_wells_is_refused(small_plate, trained, tmp_path):
    csv = edited(small_plate, tmp_path, lambda t: t.assign(split="train"))
    with pytest.raises(GradcamoError, match="no held-out wells"):
        layer_audit(csv, trained[0])


def test_treatments_that_the_checkpoint_writes_otherwise_are_refused(
    small_plate, trained, tmp_path
):
    plate = edited(small_plate, tmp_path, lambda t: t.replace({"treatment": {"40.00x": "40×"}}))
    with pytest.raises(GradcamoError, match=r"'40×' in rows 3, 5.*knows it as '40\.00x'"):
        layer_audit(plate, trained[0])


def test_a_probe_reads_what_profiles_hold_and_nothing_else():
    rng = np.random.default_rng(0)
    treatment = pd.Series(["a", "b"] * 200)
    held_out = np.arange(400) >= 200
    noise = rng.normal(size=(400, 30))
    signal = noise + 2 * (treatment == "b").to_numpy()[:, None]
    assert _probe(signal, treatment, held_out) > 0.95
    assert 0.35 < _probe(noise, treatment, held_out) < 0.65
