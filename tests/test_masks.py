"""Labels that are a mask, and labels of another size than their stack."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from click.testing import CliRunner
from scipy import ndimage
from test_damaged import spoil

from gradcamo.cli.commands import main
from gradcamo.errors import GradcamoError
from gradcamo.files.labels import read_labels, write_labels
from gradcamo.files.masks import MaskError, connected_pieces
from gradcamo.files.misfits import refuse_misfits
from gradcamo.files.stacks import read_stack
from gradcamo.plate.checked_rows import open_plate
from gradcamo.settings import PlateSettings, TrainSettings
from gradcamo.training.cell_index import training_cells

CASES = Path(__file__).parent / "data" / "cases"


@pytest.mark.parametrize(("name", "number"), [("binary_1.tif", 1), ("binary_255.tif", 255)])
def test_a_mask_is_refused_and_its_pieces_are_the_cells(name, number):
    path = CASES / "labels" / name
    told = rf"{name} is a mask: its only number, {number}, lies in 3 separate pieces.*--connected"
    with pytest.raises(MaskError, match=told):
        read_labels(path)
    with pytest.raises(MaskError, match=told):
        read_labels({"labels": str(path)})
    cells = read_labels(CASES / "labels" / "three_cells.tif")
    for found in (
        read_labels(path, connected=True),
        read_labels({"labels": str(path), "connected": "yes"}),
    ):
        pairs = np.unique(np.stack([cells.ravel(), found.ravel()]), axis=1)
        assert pairs.shape == (2, 4)  # 3 cells and the background, one to one
        assert found.max() == 3


def test_a_single_cell_that_was_exported_as_0_and_1_is_fine(tmp_path):
    labels = np.zeros((3, 20, 20), np.uint8)
    labels[0, 2:9, 2:9] = labels[1, 9:15, 9:15] = 1  # in one piece in every plane, touching aslant
    labels[1, 8, 8] = 1
    write_labels(tmp_path / "l.tif", labels)
    np.testing.assert_array_equal(read_labels(tmp_path / "l.tif"), labels)
    labels[1, 5, 5] = 1
    write_labels(tmp_path / "l.tif", labels)
    with pytest.raises(MaskError, match="2 separate pieces of plane 1"):
        read_labels(tmp_path / "l.tif")
    labels[2, 0, 0] = 2  # a second number: cells may be in pieces
    write_labels(tmp_path / "l.tif", labels)
    assert read_labels(tmp_path / "l.tif").max() == 2
    write_labels(tmp_path / "l.tif", np.zeros_like(labels))
    assert not read_labels(tmp_path / "l.tif").any()


def test_pieces_touch_by_faces_edges_and_corners_and_keep_to_their_number():
    rng = np.random.default_rng(0)
    mask = (rng.random((6, 30, 30)) < 0.12).astype(np.uint8)
    expected, n = ndimage.label(mask, np.ones((3, 3, 3)))
    found = connected_pieces(mask)
    assert found.max() == n
    assert np.unique(np.stack([expected.ravel(), found.ravel()]), axis=1).shape == (2, n + 1)
    assert list(connected_pieces(np.array([[[5, 7, 7, 0, 5]]])).ravel()) == [1, 2, 2, 0, 3]


@pytest.fixture
def plate_of(tmp_path):
    def write(labels: str, **columns):
        image = np.random.default_rng(0).integers(0, 99, (2, 4, 64, 64)).astype(np.uint16)
        rows = []
        for site, well in enumerate(["D02", "D03", "E02", "E03"]):
            tifffile.imwrite(tmp_path / f"{well}.ome.tif", image, metadata={"axes": "CZYX"})
            source = "three_cells.tif" if site == 0 else labels
            path = CASES / "labels" / source
            rows.append([f"{well}.ome.tif", str(path), "P", well, "1", well[0]])
        names = ["image", "labels", "plate", "well", "site", "treatment"]
        pd.DataFrame(rows, columns=names).assign(**columns).to_csv(tmp_path / "p.csv", index=False)
        return tmp_path / "p.csv"

    return write


def test_labels_at_another_resolution_are_refused_when_a_plate_is_opened(plate_of):
    plate = plate_of("half_resolution.tif")
    told = (
        r"well D03, site 1: .*half_resolution\.tif of .*\(4, 32, 32\) do not fit D03\.ome\.tif of "
        r"\(4, 64, 64\), half the resolution: .*\(and 2 more"
    )
    with pytest.raises(GradcamoError, match=told):
        refuse_misfits(open_plate(plate))
    with pytest.raises(GradcamoError, match=told):
        training_cells(plate, TrainSettings(train_columns=("02",), test_columns=("03",)))


def test_what_cannot_be_opened_does_not_stop_the_other_stacks(plate_of, tmp_path):
    plate = plate_of("three_cells.tif")
    (tmp_path / "E02.ome.tif").write_bytes(b"nothing")
    refuse_misfits(open_plate(plate))


def test_only_headers_are_read_to_compare_sizes(plate_of, tmp_path, random):
    half = tmp_path / "half.tif"
    plate = plate_of(str(half))
    for path, shape in ((half, (4, 32, 32)), (tmp_path / "D03.ome.tif", (2, 4, 64, 64))):
        voxels = random.integers(0, 4000, shape, np.uint16)
        tifffile.imwrite(path, voxels, metadata={"axes": "CZYX"[-len(shape) :]}, compression="zlib")
        with tifffile.TiffFile(path) as tif:
            offsets = [page.dataoffsets[0] for page in tif.pages]
        for offset in offsets:
            spoil(path, offset)  # no pixel of either can be read
    with pytest.raises(GradcamoError, match=r"well D03, site 1: .*half the resolution"):
        refuse_misfits(open_plate(plate))


def test_a_plate_of_masks_is_read_piece_by_piece_where_that_is_said(plate_of):
    plate = plate_of("binary_1.tif")
    settings = TrainSettings(
        train_columns=("02",), test_columns=("03",), batch_size=2, crop={"size_yx": (32, 32)}
    )
    with pytest.raises(MaskError, match="binary_1"):
        training_cells(plate, settings)
    cells, _ = training_cells(plate, settings.model_copy(update={"connected": True}))
    assert cells.groupby("image").size().tolist() == [3] * 4
    assert set(cells["connected"]) == {"yes"}  # the crops are cut from the same pieces
    assert set(open_plate(plate, PlateSettings(connected=True))["connected"]) == {"yes"}
    mixed = plate_of("binary_1.tif", connected=["", "yes", "yes", "yes"])
    assert len(training_cells(mixed, settings)[0]) == 12


def test_the_command_offers_what_it_takes(tmp_path):
    image = tmp_path / "a.ome.tif"
    voxels = np.random.default_rng(0).integers(0, 4000, (6, 4, 64, 64)).astype(np.uint16)
    stains = ["Hoechst", "concanavalin", "SYTO14", "WGA", "phalloidin", "MitoTracker"]
    tifffile.imwrite(image, voxels, metadata={"axes": "CZYX", "Channel": {"Name": stains}})
    out = tmp_path / "cells.csv"
    labels = str(CASES / "labels" / "binary_255.tif")
    given = ["audit", str(image), "--labels", labels, "--checkpoint", "bundled", "-o", str(out)]
    ended = CliRunner().invoke(main, given)
    assert ended.exit_code == 1
    assert "binary_255.tif is a mask" in ended.output
    ended = CliRunner().invoke(main, [*given, "--connected"])
    assert ended.exit_code == 0, ended.output
    assert len(pd.read_csv(out)) == 3
    half = str(CASES / "labels" / "half_resolution.tif")
    ended = CliRunner().invoke(main, [half if word == labels else word for word in given])
    assert ended.exit_code == 1
    assert "half the resolution" in ended.output
    for command in ("audit", "open", "plate", "train", "layers", "donors"):
        assert "--connected" in CliRunner().invoke(main, [command, "--help"]).output


def test_sizes_may_differ_in_planes_alone():
    labels = read_labels(CASES / "labels" / "three_cells.tif")
    stack = read_stack(CASES / "images" / "ome_no_z_spacing.ome.tif")
    from gradcamo.cells.crops import CellCrops

    with pytest.raises(GradcamoError, match="with other planes"):
        CellCrops(stack, labels[:3])
