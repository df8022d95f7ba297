"""Causal attention from the command line and in audits: banks of plates, columns of tables."""

import json
import re
import shutil
import weakref

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

import gradcamo as gc
from gradcamo import AuditSettings, CausalSettings, DonorBank, GradcamoError, PlateSettings
from gradcamo.auditing.causal import (
    ask_causally,
    drawn_cells,
    find_bank,
    passes,
    with_causal,
)
from gradcamo.auditing.causal_cautions import causal_cautions, exposure_cautions
from gradcamo.auditing.stack import cells_of
from gradcamo.causal.bank_file import bank_beside
from gradcamo.cli.commands import main
from gradcamo.columns import CAUSAL_COLUMNS
from gradcamo.files.plates import read_plate
from gradcamo.files.store import read_table, write_table
from gradcamo.plate.checked_rows import open_plate
from gradcamo.plate.folder import PlateFolder
from gradcamo.plate.gather import gather_stacks
from gradcamo.plate.jobs import stack_jobs
from gradcamo.plate.plan import plan_plate
from gradcamo.plate.run import audit_plate, bank_of, open_folder
from gradcamo.settings import CautionSettings, DonorSettings
from gradcamo.training.plate_donors import plate_donors


@pytest.fixture(scope="module")
def plate(tmp_path_factory):
    """Controls and the highest dose, two small stacks a well."""
    from gradcamo.samples.design import PlateDesign
    from gradcamo.samples.plate import make_plate

    design = PlateDesign(rows=("D", "E"), sites=2, field_px=150, planes=9, cells_per_field=14)
    return make_plate(tmp_path_factory.mktemp("causal_plate"), design)


@pytest.fixture(scope="module")
def bank(plate, trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("bank") / "bank.npz"
    plate_donors(plate, trained[0], DonorSettings(per_class=6)).save(path)
    return path


def row_of(plate, well):
    table = read_plate(plate)
    return table[table["well"] == well].iloc[0]


def run(*arguments):
    done = CliRunner().invoke(main, [str(a) for a in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_a_training_leaves_a_bank_of_its_training_wells(trained):
    checkpoint, path = trained
    bank = DonorBank.load(bank_beside(path))
    assert bank_beside(path).name == "model.donors.npz"
    assert {origin.well for origin in bank.stacks} == {"D02", "E02"}
    assert set(bank.classes) == set(checkpoint.classes)
    assert (bank.channels, bank.control) == (checkpoint.channels, "control")
    counted = checkpoint.recipe["cells"]
    for name in checkpoint.classes:
        expected = counted["train"][name] + counted["validation"][name]
        assert bank.classes.count(name) == min(32, expected)


def test_donors_of_a_plate_come_from_the_wells_trained_on_or_asked_for(plate, trained, tmp_path):
    said = run("donors", plate, "--checkpoint", trained[1], "-o", tmp_path / "a.npz")
    assert "donors of 2 wells" in said
    assert "MB on disk" in said
    bank = DonorBank.load(tmp_path / "a.npz")
    assert {origin.well for origin in bank.stacks} == {"D02", "E02"}
    run(
        *("donors", plate, "--checkpoint", trained[1], "-o", tmp_path / "b.npz"),
        *("--train-columns", "03", "--per-class", "3"),
    )
    bank = DonorBank.load(tmp_path / "b.npz")
    assert {origin.well for origin in bank.stacks} == {"D03", "E03"}
    assert len(bank.classes) == 6


def test_cells_treated_otherwise_than_their_stack_are_donors_of_their_own_class(
    plate, trained, tmp_path
):
    table = read_plate(plate)
    (tmp_path / "cells.csv").write_text("label,treatment\n1,other\n2,\n")
    table["cells"] = [str(tmp_path / "cells.csv") if w == "D02" else "" for w in table["well"]]
    bank = plate_donors(table, trained[0], DonorSettings(per_class=100))
    of_well = [s.well for s in bank.stacks]
    there = np.array([of_well[o] == "D02" for o in bank.origin])
    for label, name in zip(bank.labels[there], np.array(bank.classes)[there], strict=True):
        assert name == ("other" if label == 1 else "control")
        assert label != 2


def test_an_audit_brings_causal_columns_and_says_what_predictions_owe(
    plate, trained, bank, tmp_path
):
    row = row_of(plate, "E03")
    said = run(
        *("audit", row["image"], "--labels", row["labels"], "--checkpoint", trained[1]),
        *("--causal", "--draws", "2", "--donors", bank, "-o", tmp_path / "cells.csv"),
    )
    assert re.search("^causally, .*\n(This network tells|No verdict)", said, re.MULTILINE)
    table = read_table(tmp_path / "cells.csv")
    stack, labels = gc.read_stack(row["image"]), gc.read_labels(row["labels"])
    expected = gc.causal_attention(
        stack, labels, trained[0], DonorBank.load(bank), CausalSettings(draws=2)
    )
    assert table["label"].tolist() == expected["label"].tolist()
    whole = ~table["touches_border"]
    assert table.loc[whole, "causal_effect"].notna().all()
    for name in CAUSAL_COLUMNS:
        ours, theirs = table[name], expected[name]
        if theirs.dtype == "float64":
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5, err_msg=name)
        else:
            assert ours.astype(object).where(ours.notna(), None).tolist() == (
                theirs.astype(object).where(theirs.notna(), None).tolist()
            ), name
    recipe = table.attrs["recipe"]["causal"]
    assert recipe["bank"] == DonorBank.load(bank).hash
    assert recipe["settings"]["draws"] == 2
    assert "Shapley" in recipe["known_as"]["causal_own"]
    assert "relevance mass accuracy" in table.attrs["recipe"]["known_as"]["grad_camo"]
    assert len(recipe["medians"]) == 6


def test_an_audit_without_a_bank_says_how_to_make_one(plate, trained, tmp_path):
    row = row_of(plate, "E03")
    alone = tmp_path / "model.safetensors"
    alone.write_bytes(trained[1].read_bytes())
    done = CliRunner().invoke(
        main,
        [
            *("audit", row["image"], "--labels", row["labels"], "--checkpoint", str(alone)),
            *("--causal", "-o", str(tmp_path / "cells.csv")),
        ],
    )
    assert done.exit_code == 1
    assert "no donor bank" in done.output
    assert "gradcamo donors" in done.output
    assert not (tmp_path / "cells.csv").exists()


def test_the_bundled_network_has_a_bank_of_its_own(tmp_path):
    from gradcamo.networks.bundled import BUNDLED

    assert find_bank(None, BUNDLED, lambda: "made") == "made"
    copy = shutil.copy(BUNDLED, tmp_path / "copy.safetensors")
    assert find_bank(None, copy, lambda: "made") == "made"
    with pytest.raises(GradcamoError, match=r"model\.donors\.npz"):
        find_bank(None, tmp_path / "model.safetensors", lambda: "made")


@pytest.mark.slow
def test_the_bundled_bank_is_made_once_and_kept(tmp_path, monkeypatch):
    from gradcamo.networks.bundled import BUNDLED
    from gradcamo.networks.checkpoint import Checkpoint
    from gradcamo.samples import bundled_donors

    monkeypatch.setattr("platformdirs.user_cache_path", lambda name: tmp_path / name)
    small = Checkpoint.load(BUNDLED)
    recipe = {**small.recipe, "train_wells": ["D02", "E02"]}
    monkeypatch.setattr(small.__class__, "load", lambda path: small)
    object.__setattr__(small, "recipe", recipe)
    stages = []
    bank = bundled_donors.bundled_bank(lambda done, total: stages.append((done, total)))
    assert stages[-1] == (4, 4)
    assert set(bank.classes) == {"control", "40.00x"}
    monkeypatch.setattr(bundled_donors, "make_bundled_bank", None)
    assert bundled_donors.bundled_bank().hash == bank.hash
    (kept,) = (tmp_path / "napari-gradcamo").iterdir()
    assert kept.suffix == ".npz"


def test_cells_that_were_not_drawn_say_so():
    audited = pd.DataFrame({"label": [1, 2, 3], "touches_border": False})
    causal = pd.DataFrame({"label": [2]}).assign(**dict.fromkeys(CAUSAL_COLUMNS, np.nan))
    causal["causal_reason"] = ""
    causal["causal_draws"] = 4
    joined = with_causal(audited, causal)
    assert joined["causal_reason"].tolist() == ["it was not asked", "", "it was not asked"]
    assert joined["causal_draws"].tolist() == [0, 4, 0]


def test_the_lot_of_cells_is_the_same_each_time(plate, trained, bank):
    row = row_of(plate, "E03")
    stack, labels = gc.read_stack(row["image"]), gc.read_labels(row["labels"])
    crops = cells_of(stack, labels, trained[0], AuditSettings())
    drawn = drawn_cells(crops, 3, 0, "P_E03_1")
    assert drawn == drawn_cells(crops, 3, 0, "P_E03_1")
    assert len(drawn) == 3
    assert set(drawn) <= set(crops.table["label"][crops.scorable])
    assert drawn != drawn_cells(crops, 3, 1, "P_E03_1")
    assert drawn_cells(crops, None, 0, "P_E03_1") is None
    settings = CausalSettings(draws=1)
    asked = ask_causally(crops, trained[0], DonorBank.load(bank), settings, drawn, "P", "E03")
    assert asked.table["label"].tolist() == drawn


def test_of_the_games_of_a_stack_only_the_last_is_kept(plate, trained, bank):
    row = row_of(plate, "E03")
    stack, labels = gc.read_stack(row["image"]), gc.read_labels(row["labels"])
    crops = cells_of(stack, labels, trained[0], AuditSettings())
    only = crops.table["label"].to_numpy()[crops.scorable][:4].tolist()
    seen, alive = [], []

    def watched(batches):
        for batch in batches:
            alive.append(sum(crop() is not None for crop in seen))
            seen.extend(weakref.ref(game.cell.image) for game in batch.games)
            yield batch

    settings = CausalSettings(draws=1, batch_size=1)
    ask_causally(crops, trained[0], DonorBank.load(bank), settings, only, "P", "E03", track=watched)
    assert len(alive) == 4
    assert max(alive) <= 1


@pytest.fixture(scope="module")
def results(plate, trained, bank, tmp_path_factory):
    """A plate whose wells are asked about three cells each."""
    out = tmp_path_factory.mktemp("causal") / "results"
    settings = PlateSettings(
        causal=True, causal_cells=3, draws=2, donors=str(bank), umap_cells=0, workers=1
    )
    summary = audit_plate(plate, trained[1], out, settings)
    assert summary.exit_status == 0, str(summary)
    return out, settings, summary


def test_a_plate_asks_some_cells_of_each_well(results, trained, bank, plate):
    out, _, summary = results
    assert re.search("^causally, .*\n(This network tells|No verdict)", str(summary), re.MULTILINE)
    said = json.loads((out / "summary.json").read_text())["causal"]
    assert "\n".join(said) == summary.causal
    cells = read_table(out / "cells.parquet")
    asked = cells[cells["causal_draws"] > 0]
    assert asked.groupby("well").size().tolist() == [3, 3, 3, 3]
    assert asked.groupby(["well", "site"]).size().tolist() == [2, 1] * 4
    held_out = asked["well"].str.endswith("03")
    assert asked.loc[held_out, "causal_effect"].notna().all()
    reasons = asked.loc[~held_out, "causal_reason"]
    assert reasons.str.startswith("there is no other training well of").all()
    assert any("no other training well" in text for text in cells.attrs["recipe"]["cautions"])
    uses = read_table(out / "uses.csv").set_index("real")
    assert uses.loc["all", "cells"] == held_out.sum()
    right = asked[held_out]
    right = (right["predicted"] == right["treatment"]).groupby(right["treatment"]).mean()
    assert uses.loc["all", "balanced_accuracy"] == pytest.approx(right.mean())
    assert uses["chance"].eq(0.5).all()
    assert (cells.loc[cells["causal_draws"] == 0, "causal_reason"] == "it was not asked").all()
    # the same numbers as one stack alone gives
    one = asked[(asked["well"] == "E03") & (asked["site"] == "1")]
    row = row_of(plate, "E03")
    expected = gc.causal_attention(
        gc.read_stack(row["image"]),
        gc.read_labels(row["labels"]),
        trained[0],
        DonorBank.load(bank),
        CausalSettings(draws=2),
        one["label"].tolist(),
        row["plate"],
        "E03",
    )
    np.testing.assert_allclose(one["causal_effect"], expected["causal_effect"], atol=1e-4)
    for name in ("only_own", "only_nothing"):  # of wells that were held out alone
        assert (cells.loc[cells[name] != "", "well"].str.endswith("03")).all()
        assert (asked.loc[held_out, name] != "").all()
    recipe = cells.attrs["recipe"]
    assert recipe["causal"]["bank"] == DonorBank.load(bank).hash
    assert recipe["plate"]["causal_cells"] == 3


def test_causal_runs_go_on_where_they_ended_and_never_mix_with_others(results, plate, trained):
    out, settings, _ = results
    again = audit_plate(plate, trained[1], out, settings)
    assert (again.computed, again.stacks) == (0, 8)
    bank = bank_of(trained[1], settings)
    of = [
        open_folder(trained[0], out, changed, bank).cells("x")
        for changed in (
            settings,
            settings.model_copy(update={"draws": 3}),
            settings.model_copy(update={"causal_cells": 4}),
            settings.model_copy(update={"seed": 1}),
            settings.model_copy(update={"causal": False}),
        )
    ]
    assert len(set(of)) == 5
    held_out = settings.model_copy(update={"held_out": ("D02", "03")})
    folder = open_folder(trained[0], out, held_out, bank)
    there = {
        job.well[1]: folder.landed(job.name, job.inputs)
        for job in stack_jobs(open_plate(plate), folder)
    }
    assert there == {"D02": False, "E02": True, "D03": True, "E03": True}  # asked anew where other


def test_a_dry_run_counts_the_cells_and_passes(plate, trained, bank, tmp_path):
    settings = PlateSettings(causal=True, causal_cells=3, donors=str(bank), workers=1)
    plan = plan_plate(plate, trained[1], tmp_path / "none", settings)
    assert "about 12 whole cells are asked causally, 65 passes each" in str(plan)
    without = plan_plate(plate, trained[1], tmp_path / "none", PlateSettings(workers=1))
    assert plan.seconds["stacks"] > 2 * without.seconds["stacks"]
    assert [passes(1), passes(4)] == [15, 65]
    assert not (tmp_path / "none").exists()


def test_what_no_cell_can_be_asked_is_refused_before_any_is_scored(
    plate, trained, bank, tmp_path, monkeypatch
):
    settings = PlateSettings(causal=True, donors=str(bank), reference="nope", workers=1)
    plan = plan_plate(plate, trained[1], tmp_path / "none", settings)
    assert plan.exit_status == 1
    assert len(plan.failing) == plan.stacks
    assert "not 'nope'" in plan.failing[0]
    with pytest.raises(GradcamoError, match=r"no stack of the plate fits .*not 'nope'"):
        audit_plate(plate, trained[1], tmp_path / "none", settings)

    def never(*_):
        raise AssertionError("a cell was scored")

    monkeypatch.setattr("gradcamo.auditing.stack.audit_crops", never)
    row = row_of(plate, "E03")
    how = ("--labels", row["labels"], "--checkpoint", trained[1], "--donors", bank, "--causal")
    audit = ("audit", row["image"], *how, "--reference", "nope", "-o", tmp_path / "cells.csv")
    found = CliRunner().invoke(main, list(map(str, audit)))
    assert found.exit_code == 1
    assert "not 'nope'" in found.output


def test_a_wells_cells_are_dealt_to_its_stacks(plate, trained, tmp_path):
    settings = PlateSettings(causal=True, causal_cells=0)
    folder = open_folder(trained[0], tmp_path, settings)
    assert {job.causal_cells for job in stack_jobs(open_plate(plate), folder)} == {None}
    settings = PlateSettings(causal=True, causal_cells=1)
    folder = open_folder(trained[0], tmp_path, settings)
    jobs = stack_jobs(open_plate(plate), folder)
    assert [job.causal_cells for job in jobs] == [1, 0] * 4
    assert jobs[0].well == ("built-in-0", "D02")


def test_a_network_in_memory_needs_its_bank_named(trained):
    with pytest.raises(GradcamoError, match="--donors"):
        bank_of(trained[0], PlateSettings(causal=True))


REMEDY = (
    "Donors from more wells and images help: make a bank of a plate that has them (gradcamo "
    "donors), and name it (--donors)"
)


def test_what_causal_columns_do_not_say_is_said():
    table = pd.DataFrame(
        {
            "touches_border": [False] * 4 + [True],
            "causal_effect": [1.0, 1.0, 1.0, np.nan, np.nan],
            "causal_unfilled_own": [0.06, 0.0, 0.0, np.nan, np.nan],
            "causal_against": [0.3, 0.3, 0.0, np.nan, np.nan],
            "causal_swap": [0.1, 0.1, 0.1, np.nan, np.nan],
            "causal_limits": [0.1, 0.1, 0.26, np.nan, np.nan],
            "causal_draws": [4, 4, 4, 4, 0],
            "causal_reason": ["", "", "", "there is no other training well of x", ""],
        }
    )
    assert causal_cautions(table) == [
        "in 1 of 3 cells asked causally no donor covered some of the cell in its place "
        "(causal_unfilled_own > 0.05)",
        "in 2 of 3 cells asked causally there is evidence against the class explained, too "
        "(causal_against > 0.2)",
        "in 1 of 3 cells asked causally a region is read through the brightness of all others, "
        "to which crops are rescaled (causal_limits > 0.25)",
        "1 cell could not be asked causally: there is no other training well of x. " + REMEDY,
    ]
    limits = CautionSettings(unfilled=0.06, against=0.3, through_limits=0.26)
    assert len(causal_cautions(table, limits)) == 1
    assert len(causal_cautions(table, limits.model_copy(update={"swap": 0.09}))) == 2
    assert len(causal_cautions(table, CautionSettings(asked=0.7))) == 1
    assert causal_cautions(table.drop(columns="causal_effect")) == []
    preview = causal_cautions(table.assign(causal_draws=1))
    assert "preview" in preview[-1]


def test_why_cells_were_not_asked_is_said_in_one_line():
    few = "too few donors of {} are left: {} from 1 image where 3 from 2 are needed"
    cells = pd.DataFrame({"causal_effect": np.nan, "causal_draws": 4, "touches_border": False},
                         index=range(4))  # fmt: skip

    def said(*reasons):
        (line,) = causal_cautions(cells.assign(
            **dict.fromkeys(("causal_unfilled_own", "causal_against", "causal_swap"), np.nan),
            causal_limits=np.nan, causal_reason=list(reasons)))  # fmt: skip
        return line

    one, other, third = few.format("a", 9), few.format("a", 8), few.format("b", 9)
    assert said(one, one, one, one) == f"4 cells could not be asked causally: {one}. {REMEDY}"
    assert said(one, other, one, "it was not asked") == (
        f"3 cells could not be asked causally: too few donors of a are left. {REMEDY}"
    )
    assert said(one, third, other, "") == (
        "3 cells could not be asked causally: too few donors of a are left (2); "
        f"too few donors of b are left (1). {REMEDY}"
    )
    none = "its crop holds none of it"  # which no donor mends
    assert said(none, none, none, none) == f"4 cells could not be asked causally: {none}"


def test_another_exposure_than_the_donors_is_said():
    about = {"control": "DMSO", "bank_plates": ["A"], "bank_medians": [100.0, 50.0]}
    about["channels"] = ["DNA", "actin"]
    stacks = [
        ({"plate": "A", "treatment": "DMSO"}, about | {"medians": [200.0, 50.0]}),
        ({"plate": "B", "treatment": "drug"}, about | {"medians": [200.0, 50.0]}),
        ({"plate": "C", "treatment": "DMSO"}, about | {"medians": [105.0, 54.0]}),
        ({"plate": "D", "treatment": "DMSO"}, about | {"medians": [100.0, 44.0]}),
        ({"plate": "E", "treatment": "DMSO"}, {}),
        ({"plate": "E", "treatment": ""}, {}),
    ]
    (said,) = exposure_cautions(stacks)
    assert said.startswith("controls of plate D differ from the donors' by -12% in the median")
    assert "of actin" in said
    assert exposure_cautions(stacks, CautionSettings(exposure=0.13)) == []
    dark = about | {"bank_medians": [0.0, -50.0]}  # background was taken away
    for medians, words in (
        ([0.0, -50.0], None),
        ([3.0, -50.0], r"by \+3, from 0, .* of DNA"),
        ([0.0, -40.0], r"by \+20% .* of actin"),
    ):
        said = exposure_cautions(
            [({"plate": "F", "treatment": "DMSO"}, dark | {"medians": medians})]
        )
        assert len(said) == (words is not None)
        assert words is None or re.search(words, said[0])
    without = {"control": "", "bank_medians": None, "medians": [200.0, 50.0]}
    assert exposure_cautions([({"plate": "E", "treatment": ""}, about | without)]) == []


def test_an_empty_field_takes_nothing_from_what_others_were_asked(tmp_path):
    columns = ("label", "touches_border", "grad_camo")
    tables = {"A01": [], "A02": [(1, False, 0.5)]}
    rows = pd.DataFrame(
        {"image": [f"{well}.tif" for well in tables], "plate": "E", "well": [*tables], "site": "1"}
    ).assign(treatment="")
    folder = PlateFolder(tmp_path, "0" * 64, PlateSettings(causal=True))
    asked = {"control": "", "bank": "b", "bank_plates": ["A"], "medians": [9.0], "cautions": []}
    for well, cells in tables.items():
        recipe = {"checkpoint": "c"} | ({"causal": asked} if cells else {})
        profiles = np.zeros((len(cells), 2), np.float32)
        table = pd.DataFrame(cells, columns=columns)
        write_table(table, folder.cells(f"E_{well}_1"), recipe, profiles)
    _, _, recipe = gather_stacks(rows, folder, ["E_A01_1", "E_A02_1"])
    assert recipe["causal"] == {k: v for k, v in asked.items() if k != "medians"}
