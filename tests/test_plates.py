import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tifffile
import zarr

from gradcamo.errors import GradcamoError, GradcamoWarning
from gradcamo.files.images import is_plate
from gradcamo.files.labels import read_labels
from gradcamo.files.plate_sources import plate_from_folder, plate_from_zarr
from gradcamo.files.plates import read_plate
from gradcamo.files.stacks import read_stack
from gradcamo.files.titles import stack_title
from gradcamo.files.treatments import treatment_of_cells
from gradcamo.files.wells import well_place
from gradcamo.plate.checked_rows import open_plate
from gradcamo.plate.reading import PlateResults

HEADER = "image,labels,plate,well,site,treatment,dose µM,batch\n"
LINES = [
    "stacks/a.tif,stacks/a_labels.tif,P1,D02,1,control,0.00,007\n",
    "stacks/b.tif,,P1,D02,2,NA,0.06,007\n",
    "stacks/c.tif,,02,B02,1,0.06×,1e3,\n",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "stacks").mkdir()
    for name in ("a", "a_labels", "b", "c"):
        tifffile.imwrite(tmp_path / "stacks" / f"{name}.tif", np.zeros((8, 8), np.uint8))
    return tmp_path


def write(folder: Path, *lines: str, header: str = HEADER) -> Path:
    path = folder / "plate.csv"
    path.write_text(header + "".join(lines), encoding="utf-8")
    return path


def test_every_value_of_a_plate_is_the_text_that_stands_in_the_file(folder):
    plate = read_plate(write(folder, *LINES))
    assert list(plate["plate"]) == ["P1", "P1", "02"]
    assert list(plate["well"]) == ["D02", "D02", "B02"]
    assert list(plate["site"]) == ["1", "2", "1"]
    assert list(plate["treatment"]) == ["control", "NA", "0.06×"]
    assert list(plate["dose µM"]) == ["0.00", "0.06", "1e3"]
    assert list(plate["batch"]) == ["007", "007", ""]


def test_paths_of_a_plate_are_relative_to_it_and_come_back_absolute(folder, monkeypatch):
    path = write(folder, *LINES)
    monkeypatch.chdir(folder / "stacks")
    plate = read_plate(Path("..") / path.name)
    assert plate["image"][0] == str((folder / "stacks" / "a.tif").resolve())
    assert list(plate["labels"]) == [str((folder / "stacks" / "a_labels.tif").resolve()), "", ""]


def test_a_plate_saved_by_a_spreadsheet_reads_alike(folder):
    plain = read_plate(write(folder, *LINES))
    text = "\ufeff" + (HEADER + "".join(LINES)).replace("\n", "\r\n").replace(",", " , ")
    (folder / "excel.csv").write_bytes(text.encode())
    assert read_plate(folder / "excel.csv").equals(plain)


def test_a_plate_in_parquet_reads_like_its_csv(folder):
    path = write(folder, *LINES)
    plain, text = read_plate(path), pd.read_csv(path, dtype=str, keep_default_na=False)
    text.to_parquet(folder / "text.parquet")
    assert read_plate(folder / "text.parquet").equals(plain)
    assert is_plate(folder / "text.parquet")  # what the window and `convert` ask
    typed = text.assign(
        site=[1, 2, 1], batch=pd.Series([7, 8, None]), labels=text["labels"].replace("", None)
    )
    typed["dose µM"] = [0.0, 0.06, 1000.0]
    typed.set_index("well").to_parquet(folder / "typed.parquet")  # an index is a column, too
    plate = read_plate(folder / "typed.parquet")
    assert (
        plate[list(plain)]
        .drop(columns=["dose µM", "batch"])
        .equals(plain.drop(columns=["dose µM", "batch"]))
    )
    assert list(plate["dose µM"]) == ["0", "0.06", "1000"]
    assert list(plate["batch"]) == ["7", "8", ""]
    lacking, twice = folder / "lacking.parquet", folder / "twice.parquet"
    typed.drop(columns="site").to_parquet(lacking)
    content = lacking.read_bytes()  # of another kind: maybe huge, so its values are not looked at
    lacking.write_bytes(content[:4] + bytes(60) + content[64:])
    pq.write_table(pa.Table.from_pandas(text).append_column("well", pa.array(["A1"] * 3)), twice)
    with pytest.raises(GradcamoError, match=r"twice\.parquet has the columns well twice: rename"):
        read_plate(twice)
    with pytest.raises(GradcamoError, match=r"lacking\.parquet lacks the columns site \(it has im"):
        read_plate(folder / "lacking.parquet")
    damaged = folder / "damaged.parquet"
    damaged.write_bytes((folder / "text.parquet").read_bytes()[:-200])
    with pytest.raises(GradcamoError, match=r"damaged\.parquet cannot be read as Parquet.*or save"):
        read_plate(damaged)
    text.iloc[:0].to_parquet(folder / "empty.parquet")
    with pytest.raises(GradcamoError, match=r"empty\.parquet has no rows"):
        read_plate(folder / "empty.parquet")


def test_values_that_only_parquet_has_stand_as_a_csv_has_them(folder):
    text = pd.read_csv(write(folder, *LINES), dtype=str, keep_default_na=False)
    told = {"spacing_um": [[0.6, 0.35, None]] * 3, "channel_names": [["DNA", "ER"]] * 3}
    half = np.array([0.1, 7, 0.35], np.float32)
    text.assign(**told, treatment=half).to_parquet(folder / "lists.parquet")
    plate = read_plate(folder / "lists.parquet")
    assert list(plate["treatment"]) == ["0.1", "7", "0.35"]
    assert set(plate["spacing_um"]) == {"0.6,0.35,"}
    assert set(plate["channel_names"]) == {"DNA,ER"}


@pytest.mark.parametrize(
    ("kind", "number"), [(pa.date32(), 2**31 - 1), (pa.timestamp("us", "Mars/Base"), 0)]
)
def test_a_date_of_parquet_that_is_none_is_said_to_be_damage(folder, kind, number):
    text = pd.read_csv(write(folder, *LINES), dtype=str, keep_default_na=False)
    dated = pa.Table.from_pandas(text).append_column("day", pa.array([number] * 3, kind))
    pq.write_table(dated, folder / "dates.parquet")
    with pytest.raises(GradcamoError, match=r"dates\.parquet cannot be read as Parquet"):
        read_plate(folder / "dates.parquet")


def test_missing_columns_are_named_beside_those_found(folder):
    path = write(folder, "a,b\n", header="image,well\n")
    with pytest.raises(GradcamoError, match=r"lacks the columns plate, site, treatment.*it has im"):
        read_plate(path)
    path = write(folder, header=HEADER.replace(",", ";"))
    with pytest.raises(GradcamoError, match="semicolons"):
        read_plate(path)


def test_a_layout_with_semicolons_is_told(files):
    layout = files.parent / "layout.csv"
    layout.write_text("well;treatment\nD02;control\nB10;drug\n")
    with pytest.raises(GradcamoError, match="separated by semicolons"):
        plate_from_folder(files, labels="{well}_s{site}_labels.ome.tif", layout=layout)


def test_tabs_and_other_encodings_are_told(folder):
    tabbed = write(folder, LINES[0].replace(",", "\t"), header=HEADER.replace(",", "\t"))
    with pytest.raises(GradcamoError, match="tabs: save it with commas"):
        read_plate(tabbed)
    for encoding in ("utf-16", "utf-16-le", "latin-1"):
        (folder / "plate.csv").write_bytes((HEADER + LINES[1]).encode(encoding))
        with pytest.raises(GradcamoError, match="save it as UTF-8 CSV"):
            read_plate(folder / "plate.csv")


def test_a_comma_without_quotes_cuts_no_value_off(folder):
    def treatments(quote: str, *rows: int) -> list[str]:
        lines = LINES.copy()
        for row, dose in zip(rows, "012", strict=False):
            lines[row] = ",".join(LINES[row].split(",")[:5])
            lines[row] += f", {quote}drug A, {dose} µM{quote},0.00,007\n"
        return list(read_plate(write(folder, *lines))["treatment"])

    with pytest.raises(GradcamoError, match=r"9 fields in rows 2, 3, 4 where the header has 8"):
        treatments("", 0, 1, 2)
    with pytest.raises(GradcamoError, match=r"9 fields in row 3 where .*put quotes around"):
        treatments("", 1)
    assert treatments('"', 0, 1, 2) == ["drug A, 0 µM", "drug A, 1 µM", "drug A, 2 µM"]
    (folder / "cells.csv").write_text("label,treatment\n7,drug A, 0 µM\n", encoding="utf-8")
    with pytest.raises(GradcamoError, match=r"3 fields in row 2 where the header has 2"):
        treatment_of_cells({"cells": str(folder / "cells.csv")})


def test_rows_end_early_only_where_nothing_is_lost(folder):
    whole = read_plate(write(folder, *LINES[:2], LINES[2]))
    for end in ("\n", ",,,\n"):
        line = LINES[2].replace(",\n", end)
        assert read_plate(write(folder, *LINES[:2], line)).equals(whole)
    with pytest.raises(GradcamoError, match=r"in row 3.*check the quotes"):
        read_plate(write(folder, LINES[0], LINES[1].replace("NA", '"NA'), LINES[2]))


def test_rows_are_numbered_as_a_spreadsheet_shows_them(folder):
    lines = [LINES[0].replace("007", '"two\nlines"'), "\n", "  \n", LINES[1].replace("NA", "")]
    with pytest.raises(GradcamoError, match="no treatment in row 5"):
        read_plate(write(folder, *lines))
    with pytest.raises(GradcamoError, match="no treatment in row 7"):
        read_plate(write(folder, *lines, header="\n\n" + HEADER))
    lines[3] = LINES[1]
    assert list(read_plate(write(folder, *lines)).index) == [0, 1]
    (folder / "cells.csv").write_text("label,treatment\n7,x\n\n7,y\n")
    with pytest.raises(GradcamoError, match="in row 4"):
        treatment_of_cells({"cells": str(folder / "cells.csv")})


def test_missing_files_are_all_counted_and_the_first_named(folder):
    gone = [f"gone{i}.tif,,P,A01,{i},x,,\n" for i in range(8)]
    with pytest.raises(
        GradcamoError, match=r"8 files.*rows 3, 4.*gone0\.tif.*gone4\.tif …"
    ) as error:
        read_plate(write(folder, LINES[0], *gone))
    assert "gone5" not in str(error.value)
    with pytest.raises(GradcamoError, match=r"1 files.*nolabels"):
        read_plate(write(folder, LINES[1].replace(",,", ",nolabels.tif,", 1)))


def test_a_stack_or_an_image_that_is_there_twice_is_refused(folder):
    with pytest.raises(GradcamoError, match=r"same plate, well and site in rows 2, 4 \(P1, D02, 1"):
        read_plate(write(folder, *LINES[:2], LINES[2].replace("02,B02", "P1,D02")))
    with pytest.raises(GradcamoError, match="same image in rows 2, 3"):
        read_plate(write(folder, LINES[0], LINES[1].replace("b.tif", "a.tif")))


def test_a_table_in_python_is_checked_like_a_file(folder):
    rows = read_plate(write(folder, *LINES))
    assert open_plate(rows).equals(rows)
    apart = {
        "the same image in rows 2, 3": {"image": [rows["image"][0], rows["image"][0], "c"]},
        "well in row 3": {"well": ["D02", np.nan, "B02"]},
        "1 files .*gone.tif; .* Python works in": {"cells": ["", "gone.tif", ""]},
        r"spacing_um \(1, 2, 3\) in row 4: write it as text": {"spacing_um": ["", "", (1, 2, 3)]},
    }
    for said, columns in apart.items():
        with pytest.raises(GradcamoError, match=f"the plate (has|has no|names) ?{said}"):
            open_plate(rows.assign(**columns))
    with pytest.raises(GradcamoError, match="lacks the columns site"):
        open_plate(rows.drop(columns="site"))
    of_paths = rows.assign(
        image=[Path(path) for path in rows["image"]],
        labels=[Path(path) if path else None for path in rows["labels"]],
    )
    assert open_plate(of_paths).equals(rows)


def test_an_image_that_is_a_link_keeps_the_name_it_was_given(folder):
    """As git-annex and DVC have it: contents lie under a name that a computer chose."""
    kept = folder / ".annex" / "MD5E-s64--00.tif"
    kept.parent.mkdir()
    stacks = folder / "stacks"
    (stacks / "a.tif").rename(kept)
    (stacks / "a.tif").symlink_to(kept)
    (folder / "linked").symlink_to(stacks)
    (image, *_) = read_plate(write(folder, *LINES))["image"]
    assert image == str(stacks / "a.tif")
    assert read_stack(image).source.endswith("a.tif")
    (image, *_) = read_plate(write(folder, LINES[0].replace("stacks/a.", "linked/a.")))["image"]
    assert image == str(folder / "linked" / "a.tif")
    (stacks / "d.tif").symlink_to(kept)  # which is the same image
    with pytest.raises(GradcamoError, match=r"same image in rows 2, 3 .*a\.tif and .*d\.tif"):
        read_plate(write(folder, LINES[0], LINES[1].replace("b.tif", "d.tif")))


def test_a_folder_that_is_a_link_keeps_the_name_it_was_given(files, zarr_plate, tmp_path):
    here = tmp_path / "links"
    here.mkdir()
    (here / "plate 7").symlink_to(files)
    plate = read_plate(here / "plate 7")
    assert set(plate["plate"]) == {"plate 7"}
    assert plate["image"].str.startswith(f"{here / 'plate 7'}/").all()
    assert set(read_plate(here / "plate 7" / ".")["plate"]) == {"plate 7"}
    assert set(read_plate(here / "plate 7" / ".." / files.name)["plate"]) == {files.name}
    (here / "dose.ome.zarr").symlink_to(zarr_plate)
    assert read_plate(here / "dose.ome.zarr")["image"][0].startswith(f"{here / 'dose.ome.zarr'}/")


def test_results_are_called_as_their_folder_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert PlateResults(Path(), pd.DataFrame(), False).name == tmp_path.name


def test_paths_of_a_table_count_from_its_link_or_from_what_it_leads_to(folder):
    """A link in the user's folder leads to the table; one of git-annex to a nameless object."""
    plate, here = write(folder, *LINES), folder / "here"
    here.mkdir()
    (here / "mine.csv").symlink_to(plate)
    assert list(read_plate(here / "mine.csv")["image"]) == list(read_plate(plate)["image"])
    (here / "stacks").symlink_to(folder / "stacks")
    (image, *_) = read_plate(here / "mine.csv")["image"]
    assert image == str(here / "stacks" / "a.tif")
    (here / "stacks").unlink()
    shutil.rmtree(folder / "stacks")
    with pytest.raises(GradcamoError, match=rf"{here}/stacks/a\.tif.* relative to it"):
        read_plate(here / "mine.csv")


def test_what_is_there_twice_is_named_once_with_its_rows(folder):
    again = [LINES[0], LINES[1].replace("b.tif", "a.tif"), LINES[2].replace("c.tif", "a.tif")]
    with pytest.raises(GradcamoError) as error:
        read_plate(write(folder, *again))
    assert str(error.value) == (
        f"{folder / 'plate.csv'} has the same image in rows 2, 3, 4 "
        f"({folder / 'stacks' / 'a.tif'}): each stack has one row; name its own image in each"
    )


@pytest.mark.parametrize("name", ["image", "plate", "well", "site", "treatment"])
def test_empty_cells_of_the_table_are_refused_with_their_row(folder, name):
    values = LINES[1].split(",")
    values[HEADER.split(",").index(name)] = "  "
    with pytest.raises(GradcamoError, match=f"no {name} in row 3"):
        read_plate(write(folder, LINES[0], ",".join(values)))


def test_no_rows_no_file_and_no_csv_are_refused(folder):
    with pytest.raises(GradcamoError, match="no rows"):
        read_plate(write(folder))
    with pytest.raises(GradcamoError, match="no table"):
        read_plate(folder / "none.csv")
    (folder / "plate.csv").write_bytes(b"\x89PNG\x00\xff\xfe")
    with pytest.raises(GradcamoError, match=r"plate\.csv"):
        read_plate(folder / "plate.csv")
    (folder / "plate.csv").write_text("")
    with pytest.raises(GradcamoError, match=r"plate\.csv"):
        read_plate(folder / "plate.csv")


def test_single_cells_may_have_a_treatment_of_their_own(folder):
    (folder / "cells.csv").write_text("label,treatment\n7,40×\n70000,02\n")
    header = HEADER.replace("batch", "cells")
    plate = read_plate(write(folder, LINES[0].replace("007", "cells.csv"), header=header))
    assert treatment_of_cells(plate.iloc[0]) == {7: "40×", 70000: "02"}
    assert treatment_of_cells({"treatment": "x"}) == {}
    (folder / "cells.csv").write_text("label,treatment\n7,\n")
    assert treatment_of_cells(plate.iloc[0]) == {7: ""}  # takes no part in a training
    assert treatment_of_cells({"cells": float("nan")}) == {}


@pytest.mark.parametrize("lines", ["1,a\n1,b\n", "1.5,a\n", "-1,a\n", ",a\n"])
def test_cells_that_are_not_named_once_are_refused(folder, lines):
    (folder / "cells.csv").write_text("label,treatment\n" + lines)
    with pytest.raises(GradcamoError, match="row"):
        treatment_of_cells({"cells": str(folder / "cells.csv")})


def test_wells_of_one_place_agree_however_they_are_written():
    places = [well_place(well) for well in ("D02", "d2", " B012", "AF48")]
    assert places == [("D", 2), ("D", 2), ("B", 12), ("AF", 48)]
    assert not any(map(well_place, ("02", "D", "control", "", None)))


# -- folders -------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path) -> Path:
    run = tmp_path / "run7"
    run.mkdir()
    for well in ("D02", "B10"):
        for site in (1, 2, 10):
            for kind in ("", "_labels"):
                name = f"{well}_s{site}{kind}.ome.tif"
                tifffile.imwrite(run / name, np.zeros((8, 8), np.uint8))
    (run / "notes.txt").write_text("x")
    return run


def test_a_folder_of_named_files_is_a_plate(files):
    plate = plate_from_folder(files)
    assert list(plate["well"]) == ["B10"] * 3 + ["D02"] * 3
    assert list(plate["site"]) == ["1", "2", "10"] * 2
    assert set(plate["plate"]) == {"run7"}
    assert set(plate["treatment"]) == {""}
    assert plate["image"][0] == str((files / "B10_s1.ome.tif").resolve())


@pytest.mark.parametrize("name", ["d2_s3.ome.tif", "b11_s1.ome.tif"])
def test_wells_in_small_letters_are_not_left_out_among_others(files, name):
    tifffile.imwrite(files / name, np.zeros((8, 8), np.uint8))
    with pytest.raises(GradcamoError, match=rf"as in B10_s1\.ome\.tif, and 1 .* in {name}"):
        plate_from_folder(files)
    pattern = "{well}_s{site:d}.ome.tif"
    if name.startswith("d2"):
        with pytest.raises(GradcamoError, match="writes one well as D02 and d2"):
            plate_from_folder(files, pattern)
    else:
        assert set(plate_from_folder(files, pattern)["well"]) == {"B10", "D02", "b11"}
    (files / name).rename(files / "t1_s3.ome.tif")  # no well of any plate
    assert (
        "left out: 6 label images, 1 other images such as t1_s3"
        in (plate_from_folder(files).attrs["recognised"])
    )


def test_a_layout_and_labels_complete_a_folder(files):
    layout = files.parent / "layout.csv"
    layout.write_text("well,treatment,dose\nD02,control,0.00\nB10,drug,0.06\n")
    plate = plate_from_folder(files, labels="{well}_s{site}_labels.ome.tif", layout=layout)
    assert list(plate["treatment"]) == ["drug"] * 3 + ["control"] * 3
    assert list(plate["dose"]) == ["0.06"] * 3 + ["0.00"] * 3
    assert plate["labels"][5].endswith("D02_s10_labels.ome.tif")
    again = files.parent / "again.csv"
    plate.to_csv(again, index=False)
    assert read_plate(again).equals(plate)
    layout.write_text("well,treatment\nD02,control\n")
    with pytest.raises(GradcamoError, match="no treatment for the wells B10"):
        plate_from_folder(files, layout=layout)


@pytest.mark.parametrize(
    ("layout", "said"),
    [
        ("well,treatment\nD2,control\nB10,drug\n", None),
        ("well,treatment\nD2,control\nB10,drug\nC7,\n", None),  # a row for a well left empty
        ("well,treatment\nD2,control\nB10,drug\nC7,drug\nA01,drug\n", r"2 wells \(C7, A01\)"),
        (
            "plate,well,treatment\nrun7,D2,c\nrun7,B10,d\nrun8,D2,c\nrun8,A1,d\n",
            r"1 plate \(run8\)",
        ),
        (
            "plate,well,treatment\nrun7,D2,c\nrun7,B10,d\nrun7,A1,d\nrun8,D2,c\n",
            r"1 well \(A1\) and 1 plate \(run8\)",
        ),
        (
            "well,site,treatment\nD2,1,c\nD2,2,c\nD2,10,c\nB10,1,d\nB10,2,d\nB10,10,d\nB10,3,d\n",
            r"1 site \(B10 3\)",
        ),
    ],
)
def test_wells_of_a_layout_that_the_folder_lacks_are_said(files, layout, said, recwarn):
    path = files.parent / "layout.csv"
    path.write_text(layout)
    plate = plate_from_folder(files, layout=path)
    assert len(plate) == 6
    notes = [str(one.message) for one in recwarn if "layout.csv" in str(one.message)]
    assert plate.attrs["found"]["notes"] == notes
    assert bool(notes) == bool(said)
    if said:
        assert re.search(
            rf"layout\.csv names {said}, of which .*{files.name} has no stack$", notes[0]
        )


def test_wells_that_an_ome_zarr_plate_lacks_are_said(zarr_plate, tmp_path):
    (tmp_path / "l.csv").write_text("well,treatment\nB03,drug\nD02,control\nH12,drug\n")
    with pytest.warns(GradcamoWarning, match=r"names 1 well \(H12\), of which"):
        plate = plate_from_zarr(zarr_plate, layout=tmp_path / "l.csv")
    assert "H12" in plate.attrs["found"]["notes"][0]


def test_patterns_may_span_folders_and_name_further_columns(files):
    plate = plate_from_folder(files.parent, "{plate}/{well}_s{site}_{kind}.ome.*")
    assert len(plate) == 6
    assert set(plate["plate"]) == {"run7"}
    assert set(plate["kind"]) == {"labels"}


def test_a_pattern_that_fits_nothing_says_what_is_there(files):
    with pytest.raises(GradcamoError, match=r"B10_s1\.ome\.tif"):
        plate_from_folder(files, "{well}-{site}.tif")
    with pytest.raises(GradcamoError, match="should hold"):
        plate_from_folder(files, "{site}.tif")
    with pytest.raises(GradcamoError, match="does not name"):
        plate_from_folder(files, labels="{well}_{field}.tif")
    with pytest.raises(GradcamoError, match=r"two files for its plane.*B10_s1\.ome\.tif and"):
        plate_from_folder(files, "{well}_s*.ome.tif")


# -- OME-Zarr plates -----------------------------------------------------------------------------


def say(group: zarr.Group, version: str, **attributes: object) -> None:
    group.attrs.update({"ome": attributes} if version == "0.5" else attributes)


def multiscales(version: str) -> list[dict[str, object]]:
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"]
    scale = [{"type": "scale", "scale": [0.6, 0.35, 0.35]}]
    data = [{"path": "0", "coordinateTransformations": scale}]
    return [{"version": version, "axes": axes, "datasets": data}]


@pytest.fixture(params=["0.4", "0.5"])
def zarr_plate(request, tmp_path: Path) -> Path:
    version, path = request.param, tmp_path / "hepg2.ome.zarr"
    plate = zarr.create_group(path, zarr_format=3 if version == "0.5" else 2)
    wells = ["D/2", "B/03"]
    say(plate, version, plate={"wells": [{"path": well} for well in wells]})
    for number, well in enumerate(wells):
        group = plate.create_group(well)
        say(group, version, well={"images": [{"path": "0"}, {"path": "1"}]})
        for site in ("0", "1"):
            field = group.create_group(site)
            say(field, version, multiscales=multiscales(version))
            voxels = np.full((2, 8, 8), 10 * number + int(site), np.uint8)
            field.create_array("0", data=voxels)
            labels = field.create_group("labels")
            say(labels, version, labels=["cells"])
            cells = labels.create_group("cells")
            say(cells, version, multiscales=multiscales(version))
            cells.create_array("0", data=voxels + 1)
    return path


def test_an_ome_zarr_plate_is_a_plate(zarr_plate):
    plate = plate_from_zarr(zarr_plate)
    assert list(plate.columns) == ["image", "labels", "plate", "well", "site", "treatment"]
    assert list(plate["well"]) == ["B03", "B03", "D02", "D02"]
    assert list(plate["site"]) == ["0", "1", "0", "1"]
    assert set(plate["plate"]) == {"hepg2"}
    assert [int(read_stack(image).data.max()) for image in plate["image"]] == [10, 11, 0, 1]
    assert [int(read_labels(labels).max()) for labels in plate["labels"]] == [11, 12, 1, 2]
    assert read_plate(zarr_plate).equals(plate)


def test_an_ome_zarr_plate_takes_a_layout(zarr_plate, tmp_path):
    (tmp_path / "l.csv").write_text("well,treatment\nB03,drug\nD02,control\n")
    plate = plate_from_zarr(zarr_plate, layout=tmp_path / "l.csv")
    assert list(plate["treatment"]) == ["drug", "drug", "control", "control"]


def test_a_field_that_the_plate_promises_must_be_there(zarr_plate):
    (zarr_plate / "B" / "03" / "1").rename(zarr_plate / "B" / "03" / "lost")
    with pytest.raises(GradcamoError, match=r"not there.*B/03/1"):
        plate_from_zarr(zarr_plate)


def test_an_image_is_no_plate(zarr_plate, tmp_path):
    for path in (zarr_plate / "B" / "03" / "0", tmp_path / "none.zarr"):
        with pytest.raises(GradcamoError, match="no OME-Zarr plate"):
            plate_from_zarr(path)


@pytest.mark.parametrize(
    ("image", "title"),
    [
        ("a/D02_s1.ome.tif", "D02_s1.ome.tif"),
        ("plate/4711_E02_s2_w{channel:d}.TIF", "4711_E02_s2"),
        ("plate/4711_E02_s2_w{channel:d}{guid}.TIF", "4711_E02_s2"),
        ("Images/r02c03f01p{z}-ch{channel}sk1fk1fl1.tiff", "r02c03f01sk1fk1fl1"),
        ("plate/W0001F0002T0001Z{z}C{channel}.tif", "W0001F0002T0001"),
        ("plate/{channel}_E02_s2.ome.tif", "E02_s2"),
        ("plate/E02_s2_*.tif", "E02_s2"),
        ("plate/E02/{channel}.tif", "E02"),
        ("results/plate.zarr/E/2/0", "plate.zarr/E/2/0"),
        ("results/one.ome.zarr", "one.ome.zarr"),
        ("", ""),
    ],
)
def test_a_stack_is_called_by_what_a_person_reads(image, title):
    assert stack_title(image) == title
    assert stack_title(image, {"well": "", "site": float("nan")}) == title
    assert stack_title(image, {"well": "E02", "site": "2"}) == "E02 site 2"
    assert stack_title(image, {"well": "E02", "site": ""}) == "E02"


@pytest.mark.parametrize("layout", ["imagexpress", "operetta", "cellvoyager", "plane_files"])
def test_no_stack_of_many_files_is_called_by_a_pattern(layout):
    plate = read_plate(Path(__file__).parent / "data/cases/plates" / layout)
    titles = [stack_title(image) for image in plate["image"]]
    assert not any(set("{}*") & set(title) for title in titles)
    assert len(set(titles)) == len(plate) > 1
