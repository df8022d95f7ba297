"""A folder of results belongs to one plate: another one never replaces it in silence."""

import os
import shutil
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner
from older import OLD

import gradcamo as gc
from gradcamo.cli.commands import main
from gradcamo.errors import GradcamoError
from gradcamo.plate.belonging import refuse_another_plate
from gradcamo.plate.plan import plan_plate
from gradcamo.plate.run import audit_plate

HELD = r"holds the results of another plate, 8 stacks such as .*D02_s1\S*\.tif; this one"


@pytest.fixture
def rows(eight_stacks) -> pd.DataFrame:
    return gc.read_plate(eight_stacks)


@pytest.fixture
def out(finished, tmp_path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "out"))


@pytest.fixture
def others(rows, tmp_path) -> pd.DataFrame:
    """The same wells and sites, as large to the byte, and other images."""
    (tmp_path / "others").mkdir()
    images = [tmp_path / "others" / Path(image).name for image in rows["image"]]
    for image, other in zip(rows["image"], images, strict=True):
        content = bytearray(Path(image).read_bytes())
        content[len(content) // 2] ^= 1
        other.write_bytes(content)
    return rows.assign(image=list(map(str, images)))


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("named", ["as the first", "otherwise"])
def test_another_plate_is_refused_before_any_work_and_nothing_changes(
    named, others, tiny_model, out, tmp_path
):
    if named == "otherwise":
        others = others.assign(plate="another")
    before = contents(out)
    for run in (plan_plate, audit_plate):
        with pytest.raises(GradcamoError, match=HELD):
            run(others, tiny_model, out)
    others.to_csv(tmp_path / "others.csv", index=False)
    command = ["plate", tmp_path / "others.csv", "--checkpoint", tiny_model, "-o", out]
    for flags in ([], ["--dry-run"]):
        said = CliRunner().invoke(main, [*map(str, command), *flags])
        assert said.exit_code == 1
        assert "choose another folder (-o)" in said.output
    assert contents(out) == before
    for gone in ("cells.parquet", "cells"):  # killed before its tables; its stacks removed since
        half = Path(shutil.copytree(out, tmp_path / f"without {gone}"))
        shutil.rmtree(half / gone) if (half / gone).is_dir() else (half / gone).unlink()
        with pytest.raises(GradcamoError, match=HELD):
            refuse_another_plate(others, half)


def test_a_folder_without_results_is_anybodys(others, out, tmp_path):
    refuse_another_plate(others, tmp_path / "new")
    shutil.rmtree(out / "cells")
    (out / "cells.parquet").unlink()
    refuse_another_plate(others, out)


def test_the_same_plate_goes_on(rows, others, out, tmp_path):
    added = others.iloc[:2].assign(plate="added")
    refuse_another_plate(pd.concat([added, rows], ignore_index=True), out)  # with stacks added
    refuse_another_plate(rows.iloc[5:6], out)  # fewer of them
    refuse_another_plate(rows.assign(plate="corrected", treatment="control"), out)
    (tmp_path / "link").symlink_to(Path(rows["image"][0]).parent)
    linked = [str(tmp_path / "link" / Path(image).name) for image in rows["image"]]
    refuse_another_plate(rows.assign(image=linked, plate="linked"), out)
    (tmp_path / "copy").mkdir()
    copied = [shutil.copy(image, tmp_path / "copy") for image in rows["image"]]  # with new times
    refuse_another_plate(rows.assign(image=copied), out)


def test_images_that_are_too_large_to_be_read_are_known_by_their_time(
    rows, out, tmp_path, monkeypatch
):
    monkeypatch.setattr("gradcamo.plate.belonging.content_hash", lambda path: "")
    (tmp_path / "copy").mkdir()
    copied = [shutil.copy2(image, tmp_path / "copy") for image in rows["image"]]
    refuse_another_plate(rows.assign(image=copied), out)
    for image in copied:
        os.utime(image, (1, 1))
    with pytest.raises(GradcamoError, match=HELD):
        refuse_another_plate(rows.assign(image=copied), out)


def test_images_that_changed_where_they_lie_are_of_the_same_plate(
    others, tiny_model, out, finished, tmp_path
):
    """Be the folder where it was, or moved along with them."""
    from gradcamo.files.store import read_profiles, write_table

    for path in (out / "cells").rglob("*.parquet"):  # as if they had been audited there
        kept = read_profiles(path)
        image = kept.recipe["inputs"]["image"]
        image[0] = f"/elsewhere/others/{Path(image[0]).name}"
        image[4] = f"../others/{Path(image[0]).name}"
        write_table(kept.table, path, kept.recipe, kept.values)
    (out / "cells.parquet").unlink()
    refuse_another_plate(others, out)
    deeper = tmp_path / "deeper" / "still"
    shutil.copytree(out, deeper)
    with pytest.raises(GradcamoError, match="another plate"):
        refuse_another_plate(others, deeper)


def test_a_plate_as_large_is_told_apart_by_few_of_its_images(others, out, monkeypatch):
    read = []
    monkeypatch.setattr("gradcamo.plate.belonging.content_hash", lambda path: read.append(path))
    with pytest.raises(GradcamoError, match=HELD):
        refuse_another_plate(others, out)
    assert len(read) == 4


def test_a_path_that_counts_from_where_python_works_is_no_proof(others, out, tmp_path, monkeypatch):
    from gradcamo.files.store import read_profiles, write_table

    for path in (out / "cells").rglob("*.parquet"):  # as if audited there, by such paths
        kept = read_profiles(path)
        kept.recipe["inputs"]["image"][0] = Path(kept.recipe["inputs"]["image"][0]).name
        write_table(kept.table, path, kept.recipe, kept.values)
    (out / "cells.parquet").unlink()
    monkeypatch.chdir(tmp_path / "others")
    with pytest.raises(GradcamoError, match="another plate"):
        refuse_another_plate(others.assign(image=others["image"].map(os.path.basename)), out)


def test_results_of_earlier_versions_are_kept_too(rows, tmp_path):
    out = Path(shutil.copytree(OLD / "results", tmp_path / "out"))
    for _ in range(2):
        with pytest.raises(GradcamoError, match=r"1 stack such as /data/field/field\.ome\.tif;"):
            refuse_another_plate(rows, out)
        shutil.rmtree(out / "cells", ignore_errors=True)
