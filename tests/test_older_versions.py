"""What earlier versions wrote still opens, and says the same."""

import json

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from older import OLD, unpacked

import gradcamo as gc
from gradcamo.cli.commands import main
from gradcamo.plate.reading import read_results


@pytest.fixture
def old(tmp_path):
    return unpacked(tmp_path / "old")


def test_an_older_network_gives_the_scores_that_it_gave(old):
    checkpoint = gc.Checkpoint.load(old / "network.safetensors")
    before = gc.read_table(old / "cells.csv")
    assert before.attrs["recipe"]["checkpoint"] == checkpoint.hash
    stack = gc.read_stack(old / "field.ome.tif")
    labels = gc.read_labels(old / "field_labels.ome.tif")
    now = gc.audit(stack, labels, checkpoint, gc.AuditSettings(permutations=5))
    assert set(before) <= set(now)
    shared = now[before.columns].assign(image=before["image"])
    shared["predicted"] = shared["predicted"].fillna("")
    pd.testing.assert_frame_equal(shared, before, check_dtype=False, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("end", ["csv", "parquet", "h5ad"])
def test_older_tables_are_read_and_reported_on(old, end):
    table = gc.read_table(old / f"cells.{end}")
    assert len(table) == 8
    assert table["grad_camo"].notna().sum() == 5
    assert table.attrs["recipe"]["software"] == "napari-gradcamo 0.1.0"
    page = old / "report.html"
    run = CliRunner().invoke(main, ["report", str(old / f"cells.{end}"), "-o", str(page)])
    assert run.exit_code == 0, run.output
    assert "0.1.0" in page.read_text("utf-8")


def test_older_profiles_are_read(old):
    profiles = gc.read_profiles(old / "cells.h5ad")
    assert len(profiles.table) == len(profiles.values) == 8
    scored = profiles.table["grad_camo"].notna()
    assert np.isfinite(profiles.values).all(1).tolist() == scored.tolist()


def test_older_results_of_a_plate_are_opened_and_reported_on(old):
    results = read_results(old / "results")
    assert list(results.cells["well"].unique()) == ["E03"]
    assert results.cutoff == 0.25
    network = gc.Checkpoint.load(results.checkpoint)
    assert network.hash == results.recipe["checkpoint"]
    image = results.stacks["image"].iloc[0]
    table = results.audited(image).set_index("label")
    before = gc.read_table(old / "cells.parquet").set_index("label")
    np.testing.assert_allclose(table["grad_camo"], before["grad_camo"], rtol=1e-6)
    page = old / "page.html"
    run = CliRunner().invoke(main, ["report", str(old / "results"), "-o", str(page)])
    assert run.exit_code == 0, run.output


def test_every_flag_of_an_older_command_is_still_there():
    for name, flags in json.loads((OLD / "flags.json").read_text()).items():
        now = {o for p in main.commands[name].params for o in (*p.opts, *p.secondary_opts)}
        assert set(flags) <= now, name
