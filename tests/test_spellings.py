"""Names that differ by their spelling alone are refused wherever they would count as two."""

import pandas as pd
import pytest
import tifffile
from numpy import zeros

from gradcamo.errors import GradcamoError
from gradcamo.files.plate_sources import plate_from_folder
from gradcamo.files.plates import read_plate
from gradcamo.files.spellings import alike, refuse_spellings, spelling


@pytest.mark.parametrize(
    "names",
    [
        ("DMSO", "dmso", " Dmso ", "ＤＭＳＯ"),  # the last in full width
        ("10 \N{MICRO SIGN}M", "10 \N{GREEK SMALL LETTER MU}M", "10µM", "10.0 µm", "10 uM"),
        ("0.06×", "0.06x", "0.06X", "0.060 ×", "6e-2x", "0.06\N{CYRILLIC SMALL LETTER HA}"),
        ("drug A", "drug\N{NO-BREAK SPACE}A", "drug \N{THIN SPACE}A", "Drug\N{ZERO WIDTH SPACE}A"),
        ("0.1", "0.10", "1e-1", ".1", "00.1"),
        ("1", "1.0", "01", "1."),
        ("anti-CD3", "anti–CD3", "anti\N{NON-BREAKING HYPHEN}CD3"),
    ],
)
def test_spellings_of_one_name_agree(names):
    assert len({spelling(name) for name in names}) == 1


@pytest.mark.parametrize(
    "names",
    [
        ("0.1", "0.01", "1", "10", "1 0", "-1"),
        ("0.06×", "0.32×", "1.60×", "8.00×", "40.0×", "control"),
        ("10 µM", "10 nM", "10 mM", "1 µM"),
        ("drug 1", "drug 11", "drug 1 1", "drug"),
        ("v1.1", "v1.10", "A01", "A1"),  # digits that belong to a name
        ("1e400", "1e401", "9" * 40),
    ],
)
def test_different_names_stay_apart(names):
    assert len({spelling(name) for name in names}) == len(names)


def test_the_other_spelling_of_a_name_is_found():
    assert alike("dmso", ["drug", "DMSO"]) == "DMSO"
    assert alike("DMSO", ["dmso", "DMSO"]) is None
    assert alike("vehicle", ["DMSO"]) is None


def test_every_place_of_every_spelling_is_named():
    uses = [("0.1", 2), ("0.10", 3), ("0.1", 5), ("1e-1", "cells.csv"), ("other", 6)]
    told = r"3 ways.*'0\.1' in rows 2, 5; '0\.10' in row 3; '1e-1' in cells\.csv"
    with pytest.raises(GradcamoError, match=told):
        refuse_spellings(uses, "treatment", "plate.csv")
    with pytest.raises(GradcamoError, match=r"'0\.1' in row 2, the network knows it as '0\.10'"):
        refuse_spellings(uses[:1], "treatment", "plate.csv", ["0.10", "1"], "the network")
    refuse_spellings(uses[:1], "treatment", "plate.csv", ["0.1", "1"], "the network")


ROWS = [("P", "D02", "1", "0.1"), ("P", "D02", "2", "0.1"), ("P", "D03", "1", "1")]


@pytest.fixture
def plate_of(tmp_path):
    def write(rows, cells=""):
        table = pd.DataFrame(rows, columns=["plate", "well", "site", "treatment"])
        table["image"] = [f"{i}.tif" for i in range(len(table))]
        for name in table["image"]:
            tifffile.imwrite(tmp_path / name, zeros((8, 8), "uint8"))
        if cells:
            (tmp_path / "cells.csv").write_text(cells, encoding="utf-8")
            table["cells"] = ["cells.csv", *[""] * (len(table) - 1)]
        table.to_csv(tmp_path / "plate.csv", index=False)
        return tmp_path / "plate.csv"

    return write


@pytest.mark.parametrize(
    ("column", "spelled", "told"),
    [
        (0, "p", r"one plate in 2 ways.*'P' in rows 2, 3; 'p' in row 4"),
        (1, "d2", r"writes one well as D02 and d2"),
        (2, "1.0", r"one site in 2 ways.*'1' in row 2; '1\.0' in row 4"),
        (3, "0.10", r"one treatment in 2 ways.*'0\.1' in rows 2, 3; '0\.10' in row 4"),
    ],
)
def test_a_plate_that_spells_a_name_in_two_ways_is_refused(plate_of, column, spelled, told):
    rows = [list(row) for row in ROWS]
    rows[2][column] = spelled
    if column == 1:
        rows[2][2] = "3"
    assert len(read_plate(plate_of(ROWS))) == 3
    with pytest.raises(GradcamoError, match=told):
        read_plate(plate_of(rows))


def test_treatments_of_single_cells_are_spelled_as_those_of_the_plate(plate_of):
    assert len(read_plate(plate_of(ROWS, "label,treatment\n7,1\n8,\n"))) == 3
    with pytest.raises(GradcamoError, match=r"'1\.0' in .*cells\.csv; '1' in row 4"):
        read_plate(plate_of(ROWS, "label,treatment\n7,1.0\n"))


def test_a_layout_that_spells_a_treatment_in_two_ways_is_refused(tmp_path):
    for well in ("D02", "D03"):
        tifffile.imwrite(tmp_path / f"{well}_s1.ome.tif", zeros((8, 8), "uint8"))
    layout = tmp_path / "layout.csv"
    layout.write_text("well,treatment\nD02,8 µM\nD03,8 μM\n", encoding="utf-8")
    with pytest.raises(GradcamoError, match=r"layout\.csv.*'8 µM' in row 2; '8 μM' in row 3"):
        plate_from_folder(tmp_path, layout=layout)
