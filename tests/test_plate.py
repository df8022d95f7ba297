"""Whole plates on real Dask workers: a tiny plate, a tiny network."""

import errno
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

import gradcamo as gc
from gradcamo import figures
from gradcamo.auditing.cautions import cautions
from gradcamo.auditing.summary import summarise
from gradcamo.cli.commands import main
from gradcamo.columns import CELL_COLUMNS
from gradcamo.docks.state.results import Results
from gradcamo.errors import GradcamoError
from gradcamo.files import misfits, stacks
from gradcamo.files.labels import write_labels
from gradcamo.files.store import read_profiles, read_table, write_table
from gradcamo.logs import logged_to
from gradcamo.plate import cluster as plate_cluster, scheduling
from gradcamo.plate.assemble import finish
from gradcamo.plate.checked_rows import open_plate
from gradcamo.plate.folder import short_hash, stack_inputs, stack_name
from gradcamo.plate.gather import gather_stacks
from gradcamo.plate.jobs import stack_jobs
from gradcamo.plate.measure import measure, profile_plate
from gradcamo.plate.plan import plan_plate
from gradcamo.plate.reading import MADE_HERE
from gradcamo.plate.run import audit_plate, open_folder, plate_steps
from gradcamo.plate.splits import known_splits, splits_of
from gradcamo.plate.tasks import Outcome, StackJob, audit_stack
from gradcamo.profiles.cutoffs import cost_of_cutoffs
from gradcamo.profiles.nested_variance import variance_explained
from gradcamo.progress import seconds_left
from gradcamo.report.data import page_data
from gradcamo.settings import AuditSettings, PlateSettings, SegmentSettings

SETTINGS = PlateSettings(umap_cells=0, workers=2, thumbnails=3)


@pytest.fixture
def plate(eight_stacks) -> Path:
    return eight_stacks


@pytest.fixture
def model(tiny_model) -> Path:
    return tiny_model


@pytest.fixture(scope="module")
def workers():
    """A worker in this process behind an address: where no process dies, none need be started."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
    ) as cluster:
        yield cluster


@pytest.fixture
def out(finished, tmp_path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "out"))


@pytest.fixture(scope="module")
def opened():
    """How often each file was opened, as Python itself tells."""
    times, watching = Counter(), [True]

    def hear(event, given):
        if event == "open" and watching and isinstance(given[0], str | Path):
            times[str(given[0])] += 1

    sys.addaudithook(hear)  # which stays as long as the process
    yield times
    watching.clear()


def cells_of(out: Path) -> dict[str, int]:
    """When each stack's file landed."""
    files = (out / "cells").rglob("*.parquet")
    return {f"{p.parent.name}/{p.name}": p.stat().st_mtime_ns for p in files}


def same(first: Path, second: Path) -> None:
    for name in ("cells.parquet", "confounding.csv", "cutoffs.csv"):
        pd.testing.assert_frame_equal(read_table(first / name), read_table(second / name))
    a, b = (anndata.read_h5ad(folder / "profiles.h5ad") for folder in (first, second))
    np.testing.assert_array_equal(a.X, b.X)
    np.testing.assert_array_equal(a.layers["whitened"], b.layers["whitened"])


def copy_plate(plate: Path, folder: Path) -> Path:
    return Path(shutil.copytree(plate.parent, folder)) / "plate.csv"


def changed(image: Path) -> None:
    """Change one voxel, and not the size."""
    content = bytearray(image.read_bytes())
    content[len(content) // 2] ^= 1
    image.write_bytes(content)


def test_the_table_of_a_plate_is_the_audit_of_each_of_its_stacks(finished, plate, model):
    table = read_table(finished / "cells.parquet")
    rows = gc.read_plate(plate)
    checkpoint = gc.Checkpoint.load(model)
    assert table["image"].drop_duplicates().tolist() == rows["image"].tolist()
    for _, row in rows.iloc[[0, 5]].iterrows():
        alone = gc.audit(gc.read_stack(row["image"]), gc.read_labels(row["labels"]), checkpoint)
        mine = table[table["image"] == row["image"]].reset_index(drop=True)
        for column in ("label", "flagged", "touches_border"):
            assert mine[column].tolist() == alone[column].tolist()
        for column in ("grad_camo", "neighbour_share", "chance", "confidence", "volume_um3"):
            np.testing.assert_allclose(mine[column], alone[column], rtol=1e-5, atol=1e-7)
        assert set(mine["well"]) == {row["well"]}
        assert set(mine["treatment"]) == {row["treatment"]}
    recipe = table.attrs["recipe"]
    assert recipe["checkpoint"] == checkpoint.hash
    assert recipe["settings"]["layer"] == "block_2"


def test_profiles_open_in_anndata_whitened_on_the_controls(finished):
    data = anndata.read_h5ad(finished / "profiles.h5ad")
    table = read_table(finished / "cells.parquet")
    assert data.n_obs == (~table["touches_border"]).sum()
    controls = data.layers["whitened"][(data.obs["treatment"] == "control").to_numpy()]
    np.testing.assert_allclose(np.cov(controls.T, bias=True), np.eye(data.n_vars), atol=1e-3)
    assert np.isfinite(data.X).all()


def test_everything_a_plate_gives_is_there_and_nothing_half_written(finished):
    names = {str(p.relative_to(finished)) for p in finished.rglob("*") if p.is_file()}
    assert {"cells.parquet", "profiles.h5ad", "confounding.csv", "cutoffs.csv", "report.html",
            "summary.json", "figures/scores.png", "figures/attention.png"} <= names  # fmt: skip
    assert len([name for name in names if name.startswith("cells/")]) == 8
    assert json.loads((finished / "summary.json").read_text())["computed"] == 8
    assert not [name for name in names if Path(name).name.startswith(".")]


def test_what_is_said_on_workers_is_in_the_report_the_summary_and_the_log(plate, model, tmp_path):
    checkpoint = replace(gc.Checkpoint.load(model), spacing_um=(0.6, 0.35, 0.35))
    rows = gc.read_plate(plate).iloc[:3]
    with logged_to(tmp_path / "log.txt"):
        one = SETTINGS.model_copy(update={"workers": 1})
        summary = audit_plate(rows, checkpoint, tmp_path / "out", one)
    (voxels,) = [caution for caution in summary.cautions if "look larger or smaller" in caution]
    assert "stacks)" not in voxels  # it is so in all of them
    assert str(summary).count(voxels) == 1
    kept = read_table(tmp_path / "out" / "cells.parquet").attrs["recipe"]["cautions"]
    assert kept == list(summary.cautions)
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("look larger or smaller") == 1
    lines = (tmp_path / "log.txt").read_text().splitlines()
    for _, row in rows.iterrows():
        (line,) = [text for text in lines if f"{stack_name(row)}: the stack's voxels" in text]
        assert "WARNING gradcamo.auditing" in line
        assert f"[{os.getpid()}]" not in line  # a worker's
    ours = [text for text in lines if f"[{os.getpid()}] the stack's voxels" in text]
    assert len(ours) == 1


def test_a_second_run_computes_nothing_and_ends_the_same(out, finished, plate, model):
    before = cells_of(out)
    summary = audit_plate(plate, model, out, SETTINGS, "tcp://nobody-is-needed:1")
    assert summary.computed == 0
    assert "8 stacks were there already" in str(summary)
    assert cells_of(out) == before
    same(out, finished)


def test_another_cut_off_flags_anew_without_computing_anything(out, plate, model):
    table = read_table(out / "cells.parquet")
    cutoff = float(table["grad_camo"].median())
    settings = SETTINGS.model_copy(update={"audit": AuditSettings(cutoff=cutoff)})
    more_pictures = settings.model_copy(update={"thumbnails": 30})  # they change no number
    summary = audit_plate(plate, model, out, more_pictures, "tcp://nobody-is-needed:1")
    assert summary.computed == 0
    flagged = read_table(out / "cells.parquet")["flagged"]
    expected = ~table["touches_border"] & ~(table["grad_camo"] >= cutoff)
    assert flagged.tolist() == expected.tolist()
    assert flagged.any()


def test_everybody_counts_the_same_cells_as_passing(out, plate, model):
    """Of one plate whose cells are partial, silent (one treatment wholly), or scored."""
    rows, checkpoint = gc.read_plate(plate), gc.Checkpoint.load(model)
    folder = open_folder(checkpoint, out, SETTINGS)
    landed = [stack_name(row) for _, row in rows.iterrows()]
    silent = rows["treatment"].iloc[-1]
    for name, treatment in zip(landed, rows["treatment"], strict=True):
        kept = read_profiles(folder.cells(name))
        mute = np.arange(len(kept.table)) % 3 == 0 if treatment != silent else slice(None)
        kept.table.loc[mute, "grad_camo"] = np.nan
        write_table(kept.table, folder.cells(name), kept.recipe, kept.values)
    cutoff = float(read_table(out / "cells.parquet")["grad_camo"].median())
    settings = SETTINGS.model_copy(update={"audit": AuditSettings(cutoff=cutoff)})
    finish(rows, open_folder(checkpoint, out, settings), landed, {})

    table = read_table(out / "cells.parquet")
    inside = [not border for border in table["touches_border"]]
    passing = [score >= cutoff for score in table["grad_camo"]]  # NaN reaches nothing
    whole_cells, pass_cells = sum(inside), sum(passing)
    assert 0 < pass_cells < sum(table["grad_camo"].notna()) < whole_cells < len(table)
    said = f"{pass_cells} of {whole_cells}"

    assert f"{said} whole cells score {cutoff:g}" in summarise(table, cutoff)
    figure = figures.scores_by_dose_and_site(table, cutoff)
    assert figure.axes[0].get_title() == f"{said} whole cells score {cutoff:g} or more"
    shares = [text.get_text() for text in figure.axes[0].texts if "%" in text.get_text()]
    assert "0%" in shares  # the silent treatment is drawn, too
    assert len(shares) == rows["treatment"].nunique()
    page = (out / "report.html").read_text()
    assert f"{said} whole cells" in page
    drawn = page_data(table, cutoff, pd.DataFrame())
    at = drawn["steps"].index(cutoff)
    for part in ("passing", "wells"):
        assert sum(group["cells"] for group in drawn[part]) == whole_cells
        assert sum(group["at_least"][at] for group in drawn[part]) == pass_cells
    costs = cost_of_cutoffs(table, 0.0, None, [cutoff])
    assert costs["cells"].sum() == pass_cells
    written = read_table(out / "cutoffs.csv")
    written = written[written["cutoff"] == 0.0].set_index("treatment")
    for treatment, cells in table[~table["touches_border"]].groupby("treatment"):
        share = cells["grad_camo"].notna().sum() / len(cells)
        assert written.loc[treatment, "share"] == pytest.approx(share)
    assert (~table["flagged"] & ~table["touches_border"]).sum() == pass_cells
    for image, cells in table.groupby("image"):
        counts = Results.of_table(cells, cutoff).counts()
        assert counts["whole"] == (~cells["touches_border"]).sum(), image
        assert counts["passing"] == (cells["grad_camo"] >= cutoff).sum(), image


def test_wells_served_to_train_only_on_the_plate_that_the_network_learnt_from(
    finished, plate, model
):
    rows = gc.read_plate(plate)
    checkpoint = gc.Checkpoint.load(model)
    folder = open_folder(checkpoint, finished, SETTINGS)
    landed = [stack_name(row) for _, row in rows.iterrows()]
    control = rows["treatment"] == "control"
    names = sorted(rows.loc[control, "well"].unique())

    def gathered(learnt_from: str):
        wells = [(names[0].replace("0", ""), "train"), (names[1], "test")]  # D2 is D02
        trained = replace(
            checkpoint,
            recipe={
                "train_wells": names[:1],
                "test_wells": names[1:],
                "cells_per_well": [
                    {"plate": learnt_from, "well": well, "split": split, "cells": 3}
                    for well, split in wells
                ],
            },
        )
        knowing = replace(folder, known=known_splits(trained))
        table, profiles, recipe = gather_stacks(rows, knowing, landed)
        return table, profile_plate(table, profiles, folder), cautions(table, recipe)

    table, found, said = gathered(rows["plate"][0])
    assert table.groupby("well")["split"].unique().map(list).to_dict() == {
        well: [{names[0]: "train", names[1]: "test"}.get(well, "")] for well in rows["well"]
    }
    on = found.whitened[(found.profiled["split"] == "train").to_numpy()]
    np.testing.assert_allclose(on.mean(0), 0, atol=1e-3)
    assert any("served to train" in caution for caution in said)
    table, found, said = gathered("another plate")
    assert "split" not in table
    on = found.whitened[(found.profiled["treatment"] == "control").to_numpy()]
    np.testing.assert_allclose(on.mean(0), 0, atol=1e-3)
    assert not any("served to train" in caution for caution in said)


def test_who_says_which_wells_were_held_out(plate, model, tmp_path):
    rows = gc.read_plate(plate)
    rows["plate"] = ["P1"] * (len(rows) - 1) + ["P2"]
    wells = rows["well"].tolist()
    folder = open_folder(gc.Checkpoint.load(model), tmp_path, SETTINGS)
    folder = replace(folder, known={("P1", wells[0]): "train", ("P2", wells[-1]): "test"})

    def splits(rows, *named):
        settings = folder.settings.model_copy(update={"held_out": named})
        return splits_of(rows, replace(folder, settings=settings)).tolist()

    known = ["train" if well == wells[0] else "" for well in wells[:-1]] + ["test"]
    assert splits(rows) == known
    own = rows.assign(split=["train", None] * (len(rows) // 2))
    assert splits(own) == ["train", ""] * (len(rows) // 2)
    of = {
        wells[0].replace("0", "").lower(): [well == wells[0] for well in wells],
        wells[0][1:]: [well[1:] == wells[0][1:] for well in wells],
        "P2": [False] * (len(rows) - 1) + [True],
    }
    for name, here in of.items():
        assert splits(rows, name) == ["test" if h else k for h, k in zip(here, known, strict=True)]
    with pytest.raises(GradcamoError, match="nothing of the plate lies in 'H12'"):
        splits(rows, "P2", "H12")
    with pytest.raises(GradcamoError, match="nothing of the plate lies in '²'"):
        splits(rows, "²")
    with pytest.raises(GradcamoError, match="nothing of the plate lies in '9'"):
        stack_jobs(rows, replace(folder, settings=SETTINGS.model_copy(update={"held_out": ("9",)})))


def test_profiles_that_cannot_be_whitened_cost_no_score(out, finished, plate, model):
    rows = gc.read_plate(plate)
    few = rows.drop(rows.index[rows["treatment"] == "control"][1:])
    settings = SETTINGS.model_copy(update={"whitening_epsilon": 0.0})  # takes more controls
    summary = audit_plate(few, model, out, settings, "tcp://nobody-is-needed:1")
    assert summary.exit_status == 0
    assert any("not whitened: there are" in caution for caution in summary.cautions)
    table = read_table(finished / "cells.parquet")
    table = table[table["image"].isin(few["image"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(read_table(out / "cells.parquet"), table)
    assert "whitened" not in anndata.read_h5ad(out / "profiles.h5ad").layers


def test_a_control_whose_stacks_failed_is_no_reason_to_lose_the_others(finished, plate, model):
    rows = gc.read_plate(plate)
    checkpoint = gc.Checkpoint.load(model)
    settings = SETTINGS.model_copy(update={"control": "control"})
    folder = open_folder(checkpoint, finished, settings)
    landed = [stack_name(row) for _, row in rows[rows["treatment"] != "control"].iterrows()]
    table, profiles, _ = gather_stacks(rows, folder, landed)
    found = profile_plate(table, profiles, folder)
    assert found.whitened is None
    assert found.said[0] == "there are 0 whole control cells: profiles were not whitened"
    assert measure(found, folder)[1]["treatment"].unique().tolist() == ["40.00x"]


def test_a_control_that_nothing_was_treated_with_is_refused_before_any_work(plate, model, tmp_path):
    rows = gc.read_plate(plate).assign(cells="")
    settings = SETTINGS.model_copy(update={"control": "5.00x"})
    for run in (audit_plate, plan_plate):
        with pytest.raises(GradcamoError, match=r"'5\.00x'.*choose one of control, 40\.00x"):
            run(rows, model, tmp_path / "out", settings)
        said = settings.model_copy(update={"control": "Control"})
        with pytest.raises(GradcamoError, match=r"'Control'.*did you mean 'control'"):
            run(rows, model, tmp_path / "out", said)
    assert not (tmp_path / "out").exists()
    own = tmp_path / "own.csv"
    own.write_text("label,treatment\n2,5.00x\n")
    rows.loc[3, "cells"] = str(own)
    assert open_plate(rows, settings).equals(rows)
    own.write_text("label,treatment\n2,5.00x,\nx,5.00x\n")
    with pytest.raises(GradcamoError, match="label 'x' in row 3"):
        open_plate(rows)


def test_another_layer_never_mixes_with_what_was_there(out, finished, plate, model, workers):
    before = cells_of(out)
    settings = SETTINGS.model_copy(update={"audit": AuditSettings(layer="block_4")})
    two = gc.read_plate(plate).iloc[:2]
    summary = audit_plate(two, model, out, settings, workers.scheduler_address)
    assert summary.computed == 2
    assert set(read_table(out / "cells.parquet")["layer"]) == {"block_4"}
    after = cells_of(out)
    assert len(after) == 10
    assert before.items() <= after.items()
    assert audit_plate(plate, model, out, SETTINGS, "tcp://nobody-is-needed:1").computed == 0
    same(out, finished)


def test_a_stack_whose_file_changed_is_computed_again_alone(out, plate, model, workers, tmp_path):
    two = gc.read_plate(copy_plate(plate, tmp_path / "plate")).iloc[:2]
    first = audit_plate(two, model, out, SETTINGS, workers.scheduler_address)
    assert first.computed == 0  # the same images, elsewhere
    os.utime(two["image"][0], (1, 1))
    changed(Path(two["image"][1]))
    assert audit_plate(two, model, out, SETTINGS, workers.scheduler_address).computed == 1


def test_a_stack_whose_file_changes_while_it_is_audited_is_computed_again(
    plate, model, tmp_path, monkeypatch
):
    rows = gc.read_plate(copy_plate(plate, tmp_path / "plate")).iloc[:1]
    image = Path(rows["image"].iloc[0])
    read = stacks.read_stack

    def read_in_time(row):
        stack = read(row).in_memory()
        changed(image)
        return stack

    monkeypatch.setattr(stacks, "read_stack", read_in_time)
    folder = open_folder(gc.Checkpoint.load(model), tmp_path / "out", SETTINGS)
    (job,) = stack_jobs(rows, folder)
    assert audit_stack(job).reason == ""
    (job,) = stack_jobs(rows, folder)
    assert not folder.landed(job.name, job.inputs)
    monkeypatch.undo()
    assert audit_stack(job).reason == ""
    assert folder.landed(job.name, job.inputs)


def test_a_zarr_store_is_another_input_once_any_of_its_chunks_changed(tmp_path):
    zarr = pytest.importorskip("zarr")
    image = zarr.create_group(tmp_path / "a.ome.zarr", zarr_format=2)
    labels = image.create_group("labels").create_group("cells")
    for group in (image, labels):
        group.create_array(
            "0", data=np.ones((4, 8, 8), np.uint8), chunks=(2, 8, 8), compressors=None
        )
    row = {
        "image": str(tmp_path / "a.ome.zarr"),
        "labels": str(tmp_path / "a.ome.zarr/labels/cells"),
    }
    seen = [stack_inputs(row)]

    def changed() -> set[str]:
        seen.append(stack_inputs(row))
        return {name for name in row if seen[-1][name] != seen[-2][name]}

    assert changed() == set()
    image["0"][0] = 2  # as many bytes as before
    assert changed() == {"image"}
    labels["0"][3] = 2
    assert changed() == {"labels"}
    image.create_array("1", data=np.ones((2, 4, 4), np.uint8))
    assert changed() == {"image"}
    oldest = next(path for path in (tmp_path / "a.ome.zarr/0").iterdir() if path.name[0] != ".")
    os.utime(oldest, (1, 1))  # a copy of an earlier day
    assert changed() == {"image"}


def test_bad_stacks_are_named_and_the_others_go_on(plate, model, workers, tmp_path):
    moved = copy_plate(plate, tmp_path / "plate")
    rows = gc.read_plate(moved).iloc[:6]
    Path(rows["image"][1]).write_bytes(b"II*\0 this is no stack")
    Path(rows["labels"][4]).write_bytes(b"II*\0 these are no labels")
    out = tmp_path / "out"
    summary = audit_plate(rows, model, out, SETTINGS, workers.scheduler_address)
    assert summary.exit_status == 1
    assert set(summary.failed) == {stack_name(rows.loc[i]) for i in (1, 4)}
    assert Path(rows["image"][1]).name in summary.failed[stack_name(rows.loc[1])]
    assert Path(rows["labels"][4]).name in summary.failed[stack_name(rows.loc[4])]
    for name in summary.failed:
        assert name in str(summary)
        assert name in (out / "report.html").read_text(encoding="utf-8")
    assert read_table(out / "cells.parquet")["image"].nunique() == 4


def test_a_stack_that_failed_once_is_tried_again(plate, model, tmp_path, monkeypatch):
    from distributed import Client, LocalCluster

    folder = open_folder(gc.Checkpoint.load(model), tmp_path, SETTINGS)
    jobs = stack_jobs(open_plate(plate), folder)
    tried: list[str] = []

    def flaky(job, device=None):
        tried.append(job.name)
        bad = job is not None and job.name == jobs[2].name and tried.count(job.name) < 3
        return Outcome(job.name, reason="the network drive was away" if bad else "")

    monkeypatch.setattr(scheduling, "audit_stack", flaky)
    with LocalCluster(n_workers=1, processes=False, dashboard_address=None) as local:
        client = Client(local)
        for retries, reason in ((1, "the network drive was away"), (2, "")):
            tried.clear()
            outcomes = [o for o in scheduling.run_jobs(jobs, client, retries) if o]
            assert sorted(o.name for o in outcomes) == sorted(job.name for job in jobs)
            assert {o.name: o.reason for o in outcomes}[jobs[2].name] == reason
            assert tried.count(jobs[2].name) == retries + 1
            assert len(tried) == len(jobs) + retries
        client.close()


def test_never_more_than_two_stacks_per_thread_are_in_flight(plate, model, tmp_path, monkeypatch):
    from distributed import Client, LocalCluster

    folder = open_folder(gc.Checkpoint.load(model), tmp_path, SETTINGS)
    jobs = stack_jobs(open_plate(plate), folder)
    known: list[int] = []
    monkeypatch.setattr(scheduling, "audit_stack", lambda job, device=None: Outcome(job.name))
    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
    ) as local:
        client = Client(local)
        for _ in scheduling.run_jobs(jobs, client):
            states = [task.state for task in list(local.scheduler.tasks.values())]
            known.append(sum(state not in ("memory", "released") for state in states))
        client.close()
    assert max(known) <= 2


def test_the_time_left_of_a_run_counts_down(plate, model, tmp_path, monkeypatch, workers):
    def slowly(job, device=None):
        time.sleep(2.5)
        return Outcome(job.name, cells=1)

    class EnoughError(Exception):
        pass

    def see(step):
        seen.append(step)
        if step.done == step.total:
            raise EnoughError

    seen = []
    rows = gc.read_plate(plate).iloc[:3]
    monkeypatch.setattr(scheduling, "audit_stack", slowly)
    with pytest.raises(EnoughError):
        audit_plate(rows, model, tmp_path, SETTINGS, workers.scheduler_address, see)
    for done in (1, 2):
        left = [step.seconds_left for step in seen if step.done == done]
        assert len(left) > 1
        assert left == sorted(left, reverse=True)
        assert left[-1] < left[0]
    assert {step.seconds_left for step in seen if step.done == 0} == {None}


def test_time_left_follows_from_what_parts_took():
    """Of parts that take 100 s, two at a time, the first 40 s longer: the truth is known."""
    ended = [140, 141, 240, 241, 340, 341, 440, 441]
    for done, now in ((2, 141), (2, 200), (3, 240), (4, 260), (6, 400), (7, 440)):
        left = seconds_left(0, ended[:done], 2, 8, now)
        assert left == pytest.approx(441 - now, abs=130 if done <= 2 else 50)
    assert seconds_left(0, [], 2, 8, 99) is None
    assert seconds_left(0, ended, 2, 8, 450) == 0
    waiting = [seconds_left(0, ended[:4], 2, 8, now) for now in range(241, 900)]
    assert waiting == sorted(waiting, reverse=True)
    assert waiting[-1] == pytest.approx(150, abs=1)  # the fifth is late: three come after it


def test_a_worker_reads_its_stack_itself(plate, model, tmp_path, workers):
    from dask.utils import key_split
    from distributed import Client

    def kinds_of_tasks(dask_scheduler):
        return set(dask_scheduler.task_prefixes)

    with Client(workers.scheduler_address, set_as_default=False) as client:
        before = client.run_on_scheduler(kinds_of_tasks)
        audit_plate(plate, model, tmp_path, SETTINGS, workers.scheduler_address)
        others = client.run_on_scheduler(kinds_of_tasks) - before
    names = {stack_name(row) for _, row in gc.read_plate(plate).iterrows()}
    assert others <= {key_split(f"{name}-0123abcd") for name in names}


def test_stacks_go_to_workers_with_a_gpu_where_some_have_one(plate, model, tmp_path, monkeypatch):
    from distributed import Client, SpecCluster, Worker, get_worker
    from distributed.scheduler import Scheduler

    folder = open_folder(gc.Checkpoint.load(model), tmp_path, SETTINGS)
    jobs = stack_jobs(open_plate(plate), folder)
    monkeypatch.setattr(
        scheduling, "audit_stack", lambda job, device=None: Outcome(get_worker().name)
    )
    specs = {
        "plain": {"cls": Worker, "options": {"nthreads": 1}},
        "gpu": {"cls": Worker, "options": {"nthreads": 1, "resources": {"GPU": 1}}},
    }
    scheduler = {"cls": Scheduler, "options": {"dashboard": False}}
    with SpecCluster(workers=specs, scheduler=scheduler) as local, Client(local) as client:
        outcomes = [o for o in scheduling.run_jobs(jobs, client) if o]
    assert {outcome.name for outcome in outcomes} == {"gpu"}
    assert len(outcomes) == len(jobs)


def test_workers_of_one_machine_share_out_its_gpus():
    gpus = ["cuda:0", "cuda:1"]
    found = [plate_cluster.own_gpu(gpus, worker) for worker in ("0", "1", "2", "job-3")]
    assert found == ["cuda:0", "cuda:1", "cuda:0", "cuda:1"]
    assert plate_cluster.own_gpu(["cuda:0"], "tcp://10.0.0.1:4711") == "cuda:0"
    assert plate_cluster.own_gpu([], "0") is None
    assert plate_cluster.gpu_devices("cpu") == []
    assert plate_cluster.gpu_devices("cuda:1") == ["cuda:1"]


def test_workers_that_feed_a_gpu_share_out_the_cores(monkeypatch):
    monkeypatch.setattr(plate_cluster, "_cores", lambda: 16)
    assert [plate_cluster.threads_each(n, "cuda:0") for n in (1, 3, 40)] == [16, 5, 1]
    assert [plate_cluster.threads_each(n, "cpu") for n in (1, 16)] == [1, 1]


@pytest.mark.slow
def test_a_killed_worker_costs_nothing(finished, plate, model, tmp_path):
    from distributed import LocalCluster

    out = tmp_path / "out"
    killed = False
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
        steps = plate_steps(plate, model, out, SETTINGS, cluster.scheduler_address)
        while True:
            try:
                step = next(steps)
            except StopIteration as end:
                summary = end.value
                break
            if step.stage == "auditing" and not killed:  # it has its first stacks
                os.kill(cluster.workers[0].pid, signal.SIGKILL)
                killed = True
    assert killed
    assert summary.exit_status == 0, summary
    assert summary.computed == 8
    same(out, finished)


@dataclass(frozen=True)
class Hungry(StackJob):
    """A stack that the system kills for its memory: always, or until it has been so once."""

    bites: Path = Path()
    always: bool = True

    @property
    def row(self):
        before = self.bites.read_text() if self.bites.exists() else ""
        self.bites.write_text(before + "x")
        if self.always or not before:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().row


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
def test_a_stack_that_kills_its_workers_is_named_and_costs_no_other(plate, model, tmp_path, caplog):
    folder = open_folder(gc.Checkpoint.load(model), tmp_path / "out", SETTINGS)
    jobs = stack_jobs(open_plate(plate).iloc[:4], folder)
    told = [dict(vars(job)) for job in jobs]
    hopeless = Hungry(**told[0], bites=tmp_path / "hopeless")
    crowded = Hungry(**told[2], bites=tmp_path / "crowded", always=False)
    caplog.set_level(logging.CRITICAL, "distributed")  # as a user may have it
    with plate_cluster.cluster(None, workers=2, device="cpu") as client:
        run = scheduling.run_jobs([hopeless, jobs[1], crowded, jobs[3]], client, retries=1)
        outcomes = [outcome for outcome in run if outcome]
    assert sorted(o.name for o in outcomes) == sorted(job.name for job in jobs)
    (failed,) = (outcome for outcome in outcomes if outcome.reason)
    assert failed.name == hopeless.name
    assert failed.reason.startswith("its worker was killed (signal 9), as the system does")
    assert "--workers" in failed.reason
    assert hopeless.bites.read_text() in ("xx", "xxx")  # twice alone, perhaps once among others
    assert crowded.bites.read_text() == "xxx"  # killed once; then image and labels were read
    assert [folder.landed(job.name, job.inputs) for job in jobs] == [False, True, True, True]


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 4 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
    ],
)
def test_a_stack_that_memory_was_not_enough_for_says_what_to_do(
    error, plate, model, tmp_path, monkeypatch
):
    def read(*_):
        raise error

    folder = open_folder(gc.Checkpoint.load(model), tmp_path, SETTINGS)
    monkeypatch.setattr("gradcamo.files.stacks.read_stack", read)
    outcome = audit_stack(stack_jobs(open_plate(plate), folder)[0])
    assert outcome.no_memory
    assert outcome.reason.startswith("the memory of this machine was not enough (")
    assert "use fewer --workers" in outcome.reason


@pytest.mark.slow
def test_a_run_killed_with_its_cluster_goes_on_where_it_was(
    finished, plate, model, workers, tmp_path
):
    out = tmp_path / "out"
    script = tmp_path / "run.py"
    script.write_text(
        "import sys\n"
        "from gradcamo.plate.run import audit_plate\n"
        "from gradcamo.settings import PlateSettings\n"
        "if __name__ == '__main__':\n"
        "    audit_plate(*sys.argv[1:4], PlateSettings(umap_cells=0, workers=1, thumbnails=3))\n"
    )
    run = subprocess.Popen([sys.executable, script, plate, model, out], env=_environment())
    deadline = time.monotonic() + 600
    while len(cells_of(out)) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    run.kill()  # client, scheduler and nannies are this one process
    assert run.wait() == -signal.SIGKILL
    landed = cells_of(out)
    assert 2 <= len(landed) < 8
    time.sleep(2)  # its worker dies with it
    landed = cells_of(out)
    summary = audit_plate(plate, model, out, SETTINGS, workers.scheduler_address)
    assert summary.computed == 8 - len(landed)
    assert landed.items() <= cells_of(out).items()
    same(out, finished)


def test_a_scheduler_that_goes_away_is_named_and_what_landed_stays(
    out, plate, model, tmp_path, monkeypatch
):
    monkeypatch.setattr(scheduling, "LOST_AFTER_S", 1.0)
    for path in sorted((out / "cells").rglob("*.parquet"))[:3]:
        path.unlink()
    landed = cells_of(out)
    script = tmp_path / "cluster.py"
    script.write_text(
        "import time\n"
        "from distributed import LocalCluster\n"
        "if __name__ == '__main__':\n"
        "    cluster = LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None,\n"
        "        processes=False, protocol='tcp')\n"
        "    print(cluster.scheduler_address, flush=True)\n"
        "    time.sleep(600)\n"
    )
    process = subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, text=True, env=_environment()
    )
    try:
        address = process.stdout.readline().strip()
        steps = plate_steps(plate, model, out, SETTINGS, address)
        while True:
            try:
                step = next(steps)
            except StopIteration as end:
                summary = end.value
                break
            if step.stage == "auditing":  # the worker has its stacks
                process.kill()
    finally:
        process.kill()
        process.wait()
    assert summary.exit_status == 1
    assert "scheduler went away" in summary.trouble
    assert len(summary.missing) == 3
    page = (out / "report.html").read_text(encoding="utf-8")
    assert all(f"<b>{name}</b>: not done" in page for name in summary.missing)
    assert cells_of(out) == landed
    assert read_table(out / "cells.parquet")["image"].nunique() == 5


def test_an_address_where_nobody_answers_is_said_at_once(plate, model, tmp_path, monkeypatch):
    monkeypatch.setattr(plate_cluster, "ANSWER_WITHIN_S", 1)
    with pytest.raises(GradcamoError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        audit_plate(plate, model, tmp_path / "out", SETTINGS, "tcp://127.0.0.1:9")


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are POSIX")
def test_a_full_disk_stops_the_run_and_leaves_nothing_half_written(plate, model, tmp_path):
    folder = open_folder(gc.Checkpoint.load(model), tmp_path, SETTINGS)
    job = stack_jobs(open_plate(plate), folder)[0]
    import resource

    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        outcome = audit_stack(job)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert outcome.cannot_write
    assert "could not be written" in outcome.reason
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and p.suffix == ".parquet"]
    assert audit_stack(job).reason == ""


def test_a_disk_without_room_is_refused_before_the_work_and_by_a_dry_run(
    plate, model, tmp_path, monkeypatch
):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1_000_000))
    for run in (plan_plate, audit_plate):
        with pytest.raises(GradcamoError, match="has room for 1 MB, its results need 6 MB"):
            run(plate, model, tmp_path / "out", SETTINGS)


def test_what_cannot_be_written_is_not_tried_again_and_ends_the_run(
    plate, model, tmp_path, monkeypatch
):
    full = Outcome("any", reason="no room", cannot_write=True)
    monkeypatch.setattr(scheduling, "run_jobs", lambda *_: iter([full, None]))
    monkeypatch.setattr(plate_cluster, "cluster", lambda *_: _nothing())
    summary = audit_plate(plate, model, tmp_path / "out", SETTINGS)
    assert summary.trouble == "no room"
    assert summary.exit_status == 1


def test_fields_without_cells_and_with_partial_cells_alone_are_results(plate, model, tmp_path):
    moved = copy_plate(plate, tmp_path / "plate")
    rows = gc.read_plate(moved)
    labels = gc.read_labels(rows["labels"][0])
    write_labels(rows["labels"][0], np.zeros_like(labels))
    edge = np.zeros_like(labels)
    edge[2:4, :9, 40:60] = 5
    write_labels(rows["labels"][1], edge)
    folder = open_folder(gc.Checkpoint.load(model), tmp_path / "out", SETTINGS)
    jobs = stack_jobs(rows, folder)
    assert [audit_stack(job).cells for job in jobs[:2]] == [0, 1]
    assert audit_stack(jobs[2]).reason == ""
    summary = audit_plate(rows.iloc[:3], model, tmp_path / "out", SETTINGS)
    assert summary.computed == 0
    assert summary.exit_status == 0
    (said,) = [text for text in summary.cautions if "no cells" in text]
    assert said.startswith(f"1 of 3 stacks holds no cells ({stack_name(rows.loc[0])}): look at")
    table = read_table(tmp_path / "out/cells.parquet")
    assert (table["image"] == rows["image"][1]).sum() == 1
    cells = np.unique(gc.read_labels(rows["labels"][2]))
    assert (table["image"] == rows["image"][2]).sum() == np.count_nonzero(cells)


def test_a_plate_without_any_cell_says_so_and_fails(plate, model, tmp_path):
    rows = gc.read_plate(copy_plate(plate, tmp_path / "plate")).iloc[:3]
    for labels in rows["labels"]:
        write_labels(labels, np.zeros_like(gc.read_labels(labels)))
    out = tmp_path / "out"
    folder = open_folder(gc.Checkpoint.load(model), out, SETTINGS)
    assert [audit_stack(job).reason for job in stack_jobs(rows, folder)] == ["", "", ""]
    summary = audit_plate(rows, model, out, SETTINGS, "tcp://nobody-is-needed:1")
    assert (summary.cells, summary.failed, summary.exit_status) == (0, {}, 1)
    assert json.loads((out / "summary.json").read_text())["exit_status"] == 1
    names = ", ".join(stack_name(row) for _, row in rows.iterrows())
    said = f"none of the 3 stacks holds a cell ({names}): look at their labels"
    assert f"caution: {said}" in str(summary)
    assert f"N{said[1:]}" in (out / "report.html").read_text(encoding="utf-8")
    assert read_table(out / "cells.parquet").attrs["recipe"]["cautions"] == list(summary.cautions)


def test_a_plate_whose_cells_are_all_partial_says_so(plate, model, tmp_path):
    rows = gc.read_plate(copy_plate(plate, tmp_path / "plate")).iloc[:1]
    edge = np.zeros_like(gc.read_labels(rows["labels"][0]))
    edge[2:4, :9, 40:60], edge[2:4, 40:60, :9] = 5, 7
    write_labels(rows["labels"][0], edge)
    folder = open_folder(gc.Checkpoint.load(model), tmp_path / "out", SETTINGS)
    assert audit_stack(stack_jobs(rows, folder)[0]).cells == 2
    summary = audit_plate(rows, model, tmp_path / "out", SETTINGS, "tcp://nobody-is-needed:1")
    assert "none of the 2 cells is whole: all are cut by the y or x" in str(summary)


def test_cells_treated_otherwise_than_their_stack_are_told_apart(
    out, finished, plate, model, tmp_path
):
    rows = gc.read_plate(plate)
    (tmp_path / "own.csv").write_text("label,treatment\n2,5.00x\n")
    rows["cells"] = ["" for _ in range(len(rows))]
    rows.loc[0, "cells"] = str(tmp_path / "own.csv")
    audit_plate(rows, model, out, SETTINGS)
    table = read_table(out / "cells.parquet")
    changed = table["treatment"] != read_table(finished / "cells.parquet")["treatment"]
    assert table.loc[changed, ["image", "label", "treatment"]].values.tolist() == [
        [rows["image"][0], 2, "5.00x"]
    ]


def test_what_to_choose_is_told_by_the_name_that_a_plate_has_for_it(plate, model, tmp_path):
    wrong = SETTINGS.model_copy(update={"audit": AuditSettings(channels=("a", "b") * 3)})
    folder = open_folder(gc.Checkpoint.load(model), tmp_path / "out", wrong)
    assert "with --audit-channels" in audit_stack(stack_jobs(open_plate(plate), folder)[0]).reason


def test_cells_that_a_stack_lacks_are_named_and_cells_without_treatment_not_compared(
    out, finished, plate, model, tmp_path
):
    rows = gc.read_plate(plate).assign(cells="")
    whole = read_table(finished / "cells.parquet").query("image == @rows.image[0]")
    label = whole.loc[~whole["touches_border"], "label"].iloc[0]
    (tmp_path / "own.csv").write_text(f"label,treatment\n{label},\n12345,control\n777,\n")
    rows.loc[0, "cells"] = str(tmp_path / "own.csv")
    summary = audit_plate(rows, model, out, SETTINGS, "tcp://nobody-is-needed:1")
    (lacking,) = [text for text in summary.cautions if "labels lack" in text]
    assert stack_name(rows.loc[0]) in lacking
    assert "own.csv names 2 cells that the labels lack (777, 12345)" in lacking
    assert any(text.startswith("1 cells have no treatment") for text in summary.cautions)
    table = read_table(out / "cells.parquet")
    assert len(table) == len(read_table(finished / "cells.parquet"))
    assert table.attrs["recipe"]["cautions"] == list(summary.cautions)
    costs, before = (read_table(folder / "cutoffs.csv") for folder in (out, finished))
    fewer = before["cells"] - costs["cells"]
    assert set(fewer[before["treatment"] != "control"]) == {0}
    assert fewer[(before["treatment"] == "control") & (before["cutoff"] == 0)].tolist() == [1]
    named = table[(table["treatment"] != "") & table["grad_camo"].notna()]
    expected = variance_explained(named, named["grad_camo"].to_numpy(), seed=SETTINGS.seed)
    found = read_table(out / "confounding.csv").query("of == 'grad_camo'")
    np.testing.assert_allclose(found["value"], expected["share"], rtol=1e-9)


def test_a_stack_twice_is_refused_before_anything_runs(plate, model, tmp_path):
    rows = gc.read_plate(plate)
    rows.loc[3, "site"] = rows.loc[2, "site"]
    with pytest.raises(GradcamoError, match=r"same plate, well and site in rows 4, 5 \(.*E02, 1"):
        audit_plate(rows, model, tmp_path, SETTINGS)
    settings = SETTINGS.model_copy(update={"audit": AuditSettings(layer="block_99")})
    with pytest.raises(GradcamoError, match="no layer 'block_99'"):
        audit_plate(plate, model, tmp_path, settings)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", sorted({*list(CELL_COLUMNS)[1:], *MADE_HERE, "p_value"}))
def test_no_column_of_a_plate_takes_the_place_of_a_result(plate, name):
    rows = gc.read_plate(plate)
    with pytest.raises(GradcamoError, match=rf"columns {name}, which.*rename"):
        open_plate(rows.assign(**{"batch": "7", name: "77"}))
    kept = rows.assign(split="train", batch="7")  # a plate may say so itself
    assert open_plate(kept).equals(kept)


@pytest.mark.parametrize("site", ["1", "3"])
def test_a_well_written_in_two_ways_is_no_two_wells(plate, site, tmp_path):
    rows = gc.read_plate(plate)
    image = shutil.copy(rows["image"][0], tmp_path)
    twin = rows.iloc[:1].assign(well=rows["well"][0].replace("0", ""), site=site, image=image)
    with pytest.raises(GradcamoError, match="one well as D02 and D2"):
        open_plate(pd.concat([rows, twin]))
    assert len(open_plate(pd.concat([rows, twin.assign(plate="another")]))) == 9


def test_treatments_are_written_as_the_checkpoint_writes_its_classes(plate, model, tmp_path):
    rows = gc.read_plate(plate)
    assert {"control", "40.00x"} <= set(gc.Checkpoint.load(model).classes)
    for run in (audit_plate, plan_plate):
        for ours, theirs in (("40.00x", "40×"), ("control", "Control")):
            otherwise = rows.assign(treatment=rows["treatment"].replace({ours: theirs}))
            told = rf"'{theirs}' in .*\.tif.*the checkpoint knows it as '{ours}'"
            with pytest.raises(GradcamoError, match=told):
                run(otherwise, model, tmp_path / "out", SETTINGS)
    assert not (tmp_path / "out").exists()


def test_a_dry_run_says_what_is_to_do_and_writes_nothing(out, plate, model, tmp_path):
    plan = plan_plate(plate, model, tmp_path / "new", SETTINGS)
    assert (plan.stacks, plan.landed, plan.to_segment) == (8, 0, 0)
    assert plan.cells == pytest.approx(len(read_table(out / "cells.parquet")), rel=0.2)
    assert plan.bytes_read == sum(Path(i).stat().st_size for i in gc.read_plate(plate)["image"])
    assert plan.seconds["stacks"] > 0
    assert not (tmp_path / "new").exists()
    victim = next((out / "cells").rglob("*.parquet"))
    victim.unlink()
    plan = plan_plate(plate, model, out, SETTINGS)
    assert (plan.landed, plan.workers) == (7, 1)
    assert "7 are there already, 1 to audit" in str(plan)
    assert plan.exit_status == 0


def test_a_dry_run_fails_where_a_stack_would(plate, model, tmp_path):
    rows = gc.read_plate(plate).iloc[:1]
    damaged = tmp_path / "damaged.ome.tif"
    damaged.write_bytes(Path(rows["image"][0]).read_bytes()[:5000])
    table = tmp_path / "plate.csv"
    rows.assign(image=str(damaged)).to_csv(table, index=False)
    flags = ["--checkpoint", str(model), "-o", str(tmp_path / "new"), "--dry-run"]
    result = CliRunner().invoke(main, ["plate", str(table), *flags])
    assert "would fail" in result.output
    assert result.exit_code == 1
    assert not (tmp_path / "new").exists()


def test_a_dry_run_says_how_many_stacks_it_has_opened(plate, model, tmp_path):
    seen = []
    plan_plate(plate, model, tmp_path / "new", SETTINGS, progress=seen.append)
    steps = [step for step in seen if step.stage == "opening"]
    assert [(step.done, step.total) for step in steps] == [(n, 8) for n in range(1, 9)]
    assert all(step.seconds_left >= 0 for step in steps)
    assert steps[-1].seconds_left == 0
    flags = ["--checkpoint", str(model), "-o", str(tmp_path / "new"), "--dry-run"]
    result = CliRunner().invoke(main, ["plate", str(plate), *flags])
    assert "\ropening: 8 of 8 stacks" in result.stderr
    assert result.stdout.startswith("8 stacks: 0 are there already")


def test_a_dry_run_opens_each_file_once_to_stamp_it_and_once_for_its_header(
    plate, model, tmp_path, opened
):
    rows = gc.read_plate(plate)
    opened.clear()
    plan = plan_plate(rows, model, tmp_path / "new", SETTINGS)
    assert "3 of 8 stacks with labels looked into" in str(plan)
    times = {path: opened[path] for path in [*rows["image"], *rows["labels"]]}
    assert sum(n > 2 for n in times.values()) == 6  # of which voxels were read
    assert min(times.values()) == 2
    assert plan.bytes_read == sum(Path(image).stat().st_size for image in rows["image"])


def test_a_dry_run_refuses_labels_of_another_size_as_the_run_does(plate, model, workers, tmp_path):
    rows = gc.read_plate(copy_plate(plate, tmp_path / "plate"))
    labels = gc.read_labels(rows["labels"][2])
    write_labels(rows["labels"][2], labels[:, 1:])
    for run in (plan_plate, audit_plate):
        with pytest.raises(GradcamoError, match=r"well E02, site 1: .* do not fit E02_s1"):
            run(rows, model, tmp_path / "out", SETTINGS)
    assert not (tmp_path / "out").exists()
    for z, plane in enumerate(labels):
        np.save(tmp_path / f"mask_{z}.npy", plane[1:])
    rows.loc[2, "labels"] = str(tmp_path / "mask_{z}.npy")
    dry = plan_plate(rows, model, tmp_path / "out", SETTINGS)
    assert [text.split()[0] for text in dry.failing] == [stack_name(rows.loc[2])]
    summary = audit_plate(rows, model, tmp_path / "out", SETTINGS, workers.scheduler_address)
    assert list(summary.failed) == [stack_name(rows.loc[2])]


def test_a_run_holds_labels_against_stacks_once(plate, tmp_path, monkeypatch):
    looked_at = []
    looks = misfits.refuse_misfits
    monkeypatch.setattr(
        misfits, "refuse_misfits", lambda *given: looked_at.append(given) or looks(*given)
    )
    flags = ["--checkpoint", str(tmp_path / "none.safetensors"), "-o", str(tmp_path / "new")]
    result = CliRunner().invoke(main, ["plate", str(plate), *flags])
    assert "none.safetensors" in result.output
    assert len(looked_at) == 1


def test_a_dry_run_refuses_the_stacks_that_the_run_refuses(plate, model, workers, tmp_path):
    rows = gc.read_plate(copy_plate(plate, tmp_path / "plate"))
    Path(rows["image"][1]).write_bytes(b"II*\0 this is no stack")
    Path(rows["labels"][2]).write_bytes(b"II*\0 these are no labels")
    others = gc.read_stack(rows["image"][5])
    renamed = replace(others, channels=("a", "b", "c", "d", "e", "f"))
    gc.write_stack(rows["image"][5], renamed)  # not what the network was trained on
    gc.write_stack(rows["image"][6], renamed)
    rows.loc[6, "labels"] = ""
    dry = plan_plate(rows, model, tmp_path / "out", SETTINGS)
    bad = [stack_name(rows.loc[i]) for i in (1, 2, 5, 6)]
    assert [text.split()[0] for text in dry.failing] == bad
    assert dry.exit_status == 1
    assert "all 8 stacks opened, in" in str(dry)
    summary = audit_plate(rows, model, tmp_path / "out", SETTINGS, workers.scheduler_address)
    failed = [f"{name} would fail: {why}" for name, why in summary.failed.items()]
    assert sorted(failed) == sorted(dry.failing)


def test_a_treatment_that_the_network_does_not_know_is_refused_before_the_work(
    plate, model, tmp_path
):
    settings = SETTINGS.model_copy(update={"audit": AuditSettings(target="aspirin")})
    for run in (plan_plate, audit_plate):
        with pytest.raises(GradcamoError, match="knows no treatment 'aspirin'"):
            run(plate, model, tmp_path / "out", settings)


def test_a_dry_run_counts_the_cells_of_stacks_without_labels_too(plate, model, tmp_path):
    rows = gc.read_plate(plate).iloc[:1].assign(labels="")
    settings = SETTINGS.model_copy(update={"segment": SegmentSettings(model="bundled")})
    plan = plan_plate(rows, model, tmp_path / "new", settings)
    assert plan.to_segment == 1
    assert 5 <= plan.cells <= 20
    assert "Cellpose" in str(plan)


def test_stacks_without_labels_are_segmented_once(plate, model, tmp_path):
    rows = gc.read_plate(plate).drop(columns="labels")
    moved = tmp_path / "image.ome.tif"
    shutil.copy(rows["image"][0], moved)
    rows.loc[0, "image"] = str(moved)
    settings = SETTINGS.model_copy(update={"segment": SegmentSettings(model="bundled")})
    folder = open_folder(gc.Checkpoint.load(model), tmp_path / "out", settings)

    def run() -> tuple[int, int]:
        job = stack_jobs(rows.iloc[:1], folder)[0]
        outcome = audit_stack(job)
        assert outcome.reason == "", outcome.details
        labels = folder.labels(job.name)
        assert np.count_nonzero(np.unique(gc.read_labels(labels))) == outcome.cells > 3
        return labels.stat().st_mtime_ns, folder.cells(job.name).stat().st_mtime_ns

    first = run()
    second = run()
    assert second[0] == first[0]
    assert second[1] > first[1]
    changed(moved)
    assert run()[0] > second[0]


def test_labels_of_weights_that_changed_are_made_anew(model, tmp_path):
    weights = tmp_path / "mine.safetensors"
    places = []
    for content in (b"one", b"two", b"one"):
        weights.write_bytes(content)
        settings = SETTINGS.model_copy(update={"segment": SegmentSettings(model=str(weights))})
        folder = open_folder(gc.Checkpoint.load(model), tmp_path / "out", settings)
        places.append((folder.labels("x"), folder.cells("x")))
    assert places[0] == places[2]
    assert not set(places[0]) & set(places[1])


def test_a_folder_of_named_files_is_the_same_plate_as_its_table(plate, tmp_path):
    folder = plate.parent / "images"
    rows = gc.read_plate(plate)
    layout = tmp_path / "layout.csv"
    rows[["well", "treatment"]].drop_duplicates().to_csv(layout, index=False)
    settings = PlateSettings(labels="../labels/{well}_s{site}.ome.tif", layout=str(layout))
    opened = open_plate(folder, settings)
    columns = ["image", "well", "site", "treatment"]
    expected = rows.sort_values(["well", "site"], ignore_index=True)
    assert opened[columns].values.tolist() == expected[columns].values.tolist()
    assert [Path(p).resolve() for p in opened["labels"]] == [Path(p) for p in expected["labels"]]


def test_an_ome_zarr_plate_scores_as_the_same_stacks_in_files_do(finished, plate, model, tmp_path):
    zarr = pytest.importorskip("zarr")
    rows = gc.read_plate(plate).iloc[:2]
    root = zarr.create_group(tmp_path / "plate.ome.zarr", zarr_format=2)
    well = rows["well"][0]
    path = f"{well[0]}/{well[1:]}"
    root.attrs["plate"] = {"name": "Z", "wells": [{"path": path, "rowIndex": 0, "columnIndex": 0}]}
    fields = [{"path": str(i)} for i in range(len(rows))]
    root.require_group(path).attrs["well"] = {"images": fields}
    for i, row in rows.iterrows():
        stack = gc.read_stack(row["image"])
        axes = [{"name": axis, "type": "channel" if axis == "c" else "space"} for axis in "czyx"]
        scale = [1, *stack.spacing_um]
        for group, data, names in (
            (f"{path}/{i}", np.asarray(stack.data), axes),
            (f"{path}/{i}/labels/cells", gc.read_labels(row["labels"]), axes[1:]),
        ):
            transform = {"type": "scale", "scale": scale[-len(names) :]}
            levels = [{"path": "0", "coordinateTransformations": [transform]}]
            image = root.require_group(group)
            image.attrs["multiscales"] = [{"axes": names, "datasets": levels, "version": "0.4"}]
            image.create_array("0", data=data)
        root[f"{path}/{i}"].attrs["omero"] = {"channels": [{"label": c} for c in stack.channels]}
        root[f"{path}/{i}/labels"].attrs["labels"] = ["cells"]
    opened = open_plate(tmp_path / "plate.ome.zarr")
    folder = open_folder(gc.Checkpoint.load(model), tmp_path / "out", SETTINGS)
    for job, image in zip(stack_jobs(opened, folder), rows["image"], strict=True):
        outcome = audit_stack(job)
        assert outcome.reason == "", outcome.details
        mine = read_table(folder.cells(job.name))
        table = read_table(finished / "cells.parquet")
        expected = table[table["image"] == image]
        np.testing.assert_allclose(mine["grad_camo"], expected["grad_camo"], rtol=1e-5)
        assert job.inputs["image"][1] > 0


def test_local_workers_leave_the_environment_as_it_was_and_ctrl_c_to_the_client():
    before = {**os.environ, "__DASK_PARENT_PID": str(os.getpid())}
    with plate_cluster.cluster(None, workers=1) as client:
        assert client.submit(os.environ.get, "OMP_NUM_THREADS").result() == "1"
        # a terminal's Ctrl-C reaches them too
        assert client.submit(lambda: signal.getsignal(signal.SIGINT) == signal.SIG_IGN).result()
    assert {**before, **os.environ} == before


def test_names_of_stacks_are_safe_and_never_meet():
    rows = [
        {"plate": plate, "well": "D02", "site": "1"}
        for plate in ("P 1", "P/1", "P-1", "P_1", "../P", "Pµ", ".0a1b2c3d-P")
    ]
    rows += [
        {"plate": plate, "well": well, "site": site}
        for plate, well, site in (
            ("2024", "A_D02", "1"),
            ("2024_A", "D02", "1"),
            ("2024", "A", "D02_1"),
        )
    ]
    names = [stack_name(row) for row in rows]
    assert len(set(names)) == len(names)
    assert all(Path(name).name == name for name in names)
    assert not [name for name in names if name.startswith(".")]  # as scratch files do
    assert stack_name({"plate": "P1", "well": "D02", "site": 1}) == "P1_D02_1"
    assert short_hash({"a": 1}) != short_hash({"a": 2})


def _environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def _nothing():
    import contextlib

    return contextlib.nullcontext()


def test_a_plate_of_which_no_stack_fits_the_network_is_refused_before_any_worker_starts(
    plate, model, tmp_path
):
    alone = copy_plate(plate, tmp_path / "two channels")
    for path in pd.read_csv(alone)["image"]:
        image = alone.parent / path
        stack = gc.read_stack(image)
        gc.write_stack(image, stack.select(stack.channels[:2]))
    steps = []
    with pytest.raises(
        GradcamoError, match=r"no stack of the plate fits the network: .*trained on"
    ):
        audit_plate(alone, model, tmp_path / "out", SETTINGS, progress=steps.append)
    assert steps == []
