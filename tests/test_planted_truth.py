"""The benchmark of planted truth: its table is complete, and its pure parts say what is known."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
DOUBTS = ("effect", "layout", "swap", "limits", "against")


@pytest.fixture(scope="module", autouse=True)
def benchmarks():
    sys.path.insert(0, str(BENCHMARKS))
    yield
    sys.path.remove(str(BENCHMARKS))


def test_every_kind_has_a_plate_a_network_and_bounds_that_are_measured():
    from planted_kinds import KINDS, PLATES
    from planted_measures import measures, met, right_region

    said = {name: {"balanced": 1.0} for name in ("paired", "removed")}
    for kind in KINDS.values():
        assert kind.plate in PLATES
        assert not kind.network or not KINDS[kind.network].network
        assert ("removed" in kind.variants) == ("background" in PLATES[kind.plate].signal)
        found = measures(asked(), uses(), right_region(kind, said))
        assert set(met(kind, found)) == {bound.measure for bound in kind.bounds} != set()
    assert sum(kind.seeds == 5 for kind in KINDS.values()) == 7
    assert {kind.plate for kind in KINDS.values()} == set(PLATES)


def asked(**changes) -> pd.DataFrame:
    """Four cells: two owe all to themselves, one to the background; one is called wrongly."""
    table = pd.DataFrame(
        {
            "treatment": "treated",
            "predicted": ["treated", "treated", "treated", "untreated"],
            "causal_answered": pd.array([True, True, True, True], "boolean"),
            "causal_own": [0.9, 0.8, 0.1, 0.0],
            "causal_neighbour": [0.1, 0.1, 0.0, 0.0],
            "causal_background": [0.0, 0.1, 0.9, 1.0],
            **{
                f"causal_{name}": 0.25 for name in ("effect", "layout", "swap", "limits", "against")
            },
        }
    )
    return table.assign(**changes)


def uses() -> pd.DataFrame:
    rows = {
        "own": 0.9,
        "neighbour": 0.5,
        "background": 0.6,
        "nothing": 0.5,
        "all": 1.0,
    }
    table = pd.DataFrame({"balanced_accuracy": rows, "chance": 0.5, "cells": 100})
    return table.rename_axis("real")


def test_measures_count_answered_cells_that_are_called_rightly():
    from planted_measures import measures

    found = measures(asked(), uses(), "own")
    assert found["right_region"] == pytest.approx(2 / 3)
    assert found["background_share"] == pytest.approx(1 / 3)
    assert found["largest_share"] == pytest.approx(0.6)
    assert found["background_only_off"] == pytest.approx(0.1 / 0.05)
    unanswered = pd.array([True, True, False, True], "boolean")
    assert measures(asked(causal_answered=unanswered), uses(), "own")["right_region"] == 1
    nobody = pd.array([False] * 4, "boolean")
    assert np.isnan(measures(asked(causal_answered=nobody), uses(), "own")["right_region"])


@pytest.mark.parametrize(("removed", "right"), [(0.74, "background"), (0.76, "own")])
def test_the_right_region_follows_from_what_removing_the_clouds_costs(removed, right):
    from planted_kinds import KINDS
    from planted_measures import right_region

    told = {"paired": {"balanced": 1.0}, "removed": {"balanced": removed}}
    assert right_region(KINDS["own-background"], told) == right
    assert right_region(KINDS["background"], told) == "background"


def test_a_probe_reads_light_where_it_is_and_nowhere_else():
    from planted_check import light, probe

    rng = np.random.default_rng(0)
    treated, learnt = np.arange(80) % 2 == 0, np.arange(80) < 40
    here = np.zeros((4, 8, 8), bool)
    here[:, :, :4] = True
    images = rng.normal(100, 5, (80, 2, 4, 8, 8))
    images[treated, 1, :, :, :4] += 5
    told = {
        where: probe(np.array([light(i, mask) for i in images]), treated, learnt)
        for where, mask in (("here", here), ("there", ~here))
    }
    assert told["here"]["balanced_accuracy"] > 0.95
    assert 0.3 < told["there"]["balanced_accuracy"] < 0.7
    assert told["here"]["learnt"] == told["here"]["told"] == 40


def test_sums_of_light_keep_to_their_region_and_follow_the_rescaling():
    from planted_check import light, rescaled

    rng = np.random.default_rng(1)
    image = rng.integers(100, 900, (2, 3, 6, 6)).astype(np.uint16)
    mask = np.zeros((3, 6, 6), bool)
    mask[:, 2:5, 2:5] = True
    outside = image.copy()
    outside[:, ~mask] = 60_000
    assert np.array_equal(light(image, mask), light(outside, mask))
    low, high = image.min((1, 2, 3)), image.max((1, 2, 3))
    span = (high - low.astype(float))[:, None, None, None]
    seen = (image - low[:, None, None, None].astype(float)) / span
    assert np.allclose(rescaled(light(image, mask), low, high), light(seen, mask))


def test_edges_are_voxels_that_touch_another_label():
    from planted_check import edges

    labels = np.zeros((3, 5, 6), int)
    labels[:, :, 2:4], labels[:, :, 4:] = 1, 2
    expected = np.zeros(labels.shape, bool)
    expected[:, :, 1:5] = True
    assert np.array_equal(edges(labels), expected)


def test_blurred_and_dimmed_stacks_keep_the_mean_of_the_light_that_is_left():
    from planted_plates import blurred, dimmed

    from gradcamo.samples.plate import GAIN, OFFSET

    rng = np.random.default_rng(2)
    data = (OFFSET + GAIN * rng.poisson(50, (1, 8, 64, 64))).astype(np.uint16)
    smooth = blurred(data, 1)
    assert smooth.mean() == pytest.approx(data.mean(), rel=0.01)
    assert smooth.std() < 0.4 * data.std()
    photons = (dimmed(data, 0.4, rng) - OFFSET) / GAIN
    corners = {1.0: np.s_[..., :8, :8], 0.4: np.s_[..., -8:, -8:], 0.4**0.5: np.s_[..., -8:, :8]}
    for left, corner in corners.items():
        assert photons[corner].mean() / 50 == pytest.approx(left, abs=0.06)
    thinned = photons[..., -8:, -8:]
    assert thinned.var() == pytest.approx(thinned.mean(), rel=0.15)  # Poisson, as a camera's


def test_a_folder_of_the_same_recipe_is_left_as_it_is(tmp_path):
    from planted_truth import is_there, recipe_of, tasks

    assert not is_there(tmp_path, recipe_of("own", 0))
    (tmp_path / "network.json").write_text(f'{{"recipe": "{recipe_of("own", 0)}"}}')
    assert is_there(tmp_path, recipe_of("own", 0))
    assert not is_there(tmp_path, recipe_of("own", 1))
    assert tasks(["own", "blur"], 3) == [
        ("own", 0), ("blur", 0), ("own", 1), ("blur", 1), ("own", 2)
    ]  # fmt: skip


def test_a_changed_plate_keeps_its_cells_and_changes_treated_wells_only(tmp_path):
    from planted_kinds import EMPTY, PLATES
    from planted_plates import GLOW_UM, PLANES, change

    from gradcamo.files.labels import read_labels
    from gradcamo.files.plates import read_plate
    from gradcamo.files.stacks import read_stack
    from gradcamo.samples.plate import GAIN, make_plate

    size = {"field_px": 96, "planes": PLANES + 2, "columns": ("02",), "sites": 1}
    source = make_plate(tmp_path / "made", EMPTY.model_copy(update=size))
    before = {row["treatment"]: row for _, row in read_plate(source).iterrows()}
    for how in ("blur", "vignette", "focus"):
        folder = tmp_path / how
        folder.mkdir()
        after = {
            row["treatment"]: row
            for _, row in read_plate(change([source], PLATES[how], folder)).iterrows()
        }
        assert set(after) == set(before) == {"treated", "untreated"}
        for treatment, row in after.items():
            old, new = (np.asarray(read_stack(r["image"]).data) for r in (before[treatment], row))
            known, kept = (read_labels(r["labels"]) for r in (before[treatment], row))
            planes = new.shape[1]
            firsts = range(known.shape[0] - planes + 1)
            first = next(f for f in firsts if np.array_equal(known[f : f + planes], kept))
            assert (planes < known.shape[0]) == (how == "focus")
            added = new.astype(float) - old[:, first : first + planes]
            treated = treatment == "treated"
            if how == "focus":
                height = np.arange(PLANES) * 0.6 + 3.6 * treated
                expected = GAIN * PLATES[how].glow * np.exp(-height / GLOW_UM)
                assert added.mean((0, 2, 3)) == pytest.approx(expected, rel=0.02)
            elif treated:
                assert added.std() > 20
            else:
                glow = GAIN * PLATES[how].glow
                assert added.mean() == pytest.approx(glow, rel=0.01) if glow else not added.any()
            cells = (
                pd.read_csv(r["cells"], keep_default_na=False) for r in (before[treatment], row)
            )
            pd.testing.assert_frame_equal(*cells)
