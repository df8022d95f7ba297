"""Open stacks become a plate that reads back as what was open."""

import numpy as np
import pytest

from gradcamo.errors import GradcamoError
from gradcamo.files.labels import read_labels
from gradcamo.files.plate_writer import LabelledStack, write_plate
from gradcamo.files.plates import read_plate
from gradcamo.files.stacks import read_stack, write_stack


def test_a_plate_of_open_stacks_reads_back_the_same(field, tmp_path):
    stack, labels = field
    filed = tmp_path / "filed.ome.tif"
    write_stack(filed, stack)
    entries = [
        LabelledStack(stack, labels, "D02", "control", "train"),
        LabelledStack(read_stack(filed), labels, "D/3", "drug", "test"),
    ]
    assert list(write_plate(tmp_path / "plate", entries)) == [1, 2]
    plate = read_plate(tmp_path / "plate" / "plate.csv")
    assert plate["well"].tolist() == ["D02", "D/3"]
    assert plate["split"].tolist() == ["train", "test"]
    assert plate["image"][1] == str(filed)  # named, not copied
    for _, row in plate.iterrows():
        again = read_stack(row["image"])
        np.testing.assert_array_equal(again.data, stack.data)
        assert (again.channels, again.spacing_um) == (stack.channels, stack.spacing_um)
        np.testing.assert_array_equal(read_labels(row["labels"]), labels)


def test_a_stack_whose_channels_were_renamed_is_written_anew(field, tmp_path):
    from dataclasses import replace

    stack, labels = field
    write_stack(tmp_path / "filed.ome.tif", stack)
    renamed = replace(read_stack(tmp_path / "filed.ome.tif"), channels=("nucleus", "actin"))
    list(write_plate(tmp_path / "plate", [LabelledStack(renamed, labels, "1", "a", "train")]))
    (image,) = read_plate(tmp_path / "plate" / "plate.csv")["image"]
    assert read_stack(image).channels == ("nucleus", "actin")


def test_what_was_not_typed_is_asked_for_before_anything_is_written(field, tmp_path):
    entry = LabelledStack(*field, "D02", " ", "train")
    with pytest.raises(GradcamoError, match=r"stack 1 \(field.tif\) has no treatment"):
        list(write_plate(tmp_path, [entry]))
    assert list(tmp_path.iterdir()) == []
