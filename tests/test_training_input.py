"""What cannot be trained on is refused before any training, with what to do instead."""

import numpy as np
import pandas as pd
import pytest
from small_training import SMALL, edited, settings

from gradcamo.errors import GradcamoError
from gradcamo.files.labels import read_labels, write_labels
from gradcamo.files.plates import read_plate
from gradcamo.files.stacks import read_stack
from gradcamo.training.cell_index import index_cells
from gradcamo.training.saving import train_and_save
from gradcamo.training.train import train


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda t: t.drop(columns=["treatment", "well"]), "lacks the columns well, treatment"),
        (lambda t: t.assign(image="gone.ome.tif"), "the same image"),
        (
            lambda t: t.assign(image=[f"gone{i}.ome.tif" for i in range(len(t))]),
            r"names 4 files that are not there.*gone0\.ome\.tif",
        ),
        (lambda t: t.assign(treatment="control"), r"one treatment only \(control\)"),
        (lambda t: t.assign(split="test"), "no well is left to train on by the column split"),
        (
            lambda t: t.assign(
                well=["D02", "E02", "D02", "E03"],
                site=["1", "1", "2", "1"],
                split=["train", "train", "test", "test"],
            ),
            "the well .* D02 is in more than one split",
        ),
        (
            lambda t: t.assign(well=["D2", "E02", "D02", "E03"], site=["1", "1", "2", "1"]),
            "one well as D2 and D02",
        ),
        (
            lambda t: t.assign(treatment=["control", "40.00x", "Control", "40×"]),
            r"'control' in row 2; 'Control' in row 4",
        ),
    ],
)
def test_a_plate_that_cannot_be_split_is_refused_with_what_is_wrong(
    small_plate, tmp_path, change, problem
):
    with pytest.raises(GradcamoError, match=problem):
        train(edited(small_plate, tmp_path, change), SMALL)


def test_a_place_that_cannot_be_written_is_refused_before_the_training(small_plate, tmp_path):
    seen = []
    (tmp_path / "file").touch()
    (tmp_path / "here.safetensors").mkdir()
    for out, problem in (
        (tmp_path / "here.safetensors", "is a folder"),
        (tmp_path / "file" / "m.safetensors", "cannot be written"),
        (tmp_path / "m.pt", r"should end in \.safetensors, not '\.pt'"),
        (small_plate, r"should end in \.safetensors, not '\.csv'"),
    ):
        with pytest.raises(GradcamoError, match=problem):
            train_and_save(small_plate, out, SMALL, progress=seen.append)
    assert seen == []


def test_too_few_cells_for_a_batch_are_refused(small_plate):
    with pytest.raises(GradcamoError, match="a batch takes 64: add stacks or lower the batch size"):
        train(small_plate, settings(batch_size=64))


def test_a_cell_of_which_its_crop_holds_nothing_takes_no_part(small_plate, tmp_path):
    rows = read_plate(small_plate).assign(split="train")
    labels = read_labels(rows["labels"][0])
    expected = index_cells(rows, SMALL)
    labels[4, 2, 2] = labels[4, -3, -3] = 999
    write_labels(tmp_path / "torn.tif", labels)
    rows.loc[0, "labels"] = str(tmp_path / "torn.tif")
    found = index_cells(rows, SMALL)
    assert found["label"].tolist() == expected["label"].tolist()


def test_stacks_without_labels_are_refused(small_plate, tmp_path):
    csv = edited(small_plate, tmp_path, lambda table: table.drop(columns="labels"))
    with pytest.raises(GradcamoError, match="has no labels: segment it first"):
        train(csv, SMALL)


def test_stacks_of_other_channels_or_voxels_are_refused_by_name(small_plate, tmp_path):
    import tifffile

    from gradcamo.files.plates import read_plate

    image = read_plate(small_plate)["image"].iloc[1]
    for name, size, problem in (
        ("DAPI", 0.701, r"has the channels .*DAPI"),
        ("Hoechst", 0.35, r"voxels of 0\.6 × 0\.701 × 0\.701 µm"),
    ):
        stack = read_stack(image)
        sizes = {f"PhysicalSize{a}": s for a, s in zip("ZYX", (0.6, size, size), strict=True)}
        tifffile.imwrite(
            tmp_path / "odd.ome.tif",
            np.asarray(stack.data),
            photometric="minisblack",
            metadata={
                "axes": "CZYX",
                "Channel": {"Name": [name, *stack.channels[1:]]},
                **sizes,
                **{f"PhysicalSize{a}Unit": "µm" for a in "ZYX"},
            },
        )
        csv = edited(
            small_plate,
            tmp_path,
            lambda table: table.assign(
                image=[tmp_path / "odd.ome.tif" if i == 1 else p for i, p in enumerate(table.image)]
            ),
        )
        with pytest.raises(GradcamoError, match=problem) as error:
            train(csv, SMALL)
        assert "odd.ome.tif" in str(error.value)


def test_stacks_of_other_depth_are_refused_by_name(small_plate, tmp_path):
    import tifffile

    from gradcamo.files.labels import write_labels
    from gradcamo.files.plates import read_plate

    first = read_plate(small_plate).iloc[0]
    stack, labels = read_stack(first["image"]), read_labels(first["labels"])
    size = dict(
        zip(("PhysicalSizeZ", "PhysicalSizeY", "PhysicalSizeX"), stack.spacing_um, strict=True)
    )
    tifffile.imwrite(
        tmp_path / "flat.ome.tif",
        np.asarray(stack.data)[:, :7],
        metadata={"axes": "CZYX", "Channel": {"Name": list(stack.channels)}, **size},
    )
    write_labels(tmp_path / "flat_labels.ome.tif", labels[:7])

    def flatten(table):
        table.loc[0, ["image", "labels"]] = ["flat.ome.tif", "flat_labels.ome.tif"]
        return table

    with pytest.raises(GradcamoError, match=r"flat\.ome\.tif has 7 planes, .* has 9"):
        train(edited(small_plate, tmp_path, flatten), SMALL)


def test_fields_without_a_whole_cell_are_refused(small_plate, tmp_path):
    from gradcamo.files.labels import write_labels
    from gradcamo.files.plates import read_plate

    empty = tmp_path / "empty.ome.tif"
    labels = read_labels(read_plate(small_plate)["labels"].iloc[0])
    write_labels(empty, np.zeros_like(labels))
    csv = edited(small_plate, tmp_path, lambda t: t.assign(labels=str(empty)))
    with pytest.raises(GradcamoError, match=r"none of the 4 stacks .* holds a whole cell"):
        train(csv, SMALL)


def test_one_well_per_treatment_is_refused(small_plate, tmp_path):
    csv = edited(small_plate, tmp_path, lambda t: t[t["well"].isin(["D02", "E03"])])
    with pytest.raises(GradcamoError, match="leaving wells out needs two"):
        train(csv, SMALL)


def test_cells_without_a_treatment_take_no_part(small_plate, tmp_path):
    from gradcamo.files.plates import read_plate

    first = read_plate(small_plate).iloc[0]
    ids = np.unique(read_labels(first["labels"]))[1:]
    listed = pd.DataFrame({"label": ids, "treatment": [""] * len(ids)})
    listed.to_csv(tmp_path / "cells.csv", index=False)
    csv = edited(
        small_plate,
        tmp_path,
        lambda t: t.assign(cells=["cells.csv" if i == 0 else "" for i in range(len(t))]),
    )
    with pytest.raises(GradcamoError, match="control has no cells in the train wells"):
        train(csv, SMALL)
