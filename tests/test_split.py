"""Wells stay together: none is trained on and tested with."""

import pandas as pd
import pytest

from gradcamo.errors import GradcamoError
from gradcamo.settings import TrainSettings
from gradcamo.training.split import (
    check_classes,
    hold_out_validation,
    leave_wells_out,
    propose_split,
)


def a_plate(**columns):
    wells = ["B02", "C02", "B03", "C03", "B04"]
    plate = pd.DataFrame({"image": [f"{w}.tif" for w in wells], "plate": "P1", "well": wells})
    plate["treatment"] = ["control", "drug", "control", "drug", "control"]
    return plate.assign(**columns)


def cells_of(split, treatments=("control", "drug"), n=20):
    return pd.DataFrame(
        [(t, split, "P1", f"{t}-{split}") for t in treatments for _ in range(n)],
        columns=["treatment", "split", "plate", "well"],
    )


def test_columns_of_the_plate_decide_and_other_wells_take_no_part():
    rows = leave_wells_out(a_plate(), TrainSettings())
    assert dict(zip(rows["well"], rows["split"], strict=True)) == {
        "B02": "train",
        "C02": "train",
        "B03": "test",
        "C03": "test",
    }


@pytest.mark.parametrize("columns", [("2",), ("02",), ("002",)])
def test_column_2_is_column_02(columns):
    rows = leave_wells_out(a_plate(), TrainSettings(train_columns=columns))
    assert set(rows.loc[rows["split"] == "train", "well"]) == {"B02", "C02"}


def test_wells_may_be_written_without_the_zero():
    plate = a_plate()
    plate["well"] = plate["well"].str.replace("0", "")
    rows = leave_wells_out(plate, TrainSettings(train_columns=("02", "04")))
    assert set(rows.loc[rows["split"] == "train", "well"]) == {"B2", "C2", "B4"}


def test_a_split_column_goes_before_the_plate_columns():
    split = ["test", "test", "Train ", "train", None]
    rows = leave_wells_out(a_plate(split=split), TrainSettings())
    assert rows["split"].tolist() == ["test", "test", "train", "train"]


@pytest.mark.parametrize(
    ("plate", "settings", "problem"),
    [
        (a_plate(), {"train_columns": ("07",)}, "no well is left to train on.*B02, C02"),
        (a_plate(), {"test_columns": ("2",)}, "column 02 is both trained and tested"),
        (a_plate(well="nucleus"), {}, "'nucleus' has no plate column.*or a column split"),
        (a_plate(split="practice"), {}, "'practice': expected train, validation, test"),
        (
            a_plate(well="B02", split=["train", "train", "test", "test", ""]),
            {},
            "the well P1 B02 is in more than one split",
        ),
        (
            a_plate(image="a.tif"),
            {},
            "the image a.tif is in more than one split",
        ),
    ],
)
def test_a_split_that_is_no_split_is_refused(plate, settings, problem):
    with pytest.raises(GradcamoError, match=problem):
        leave_wells_out(plate, TrainSettings(**settings))


def test_wells_of_one_name_on_two_plates_are_two_wells():
    plate = pd.concat([a_plate(split="train"), a_plate(plate="P2", split="test")])
    plate["image"] = plate["plate"] + plate["image"]
    assert len(leave_wells_out(plate, TrainSettings())) == 10


def test_one_treatment_only_is_refused():
    with pytest.raises(GradcamoError, match=r"one treatment only \(drug\)"):
        check_classes(cells_of("train", ("drug",)))


def test_a_treatment_with_one_well_is_refused_with_what_to_do():
    cells = pd.concat([cells_of("train"), cells_of("test", ("control",))])
    with pytest.raises(GradcamoError, match=r"drug has no cells in the test wells.*Image another"):
        check_classes(cells)


def test_training_without_a_test_is_possible_when_said():
    assert check_classes(cells_of("train")) == ("control", "drug")


def test_classes_come_in_dose_order():
    names = ("40.00x", "control", "8.00x", "0.06x")
    assert check_classes(cells_of("train", names)) == ("control", "0.06x", "8.00x", "40.00x")


def test_validation_takes_its_share_of_every_treatment_from_training_cells_alone():
    sizes = {"control": 100, "drug": 20}
    train = pd.concat([cells_of("train", (t,), n) for t, n in sizes.items()])
    cells = pd.concat([train, cells_of("test")], ignore_index=True)
    held = hold_out_validation(cells, TrainSettings(validation_share=0.15))
    moved = held["split"] == "validation"
    assert held[moved].groupby("treatment").size().to_dict() == {"control": 15, "drug": 3}
    assert (cells.loc[moved, "split"] == "train").all()
    assert (held.loc[~moved, "split"] == cells.loc[~moved, "split"]).all()


def test_validation_follows_the_seed():
    cells = cells_of("train", n=50)
    first, again, other = (
        hold_out_validation(cells, TrainSettings(seed=seed))["split"].tolist() for seed in (1, 1, 2)
    )
    assert first == again != other


def test_validation_wells_named_by_the_plate_are_used():
    cells = pd.concat([cells_of("train"), cells_of("validation")], ignore_index=True)
    assert hold_out_validation(cells, TrainSettings()) is cells


def test_the_last_well_of_each_treatment_is_proposed_for_the_test():
    plate = a_plate()
    plate["treatment"] = ["control", "drug", "control", "drug", "control"]
    assert propose_split(plate).tolist() == ["train", "train", "train", "test", "test"]
    plate["well"] = ["B2", "C02", "C03", "B03", "B02"]  # two stacks of one well stay together
    assert propose_split(plate).tolist() == ["test", "train", "train", "test", "test"]


def test_with_one_well_of_a_treatment_none_can_be_left_out():
    assert set(propose_split(a_plate(treatment=["a", "b", "b", "b", "b"]))) == {"train"}
