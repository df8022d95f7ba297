import errno
import json
import subprocess
import sys

import anndata
import numpy as np
import pandas as pd
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings, strategies as st

from gradcamo.errors import GradcamoError
from gradcamo.files.beside_csv import recipe_path
from gradcamo.files.heatmaps import write_maps
from gradcamo.files.landing import landing
from gradcamo.files.store import read_profiles, read_table, write_table

SUFFIXES = [".csv", ".parquet", ".h5ad"]
RECIPE = {"checkpoint": "ab12", "layer": "block_10", "seed": 3, "cutoff": 0.25, "ε": None}


def cells() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "image": ["a.tif", "a.tif", "b, c.tif"],
            "label": np.array([1, 7, 2**40], np.int64),
            "well": ["02", "D02", "1e3"],
            "treatment": ["0.06×", "NA", 'a "b"\nc'],
            "grad_camo": [0.1 + 0.2, np.nan, 1e-300],
            "chance": np.array([0.1, np.nan, np.inf], np.float32),
            "touches_border": [True, False, True],
            "flagged": pd.array([True, pd.NA, False], dtype="boolean"),
            "dose µM/day": [1.0, 2.5, 0.0],
            "note": ["", "None", "true"],
        }
    )


def same(read: pd.DataFrame, written: pd.DataFrame) -> None:
    assert list(read.columns) == list(written.columns)
    for name in written:
        assert len(read) == len(written)
        for got, expected in zip(read[name], written[name], strict=True):
            if pd.isna(expected):
                assert pd.isna(got), name
            else:
                assert got == expected, name
                assert isinstance(got, str) == isinstance(expected, str), name


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_table_and_its_recipe_come_back_as_they_went_in(tmp_path, suffix):
    path = tmp_path / f"cells{suffix}"
    write_table(cells(), path, RECIPE)
    read = read_table(path)
    same(read, cells())
    assert read.attrs["recipe"] == RECIPE
    for name in ("label", "grad_camo", "chance", "touches_border", "flagged"):
        assert read[name].dtype == cells()[name].dtype


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=6)
ROWS = st.lists(
    st.tuples(
        TEXT | st.sampled_from(["02", "1e5", "NaN", "True", "inf", "null", " x ", "a\nb"]),
        st.floats(allow_nan=True),
        st.booleans(),
        st.integers(-(2**63), 2**63 - 1),
        st.none() | st.booleans(),
    ),
    min_size=1,
    max_size=5,
)


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(rows=ROWS)
def test_no_value_changes_on_its_way_through_a_file(tmp_path_factory, suffix, rows):
    columns = ["condition", "score", "partial", "label", "kept"]
    table = pd.DataFrame(rows, columns=columns).astype({"kept": "boolean"})
    path = tmp_path_factory.mktemp("t") / f"t{suffix}"
    write_table(table, path)
    same(read_table(path), table)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_profiles_travel_with_the_table_without_becoming_columns_of_it(tmp_path, suffix):
    path, profiles = tmp_path / f"p{suffix}", np.random.default_rng(0).normal(size=(3, 5))
    profiles[1] = np.nan
    write_table(cells(), path, RECIPE, profiles=profiles)
    same(read_table(path), cells())
    back = read_profiles(path)
    np.testing.assert_array_equal(back.values, profiles.astype(np.float32))
    assert back.recipe == RECIPE


def test_an_anndata_file_opens_in_anndata_with_profiles_table_and_recipe(tmp_path):
    profiles = pd.DataFrame(np.eye(3), columns=["f1", "f2", "f3"])
    write_table(cells(), tmp_path / "c.h5ad", RECIPE, profiles=profiles)
    data = anndata.read_h5ad(tmp_path / "c.h5ad")
    assert data.X.dtype == np.float32
    assert list(data.var_names) == ["f1", "f2", "f3"]
    assert list(data.obs["well"]) == ["02", "D02", "1e3"]
    assert json.loads(data.uns["recipe"]) == RECIPE


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_empty_table_keeps_its_columns(tmp_path, suffix):
    write_table(cells().iloc[:0], tmp_path / f"none{suffix}", RECIPE)
    read = read_table(tmp_path / f"none{suffix}")
    assert len(read) == 0
    assert list(read.columns) == list(cells().columns)


def test_a_table_carries_its_recipe_on_when_it_is_written_again(tmp_path):
    write_table(cells(), tmp_path / "a.csv", RECIPE)
    write_table(read_table(tmp_path / "a.csv"), tmp_path / "b.parquet")
    assert read_table(tmp_path / "b.parquet").attrs["recipe"] == RECIPE


def test_a_csv_made_elsewhere_keeps_wells_as_text(tmp_path):
    (tmp_path / "x.csv").write_text("image,label,well,score\na.tif,3,02,0.5\na.tif,4,03,\n")
    read = read_table(tmp_path / "x.csv")
    assert list(read["well"]) == ["02", "03"]
    assert read["score"].isna().tolist() == [False, True]


def test_a_csv_edited_by_hand_is_still_read(tmp_path):
    path = tmp_path / "x.csv"
    write_table(pd.DataFrame({"label": [1, 2], "well": ["02", "03"]}), path, RECIPE)
    path.write_text(path.read_text().replace("2,03", ",03"))
    assert list(read_table(path)["well"]) == ["02", "03"]


def test_an_unknown_ending_is_refused_with_the_three_that_work(tmp_path):
    with pytest.raises(GradcamoError, match=r"\.csv, \.parquet or \.h5ad"):
        write_table(cells(), tmp_path / "cells.xlsx", RECIPE)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_damaged_and_missing_tables_are_refused_by_name(tmp_path, suffix):
    with pytest.raises(GradcamoError, match="no table"):
        read_table(tmp_path / f"gone{suffix}")
    (tmp_path / f"bad{suffix}").write_bytes(b'"\x00\xff broken')
    with pytest.raises(GradcamoError, match="bad"):
        read_table(tmp_path / f"bad{suffix}")


def test_columns_that_no_file_can_hold_are_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(GradcamoError, match="'crop'"):
        write_table(pd.DataFrame({"crop": [(1, 2)]}), tmp_path / "t.csv", {})
    with pytest.raises(GradcamoError, match="twice"):
        write_table(pd.DataFrame([[1, 2]], columns=["a", "a"]), tmp_path / "t.csv", {})
    with pytest.raises(GradcamoError, match="one row per cell"):
        write_table(cells(), tmp_path / "t.csv", {}, profiles=np.zeros((2, 4)))
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_earlier_result_and_no_scratch_file(tmp_path):
    path = tmp_path / "cells.csv"
    write_table(cells(), path, RECIPE)
    before = path.read_bytes()
    with pytest.raises(ZeroDivisionError), landing(path) as scratch:
        scratch.write_text("half") / 0
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cells.csv", "cells.recipe.json"]


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are POSIX")
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_full_disk_is_an_error_that_names_the_file_and_leaves_nothing(tmp_path, suffix):
    script = f"""
import resource, signal, sys
import numpy as np, pandas as pd, anndata, h5py, pyarrow.parquet
from gradcamo.errors import GradcamoError
from gradcamo.files.store import write_table
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
table = pd.DataFrame({{"score": np.random.default_rng(0).random(50_000)}})
try:
    write_table(table, {str(tmp_path / f"big{suffix}")!r}, {{}})
except GradcamoError as error:
    print(error)
    sys.exit(7)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 7, done.stderr
    assert f"big{suffix}" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_landing_on_a_folder_is_refused(tmp_path):
    (tmp_path / "here").mkdir()
    with pytest.raises(GradcamoError, match="here"), landing(tmp_path / "here") as scratch:
        scratch.write_text("x")
    assert [p.name for p in tmp_path.iterdir()] == ["here"]


@pytest.mark.parametrize(
    ("name", "why"), [("file/x", "file is a file"), ("x" * 250, "File name too long")]
)
def test_landing_where_no_file_can_be_is_refused_with_the_reason(tmp_path, name, why):
    (tmp_path / "file").touch()
    problem = f"{name} could not be written .*{why}"
    with pytest.raises(GradcamoError, match=problem), landing(tmp_path / name) as path:
        path.write_text("x")


def test_other_system_errors_inside_a_landing_keep_their_reason(tmp_path):
    with pytest.raises(GradcamoError, match="No space left"), landing(tmp_path / "x"):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_heatmaps_say_where_in_the_stack_they_lie(tmp_path):
    maps = np.random.default_rng(1).random((2, 4, 8, 6)).astype(np.float32)
    starts = [(0, -3, 20), (0, 5, 5)]
    about = {"image": "a.tif", "layer": "block_10"}
    paths = write_maps(tmp_path / "maps", [3, 70000], maps, starts, (0.6, 0.35, 0.35), about)
    assert [path.name for path in paths] == ["3.ome.tif", "70000.ome.tif"]
    with tifffile.TiffFile(paths[0]) as tif:
        np.testing.assert_array_equal(tif.asarray(), maps[0])
        assert tif.series[0].axes == "ZYX"
        pixels = tifffile.xml2dict(tif.ome_metadata)["OME"]["Image"]
    assert pixels["Pixels"]["PhysicalSizeZ"] == 0.6
    assert pixels["Pixels"]["PhysicalSizeXUnit"] == "µm"
    said = json.loads(pixels["Description"])
    assert said == {"label": 3, "start_zyx": [0, -3, 20], **about}


def test_the_recipe_of_a_csv_never_outlives_the_table_it_belongs_to(tmp_path):
    path = tmp_path / "cells.csv"
    write_table(cells(), path, RECIPE)
    write_table(cells(), path, {"layer": "head"})
    assert read_table(path).attrs["recipe"] == {"layer": "head"}
    assert recipe_path(path).name == "cells.recipe.json"
