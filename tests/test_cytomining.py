"""Tables of cells under the names of other tools, and their notes in spreadsheets."""

import csv

import anndata
import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings, strategies as st

from gradcamo.files.cytomining import cell_keys, cytomining_names
from gradcamo.files.flags import read_flags
from gradcamo.files.store import read_table, write_table

SUFFIXES = [".csv", ".parquet", ".h5ad"]


def cells(rows: int = 4) -> pd.DataFrame:
    """Cells of two plates, whose labels and sites repeat."""
    return pd.DataFrame(
        {
            "image": [f"s{n // 2}.tif" for n in range(rows)],
            "label": [1 + n % 2 for n in range(rows)],
            "plate": ["P1", "P1", "P2", "P2"][:rows],
            "well": "B02",
            "site": "01",
            "treatment": "control",
            "grad_camo": [0.9, 0.1, np.nan, 0.4][:rows],
            "flagged": [False, True, True, False][:rows],
            "note": ["", "debris", "=2+2", ""][:rows],
        }
    )


def test_the_names_are_those_of_cytotable_and_cosmicqc_and_features_are_told_apart():
    renamed = cytomining_names(cells(), np.zeros((4, 2)))
    assert list(renamed) == [
        "Metadata_plate_well_site_objectnumber",
        "Metadata_image",
        "Metadata_ObjectNumber",
        "Metadata_Plate",
        "Metadata_Well",
        "Metadata_Site",
        "Metadata_treatment",
        "Metadata_grad_camo",
        "Metadata_cqc_gradcamo_is_outlier",
        "Metadata_note",
        "Cells_profile_0000",
        "Cells_profile_0001",
    ]
    keys = renamed["Metadata_plate_well_site_objectnumber"].tolist()
    assert keys == ["P1_B02_01_1", "P1_B02_01_2", "P2_B02_01_1", "P2_B02_01_2"]


def test_there_is_no_key_where_plate_well_or_site_is_unknown():
    assert cell_keys(cells().drop(columns="site")) is None
    assert cell_keys(cells().assign(well="")) is None
    assert "Metadata_ObjectNumber" in cytomining_names(cells().drop(columns="site"))


def test_pycytominer_drops_the_flagged_cells_and_no_others():
    normalize = pytest.importorskip("pycytominer").normalize
    table = cytomining_names(cells(), np.random.default_rng(0).normal(size=(4, 2)))
    kept = normalize(
        table,
        features=["Cells_profile_0000", "Cells_profile_0001"],
        meta_features=[name for name in table if name.startswith("Metadata_")],
        method="standardize",
        drop_cosmicqc_rows=True,
    )
    keys = kept["Metadata_plate_well_site_objectnumber"].tolist()
    assert keys == ["P1_B02_01_1", "P2_B02_01_2"]  # though one has a note, and all a score


@pytest.mark.parametrize("names", [list, cytomining_names])
def test_anndata_names_cells_by_their_key_and_others_by_number(tmp_path, names):
    path = tmp_path / "cells.h5ad"
    table = cells() if names is list else cytomining_names(cells())
    write_table(table, path, profiles=np.eye(4))
    data = anndata.read_h5ad(path)
    assert data.obs_names.tolist() == cell_keys(cells()).tolist()
    write_table(table.iloc[[0, 0]], path)  # no key tells them apart
    assert anndata.read_h5ad(path).obs_names.tolist() == ["0", "1"]


@pytest.mark.parametrize("names", [list, cytomining_names])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_flags_and_notes_come_back_from_either_names(tmp_path, suffix, names):
    path = tmp_path / f"cells{suffix}"
    write_table(cells() if names is list else cytomining_names(cells()), path)
    found = read_flags(path, "s1.tif")
    assert found.index.tolist() == [1, 2]
    assert found["flagged"].tolist() == [True, False]
    assert found["note"].tolist() == ["=2+2", ""]


NOTES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)


@settings(max_examples=60, deadline=None)
@given(notes=st.lists(NOTES | st.from_regex(r"'*[=+\-@\t\r\n].{0,3}"), min_size=1, max_size=6))
@example(notes=["=1+1", "'=1+1", "''=1", "-5", "007", "nan", "a\rb", "a\r\nb", '"', "'", "\t=x"])
def test_no_spreadsheet_runs_a_note_and_each_comes_back_as_it_was(tmp_path_factory, notes):
    path = tmp_path_factory.mktemp("notes") / "cells.csv"
    notes = [note.replace("\0", "") for note in notes]
    table = pd.DataFrame({"label": range(1, len(notes) + 1), "note": notes})
    write_table(table, path)
    with path.open(newline="", encoding="utf-8") as file:
        stored = [row["note"] for row in csv.DictReader(file)]
    assert not any(text.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) for text in stored)
    assert read_table(path)["note"].tolist() == notes
    path.with_suffix(".recipe.json").unlink()  # sent on alone
    assert read_table(path)["note"].tolist() == notes


def test_other_columns_stand_in_a_csv_as_they_are(tmp_path):
    path = tmp_path / "cells.csv"
    treatments = ["=cmd", "-", "+DMSO", "@x"]
    write_table(cells().assign(treatment=treatments), path)
    assert pd.read_csv(path)["treatment"].tolist() == treatments
