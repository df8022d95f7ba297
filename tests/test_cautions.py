"""What is said of scores: tables made by hand, each with one thing that is wrong."""

import json
import logging
import pickle
import subprocess
import sys
import warnings
from dataclasses import replace

import anndata
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from small import SmallResNet

import gradcamo as gc
from gradcamo.auditing.cautions import (
    cautions,
    facts_of_stacks,
    layer_cautions,
    voxel_note,
    with_cautions,
)
from gradcamo.auditing.score_cautions import verdicts
from gradcamo.errors import GradcamoWarning
from gradcamo.files.store import read_table, write_table
from gradcamo.logs import HERE, collected, hand_on, log_warnings, logged_to
from gradcamo.settings import CautionSettings

N = 40
RECIPE = {
    "classes": ["control", "low", "high"],
    "channels": ["DNA", "ER"],
    "trained_channels": ["DNA", "ER"],
    "spacing_um": [0.6, 0.35, 0.35],
    "trained_spacing_um": [0.6, 0.35, 0.35],
    "grid": [4, 6, 6],
    "settings": {"cutoff": 0.25, "layer": "block_4"},
}


def cells(**columns) -> pd.DataFrame:
    """Forty cells of which nothing is to be said, but for the columns given."""
    fine = {
        "image": "D02.tif",
        "label": np.arange(1, N + 1),
        "predicted": np.where(np.arange(N) % 2, "control", "high"),
        "confidence": 0.9,
        "grad_camo": 0.5,
        "chance": 0.1,
        "ceiling": 0.95,
        "cell_in_crop": 1.0,
        "touches_border": False,
        "hot_channels": "",
    }
    return pd.DataFrame({**fine, **columns}, index=range(N))


def first(n: int, value, otherwise) -> np.ndarray:
    """A column that has a value in the first n rows."""
    return np.where(np.arange(N) < n, value, otherwise)


def the_one(found: list[str], *words: str) -> None:
    assert len(found) == 1, found
    for word in words:
        assert word in found[0]


def test_of_a_table_in_which_nothing_is_wrong_nothing_is_said():
    assert cautions(cells(), RECIPE) == []
    assert cautions(cells(), {}) == []  # what a recipe lacks is not judged
    assert cautions(cells()[:0], RECIPE) == []
    named = cells(plate="P", well=[f"D{i:02}" for i in range(N)], treatment="control")
    assert cautions(named, RECIPE) == []


@pytest.mark.parametrize(
    ("classes", "outputs", "limit"),
    [(3, "classes", 1 / 3), (2, "classes", 1 / 2), (1, "classes", 1 / 2), (10, "classes", 1 / 10)],
)
def test_one_class_for_all_with_hardly_more_confidence_than_guessing(classes, outputs, limit):
    recipe = RECIPE | {"classes": [f"c{k}" for k in range(classes)], "outputs": outputs}
    below, above = (cells(predicted="c0", confidence=limit + x) for x in (0.099, 0.101))
    the_one(verdicts(below, recipe), "all 40 cells are called c0", f"guessing has {limit:.2f}")
    assert verdicts(above, recipe) == []
    assert verdicts(below.assign(predicted=first(1, "c1", "c0")), recipe) == []
    assert verdicts(below, recipe | {"outputs": "independent"}) == []
    assert verdicts(below[:1], recipe) == []  # of one cell it says nothing
    partial = below.assign(touches_border=first(20, True, False), predicted=first(20, None, "c0"))
    the_one(verdicts(partial, recipe), "all 20 cells")


def test_more_than_a_tenth_of_the_whole_cells_without_a_score():
    assert verdicts(cells(grad_camo=first(4, np.nan, 0.5)), RECIPE) == []
    the_one(verdicts(cells(grad_camo=first(5, np.nan, 0.5)), RECIPE), "5 of 40 whole cells")
    at_the_border = cells(grad_camo=first(20, np.nan, 0.5), touches_border=first(20, True, False))
    assert verdicts(at_the_border, RECIPE) == []


def test_more_than_half_of_the_scored_cells_at_or_below_chance():
    half = cells(grad_camo=first(20, 0.1, 0.9))
    assert verdicts(half, RECIPE) == []
    the_one(verdicts(cells(grad_camo=first(21, 0.1, 0.9)), RECIPE), "52% of the scored cells")
    # of the scored ones: 4 cells have no score
    few = cells(grad_camo=np.r_[[np.nan] * 4, [0.1] * 19, [0.9] * 17])
    the_one(verdicts(few, RECIPE), "53% of the scored cells")


def test_a_mean_score_hardly_above_chance():
    the_one(verdicts(cells(grad_camo=0.14), RECIPE), "0.14 is hardly above 0.10")
    assert verdicts(cells(grad_camo=0.16), RECIPE) == []
    the_one(verdicts(cells(chance=0.21), RECIPE), "cells fill 21% of their crops")


def test_a_cut_off_above_the_ceiling_or_within_a_tenth_of_it():
    # 0.25 lies within a tenth of 0.277, but not of 0.279
    assert verdicts(cells(ceiling=first(4, 0.27, 0.95)), RECIPE) == []
    the_one(verdicts(cells(ceiling=first(5, 0.277, 0.95)), RECIPE), "12% of the cells", "0.25")
    assert verdicts(cells(ceiling=first(5, 0.279, 0.95)), RECIPE) == []
    the_one(verdicts(cells(ceiling=first(5, 0.2, 0.95)), RECIPE), "12% of the cells")
    silent = cells(ceiling=first(4, 0.2, 0.95), grad_camo=first(4, np.nan, 0.5))
    assert verdicts(silent, RECIPE) == []
    strict = CautionSettings(ceiling=0.3)
    the_one(verdicts(cells(ceiling=first(5, 0.34, 0.95)), RECIPE, strict), "within 30% of it")


def test_a_cell_of_which_less_than_half_lies_in_its_own_crop_is_named():
    assert verdicts(cells(cell_in_crop=first(2, 0.5, 1.0)), RECIPE) == []
    (said,) = verdicts(cells(cell_in_crop=np.where(np.arange(N) == 16, 0.49, 1.0)), RECIPE)
    assert "of cell 17;" in said
    (said,) = verdicts(cells(cell_in_crop=first(8, 0.1, 1.0)), RECIPE)
    assert "8 cells: 1, 2, 3, 4, 5, 6 …" in said
    images = first(20, "/data/a.tif", "/data/b.tif")
    (said,) = verdicts(cells(cell_in_crop=first(1, 0.1, 1.0), image=images), RECIPE)
    assert "cell 1 (a.tif)" in said
    border = cells(cell_in_crop=first(3, 0.1, 1.0), touches_border=first(3, True, False))
    assert verdicts(border, RECIPE) == []


def test_hot_voxels_in_more_than_a_twentieth_of_the_crops_of_a_channel():
    assert verdicts(cells(hot_channels=first(2, "ER", "")), RECIPE) == []
    the_one(verdicts(cells(hot_channels=first(3, "ER", "")), RECIPE), "channel ER in 8%")
    both = verdicts(cells(hot_channels=first(3, "DNA, ER", "")), RECIPE)
    assert len(both) == 2
    # one stack of two does not drown in the other
    images = first(20, "a.tif", "b.tif")
    found = verdicts(cells(hot_channels=first(2, "DNA", ""), image=images), RECIPE)
    the_one(found, "DNA in 10% of the crops of a stack (1 of 2 stacks")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"spacing_um": [0.6, 0.39, 0.35]}, "0.6 × 0.39 × 0.35 µm, the checkpoint was trained on"),
        ({"spacing_um": [0.6, 0.31, 0.35]}, "look larger or smaller"),
        ({"spacing_um": [None, 0.35, 0.35]}, "not known along z: volumes"),
        ({"channels": ["ER", "DNA"]}, "by their order: ER for DNA, DNA for ER"),
        ({"grid": [4, 5, 9]}, "grid of block_4 is 4 × 5 × 9, fewer than 6"),
        ({"grid": [9, 5]}, "grid of block_4 is 9 × 5"),
        ({"stack": {"constant_channels": ["ER"]}}, "the channel ER is constant"),
        ({"stack": {"absent_chunks": {"ER": [3, 40]}}}, "absent from the store and were read as 0"),
        ({"network_cautions": ["outputs look like probabilities"]}, "look like probabilities"),
    ],
)
def test_what_a_recipe_tells(change, words):
    the_one(cautions(cells(), RECIPE | change), words)


def test_a_voxel_size_within_a_tenth_is_not_spoken_of():
    for size in ([0.6, 0.385, 0.385], [0.54, 0.315, 0.35], None, [None, 0.35, None]):
        assert voxel_note(size, [0.6, 0.35, 0.35]) is None
    assert voxel_note([0.6, 0.4, 0.35], None) is None


def test_facts_of_several_stacks_are_said_once_with_how_many():
    coarse = RECIPE | {"spacing_um": [0.6, 0.7, 0.7]}
    (said,) = facts_of_stacks([RECIPE, coarse, coarse])
    assert said.endswith("(2 of 3 stacks)")
    (said,) = facts_of_stacks([coarse, coarse])
    assert "stacks)" not in said
    assert cautions(cells(), coarse | {"facts": ["of all stacks"]}) == ["of all stacks"]


def test_what_the_design_of_a_plate_leaves_open_is_said():
    wells = [f"D{i:02}" for i in range(N)]
    named = cells(plate="P", well=wells, treatment=first(20, "low", "control"))
    assert verdicts(named, RECIPE) == []
    the_one(verdicts(named.assign(split=first(9, "train", "test")), RECIPE), "served to train")
    the_one(verdicts(named.assign(treatment=first(3, "", "low")), RECIPE), "3 cells have no treat")
    two = named.assign(well=first(20, "D02", "E03"))
    the_one(verdicts(two, RECIPE), "some treatments have one well")


def test_layers_are_named_by_what_is_to_be_said_of_them():
    table = pd.concat(
        [
            cells(layer="block_2"),
            cells(layer="block_10", grad_camo=0.05),
            cells(layer="head", grad_camo=first(30, np.nan, 0.5)),
        ]
    )
    recipe = RECIPE | {"grids": {"block_2": [8, 12, 12], "block_10": [2, 3, 3], "head": [1, 1, 1]}}
    coarse, chance, unscored = layer_cautions(table, recipe)
    assert coarse.endswith("block_10, head")
    assert chance.endswith(": block_10")
    assert unscored.endswith(": head")
    *_, chance, unscored = layer_cautions(table, recipe, CautionSettings(at_chance=0.4, unscored=0))
    assert (chance[:13], unscored[:12]) == ("more than 40%", "more than 0%")


def test_every_threshold_is_a_setting():
    table = cells(
        predicted="low",
        confidence=0.6,
        grad_camo=first(3, np.nan, first(6, 0.1, 0.5)),
        ceiling=first(2, 0.2, 0.95),
        cell_in_crop=first(2, 0.7, 1.0),
        hot_channels=first(2, "ER", ""),
    )
    recipe = RECIPE | {"spacing_um": [0.6, 0.37, 0.35], "grid": [4, 7, 7]}
    assert cautions(table, recipe) == []
    strict = CautionSettings(
        confidence=0.4, ceiling=0.2, unreachable=0.01, at_chance=0.05, filled=0.05, unscored=0.05,
        voxel_size=0.05, grid=8, in_crop=0.8, hot_crops=0.01,
    )  # fmt: skip
    assert len(cautions(table, recipe, strict)) == 9
    mean = CautionSettings(mean_above_chance=6)
    the_one(cautions(table, recipe, mean), "hardly above")


def test_an_untrained_network_is_told_as_one(field):
    stack, labels = field
    network = SmallResNet(3, 2)
    network.fc.weight.data *= 0.01
    network.fc.bias.data *= 0.0
    checkpoint = gc.Checkpoint.around(network, stack.channels, "layer1", (16, 48, 40))
    with pytest.warns(GradcamoWarning, match="the network hardly tells its classes apart"):
        table = gc.audit(stack, labels, checkpoint)
    assert any("all 4 cells are called" in text for text in table.attrs["recipe"]["cautions"])


def test_cautions_go_with_every_file(tmp_path):
    table = cells(cell_in_crop=first(1, 0.1, 1.0))
    recipe = with_cautions(table, RECIPE)
    the_one(recipe["cautions"], "lies in its own crop of cell 1")
    for suffix in ("csv", "parquet", "h5ad"):
        write_table(table, tmp_path / f"cells.{suffix}", recipe)
        kept = read_table(tmp_path / f"cells.{suffix}").attrs["recipe"]
        assert kept["cautions"] == recipe["cautions"]
    beside = json.loads((tmp_path / "cells.recipe.json").read_text())
    assert beside["recipe"]["cautions"] == recipe["cautions"]
    metadata = pq.read_schema(tmp_path / "cells.parquet").metadata
    assert recipe["cautions"] == json.loads(metadata[b"recipe"])["cautions"]
    uns = anndata.read_h5ad(tmp_path / "cells.h5ad").uns
    assert recipe["cautions"] == json.loads(uns["recipe"])["cautions"]


def test_cautions_and_warnings_are_in_the_log_and_nowhere_else(tmp_path, capfd, monkeypatch):
    shown = []
    warnings.simplefilter("default", UserWarning)
    monkeypatch.setattr(warnings, "showwarning", lambda message, *_, **__: shown.append(message))
    log_warnings()
    log_warnings()  # a second time changes nothing
    with logged_to(tmp_path / "run" / "log.txt"):
        with_cautions(cells(cell_in_crop=first(1, 0.1, 1.0)), RECIPE)
        for _ in range(2):  # each time that it is given
            warnings.warn("planes lie unevenly", GradcamoWarning, stacklevel=1)
        warnings.warn_explicit("no z step", GradcamoWarning, str(HERE / "files" / "gaps.py"), 1)
        warnings.warn("another library's", UserWarning, stacklevel=1)
    with_cautions(cells(cell_in_crop=first(1, 0.1, 1.0)), RECIPE)  # afterwards
    lines = (tmp_path / "run" / "log.txt").read_text().splitlines()
    assert "napari-gradcamo" in lines[0]
    (caution,) = [line for line in lines if "in its own crop of cell 1" in line]
    assert "WARNING gradcamo.auditing" in caution
    assert len([line for line in lines if "planes lie unevenly" in line]) == 2
    (of_files,) = [line for line in lines if "no z step" in line]
    assert "WARNING gradcamo.files" in of_files
    assert not [line for line in lines if "another library's" in line]
    assert len(shown) == 4
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("used", ["gradcamo.auditing.cautions", "gradcamo.logs"])
def test_a_library_that_logs_prints_nothing_of_it(used):
    code = f"import logging, {used}; logging.getLogger('gradcamo.auditing').warning('dim')"
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )  # in a process of its own: pytest handles every record
    assert (ended.stdout, ended.stderr) == ("", "")


def test_a_log_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    log = logged_to(tmp_path / "file" / "log.txt")
    with pytest.raises(gc.GradcamoError, match=r"the log .* cannot be written"), log:
        pass


def test_records_of_another_process_keep_their_names_and_say_whose_they_are(tmp_path):
    with logged_to(tmp_path / "here.txt"), collected() as records:
        logging.getLogger("gradcamo.auditing").warning("%d cells are dim", 3)
    assert len((tmp_path / "here.txt").read_text().splitlines()) == 1  # it waits
    sent = pickle.loads(pickle.dumps(records))
    for record in sent:
        record.process = 4711
    with logged_to(tmp_path / "log.txt"):
        hand_on(sent, "P1_D02_1")
    line = (tmp_path / "log.txt").read_text().splitlines()[1]
    assert line.endswith("WARNING gradcamo.auditing [4711] P1_D02_1: 3 cells are dim")


def test_scores_do_not_hang_on_what_is_said(field):
    stack, labels = field
    checkpoint = gc.Checkpoint.around(SmallResNet(3, 2), stack.channels, "layer1", (16, 48, 40))
    far = replace(checkpoint, spacing_um=(1.2, 0.7, 0.7))
    near, there = (gc.audit(stack, labels, c).drop(columns="image") for c in (checkpoint, far))
    pd.testing.assert_frame_equal(near, there)
