"""Stacks and plates written anew, and what is said about files on the command line."""

import json
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner
from test_your_files import CASES, CELLS

import gradcamo as gc
from gradcamo.cli.commands import main
from gradcamo.errors import GradcamoError
from gradcamo.files.convert import convert_plate

PLATES = CASES / "plates"
STACK = gc.ZStack(
    np.random.default_rng(0).integers(0, 4000, (2, 20, 40, 30)).astype(np.uint16),
    ("DNA", "ER, rough"),
    (0.6, 0.35, 0.35),
    "there.tif",
)


def run(*arguments: object) -> str:
    result = CliRunner().invoke(main, [str(part) for part in arguments])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("name", ["a.ome.zarr", "a.ome.tif"])
@pytest.mark.parametrize("spacing", [(0.6, 0.35, 0.35), (None, 0.35, 0.35), None])
def test_a_stack_that_is_written_reads_alike(tmp_path, name, spacing):
    stack = gc.ZStack(STACK.data, STACK.channels, spacing)
    gc.write_stack(tmp_path / name, stack)
    again = gc.read_stack(tmp_path / name)
    assert again.channels == STACK.channels
    assert again.spacing_um == (spacing and pytest.approx(spacing))
    np.testing.assert_array_equal(again.data, STACK.data)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("plate/r02c03f01p{z}-ch{channel}.tiff", "r02c03f01"),
        ("plate/4711_E02_s2.ome.tif", "4711_E02_s2"),
        ("there.zarr", "there"),
        ("", ""),
    ],
)
def test_a_copy_in_ome_zarr_is_called_as_what_its_files_share(tmp_path, source, name):
    gc.write_stack(tmp_path / "a.ome.zarr", replace(STACK, source=source))
    about = json.loads((tmp_path / "a.ome.zarr" / "zarr.json").read_text())["attributes"]["ome"]
    assert about["multiscales"][0]["name"] == name


def test_an_ome_zarr_takes_its_labels_in_and_is_never_overwritten(tmp_path):
    labels = (np.asarray(STACK.data[0]) > 2000).astype(np.uint16)
    labels[..., :4] *= 2  # two cells, not a mask
    gc.write_stack(tmp_path / "a.ome.zarr", STACK, labels)
    read = gc.read_labels(tmp_path / "a.ome.zarr" / "labels" / "cells")
    np.testing.assert_array_equal(read, labels)
    with pytest.raises(GradcamoError, match="is there already"):
        gc.write_stack(tmp_path / "a.ome.zarr", STACK)


def test_a_store_that_breaks_half_way_leaves_nothing(tmp_path):
    class Broken:
        shape, dtype = STACK.shape, np.dtype(np.uint16)

        def __getitem__(self, part):
            if part[0] == 1:
                raise GradcamoError("damaged")
            return STACK.data[part]

    with pytest.raises(GradcamoError, match="damaged"):
        gc.write_stack(tmp_path / "a.ome.zarr", gc.ZStack(Broken(), STACK.channels))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("form", ["ome-zarr", "ome-tiff"])
def test_a_plate_that_is_converted_reads_alike(tmp_path, form):
    own = PLATES / "channel_files"
    plate = gc.read_plate(
        own,
        labels="segmentation_masks/{well}-{site}/cell_mask.tiff",
        layout=own / "platemap.csv",
        spacing_um=(1, 0.1, 0.1),
    )
    assert list(convert_plate(plate, tmp_path / "new", form)) == [1, 2]
    again = gc.read_plate(tmp_path / "new" / "plate.csv")
    same = ["plate", "well", "site", "treatment", "dose", "unit"]
    assert again[same].equals(plate[same])
    for (_, new), (_, old) in zip(again.iterrows(), plate.iterrows(), strict=True):
        ours, theirs = gc.read_stack(new), gc.read_stack(old)
        assert (ours.channels, ours.spacing_um) == (theirs.channels, theirs.spacing_um)
        np.testing.assert_array_equal(ours.data, theirs.data)
        np.testing.assert_array_equal(gc.read_labels(new), gc.read_labels(old))
    if form == "ome-zarr":
        store = gc.read_plate(tmp_path / "new" / "channel_files.ome.zarr")
        assert len(store) == 2
        assert np.unique(gc.read_labels(store.iloc[0])).tolist() == [0, 3, 6, 9]


@pytest.mark.parametrize("name", ["new", "a.ome.tif", "a.ome.zarr"])
def test_a_voxel_size_that_nobody_knows_is_said(tmp_path, name):
    for site, spacing in ((1, None), (2, (None, 0.3, 0.3)), (3, (1, 0.3, 0.3))):
        stack = gc.ZStack(STACK.data, STACK.channels, spacing)
        gc.write_stack(tmp_path / f"A01_s{site}.ome.tif", stack)
    plate = tmp_path / "plate.csv"
    lines = [f"A01_s{site}.ome.tif,P,A01,{site},control\n" for site in (1, 2, 3)]
    plate.write_text("image,plate,well,site,treatment\n" + "".join(lines))
    source = plate if name == "new" else tmp_path / "A01_s1.ome.tif"
    said = run("convert", source, "-o", tmp_path / name)
    others = " and 1 stack more" if name == "new" else ""
    assert f"A01_s1.ome.tif{others} is unknown along z, y, x, so none is written" in said
    said = run("convert", source, "-o", tmp_path / f"told{name}", "--spacing", "1,0.3,0.3")
    assert "voxel size of" not in said


def test_a_table_of_a_folder_is_written_and_the_folder_described(tmp_path):
    said = run("table", PLATES / "operetta", "-o", tmp_path / "plate.csv")
    assert "Operetta: 2 wells, 4 stacks" in said
    assert "2 channels (HOECHST 33342, Alexa 488), 4 planes, voxels of 0.6,0.35,0.35 µm" in said
    (tmp_path / "plate.csv").write_text(
        (tmp_path / "plate.csv").read_text().replace(",operetta,B03,1,,", ",operetta,B03,1,x,")
    )
    said = run(
        *("table", PLATES / "cellvoyager", "--spacing", "?,0.1,0.1"),
        *("--channel-names", "C01=DNA,C02=ER"),
    )
    assert "2 channels (DNA, ER), 4 planes, voxels of ?,0.1,0.1 µm" in said


def test_what_no_file_says_can_be_said_to_every_command(tmp_path):
    image = tmp_path / "p.tif"
    data = np.asarray(STACK.data)
    tifffile.imwrite(image, data[..., :24], photometric="minisblack")
    told = ["--axes", "CZYX", "--channel-names", "DNA,ER", "--spacing", "0.6,0.35,0.35"]
    run("convert", image, *told, "-o", tmp_path / "a.ome.zarr")
    stack = gc.read_stack(tmp_path / "a.ome.zarr")
    assert (stack.channels, stack.spacing_um) == (("DNA", "ER"), (0.6, 0.35, 0.35))
    np.testing.assert_array_equal(stack.data, data[..., :24])
    for command in ("segment", "audit", "open", "plate", "train", "layers", "convert", "table"):
        said = run(command, "--help")
        assert all(flag in said for flag in ("--axes", "--channel-names", "--spacing"))
    refused = CliRunner().invoke(
        main, ["convert", str(image), *told[:4], "--spacing", "1,2", "-o", str(tmp_path / "b.zarr")]
    )
    assert refused.exit_code == 1
    assert "--spacing: a voxel size is three lengths z,y,x" in refused.output


def test_planes_and_labels_are_converted_in_one_command(tmp_path):
    image = PLATES / "plane_files" / "PB01_colo_HCT116_L1" / "Well-B02-z{z}-{channel}.ome.tiff"
    masks = PLATES / "plane_files" / "results" / "PB01" / "segmentation"
    masks = masks / "cell_segmented_B02_{z}.npy"
    run("convert", image, "--image-labels", masks, "-o", tmp_path / "a.ome.tif")
    assert gc.read_stack(tmp_path / "a.ome.tif").channels == ("CONC", "HOECHST")
    labels = gc.read_labels(tmp_path / "a_labels.ome.tif")
    assert ((labels > 0) == (CELLS > 0)).all()
    assert len(np.unique(labels)) == 4
