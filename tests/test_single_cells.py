"""Tables of single cells of other tools: recognised, joined to labels, written back untouched."""

import gzip
import io
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings, strategies as st
from measured import CHANNELS, cytotable, labels_of, write_cytotable, write_images

import gradcamo as gc
from gradcamo.errors import GradcamoError
from gradcamo.files.single_cells.cells import is_single_cells
from gradcamo.files.single_cells.joining import how_joined
from gradcamo.files.single_cells.table_files import telling_damage
from gradcamo.files.single_cells.writing import read_told

FLAG = "Metadata_cqc_gradcamo_is_outlier"
NOTE = "Metadata_gradcamo_note"


def found(*flagged: int) -> pd.DataFrame:
    """What a window found of an image: some flags, a note, a score."""
    return pd.DataFrame(
        {
            "label": [1, 2, 4],
            "flagged": [n in flagged for n in (1, 2, 4)],
            "note": ["", "=2+2", 'a "b",\r\nc'],
            "grad_camo": [0.1 + 0.2, np.nan, 0.9],
        }
    )


# -- what is recognised ----------------------------------------------------------------------


def test_a_table_of_cytotable_tells_its_images_objects_and_wells(tmp_path):
    path = write_cytotable(tmp_path)
    cells = gc.read_single_cells(path, labels=tmp_path / "masks")
    assert cells.images["well"].tolist() == ["B02", "B03"]
    assert cells.images["plate"].tolist() == ["007", "007"]
    assert cells.images["cells"].tolist() == [4, 4]
    assert [Path(p).name for p in cells.images["labels"]] == [
        "B02_s1_DNA_cells.tiff",
        "B03_s1_DNA_cells.tiff",
    ]
    assert cells.cells_of(1).index.tolist() == [1, 2, 4, 6]
    assert list(cells.cells_of(1)) == list(cytotable())
    for said in ("8 cells in 2 images", "Metadata_ObjectNumber", "Image_FileName_DNA", "2 of 2"):
        assert said in cells.recognised
    assert "flags of coSMicQC in Metadata_cqc_small_is_outlier" in cells.recognised


def test_files_of_one_channel_each_become_one_stack_with_the_names_of_the_columns(tmp_path):
    cells = gc.read_single_cells(write_cytotable(tmp_path), labels=tmp_path / "masks")
    stack = gc.read_stack(cells.row(0))
    assert stack.channels == CHANNELS
    assert stack.shape == (2, 3, 40, 60)
    assert Path(stack.source).name == "B02_s1_{channel}.tiff"
    for channel, data in zip(CHANNELS, stack.data, strict=True):
        alone = gc.read_stack(tmp_path / f"images/B02_s1_{channel}.tiff")
        np.testing.assert_array_equal(np.asarray(data), np.asarray(alone.data[0]))
    np.testing.assert_array_equal(gc.read_labels(cells.row(0)), labels_of(0))


def test_images_that_were_moved_are_found_below_the_folder_that_is_named(tmp_path):
    path = write_cytotable(tmp_path / "a")
    (tmp_path / "a/images").rename(tmp_path / "elsewhere")
    cells = gc.read_single_cells(path)
    assert cells.images["image"].tolist() == ["", ""]
    assert "0 of 2 images found" in cells.recognised
    with pytest.raises(GradcamoError, match=r"B02_s1_DNA\.tiff were not found.*--images"):
        cells.row(0)
    moved = gc.read_single_cells(path, images=tmp_path)
    assert [Path(p).parent.name for p in moved.images["image"]] == ["elsewhere"] * 2
    again = tmp_path / "run8"
    again.mkdir()
    (again / "B02_s1_DNA.tiff").write_bytes(b"")
    with pytest.raises(GradcamoError, match=r"both called B02_s1_DNA\.tiff"):
        gc.read_single_cells(path, images=tmp_path)
    (tmp_path / "elsewhere").rename(tmp_path / "run7")
    (tmp_path / "run7").rename(tmp_path / "x")
    (tmp_path / "run7").mkdir()
    (tmp_path / "x").rename(tmp_path / "run7/images")
    nearer = gc.read_single_cells(path, images=tmp_path)  # run7/images, as the table says
    assert all("run7" in p for p in nearer.images["image"])


def test_cells_of_cellprofiler_find_their_images_in_the_table_beside(tmp_path):
    write_images(tmp_path)
    one = cytotable()
    beside = one.drop_duplicates("Metadata_ImageNumber").rename(
        columns=lambda n: n.replace("Metadata_ImageNumber", "ImageNumber").removeprefix("Image_")
    )
    beside = beside[[n for n in beside if n.startswith(("ImageN", "File", "Path", "Metadata_"))]]
    beside["ObjectsFileName_Cells"] = [f"{w}_s1_DNA_cells.tiff" for w in ("B02", "B03")]
    beside["ObjectsPathName_Cells"] = "D:\\out\\masks"
    beside.to_csv(tmp_path / "MyExpt_Image.csv", index=False)
    rows = one.rename(columns=lambda n: n.replace("Cells_", ""))
    rows = rows.rename(columns={"Metadata_ImageNumber": "ImageNumber"})
    rows = rows.rename(columns={"Metadata_ObjectNumber": "ObjectNumber"})
    rows = rows[[n for n in rows if not n.startswith(("Image_", "Metadata_"))]]
    rows.to_csv(tmp_path / "MyExpt_Cells.csv", index=False)
    cells = gc.read_single_cells(tmp_path / "MyExpt_Cells.csv")
    assert "images from MyExpt_Image.csv, by ImageNumber" in cells.recognised
    assert cells.images["well"].tolist() == ["B02", "B03"]
    np.testing.assert_array_equal(gc.read_labels(cells.row(1)), labels_of(1))
    (tmp_path / "MyExpt_Image.csv").unlink()
    assert "0 of 2 images found" in gc.read_single_cells(tmp_path / "MyExpt_Cells.csv").recognised


def test_after_cytotables_join_the_number_is_the_cells_and_not_the_cytoplasms(tmp_path):
    write_images(tmp_path)
    table = cytotable()
    table["Metadata_Cytoplasm_Parent_Cells"] = table["Metadata_ObjectNumber"]
    table["Metadata_ObjectNumber"] = [1, 2, 3, 4] * 2
    table.to_parquet(tmp_path / "t.parquet")
    cells = gc.read_single_cells(tmp_path / "t.parquet")
    assert cells.cells_of(0).index.tolist() == [1, 2, 4, 5]
    chosen = gc.read_single_cells(tmp_path / "t.parquet", object_number="Metadata_ObjectNumber")
    assert chosen.cells_of(0).index.tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "labels",
    [
        "masks/{Image_Metadata_Well}_s{Image_Metadata_Site}_DNA_cells.tiff",
        "masks/{image}_cells.tiff",
    ],
)
def test_a_pattern_of_columns_names_label_images(tmp_path, labels):
    path = write_cytotable(tmp_path)
    if "{image}" in labels:
        table = cytotable().drop(columns=["Image_FileName_ER", "Image_PathName_ER"])
        table.to_parquet(path)
    cells = gc.read_single_cells(path, labels=labels)
    np.testing.assert_array_equal(gc.read_labels(cells.row(1)), labels_of(1))


def test_a_label_image_belongs_to_the_image_whose_whole_name_it_begins_with(tmp_path):
    from gradcamo.files.single_cells.places import labels_in

    for name in ("img_1_cells.tif", "img_10_cells.tif", "img_2SegmentationMask.tiff"):
        (tmp_path / name).touch()
    (tmp_path / "img_1_cells.gradcamo-ab12.json").touch()  # what the window keeps
    names = ["img_1.tif", "img_10.ome.tif", "img_2.tiff", "img_3.tif"]
    found = [Path(p).name for p in labels_in(tmp_path, names)]
    assert found == ["img_1_cells.tif", "img_10_cells.tif", "img_2SegmentationMask.tiff", ""]


def test_our_own_exports_open_under_either_names(tmp_path):
    from gradcamo.files.export import write_cytomining
    from gradcamo.files.store import write_table

    write_images(tmp_path)
    path = str(tmp_path / "images/B02_s1_DNA.tiff")
    table = found(2).assign(image=path, plate="P", well="B02", site="1")
    for write, name in ((write_table, "a.csv"), (write_cytomining, "b.parquet")):
        write(table, tmp_path / name)
        cells = gc.read_single_cells(tmp_path / name, labels=tmp_path / "masks")
        assert cells.images["image"].tolist() == [path]
        assert cells.images["well"].tolist() == ["B02"]
        assert cells.cells_of(0).index.tolist() == [1, 2, 4]


def test_no_table_of_stacks_is_taken_for_one_of_cells(tmp_path):
    path = tmp_path / "plate.csv"
    path.write_text("image,labels,plate,well,site,treatment\na.tif,b.tif,P,B02,1,control\n")
    assert not is_single_cells(path)
    assert not is_single_cells(tmp_path)
    assert is_single_cells(write_cytotable(tmp_path / "t"))


# -- what is refused -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.drop(columns="Metadata_ObjectNumber"), r"expected Metadata_ObjectNumber"),
        (lambda t: t.assign(Metadata_ObjectNumber=1.5), r"'1\.5'.*Metadata_ObjectNumber.*row 2"),
        (lambda t: t.assign(Metadata_ObjectNumber=3), r"object 3 of one image twice, in rows 2, 3"),
        (lambda t: t[["Metadata_ObjectNumber"]], r"Image_FileName_"),
    ],
)
def test_a_table_that_tells_no_objects_or_images_says_what_was_expected(tmp_path, change, said):
    for path in (tmp_path / "t.csv", tmp_path / "t.parquet"):
        table = change(cytotable())
        table.to_csv(path, index=False) if path.suffix == ".csv" else table.to_parquet(path)
        with pytest.raises(GradcamoError, match=said):
            gc.read_single_cells(path)


@pytest.mark.parametrize("name", ["t.csv", "t.parquet", "t.csv.gz", "t.xlsx", "gone.csv"])
def test_a_damaged_table_is_refused_by_name(tmp_path, name):
    if "gone" not in name:
        (tmp_path / name).write_bytes(b"\x1f\x8b\x00PAR1" * 9)
    with pytest.raises(GradcamoError, match=re.escape(name)):
        gc.read_single_cells(tmp_path / name)


def test_a_packed_table_with_flipped_bits_is_refused_by_name(tmp_path):
    path = tmp_path / "t.csv.gz"
    numbers = np.random.default_rng(0).random(4000)
    pd.DataFrame({"image": "a", "label": range(1, 4001), "x": numbers}).to_csv(path, index=False)
    packed = bytearray(path.read_bytes())
    packed[2000:2040] = bytes(byte ^ 255 for byte in packed[2000:2040])
    path.write_bytes(packed)
    with pytest.raises(GradcamoError, match=r"t\.csv\.gz cannot be read as a table"):
        gc.read_single_cells(path)


def test_damage_without_a_word_is_named_after_its_kind(tmp_path):
    with pytest.raises(GradcamoError, match=r"\(EOFError\)"), telling_damage(tmp_path / "t.csv"):
        raise EOFError


@pytest.mark.parametrize("line", ["1,2\n", "1,2,3,4\n", '1,"2,3\n'])
def test_a_row_with_more_or_fewer_fields_is_refused_before_any_flag_is_set(tmp_path, line):
    path = tmp_path / "t.csv"
    path.write_text(f"image,label,x\na.tif,1,1\n\na.tif,2,2\n{line}")
    with pytest.raises(GradcamoError, match=r"rows? 4"):
        gc.read_single_cells(path)


# -- the join --------------------------------------------------------------------------------


def test_labels_without_row_rows_without_label_and_centres_elsewhere_are_said(tmp_path):
    cells = gc.read_single_cells(write_cytotable(tmp_path), labels=tmp_path / "masks")
    rows, labels, centre = cells.cells_of(0), labels_of(0), cells.columns.centre
    assert set(centre.values()) == {"Cells_AreaShape_Center_X", "Cells_AreaShape_Center_Y"}
    assert how_joined(rows, labels, centre) == ""
    assert how_joined(rows.drop(index=[2, 4]), labels, centre) == (
        "2 of 4 labels have no row (2, 4)"
    )
    labels[labels == 1] = 0
    assert how_joined(rows, labels, centre) == "1 of 4 rows have no label (1)"
    turned = labels_of(0)[:, :, ::-1]
    assert "only 0 of 4 centres lie in the label of their number" in how_joined(
        rows, turned, centre
    )
    deep = rows.assign(z=1.0)
    assert how_joined(deep, labels_of(0), {**centre, "z": "z"}) == ""
    above = labels_of(0)
    above[1] = 0
    assert "only 0 of 4" in how_joined(deep, above, {**centre, "z": "z"})


# -- written back ----------------------------------------------------------------------------


def everything() -> pa.Table:
    """Every type that a Parquet of single cells may hold, some values missing."""
    n = 4
    return pa.table(
        {
            "Metadata_image": pa.array(["a.tif"] * n, pa.large_string()),
            "Metadata_ObjectNumber": pa.array([1, 2, 4, None], pa.int32()),
            "Metadata_Well": pa.array(["02", None, "D02", ""]).dictionary_encode(),
            "Metadata_when": pa.array([1, None, 3, 4], pa.timestamp("ns", tz="UTC")),
            "Metadata_day": pa.array([1, None, 3, 4], pa.date32()),
            "Cells_int": pa.array([2**53 + 1, None, -1, 0], pa.int64()),
            "Cells_big": pa.array([2**64 - 1, 0, 1, None], pa.uint64()),
            "Cells_float": pa.array([0.1 + 0.2, float("nan"), None, float("-inf")], pa.float64()),
            "Cells_half": pa.array(np.array([0.1, 1, 2, 3], np.float16)),
            "Cells_single": pa.array([0.1, None, 1e-38, 3], pa.float32()),
            "Cells_bool": pa.array([True, None, False, True]),
            "Cells_decimal": pa.array([1, None, 3, 4], pa.int64()).cast(pa.decimal128(22, 2)),
            "Image_bytes": pa.array([b"\0", None, b"", b"x"]),
            "Cells_list": pa.array([[1.0], None, [], [2.0, None]]),
            "Image_struct": pa.array([{"a": 1, "b": "x"}, None, {"a": None, "b": ""}, {"a": 2}]),
            "Metadata_dauer µ/s": pa.array([" x ", "=1", "a\nb", "NaN"]),
        }
    ).replace_schema_metadata({"made": "elsewhere"})


def test_whole_numbers_of_parquet_keep_every_digit_where_some_are_missing(tmp_path):
    from gradcamo.files.single_cells.table_files import open_file

    pq.write_table(pa.table({"a": pa.array([2**53 + 1, None])}), tmp_path / "t.parquet")
    assert list(open_file(tmp_path / "t.parquet").text(["a"])["a"]) == ["9007199254740993", ""]


@pytest.mark.parametrize("compression", ["snappy", "zstd", "none"])
def test_parquet_comes_back_with_every_value_type_group_and_note_of_its_own(tmp_path, compression):
    source, out = tmp_path / "a.parquet", tmp_path / "b.parquet"
    table = everything()
    pq.write_table(table, source, row_group_size=3, compression=compression)
    said = gc.write_single_cells(gc.read_single_cells(source), out, found(2))
    assert "4 cells, 1 flagged" in said
    back = pq.read_table(out)
    own = back.select(range(table.num_columns))
    assert own.schema.equals(pq.read_schema(source), check_metadata=True)
    assert repr(own.to_pydict()) == repr(table.to_pydict())  # NaN is NaN, and None is None
    a, b = pq.ParquetFile(source).metadata, pq.ParquetFile(out).metadata
    sizes = [[m.row_group(n).num_rows for n in range(m.num_row_groups)] for m in (a, b)]
    assert sizes[0] == sizes[1] == [3, 1]
    assert a.row_group(0).column(0).compression == b.row_group(0).column(0).compression
    assert back[FLAG].to_pylist() == [False, True, False, False]
    assert back[NOTE].to_pylist() == ["", "=2+2", 'a "b",\r\nc', ""]
    assert back["Metadata_gradcamo_grad_camo"].to_pylist() == [0.1 + 0.2, None, 0.9, None]


def test_a_parquet_of_pandas_keeps_index_categories_and_nullable_types(tmp_path):
    source, out = tmp_path / "a.parquet", tmp_path / "b.parquet"
    table = (
        cytotable()
        .iloc[:4]
        .assign(
            kind=pd.Categorical(["b", "a", "b", None], ["c", "b", "a"], ordered=True),
            count=pd.array([1, None, 3, 4], "Int16"),
            ok=pd.array([True, None, False, True], "boolean"),
        )
    )
    table.index = pd.Index(["w", "x", "y", "z"], name="cell")
    table.to_parquet(source)
    gc.write_single_cells(gc.read_single_cells(source), out, found(1))
    back = pd.read_parquet(out)
    pd.testing.assert_frame_equal(back[list(table)], table)
    assert back[FLAG].tolist() == [True, False, False, False]


def test_a_wide_table_of_many_row_groups_comes_back(tmp_path):
    rng = np.random.default_rng(1)
    wide = pd.DataFrame(rng.normal(size=(500, 1500)), columns=[f"Cells_{n}" for n in range(1500)])
    wide.insert(0, "image", "a.tif")
    wide.insert(1, "label", range(1, 501))
    source, out = tmp_path / "a.parquet", tmp_path / "b.parquet"
    wide.to_parquet(source, row_group_size=64)
    flags = pd.DataFrame({"label": range(1, 501), "flagged": np.arange(500) % 3 == 0})
    gc.write_single_cells(gc.read_single_cells(source), out, flags)
    back = pd.read_parquet(out)
    pd.testing.assert_frame_equal(back[list(wide)], wide)
    assert back[FLAG].tolist() == flags["flagged"].tolist()


def own_bytes(text: bytes, added: int) -> bytes:
    """A CSV without its last fields, by a parser of our own: one that minds quotes alone."""
    kept, record, quoted, commas = b"", b"", False, []
    for byte in (text[n : n + 1] for n in range(len(text))):
        if byte == b'"':
            quoted = not quoted
        if byte == b"," and not quoted:
            commas.append(len(record))
        if byte in (b"\n", b"\r") and not quoted:
            kept += (record[: commas[-added]] if commas else record) + byte
            record, commas = b"", []
        else:
            record += byte
    return kept + (record[: commas[-added]] if commas else record)


CSV = (
    "\ufeffimage,label,well,x,note,when\r\n"
    'a.tif,1,02,0.10000000000000001,"=1, ""2""",2024-01-02\r\n'
    "\r\n"
    'a.tif,2,D02,1e5,"line\r\nbreak",\r\n'
    "a.tif,4.0,007,NaN,-,NA\r\n"
    'a.tif,,"3",,"""",'
)


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r"])
@pytest.mark.parametrize("last", ["", "end"])
def test_a_csv_keeps_every_byte_of_its_own(tmp_path, end, last):
    source, out = tmp_path / "a.csv", tmp_path / "b.csv"
    text = (CSV + ("\r\n" if last else "")).replace("\r\n", end).encode()
    source.write_bytes(text)
    gc.write_single_cells(gc.read_single_cells(source), out, found(2))
    written = out.read_bytes()
    assert own_bytes(written, 3) == text
    back = pd.read_csv(io.BytesIO(written), keep_default_na=False, dtype=str)
    assert back[FLAG].tolist() == ["False", "True", "False", "False"]
    assert back["Metadata_gradcamo_grad_camo"].tolist() == [repr(0.1 + 0.2), "", "0.9", ""]
    told = read_told(gc.read_single_cells(out), 0)
    assert told["note"].tolist() == ["", "=2+2", 'a "b",\r\nc']
    assert not re.search(r'(?m)(^|,)"?=2', written.decode())  # no formula of ours


FIELDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=6) | st.sampled_from(
    ["02", "1e5", "NaN", "", 'a "b"', "a,b", "a\nb", "=1", " x ", "'", "True"]
)


@settings(max_examples=50, deadline=None)
@given(
    rows=st.lists(st.tuples(FIELDS, FIELDS), min_size=1, max_size=6),
    quoted=st.booleans(),
)
def test_any_csv_comes_back_byte_by_byte_twice(tmp_path_factory, rows, quoted):
    folder = tmp_path_factory.mktemp("csv")
    table = pd.DataFrame(rows, columns=["a", "b"])
    table.insert(0, "image", "x.tif")
    table.insert(1, "label", range(1, len(table) + 1))
    paths = [folder / f"{name}.csv" for name in "abc"]
    table.to_csv(paths[0], index=False, quoting=int(quoted))
    first = pd.DataFrame({"label": [1], "flagged": [True], "note": ["@x"]})
    gc.write_single_cells(gc.read_single_cells(paths[0]), paths[1], first)
    later = pd.DataFrame({"label": [len(table)], "flagged": [True], "note": ["second"]})
    gc.write_single_cells(gc.read_single_cells(paths[1]), paths[2], later)
    for path in paths[1:]:
        assert own_bytes(path.read_bytes(), 2) == paths[0].read_bytes()
    told = read_told(gc.read_single_cells(paths[2]), 0)
    assert told["flagged"].tolist() == [n in (0, len(table) - 1) for n in range(len(table))]
    assert told["note"].iloc[-1] == "second"
    assert len(table) == 1 or told["note"].iloc[0] == "@x"


def test_tabs_and_packed_tables_stay_what_they_are(tmp_path):
    write_images(tmp_path)
    cytotable().to_csv(tmp_path / "a.tsv", sep="\t", index=False)
    cytotable().to_csv(tmp_path / "a.csv.gz", index=False)
    for name, mark in (("tsv", "\t"), ("csv.gz", ",")):
        source, out = tmp_path / f"a.{name}", tmp_path / f"b.{name}"
        cells = gc.read_single_cells(source)
        gc.write_single_cells(cells, out, {1: found(4)})
        opened = (gzip.open if name.endswith("gz") else open)(out, "rt", newline="")
        with opened as file:
            back = pd.read_csv(file, sep=mark)
        pd.testing.assert_frame_equal(back[list(cytotable())], pd.read_csv(source, sep=mark))
        assert back.loc[back[FLAG], "Metadata_ObjectNumber"].tolist() == [4]
        assert back.loc[back[FLAG], "Image_Metadata_Well"].tolist() == ["B03"]
    with pytest.raises(GradcamoError, match=r"should end in \.csv\.gz"):
        gc.write_single_cells(cells, tmp_path / "c.csv", {})
    cytotable().to_csv(tmp_path / "a.2026.csv", index=False)
    cells = gc.read_single_cells(tmp_path / "a.2026.csv")
    with pytest.raises(GradcamoError, match=r"should end in \.csv, as"):
        gc.write_single_cells(cells, tmp_path / "c.tsv", {})
    with pytest.raises(GradcamoError, match="has no image 2: its 2 images"):
        gc.write_single_cells(cells, tmp_path / "c.csv", {2: found(4)})


def test_an_audit_of_an_image_named_from_the_current_folder_is_written_back(tmp_path, monkeypatch):
    write_images(tmp_path)
    image = "images/B02_s1_DNA.tiff"
    pd.DataFrame({"image": image, "label": [1, 2, 4]}).to_csv(tmp_path / "a.csv", index=False)
    monkeypatch.chdir(tmp_path)
    cells = gc.read_single_cells("a.csv")
    assert repr(cells) == f"<SingleCells a.csv: {cells.recognised}>"
    gc.write_single_cells(cells, "b.csv", found(4).assign(image=image))
    assert pd.read_csv("b.csv")[FLAG].tolist() == [False, False, True]
    with pytest.raises(GradcamoError, match=r"has no image other\.tiff: .*write the column image"):
        gc.write_single_cells(cells, "c.csv", found(4).assign(image="other.tiff"))
    with pytest.raises(GradcamoError, match="overwrite=True"):
        gc.write_single_cells(cells, "b.csv", found(4).assign(image=image))


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_nothing_is_overwritten_unasked_and_a_failure_leaves_what_was_there(
    tmp_path, name, monkeypatch
):
    path = write_cytotable(tmp_path, name)
    cells = gc.read_single_cells(path)
    before = path.read_bytes()
    with pytest.raises(GradcamoError, match="is there already"):
        gc.write_single_cells(cells, path, {0: found(1)})
    assert path.read_bytes() == before
    bad = {0: pd.DataFrame({"label": [1], "flagged": [True], "grad_camo": ["much"]})}
    with pytest.raises(GradcamoError, match=r"grad_camo is a number.*much"):
        gc.write_single_cells(cells, path, bad, overwrite=True)
    assert path.read_bytes() == before
    gc.write_single_cells(cells, path, {0: found(1)}, overwrite=True)
    again = gc.read_single_cells(path)
    assert read_told(again, 0)["flagged"].tolist() == [True, False, False, False]
    with pytest.raises(GradcamoError, match="changed since it was opened"):
        gc.write_single_cells(cells, path, {0: found(1)}, overwrite=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([name, "images", "masks"])


def test_pycytominer_drops_the_flagged_rows_of_a_table_that_was_written_back(tmp_path):
    normalize = pytest.importorskip("pycytominer").normalize
    path, out = write_cytotable(tmp_path), tmp_path / "out.parquet"
    gc.write_single_cells(gc.read_single_cells(path), out, {0: found(2), 1: found()})
    table = pd.read_parquet(out)
    kept = normalize(
        table,
        features=["Cells_Intensity_Mean_ER"],
        meta_features=[name for name in table if name.startswith(("Metadata_", "Image_"))],
        method="standardize",
        drop_cosmicqc_rows=True,
    )
    flagged = table[FLAG] | table["Metadata_cqc_small_is_outlier"]
    assert flagged.sum() == 3
    assert len(kept) == len(table) - 3


def test_an_audits_table_goes_back_by_the_names_of_its_images(tmp_path):
    cells = gc.read_single_cells(write_cytotable(tmp_path))
    image = cells.images["image"][1]
    table = found(1).assign(image=image, layer="block_2", predicted=["a", None, "b"])
    out = tmp_path / "out.parquet"
    assert "1 labels have no row" in gc.write_single_cells(
        cells, out, pd.concat([table, table.iloc[:1].assign(label=99)])
    )
    back = pd.read_parquet(out).set_index(["Image_Metadata_Well", "Metadata_ObjectNumber"])
    assert back[FLAG].sum() == 1
    assert back.loc[("B03", 4), "Metadata_gradcamo_predicted"] == "b"
    assert back.loc[("B02", 4), "Metadata_gradcamo_layer"] == ""
    with pytest.raises(GradcamoError, match=r"no image other\.tif"):
        gc.write_single_cells(cells, tmp_path / "x.parquet", table.assign(image="other.tif"))
