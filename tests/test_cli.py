"""The command line says what it takes, does what the library does, and fails in one line."""

import os
import re
import shutil
import subprocess
import sys

import click
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

import gradcamo as gc
from gradcamo import settings
from gradcamo.cli.commands import main
from gradcamo.cli.options import build
from gradcamo.files.labels import read_labels
from gradcamo.files.stacks import read_stack
from gradcamo.files.store import read_profiles, read_table
from gradcamo.samples.design import PlateDesign
from gradcamo.samples.plate import make_plate

HEAVY = {"torch", "pandas", "napari", "cellpose", "lightning", "monai", "scipy", "qtpy"}


def run(*args):
    return CliRunner().invoke(main, [str(a) for a in args])


@pytest.fixture(scope="module")
def plate(tmp_path_factory):
    design = PlateDesign(field_px=128, cells_per_field=8, rows=("D", "E"), columns=("02",), sites=1)
    return make_plate(tmp_path_factory.mktemp("plate"), design)


@pytest.mark.parametrize("code", ["import gradcamo", "from gradcamo.cli.commands import main"])
def test_nothing_heavy_is_imported_before_it_is_needed(code):
    loaded = subprocess.run(
        [sys.executable, "-c", f"import sys; {code}; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert not HEAVY & set(loaded)


@pytest.mark.parametrize(
    ("command", "model"),
    [
        ("segment", settings.SegmentSettings),
        ("train", settings.TrainSettings),
        ("audit", settings.AuditSettings),
    ],
)
def test_every_setting_is_a_flag_with_the_settings_own_help(command, model):
    shown = " ".join(run(command, "--help").output.split())
    for name, field in model.model_fields.items():
        parts = settings.CropSettings.model_fields if name == "crop" else {"": field}
        for part, inner in parts.items():
            flag = f"--{name}-{part}" if part else f"--{name}"
            assert flag.replace("_", "-") in shown
            assert inner.description.split()[0] in shown


@pytest.mark.parametrize("width", ["80", "100"])
def test_help_says_all_that_it_has_to_say(width, monkeypatch):
    monkeypatch.setenv("COLUMNS", width)
    for command in ([], *([name] for name in main.commands)):
        shown = run(*command, "--help").output
        assert "..." not in re.sub(r"(INTEGER|FLOAT|ARGS\])\.\.\.", "", shown), command
        assert "[default: ]" not in " ".join(shown.split()), command
        assert max(map(len, shown.splitlines())) <= 80
    listed = " ".join(run("--help").output.partition("Commands:")[2].split())
    for command in main.commands.values():
        assert " ".join(command.help.partition("\n\n")[0].split()) in listed


def test_flags_left_out_leave_the_default():
    assert build(settings.TrainSettings, {"width": None}) == settings.TrainSettings()


def test_a_flag_of_a_nested_setting_reaches_it():
    built = build(settings.TrainSettings, {"crop_size_yx": (64, 48), "epochs": 3})
    assert built.crop.size_yx == (64, 48)
    assert built.epochs == 3


@pytest.mark.parametrize(
    ("model", "value", "problem"),
    [
        (
            "AuditSettings",
            {"cutoff": 3},
            r"^--cutoff should be a number, at least 0 and at most 1, got 3: .*0\.25$",
        ),
        ("PlateSettings", {"audit_cutoff": 3}, r"^--audit-cutoff should be .* at most 1, got 3"),
        ("TrainSettings", {"crop_size_yx": (0, 64)}, r"--crop-size-yx: each .* 1 to 65,536, got"),
        ("TrainSettings", {"input_size": (64, -1, 64)}, r"--input-size: each .* from 1 to 65,536"),
        ("TrainSettings", {"brightness_range": (2.0, 1.0)}, r"--brightness-range: .* smaller"),
        ("TrainSettings", {"gamma_range": (1.5, 0.5)}, r"--gamma-range: .* smaller"),
        ("TrainSettings", {"gamma_range": (0.0, 1.5)}, r"--gamma-range: .* greater than 0"),
        ("TrainSettings", {"gamma_range": (0.5, float("nan"))}, r"--gamma-range: .* finite"),
        (
            "ImportSettings",
            {"spacing_um": (0.6, 0, 0.3)},
            r"--spacing-um should be 3 values, .*got 0",
        ),
    ],
)
def test_a_value_out_of_bounds_names_the_flag_and_the_bound(model, value, problem):
    with pytest.raises(gc.GradcamoError, match=problem):
        build(getattr(settings, model), value)


@pytest.mark.parametrize(
    ("model", "given", "said"),
    [
        (
            "AuditSettings",
            {"cutoff": 2, "batch_size": "many"},
            "cutoff should be a number, at least 0 and at most 1, got 2: correct it, or leave it "
            "out for 0.25; batch_size should be a whole number, at least 1 and at most 4,096, got "
            "'many': correct it, or leave it out",
        ),
        (
            "AuditSettings",
            {"alignment": "papr"},
            "alignment should be 'paper' or 'receptive-field', got 'papr': correct it, or leave it "
            "out for 'paper'",
        ),
        (
            "TrainSettings",
            {"crop": {"planes": 0}},
            "crop.planes should be a whole number, at least 1 and at most 100,000, got 0: correct "
            "it, or leave it out",
        ),
        (
            "AuditSettings",
            {"cutof": 0.3},
            "cutof is no setting of AuditSettings: did you mean cutoff?",
        ),
    ],
)
def test_python_and_recipes_are_told_which_setting_is_wrong(model, given, said):
    with pytest.raises(gc.GradcamoError) as error:
        getattr(settings, model)(**given)
    assert str(error.value) == said
    if "cutof" not in given:  # what another version knew is left out
        with pytest.raises(gc.GradcamoError, match=r"^a recipe cannot be followed") as error:
            getattr(settings, model).recorded({"settings": given})
        assert str(error.value).endswith(said)


def test_audit_writes_the_table_of_the_library(plate, tmp_path):
    row = pd.read_csv(plate).iloc[0]
    image, labels = plate.parent / row["image"], plate.parent / row["labels"]
    out = tmp_path / "cells.csv"
    result = run(
        "audit", image, "--labels", labels, "--checkpoint", "bundled", "-o", out,
        "--maps", tmp_path / "maps", "--batch-size", 3,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    from gradcamo.networks.bundled import BUNDLED

    checkpoint = gc.Checkpoint.load(BUNDLED)
    expected = gc.audit(read_stack(image), read_labels(labels), checkpoint)
    written = pd.read_csv(out)
    assert written["label"].tolist() == expected["label"].tolist()
    np.testing.assert_allclose(written["grad_camo"], expected["grad_camo"], rtol=1e-4)
    scored = expected.loc[~expected["touches_border"], "label"]
    assert {int(p.name.split(".")[0]) for p in (tmp_path / "maps").iterdir()} == set(scored)


def test_cautions_are_printed_once_and_logged_and_errors_too(plate, tmp_path):
    row = pd.read_csv(plate).iloc[0]
    image, labels = plate.parent / row["image"], plate.parent / row["labels"]
    out, log = tmp_path / "cells.csv", tmp_path / "log.txt"
    given = ("audit", image, "--checkpoint", "bundled", "-o", out, "--log", log, "--labels")
    result = run(*given, labels, "--cutoff", 0.97, "--spacing", "1.2,0.7,0.7")
    assert result.exit_code == 0, result.output
    cautions = read_table(out).attrs["recipe"]["cautions"]
    assert any("voxels are" in caution for caution in cautions)  # said before the work, too
    assert any("the cut-off of 0.97 lies above the best" in caution for caution in cautions)
    for caution in cautions:
        assert result.output.count(caution) == 1
        assert f"WARNING gradcamo.auditing [{os.getpid()}] {caution}" in log.read_text()
    result = run(*given, tmp_path / "nowhere.tif")
    assert result.exit_code == 1
    said = log.read_text()
    assert "ERROR   gradcamo.cli" in said
    assert "nowhere.tif" in said
    assert "Traceback" in said
    assert "cut-off of 0.97" in said  # of the first run


def test_an_error_that_nobody_foresaw_ends_in_one_line_and_is_in_the_log(tmp_path, monkeypatch):
    monkeypatch.setattr("platformdirs.user_log_path", lambda _: tmp_path / "kept")
    group = type(main)("gradcamo")
    fail = click.Command("fail", params=[click.Argument(["image"])], callback=lambda image: 1 / 0)
    group.add_command(fail)
    ended = CliRunner().invoke(group, ["fail", "a.tif", "--log", str(tmp_path / "log.txt")])
    assert ended.exit_code == 1
    assert "Traceback" not in ended.output
    (line,) = ended.output.splitlines()
    assert line.startswith("Error: gradcamo fail a.tif")
    assert "not foreseen (ZeroDivisionError: division by zero); please report it" in line
    for log in (tmp_path / "log.txt", tmp_path / "kept" / "errors.log"):
        said = log.read_text()
        assert "ERROR   gradcamo" in said
        assert "Traceback" in said
        assert "ZeroDivisionError" in said


def test_every_command_keeps_a_log(tmp_path):
    for command in main.commands.values():
        assert "--log" in {name for option in command.params for name in option.opts}
    result = run("layers", "bundled", "--log", tmp_path / "log.txt")
    assert result.exit_code == 0
    assert "napari-gradcamo" in (tmp_path / "log.txt").read_text()
    assert "caution: fewer than 6 voxels along y or x" in result.output
    refused = run("layers", "bundled", "--log", tmp_path / "log.txt" / "below")
    assert refused.exit_code == 1
    assert "cannot be written" in refused.output


def test_anndata_of_an_audit_holds_profiles_however_its_ending_is_written(plate, tmp_path):
    row = pd.read_csv(plate).iloc[0]
    image, labels = plate.parent / row["image"], plate.parent / row["labels"]
    out = tmp_path / "CELLS.H5AD"
    result = run("audit", image, "--labels", labels, "--checkpoint", "bundled", "-o", out)
    assert result.exit_code == 0, result.output
    profiles = read_profiles(out)
    whole = ~profiles.table["touches_border"].to_numpy(bool)
    assert np.isfinite(profiles.values[whole]).all()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"image": "nowhere.ome.tif"}, "nowhere.ome.tif"),
        ({"labels": "nowhere.ome.tif"}, "nowhere.ome.tif"),
        ({"checkpoint": "nowhere.safetensors"}, "gradcamo train"),
        ({"out": "cells.xlsx"}, ".parquet"),
        ({"layer": "block_99"}, "block_15"),
        ({"target": "aspirin"}, "control"),
        ({"channels": "Hoechst,WGA"}, "6 channels"),
    ],
)
def test_what_cannot_be_audited_is_said_in_one_line_and_nothing_is_written(
    plate, tmp_path, change, says
):
    row = pd.read_csv(plate).iloc[0]
    given = {
        "image": plate.parent / row["image"],
        "labels": plate.parent / row["labels"],
        "checkpoint": "bundled",
        "out": tmp_path / "cells.csv",
    } | change
    if change.get("out"):
        given["out"] = tmp_path / change["out"]
    image = given.pop("image")
    result = run("audit", image, *[part for k, v in given.items() for part in (f"--{k}", v)])
    assert result.exit_code == 1
    assert says in result.output
    assert "Traceback" not in result.output
    assert not list(tmp_path.iterdir())


def test_no_command_writes_over_what_it_reads(plate, tmp_path):
    row = pd.read_csv(plate).iloc[0]
    kept = {}
    for name in ("image", "labels"):
        kept[name] = tmp_path / f"{name}.tif"
        shutil.copy(plate.parent / row[name], kept[name])
    image, labels = kept.values()
    table, weights = tmp_path / "cells.csv", tmp_path / "weights.safetensors"
    table.write_text("label,grad_camo\n1,0.5\n")
    weights.write_bytes(b"weights")
    before = {path: path.read_bytes() for path in (image, labels, table, weights)}
    audit = ("audit", image, "--labels", labels, "--checkpoint")
    for command in (
        ("segment", image, "-o", image),
        ("segment", image, "-o", tmp_path / ".." / tmp_path.name / image.name),
        ("import", weights, "-o", weights),
        ("report", table, "-o", table),
        (*audit, "bundled", "-o", labels),
        (*audit, weights, "-o", weights),
        ("train", table, "-o", table),
    ):
        result = run(*command)
        assert result.exit_code == 1, command
        assert "would be overwritten" in result.output or "should end in" in result.output
        assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize(
    "command",
    [
        ("segment", "{image}", "-o", "{file}/labels.tif"),
        ("audit", "{image}", "--labels", "x", "--checkpoint", "x", "-o", "{file}/x.csv"),
        ("audit", "{image}", "--labels", "x", "--checkpoint", "x", "-o", "{long}"),
        ("audit", "{image}", "--labels", "x", "--checkpoint", "x", "-o", "x.csv", "--maps",
         "{file}/maps"),
        ("import", "{image}", "-o", "{file}/model.safetensors"),
        ("report", "{image}", "-o", "{file}/page.html"),
        ("plate", "{image}", "--checkpoint", "x", "-o", "{file}/out"),
        ("layers", "bundled", "--audit", "{image}", "--out", "{file}/out"),
    ],
)  # fmt: skip
def test_where_nothing_can_be_written_no_input_is_read(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    places = {"image": "nowhere.tif", "file": tmp_path / "file", "long": f"{'x' * 250}.csv"}
    result = run(*(part.format(**places) for part in command))
    assert result.exit_code == 1
    assert "cannot be written (" in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_layers_lists_where_each_layer_looks():
    result = run("layers", "bundled")
    assert result.exit_code == 0, result.output
    (row,) = [line for line in result.output.splitlines() if line.startswith("block_4 ")]
    assert "16 16 16" in row
    assert "15 15 15" in row


def number_settings():
    """Every setting that holds one number, with its model."""
    from pydantic import BaseModel

    waiting = list(BaseModel.__subclasses__())
    while waiting:
        model = waiting.pop()
        waiting += model.__subclasses__()
        if not model.__module__.startswith("gradcamo.settings"):
            continue
        for name, field in model.model_fields.items():
            if str(field.annotation).replace(" | None", "") in (
                "<class 'int'>",
                "int",
                "float",
                "<class 'float'>",
            ):
                yield model, name, field


def test_every_number_has_a_least_and_a_largest_value():
    fields = list(number_settings())
    assert len(fields) > 50
    for model, name, field in fields:
        bounds = {
            key
            for bound in field.metadata
            for key in ("ge", "gt", "le", "lt")
            if hasattr(bound, key)
        }
        assert bounds & {"ge", "gt"}, f"{model.__name__}.{name} has no least value"
        assert bounds & {"le", "lt"}, f"{model.__name__}.{name} has no largest value"
