"""Leave wells out: which cells are trained on, which decide when to stop, which test."""

from __future__ import annotations

import numpy as np
import pandas as pd

from gradcamo.errors import GradcamoError
from gradcamo.files.wells import well_name, well_place
from gradcamo.profiles.doses import in_dose_order
from gradcamo.settings import TrainSettings

TRAIN, VALIDATION, TEST = SPLITS = ("train", "validation", "test")
WELL = ["plate", "well"]


def leave_wells_out(plate: pd.DataFrame, settings: TrainSettings) -> pd.DataFrame:
    """The rows (stacks) of a plate that take part, with a column ``split``.

    Parameters
    ----------
    plate : DataFrame
        As `read_plate` gives it. A column ``split`` (train, validation, test; empty: unused)
        decides where there is one, else the plate column of each well.
    settings : TrainSettings
        ``train_columns`` and ``test_columns``.

    Raises
    ------
    GradcamoError
        If no well is left to train on, a well or an image is in two splits, or the rule cannot
        be applied.
    """
    if "split" in plate:
        split = plate["split"].fillna("").astype(str).str.strip().str.lower()
        unknown = sorted(set(split) - {*SPLITS, ""})
        if unknown:
            raise GradcamoError(
                f"the column split holds {', '.join(map(repr, unknown))}: expected train, "
                "validation, test or nothing"
            )
        rule = "the column split"
    else:
        split = _by_column(plate, settings)
        rule = (
            f"the rule train on column {', '.join(settings.train_columns)}, test on column "
            f"{', '.join(settings.test_columns)}"
        )
    chosen = plate.assign(split=split)[split != ""].reset_index(drop=True)
    if not (chosen["split"] == TRAIN).any():
        raise GradcamoError(
            f"no well is left to train on by {rule}; the plate has the wells "
            f"{_few(plate['well'].astype(str).unique())}: set train and test columns "
            "(--train-columns, --test-columns), or add a column split (train, test) to the plate"
        )
    named = chosen.assign(well=chosen["well"].map(well_name))  # D2 and D02 are one well
    for key, what in ((WELL, "well"), (["image"], "image")):
        splits = named.groupby(key)["split"].nunique()
        if (splits > 1).any():
            shared = [
                " ".join(map(str, k)) if isinstance(k, tuple) else str(k)
                for k in splits.index[splits > 1]
            ]
            raise GradcamoError(
                f"the {what} {shared[0]} is in more than one split ({len(shared)} such): cells of "
                "one well must stay together, or the test is no test"
            )
    return chosen


def _by_column(plate: pd.DataFrame, settings: TrainSettings) -> pd.Series:
    both = {_number(c) for c in settings.train_columns} & {
        _number(c) for c in settings.test_columns
    }
    if both:
        raise GradcamoError(
            f"plate column {min(both):02d} is both trained and tested on: a test well may not be "
            "seen in training; choose other columns"
        )
    of_column = {_number(c): TRAIN for c in settings.train_columns}
    of_column |= {_number(c): TEST for c in settings.test_columns}
    return plate["well"].map(lambda well: of_column.get(_column(str(well)), ""))


def _number(column: str) -> int:
    if not column.strip().isdecimal():
        raise GradcamoError(f"plate columns are numbers such as 02, got {column!r}")
    return int(column)


def _column(well: str) -> int:
    place = well_place(well)
    if place is None:
        raise GradcamoError(
            f"the well {well!r} has no plate column: expected names such as D02, or a column split "
            "(train, test) in the plate"
        )
    return place[1]


def propose_split(plate: pd.DataFrame) -> pd.Series:
    """A split for stacks that have none: the last well of each treatment is held out.

    Where a treatment has one well only, leaving wells out is impossible and all are for training.

    Parameters
    ----------
    plate : DataFrame
        With ``plate, well, treatment``.
    """
    wells = plate["plate"] + " " + plate["well"].map(well_name)
    held_out = wells.groupby(plate["treatment"]).transform("last")
    alone = wells.groupby(plate["treatment"]).nunique().min() < 2
    return pd.Series(np.where(alone | (wells != held_out), TRAIN, TEST), plate.index)


def check_classes(cells: pd.DataFrame) -> tuple[str, ...]:
    """The treatments to tell apart, from a table of cells with ``treatment`` and ``split``.

    Raises
    ------
    GradcamoError
        If there are fewer than two, or one of them has no well on one side of the split.
    """
    classes = in_dose_order(sorted(map(str, cells["treatment"].unique())))
    if len(classes) < 2:
        raise GradcamoError(
            f"the wells that take part hold one treatment only ({', '.join(classes)}): a network "
            "learns by telling two or more apart; add wells or choose other columns"
        )
    tested = (cells["split"] == TEST).any()
    for side in (TRAIN, TEST) if tested else (TRAIN,):
        lacking = [c for c in classes if not _has(cells, c, side)]
        if lacking:
            raise GradcamoError(
                f"the treatment {lacking[0]} has no cells in the {side} wells "
                f"({len(lacking)} of {len(classes)} treatments): leaving wells out needs two "
                "wells or more of each treatment. Image another well, move a well with the column "
                "split, or set split to train everywhere and do without a test"
            )
    return tuple(classes)


def _has(cells: pd.DataFrame, treatment: str, split: str) -> bool:
    return bool(((cells["treatment"] == treatment) & (cells["split"] == split)).any())


def hold_out_validation(cells: pd.DataFrame, settings: TrainSettings) -> pd.DataFrame:
    """Move a share of each treatment's training cells to the validation split, by lot.

    Wells that the plate itself marks for validation are taken instead.
    """
    if (cells["split"] == VALIDATION).any():
        return cells
    rng = np.random.default_rng([settings.seed, 1])
    cells = cells.copy()
    for _, group in cells[cells["split"] == TRAIN].groupby("treatment", sort=True):
        n = min(max(1, round(settings.validation_share * len(group))), len(group) - 1)
        cells.loc[rng.permutation(group.index)[:n], "split"] = VALIDATION
    return cells


def _few(names: np.ndarray, n: int = 8) -> str:
    return ", ".join(names[:n]) + (" …" if len(names) > n else "")
