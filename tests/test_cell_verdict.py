"""What is said of one cell: by what its prediction is held up, and whether its map agrees."""

import numpy as np
import pandas as pd
import pytest
from causal_cases import CONTROL, TREATED, bank_of, known, tiles

import gradcamo as gc
from gradcamo import CausalSettings, CellCrops
from gradcamo.auditing.cell_verdict import cell_doubts, cell_verdict
from gradcamo.causal.attention import causal_batches
from gradcamo.causal.swapped import swapped_crops
from gradcamo.settings import CautionSettings


def row(owes, lies=(np.nan,) * 3, **others):
    """A row of an answered cell."""
    return {
        "predicted": "8 µM",
        "causal_target": "8 µM",
        "causal_reference": "control",
        "causal_reason": "",
        "causal_draws": 4,
        "causal_effect": 5.0,
        "causal_effect_se": 0.25,
        **dict(zip(("causal_own", "causal_neighbour", "causal_background"), owes, strict=True)),
        **dict(zip(("grad_camo", "neighbour_share", "background_share"), lies, strict=True)),
        **dict(
            zip(
                ("volume_own", "volume_neighbour", "volume_background"),
                (0.2, 0.3, 0.5),
                strict=True,
            )
        ),
        "causal_unfilled_own": 0.0,
        "causal_against": 0.0,
        "causal_swap": 0.1,
        "causal_limits": np.nan,
        **others,
    }


def test_map_and_prediction_disagree_where_another_region_has_most_of_each():
    said = cell_verdict(row((0.1, 0.85, 0.05), lies=(0.2, 0.2, 0.6)))
    assert said == (
        "That it is called 8 µM rather than control depends mostly on its neighbours (85%). The "
        "map disagrees: it lies most on the background (60%, which fills 50% of the crop)."
    )
    assert cell_verdict(row((0.1, 0.85, 0.05), lies=(0.2, 0.5, 0.3))).endswith(
        "depends mostly on its neighbours (85%), where the map lies, too (50%)."
    )


@pytest.mark.parametrize(
    ("owes", "lies"),
    [
        ((0.48, 0.45, 0.07), (0.2, 0.6, 0.2)),  # owed about the same
        ((0.9, 0.05, 0.05), (0.30, 0.32, 0.38)),  # the map lies about the same
        ((0.9, 0.05, 0.05), (np.nan, np.nan, np.nan)),  # no map
    ],
)
def test_what_is_close_or_not_there_does_not_disagree(owes, lies):
    said = cell_verdict(row(owes, lies))
    assert "on the cell itself" in said
    assert "map" not in said


def test_a_cell_without_an_answer_says_why():
    nothing = (np.nan,) * 3
    assert cell_verdict(row(nothing, causal_effect=0.2)) == (
        "No answer: contents of control in place of 8 µM's take away +0.2 ± 0.2 logits, which "
        "cannot be told from nothing."
    )
    assert cell_verdict(row(nothing, causal_effect=-3.04)) == (
        "No answer: contents of control in place of 8 µM's make it surer of 8 µM, by 3.0 ± 0.2 "
        "logits."
    )
    assert cell_verdict(row(nothing, causal_effect=-0.2)).endswith(
        "take away -0.2 ± 0.2 logits, which cannot be told from nothing."
    )
    assert cell_verdict(row(nothing, predicted="control")) == (
        "No answer: 8 µM was asked for, the network calls it control."
    )
    few = "too few donors of control are left: 2 from 1 image where 3 from 2 are needed"
    assert cell_verdict(row(nothing, causal_reason=few)) == (
        f"Not asked: {few}. Donors from more wells and images help: make a bank of a plate that "
        "has them (gradcamo donors), and name it (--donors)."
    )
    assert cell_verdict({"causal_reason": "it was not asked"}) == ""
    assert cell_verdict({"grad_camo": 0.4}) == ""


def test_a_preview_says_that_it_is_one():
    assert cell_verdict(row((0.9, 0.1, 0.0), causal_draws=1)).startswith("Preview: that it is")


def test_what_makes_shares_of_a_cell_doubtful_is_said_of_it():
    assert cell_doubts(row((0.9, 0.1, 0.0))) == []
    doubtful = row((0.9, 0.1, 0.0), causal_swap=0.7, causal_limits=0.3)
    assert [text.rpartition("(")[2] for text in cell_doubts(doubtful)] == [
        "causal_swap 0.70)",
        "causal_limits 0.30)",
    ]
    assert cell_doubts(doubtful, CautionSettings(swap=1, through_limits=1)) == []
    assert cell_doubts(row((np.nan,) * 3, causal_swap=0.7)) == []


def test_rows_of_real_tables_are_told_as_they_are():
    checkpoint = known(lambda own, neighbours, background: 10 * (neighbours - 0.5))
    stack, labels = tiles([TREATED], source="asked.tif")
    table = gc.causal_attention(stack, labels, checkpoint, bank_of(checkpoint), only=[1])
    assert cell_verdict(table.iloc[0]) == (
        "That it is called treated rather than control depends mostly on its neighbours (100%)."
    )
    assert cell_verdict(pd.concat([table, table]).iloc[1]) == cell_verdict(table.iloc[0])


def test_swapped_crops_are_those_of_the_first_draw():
    checkpoint = known(lambda own, neighbours, background: 4 * own + 8 * background - 6)
    stack, labels = tiles([TREATED], source="asked.tif")
    bank = bank_of(checkpoint)
    crops = CellCrops(stack, labels, checkpoint.crop)
    seen = swapped_crops(crops, 1, checkpoint, bank)
    assert (seen.target, seen.reference, seen.reason) == ("treated", "control", "")
    assert seen.composites.shape == (2, 8, 1, *labels[:, :, :16].shape)
    for pool in range(2):
        np.testing.assert_array_equal(seen.composites[pool, 7], stack.data[:, :, :, :16])
    middle = seen.composites[0, :, 0, 1]  # each region holds one intensity
    for coalition in range(8):
        for p, (y, x) in enumerate(((8, 8), (1, 8), (0, 8))):
            real = coalition >> p & 1
            assert middle[coalition, y, x] == (TREATED if real else CONTROL)[p]
    by_hand = [(0.8 if s & 1 else 0.2) * 4 + (0.8 if s & 4 else 0.2) * 8 - 6 for s in range(8)]
    np.testing.assert_allclose(seen.margins[0], by_hand, atol=1e-5)
    np.testing.assert_allclose(seen.margins[1], by_hand[7], atol=1e-5)
    np.testing.assert_allclose(seen.scores[..., 1] - seen.scores[..., 0], seen.margins, atol=1e-5)


def test_a_cell_that_cannot_be_swapped_says_why_and_has_no_crops():
    checkpoint = known(lambda own, neighbours, background: own)
    stack, labels = tiles([TREATED], source="asked.tif")
    bank = bank_of(checkpoint, per_well=1)  # two donors a class
    crops = CellCrops(stack, labels, checkpoint.crop)
    seen = swapped_crops(crops, 1, checkpoint, bank)
    assert "donors of" in seen.reason
    assert seen.composites.size == 0


class Enough(Exception):
    pass


def test_asking_can_be_left_between_two_crops():
    checkpoint = known(lambda own, neighbours, background: own)
    stack, labels = tiles([TREATED], source="asked.tif")
    crops, bank = CellCrops(stack, labels, checkpoint.crop), bank_of(checkpoint)
    counted = []

    def count():
        counted.append(1)
        if len(counted) == 20:
            raise Enough

    how = CausalSettings(draws=2, batch_size=1)
    with pytest.raises(Enough):
        list(causal_batches(crops, checkpoint, bank, how, [1], between=count))
    assert len(counted) == 20
    counted.clear()
    list(causal_batches(crops, checkpoint, bank, how, [1], between=lambda: counted.append(1)))
    assert len(counted) == 1 + 2 * 2 * 7 + 2 * 2  # the crop, coalitions, changed limits
