"""The layouts of plates that labs have on disk, from folder to voxels."""

import json
import re
import shutil
import time
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner

import gradcamo as gc
from gradcamo.cli.commands import main
from gradcamo.errors import GradcamoError, GradcamoWarning
from gradcamo.files.kept_plates import keep_told, kept_told
from gradcamo.files.plates import untold_plate
from gradcamo.progress import result_of
from gradcamo.settings import FolderSettings

CASES = Path(__file__).parent / "data" / "cases"
TRUTH = json.loads((CASES / "truth.json").read_text())
CELLS = tifffile.imread(CASES / "labels" / "three_cells.tif")
LAYOUTS = ["imagexpress", "operetta", "cellvoyager", "channel_files", "plane_files"]
NAMES = {
    "imagexpress": "ImageXpress",
    "operetta": "Operetta",
    "cellvoyager": "CellVoyager",
    "channel_files": "one file per channel",
    "plane_files": "one file per plane",
}


def expected(truth: dict, well: str, site: str) -> np.ndarray:
    c, z = np.ogrid[: truth["shape_czyx"][0], : truth["shape_czyx"][1]]
    base = 1000 * (c + 1) + 100 * z + 10 * int(site) + 1 + sorted(truth["fields"]).index(well)
    inside = np.where(CELLS > 0, 3000 + 7 * np.arange(64), 0)
    return base[:, :, None, None] + inside


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_folder_gives_channels_voxel_size_and_every_voxel(name):
    truth = TRUTH[f"plates/{name}"]
    plate = gc.read_plate(CASES / "plates" / name)
    assert plate.attrs["recognised"].startswith(NAMES[name])
    assert {well: sorted(rows["site"]) for well, rows in plate.groupby("well")} == truth["fields"]
    for _, row in plate.iterrows():
        stack = gc.read_stack(row)
        assert sorted(stack.channels) == sorted(truth["channels"])
        sizes = truth["spacing_um_zyx"]
        assert stack.spacing_um == (sizes and pytest.approx(tuple(sizes)))
        order = [stack.channels.index(channel) for channel in truth["channels"]]
        wanted = expected(truth, row["well"], row["site"])
        np.testing.assert_array_equal(np.asarray(stack.data)[order], wanted)


def copied(name: str, tmp_path: Path) -> Path:
    return Path(shutil.copytree(CASES / "plates" / name, tmp_path / name))


def test_a_table_of_the_plate_reads_alike(tmp_path):
    plate = gc.read_plate(CASES / "plates" / "operetta").assign(treatment="x")
    plate.to_csv(tmp_path / "plate.csv", index=False)
    again = gc.read_plate(tmp_path / "plate.csv")
    assert again.equals(plate)
    ours, theirs = gc.read_stack(again.iloc[3]), gc.read_stack(plate.iloc[3])
    assert (ours.channels, ours.spacing_um) == (theirs.channels, theirs.spacing_um)
    np.testing.assert_array_equal(ours.data, theirs.data)


def test_a_layout_matches_wells_however_they_are_padded_and_named(tmp_path):
    layout = tmp_path / "platemap.csv"
    for header, wells in (
        ("Metadata_Well,compound,dose", ("b2", "B3")),
        ("Well Position,Metadata_Treatment,dose", ("B02", "B003")),
    ):
        layout.write_text(f"{header}\n{wells[0]},DMSO,0\n{wells[1]},drug,1\nH12,other,9\n")
        plate = gc.read_plate(CASES / "plates" / "imagexpress", layout=layout)
        assert list(plate["treatment"]) == ["DMSO", "DMSO", "drug", "drug"]
        assert list(plate["dose"]) == ["0", "0", "1", "1"]
    layout.write_text("where,what\nB02,DMSO\nB03,drug\n")
    with pytest.raises(GradcamoError, match=r"no column well.*where, what.*--well-column"):
        gc.read_plate(CASES / "plates" / "imagexpress", layout=layout)
    plate = gc.read_plate(
        CASES / "plates" / "imagexpress",
        layout=layout,
        well_column="where",
        treatment_column="what",
    )
    assert list(plate["treatment"]) == ["DMSO", "DMSO", "drug", "drug"]
    own = CASES / "plates" / "channel_files"
    plate = gc.read_plate(own, layout=own / "platemap.csv")
    assert dict(zip(plate["well"], plate["treatment"], strict=True)) == {
        "C4": "Staurosporine",
        "E-3": "DMSO",
    }


def test_what_only_its_owner_knows_is_told_for_the_whole_plate():
    folder = CASES / "plates" / "cellvoyager"
    plate = gc.read_plate(folder, channels={"C02": "ER, rough"}, spacing_um=(1.0, 0.1, 0.1))
    stack = gc.read_stack(plate.iloc[0])
    assert stack.channels == ("C01", "ER, rough")
    assert stack.spacing_um == (1.0, 0.1, 0.1)
    stack = gc.read_stack(gc.read_plate(folder, channels=["DNA", "ER"]).iloc[0])
    assert stack.channels == ("DNA", "ER")
    with pytest.raises(GradcamoError, match="C01, C02, and no C07"):
        gc.read_plate(folder, channels=["C07=x"])


def test_a_voxel_size_told_in_part_leaves_what_the_index_says():
    folder = CASES / "plates" / "operetta"
    plate = gc.read_plate(folder, spacing_um=(2.0, None, None))
    assert gc.read_stack(plate.iloc[0]).spacing_um == pytest.approx((2.0, 0.35, 0.35))
    assert "voxels of 2,0.35,0.35 µm" in plate.attrs["recognised"]


def test_channels_that_were_named_can_be_named_again(tmp_path):
    plate = gc.read_plate(CASES / "plates" / "cellvoyager", channels={"C02": "ER"})
    plate.assign(treatment="x").to_csv(tmp_path / "plate.csv", index=False)
    for told, names in (({"ER": "RNA"}, ("C01", "RNA")), (["a", "b"], ("a", "b"))):
        again = gc.read_plate(tmp_path / "plate.csv", channels=told)
        assert gc.read_stack(again.iloc[0]).channels == names
    with pytest.raises(GradcamoError, match="name of its own, 'C01' stands for 2 of"):
        gc.read_plate(CASES / "plates" / "cellvoyager", channels={"C02": "C01"})


def test_each_imagexpress_stack_has_the_channels_and_voxels_that_its_own_files_say(tmp_path):
    folder = copied("imagexpress", tmp_path)
    swapped = {b"DAPI": b"FITC", b"FITC": b"DAPI", b'"0.35"': b'"0.70"'}
    shutil.copytree(folder / "4711_Plate_12", folder / "4712_Plate_13")
    for path in (folder / "4712_Plate_13").rglob("*.TIF"):
        said = path.read_bytes()
        path.write_bytes(re.sub(b"|".join(swapped), lambda found: swapped[found[0]], said))
    plate = gc.read_plate(folder)
    one, other = (gc.read_stack(plate.iloc[n]) for n in (0, 4))
    assert list(plate["plate"].iloc[[0, 4]]) == ["4711_Plate_12", "4712_Plate_13"]
    assert (one.channels, other.channels) == (("DAPI", "FITC"), ("FITC", "DAPI"))
    assert one.spacing_um == pytest.approx((1.5, 0.35, 0.35))
    assert other.spacing_um == pytest.approx((1.5, 0.7, 0.7))
    np.testing.assert_array_equal(one.data, other.data)
    with pytest.raises(GradcamoError, match="DAPI, FITC, and no Cy5"):
        gc.read_plate(folder, channels=["Cy5=x"])


def test_each_operetta_plate_has_the_channels_and_voxels_of_its_own_index(tmp_path):
    shutil.copytree(CASES / "plates" / "operetta", tmp_path / "plates" / "b")
    new = Path(shutil.copytree(tmp_path / "plates" / "b", tmp_path / "plates" / "a"))
    text = (new / "Images" / "Index.idx.xml").read_text()
    text = text.replace("HOECHST 33342", "Mito").replace("3.5E-07", "7E-07")
    (new / "Images" / "Index.idx.xml").write_text(text)
    plate = gc.read_plate(tmp_path / "plates")
    read = {row["plate"]: gc.read_stack(row) for _, row in plate.iterrows()}
    assert read["a"].channels == ("Mito", "Alexa 488")
    assert read["a"].spacing_um == pytest.approx((0.6, 0.7, 0.7))
    assert read["b"].channels == ("HOECHST 33342", "Alexa 488")
    assert read["b"].spacing_um == pytest.approx((0.6, 0.35, 0.35))


@pytest.mark.parametrize("where", ["Images/Index.idx.xml", "Index.idx.xml", "Images/Index.ref.xml"])
def test_older_operetta_indexes_name_channels_in_their_flat_fields(tmp_path, where):
    folder = copied("operetta", tmp_path)
    index = folder / "Images" / "Index.idx.xml"
    text = re.sub("<ChannelName>.*?</ChannelName>", "", index.read_text())
    entries = "".join(
        f'<Entry ChannelID="{n}"><FlatfieldProfile>{{Background: {{Character: Null}}, '
        f"Channel: {n}, ChannelName: {name}, Version: 1}}</FlatfieldProfile></Entry>"
        for n, name in ((1, "HOECHST 33342"), (2, "Alexa 488"))
    )
    end = "</EvaluationInputData>"
    index.unlink()
    (folder / where).write_text(text.replace(end, f"<Maps><Map>{entries}</Map></Maps>{end}"))
    plate = gc.read_plate(folder)
    stack = gc.read_stack(plate.iloc[0])
    assert stack.channels == ("HOECHST 33342", "Alexa 488")
    assert stack.spacing_um == pytest.approx((0.6, 0.35, 0.35))


def test_a_plate_is_read_step_by_step_and_says_how_far_it_is(tmp_path):
    folder = CASES / "plates" / "imagexpress"
    steps = untold_plate(folder, FolderSettings())
    assert list(steps)[:2] == [
        "32 files: which belong together",
        "ImageXpress: 4 stacks, is each of them complete",
    ]
    plate = result_of(untold_plate(folder, FolderSettings()))
    assert plate.equals(gc.read_plate(folder))
    plate.assign(treatment="x").to_csv(tmp_path / "plate.csv", index=False)
    table = result_of(untold_plate(tmp_path / "plate.csv", FolderSettings()))
    assert "table: 2 wells, 4 stacks" in table.attrs["recognised"]
    assert "2 channels (DAPI, FITC), 4 planes, voxels of 1.5,0.35,0.35" in table.attrs["recognised"]


def test_what_was_told_of_a_plate_is_found_again(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    told = FolderSettings(channel_names=("C01=DNA", "C02=ER, rough"), spacing="1,?,0.1", axes="ZYX")
    folder = CASES / "plates" / "cellvoyager"
    assert kept_told(folder) == FolderSettings()
    keep_told(folder, told)
    assert kept_told(folder) == told
    assert kept_told(folder.parent) == FolderSettings()
    (home,) = (tmp_path / "data").rglob("*.json")
    home.write_text(home.read_text()[:20])
    assert kept_told(folder) == FolderSettings()


def test_a_pattern_says_how_files_are_named():
    folder = CASES / "plates" / "plane_files"
    pattern = "{plate}/Well-{well}-z{z}-{channel}.ome.tiff"
    masks = "results/*/segmentation/cell_segmented_{well}_{z}.npy"
    plate = gc.read_plate(folder, pattern, masks)
    assert list(plate["plate"]) == ["PB01_colo_HCT116_L1"] * 2
    assert gc.read_stack(plate.iloc[1]).shape == (2, 4, 64, 64)
    rows = gc.read_plate(
        CASES / "plates" / "operetta",
        "Images/r{row}c{col}f{site}p{z}-ch{channel}sk{t}fk1fl1.tiff",
    )
    assert list(rows["well"]) == ["B03", "B03", "B04", "B04"]
    assert list(rows["site"]) == ["01", "02", "01", "02"]
    with pytest.raises(GradcamoError, match="braces that are no fields"):
        gc.read_plate(folder, "{well}_{z!r}.tif")
    with pytest.raises(GradcamoError, match="for a folder"):
        gc.read_plate(CASES / "plates" / "channel_files" / "platemap.csv", pattern=pattern)


# -- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "lost", "said"),
    [
        ("imagexpress", "*/*/ZStep_3/4711_B03_s2_w2.TIF", "plane 3 of channel 2"),
        ("cellvoyager", "*C06_T0001F002*Z03C02.tif", "plane 03 of channel 02"),
        ("plane_files", "*/Well-B03-z2-CONC.ome.tiff", "plane 2 of channel CONC"),
    ],
)
def test_a_missing_plane_is_named_with_well_site_and_file(tmp_path, name, lost, said):
    folder = copied(name, tmp_path)
    (gone,) = folder.glob(lost)
    gone.unlink()
    well, site = {"imagexpress": ("B03", 2), "cellvoyager": ("C06", 2)}.get(name, ("B03", 1))
    with pytest.raises(GradcamoError, match=rf"well {well}, site {site}.*lacks {said}.*no file /"):
        gc.read_plate(folder)


def test_a_missing_channel_is_named_with_well_site_and_file(tmp_path):
    folder = copied("channel_files", tmp_path)
    (folder / "zstack_images" / "E-3-2" / "E-3-2_488.tif").unlink()
    with pytest.raises(
        GradcamoError, match=r"well E-3, site 2.*lacks channel 488.*E-3-2/E-3-2_488\.tif"
    ):
        gc.read_plate(folder)


def test_a_shorter_stack_is_said(tmp_path):
    folder = copied("imagexpress", tmp_path)
    for path in folder.glob("*/*/ZStep_4/4711_B03_s1_*"):
        path.unlink()
    with pytest.warns(GradcamoWarning, match=r"well B03, site 1 .*3 planes.*4: plane 4 is missing"):
        gc.read_plate(folder)


def test_a_stack_that_is_there_twice_is_named(tmp_path):
    folder = copied("plane_files", tmp_path)
    for path in folder.glob("*/Well-B03-*"):
        shutil.copy(path, path.with_name(f"copy of-{path.name}"))
    with pytest.raises(GradcamoError, match=r"B03, 1: .* and .*copy of.*number the s"):
        gc.read_plate(folder)


def test_fields_of_different_size_are_named(tmp_path):
    folder = copied("imagexpress", tmp_path)
    (path,) = folder.glob("*/*/ZStep_3/4711_B03_s2_w1.TIF")
    tifffile.imwrite(path, np.zeros((32, 32), np.uint16))
    plate = gc.read_plate(folder)
    with pytest.raises(
        GradcamoError, match=r"well B03, site 2: .*ZStep_3/4711_B03_s2_w1\.TIF is .*32, 32"
    ):
        gc.read_stack(plate.iloc[3])


def test_thumbnails_and_projections_are_left_out_and_said(tmp_path):
    folder = copied("imagexpress", tmp_path)
    guid = "07447158-AC22-4B5C-8FD2-8F1A3B2A0123"
    for path in list(folder.rglob("*.TIF")):
        path.rename(path.with_name(path.name.replace(".TIF", f"{guid}.TIF")))
        thumb = path.name.replace(".TIF", f"_thumb{guid}.TIF")
        tifffile.imwrite(path.with_name(thumb), np.zeros((8, 8), np.uint16))
    (first,) = folder.glob("*/TimePoint_1")
    (first / "ZStep_0").mkdir()
    for place in (first, first / "ZStep_0"):
        tifffile.imwrite(place / "4711_B02_s1_w1.TIF", np.zeros((64, 64), np.uint16))
    plate = gc.read_plate(folder)
    assert "left out: 32 thumbnails, 2 projections" in plate.attrs["recognised"]
    truth = TRUTH["plates/imagexpress"]
    for _, row in plate.iterrows():
        stack = gc.read_stack(row)
        assert stack.channels == ("DAPI", "FITC")
        np.testing.assert_array_equal(stack.data, expected(truth, row["well"], row["site"]))


@pytest.mark.parametrize("order", ["w{w}_z{z}", "z{z}_w{w}"])
def test_planes_of_imagexpress_may_stand_in_the_names(tmp_path, order):
    for well in ("B02", "B03"):
        for w in (1, 2):
            for z in (1, 2, 3):
                name = f"p_{well}_s1_{order.format(w=w, z=z)}.tif"
                tifffile.imwrite(tmp_path / name, np.full((8, 8), 10 * w + z, np.uint8))
    plate = gc.read_plate(tmp_path)
    stack = gc.read_stack(plate.iloc[0])
    assert stack.channels == ("w1", "w2")
    assert np.asarray(stack.data)[:, :, 0, 0].tolist() == [[11, 12, 13], [21, 22, 23]]


def test_an_index_that_cannot_be_trusted_is_named(tmp_path):
    folder = copied("operetta", tmp_path)
    index = folder / "Images" / "Index.idx.xml"
    whole = index.read_text()
    gone = folder / "Images" / "r02c04f02p03-ch2sk1fk1fl1.tiff"
    gone.rename(tmp_path / "gone.tiff")
    with pytest.raises(
        GradcamoError, match=r"r02c04f02p03-ch2.*well B04, site 2, plane 3, channel 2"
    ):
        gc.read_plate(folder)
    (tmp_path / "gone.tiff").rename(gone)
    index.write_text(whole[: len(whole) // 2])
    with pytest.raises(GradcamoError, match=r"Index\.idx\.xml cannot be read as XML"):
        gc.read_plate(folder)
    bomb = '<?xml version="1.0"?><!DOCTYPE b [<!ENTITY a "aaaaaaaaaa">'
    for i in range(1, 9):
        inner = f"&a{i - 1};" * 10 if i > 1 else "&a;" * 10
        bomb += f'<!ENTITY a{i} "{inner}">'
    index.write_text(f"{bomb}]><b>&a8;</b>")
    with pytest.raises(GradcamoError, match="declares a document type"):
        gc.read_plate(folder)
    index.unlink()
    stack = gc.read_stack(gc.read_plate(folder).iloc[0])
    assert stack.channels == ("ch1", "ch2")
    assert stack.spacing_um is None


def test_the_records_of_a_cellvoyager_give_its_voxel_size(tmp_path):
    folder = copied("cellvoyager", tmp_path)
    head = '<bts:{0} xmlns:bts="http://www.yokogawa.co.jp/BTS/BTSSchema/1.0">'
    lines = [
        f'<bts:MeasurementRecord bts:Type="IMG" bts:Row="3" bts:Column="{name[-32:][5:7]}" '
        f'bts:FieldIndex="1" bts:ZIndex="{z}" bts:Z="{2.5 * z}" bts:Ch="1">{name}'
        "</bts:MeasurementRecord>"
        for name, z in ((path.name, int(path.stem[-5:-3])) for path in folder.glob("*.tif"))
    ]
    records = head.format("MeasurementData") + "".join(lines) + "</bts:MeasurementData>"
    (folder / "MeasurementData.mlf").write_text(records)
    (folder / "MeasurementDetail.mrf").write_text(
        head.format("MeasurementDetail")
        + '<bts:MeasurementChannel bts:Ch="1" bts:HorizontalPixelDimension="0.1625" '
        'bts:VerticalPixelDimension="0.1625"/></bts:MeasurementDetail>'
    )
    plate = gc.read_plate(folder)
    assert gc.read_stack(plate.iloc[0]).spacing_um == (2.5, 0.1625, 0.1625)
    next(folder.glob("*F002L01A02Z03C02.tif")).unlink()
    with pytest.raises(GradcamoError, match=r"names 1 images that are not there.*plane 3"):
        gc.read_plate(folder)


def test_files_of_two_microscopes_in_one_folder_are_refused(tmp_path):
    shutil.copytree(CASES / "plates" / "operetta", tmp_path / "both" / "a")
    shutil.copytree(CASES / "plates" / "cellvoyager", tmp_path / "both" / "b")
    with pytest.raises(GradcamoError, match=r"Operetta and CellVoyager.*name one of their folders"):
        gc.read_plate(tmp_path / "both")
    with pytest.raises(GradcamoError, match=r"follows no layout.*--pattern"):
        gc.read_plate(CASES / "labels")


@pytest.mark.slow
def test_a_file_takes_no_longer_to_list_among_many_others(tmp_path):
    plane = tmp_path / "plane.tif"
    tifffile.imwrite(plane, np.zeros((4, 4), np.uint8), metadata=None)
    per_file = []
    wells = [f"{row}{column:02d}" for row in "ABCDEFGHIJKLMNOP" for column in range(1, 25)]
    for many in (4, 48, 384):  # the first listing imports what it needs
        folder = tmp_path / f"plate{len(per_file)}"
        folder.mkdir()
        for well in wells[:many]:
            for z, c in product(range(1, 22), range(1, 9)):
                (folder / f"{well}_s1_z{z:02d}_c{c}.tif").symlink_to(plane)
        start = time.process_time()
        plate = gc.read_plate(folder, "{well}_s{site}_z{z}_{channel}.tif")
        per_file.append((time.process_time() - start) / len(list(folder.iterdir())))
        assert len(plate) == many
        assert gc.read_stack(plate.iloc[-1]).shape == (8, 21, 4, 4)
    assert per_file[2] < 2 * per_file[1]  # more where files are held against files


# -- from folder to report -----------------------------------------------------------------------


LABELS = {
    "channel_files": "segmentation_masks/{well}-{site}/cell_mask.tiff",
    "plane_files": "results/PB01/segmentation/cell_segmented_{well}_{z}.npy",
}


def small_network(channels: tuple[str, ...]) -> gc.Checkpoint:
    """An untrained network of two classes that looks at crops of 32 × 32 pixels."""
    import torch

    torch.manual_seed(0)
    architecture = {"name": "efficientnet-b0", "in_channels": len(channels), "num_classes": 2}
    return gc.Checkpoint(
        network=gc.efficientnet3d(**architecture, width=0.1),
        classes=("DMSO", "drug"),
        channels=channels,
        channel_mean=(0.2,) * len(channels),
        channel_std=(0.2,) * len(channels),
        crop=gc.CropSettings(size_yx=(32, 32)),
        input_size=(64, 64, 64),
        layer="block_2",
        architecture={**architecture, "width": 0.1},
    )


def laid_out(name: str, folder: Path) -> Path:
    """A table that gives the first well DMSO and the second a drug."""
    layout = folder / "layout.csv"
    wells = zip(sorted(TRUTH[f"plates/{name}"]["fields"]), ("DMSO", "drug"), strict=True)
    layout.write_text("Well,Treatment\n" + "".join(f"{well},{what}\n" for well, what in wells))
    return layout


@pytest.fixture(scope="module")
def scheduler():
    """The address of a worker in this process."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
    ) as cluster:
        yield cluster.scheduler_address


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYOUTS)
def test_a_folder_goes_to_a_report_with_one_command(name, tmp_path, scheduler):
    from click.testing import CliRunner

    from gradcamo.cli.commands import main

    truth = TRUTH[f"plates/{name}"]
    channels = tuple("abc"[: len(truth["channels"])])
    small_network(channels).save(tmp_path / "net.safetensors")
    layout, labels = laid_out(name, tmp_path), LABELS.get(name)
    masks = ["--labels", labels] if labels else ["--segment-model", "bundled"]
    command = ["plate", CASES / "plates" / name, "--layout", layout, *masks]
    command += ["--channel-names", ",".join(channels), "--spacing", "1,0.1,0.1"]
    command += ["--segment-cytoplasm", "a", "--scheduler", scheduler, "--umap-cells", 0]
    command += ["--checkpoint", tmp_path / "net.safetensors", "-o", tmp_path / "out"]
    result = CliRunner().invoke(main, [str(part) for part in command])
    assert result.exit_code == 0, result.output
    assert f"{NAMES[name]}: 2 wells" in result.output
    assert (tmp_path / "out" / "report.html").is_file()
    cells = gc.read_table(tmp_path / "out" / "cells.parquet")
    if labels:
        assert len(cells) == 3 * sum(map(len, truth["fields"].values()))
    assert set(cells["treatment"]) == {"DMSO", "drug"}
    assert set(cells["spacing_um"]) == {"1,0.1,0.1"}
    assert cells["grad_camo"].notna().any()


def test_the_layouts_of_the_page_are_recognised_as_it_says(tmp_path):
    """Each line with names of label images: an image as it has it, its labels, and the pattern."""
    page = (Path(__file__).parents[1] / "docs" / "your_files.md").read_text("utf-8")
    lines = [line.split("|") for line in page.splitlines() if re.match(r"\|.*--labels '", line)]
    assert len(lines) == 3
    for number, (_, layout, image, command, _) in enumerate(lines):
        folder = tmp_path / str(number)
        (image,), (labels,) = re.findall(r"`(.+?)`", image), re.findall(r"'(.+?)'", command)
        well, site = re.search(r"([A-D]\d+)(?:[-_]s?(\d+))?", image).groups()
        mask = labels.format(well=well, site=site, z=0)
        for name in (image, mask):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            voxels = np.zeros((8, 8), np.uint8)
            (np.save if name.endswith(".npy") else tifffile.imwrite)(folder / name, voxels)
        plate = gc.read_plate(folder, labels=labels)
        assert layout.strip().startswith(plate.attrs["found"]["layout"])
        said = labels.format(well=well, site=site, z="{z}")
        assert plate["labels"][0] == str(folder.resolve() / said)
        assert gc.read_labels(plate.iloc[0]).shape == (1, 8, 8)


def notes(*args):
    """What `gradcamo table` says is not known."""
    result = CliRunner().invoke(main, ["table", *map(str, args)])
    assert result.exit_code == 0, result.output
    return [line for line in result.stderr.splitlines() if line.startswith("Note: ")]


def test_what_a_folder_does_not_tell_is_said_with_the_flag_that_does(tmp_path):
    stack = np.zeros((2, 4, 64, 64), np.uint16)
    for well in ("D02", "E02"):
        tifffile.imwrite(tmp_path / f"{well}_s1.tif", stack)
    axes, labels, treatments = notes(tmp_path)
    assert re.search(r"channels and voxel size are not known: .*\(--axes", axes)
    assert "no label images are used: name their files with --labels, such as" in labels
    assert "--layout" in treatments
    told = (tmp_path, "--axes", "CZYX")
    size, _, _ = notes(*told)
    assert "not known along z, y, x: say it with --spacing" in size
    told += ("--spacing", "?,0.3,0.3")
    assert "not known along z: say it with --spacing" in notes(*told)[0]
    told = (*told[:-1], "1,0.3,0.3")
    assert len(notes(*told)) == 2
    for well in ("D02", "E02"):
        tifffile.imwrite(tmp_path / f"{well}_s1_labels.tif", stack[0])
    labels, _ = notes(*told)
    assert "are used, though 2 lie there: name their files" in labels
    told += ("--labels", "{well}_s{site}_labels.tif")
    (treatments,) = notes(*told)
    (tmp_path / "layout.csv").write_text("well,treatment\nD02,control\nE02,drug\n")
    told += ("--layout", tmp_path / "layout.csv")
    assert notes(*told, "-o", tmp_path / "plate.csv") == []
    assert notes(tmp_path / "plate.csv") == []  # a table says what it says
