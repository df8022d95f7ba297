"""What causal attention comes to, in words, of tables made by hand."""

import math
import re
import statistics

import numpy as np
import pandas as pd
import pytest

from gradcamo.auditing.verdict import causal_verdict
from gradcamo.errors import GradcamoError

SHARES = ("own", "neighbour", "background")


def cells(owes, n=40, fills=(0.2, 0.3, 0.5), spread=0.01, treatments=("DMSO", "8 µM"), **more):
    """Answered cells of some treatments, in turn; the first is the control."""
    rng = np.random.default_rng(0)
    name = np.array([treatments[i % len(treatments)] for i in range(n)])
    other = [treatments[1] if one == treatments[0] else treatments[0] for one in name]
    table = pd.DataFrame({"touches_border": False, "treatment": name, "predicted": name})
    table = table.assign(causal_target=name, causal_reference=other, causal_effect=5.0)
    noise = rng.normal(0, spread, n)
    for region, share, full in zip(SHARES, owes, fills, strict=True):
        sign = {"own": 1, "background": -1, "neighbour": 0}[region]
        table[f"causal_{region}"] = np.clip(share + sign * noise, 0, 1)
        table[f"volume_{region}"] = full
        table[f"causal_needed_{region}"] = table[f"causal_alone_{region}"] = 5 * share
    return table.assign(**{"causal_layout": 0.1, "grad_camo": rng.uniform(0.1, 0.9, n)} | more)


def uses(**balanced):
    table = pd.DataFrame({"balanced_accuracy": balanced}).rename_axis("real")
    return table.assign(chance=0.5, cells=40)


def test_the_region_is_named_with_what_all_hold_and_what_it_is_worth():
    right = uses(own=0.52, neighbour=0.5, background=0.97, nothing=0.5, all=0.99)
    told = (
        "This network tells 8 µM from DMSO by the background: its predictions owe 3% to the cell "
        "itself, 1% to neighbouring cells and 96% to the background (which fill 20%, 30% and 50% "
        "of the crop)."
    )
    worth = " With only the background real and all else swapped it is right in "
    table = cells((0.03, 0.01, 0.96))
    assert causal_verdict(table) == [told]
    known = [told + worth + "97% (whole crops 99%, guessing 50%)."]
    assert causal_verdict(table, right) == causal_verdict(table, right.reset_index()) == known
    (said,) = causal_verdict(table, right.assign(chance=0.93))
    assert said.endswith("guessing 93%).")
    right.loc["background", "balanced_accuracy"] = 0.6
    (said,) = causal_verdict(table, right)
    assert said == told + worth + (
        "60% (whole crops 99%, guessing 50%): this region alone is hardly enough."
    )
    right.loc["background", "balanced_accuracy"] = np.nan
    assert causal_verdict(table, right) == causal_verdict(table, right[:0]) == [told]


def test_two_regions_are_named_where_both_weigh():
    (said,) = causal_verdict(cells((0.38, 0.6, 0.02)))
    assert "from DMSO by neighbouring cells and the cell itself: its predictions owe 38%" in said


def test_cells_that_are_called_wrongly_partial_or_not_answered_have_no_part_in_it():
    good, bad = cells((0.96, 0.03, 0.01)), cells((0.01, 0.03, 0.96))
    for change in (
        {"predicted": "other"},
        {"touches_border": True},
        dict.fromkeys((f"causal_{region}" for region in SHARES), np.nan),
    ):
        left_out = bad.head(len(good) - 1).assign(**change)
        (said,) = causal_verdict(pd.concat([good, left_out], ignore_index=True))
        assert "by the cell itself: its predictions owe 96% to the cell itself, 3%" in said


def test_outlines_are_named_where_they_are_all_that_a_network_reads():
    table = cells((0.96, 0.03, 0.01)).assign(causal_layout=0.95)
    table.loc[: len(table) // 2, [f"causal_{region}" for region in SHARES]] = np.nan
    table.loc[: len(table) // 2, "causal_layout"] = 0.97
    _, said = causal_verdict(table)
    assert said == (
        "Outlines, sizes and crowding, which swaps leave in place, explain 97% of a prediction "
        "(median)."
    )
    assert "explain 100% of" in causal_verdict(table.assign(causal_layout=1.4))[1]
    assert len(causal_verdict(table.assign(causal_layout=0.4))) == 1


def test_no_verdict_where_most_cells_are_not_answered():
    table = cells((0.96, 0.03, 0.01))
    table.loc[: len(table) // 2, [f"causal_{region}" for region in SHARES]] = np.nan
    (said,) = causal_verdict(table, uses(nothing=0.93))
    assert said == (
        "No verdict: in 21 of 40 cells asked, swapping all contents for another treatment's takes "
        "nothing measurable from the prediction; with nothing real it is right in 93% (guessing "
        "50%)."
    )
    assert causal_verdict(table.assign(causal_effect=np.nan)) == []
    assert causal_verdict(table[["treatment"]]) == []


def test_cells_asked_for_what_they_are_not_called_are_not_said_to_lose_nothing():
    table = cells((0.96, 0.03, 0.01), treatments=("DMSO", "8 µM"))
    table[[f"causal_{region}" for region in SHARES]] = np.nan
    table["causal_target"] = "8 µM"
    (said,) = causal_verdict(table)
    asked_for = int((table["predicted"] == "8 µM").sum())
    assert 0 < asked_for < len(table)
    nothing = f"in {asked_for} of 40 cells asked, swapping all contents"
    other = f"{40 - asked_for} of 40 cells asked are called otherwise than the treatment"
    assert nothing in said
    assert other in said
    (said,) = causal_verdict(table[table["predicted"] != "8 µM"])
    assert "swapping" not in said


def test_few_cells_are_a_first_impression():
    (said,) = causal_verdict(cells((0.96, 0.03, 0.01), n=9))
    assert said.endswith(" Only 9 cells: a first impression.")
    (said,) = causal_verdict(cells((0.96, 0.03, 0.01), n=1))
    assert said.endswith(" Only 1 cell: a first impression.")
    assert "impression" not in causal_verdict(cells((0.96, 0.03, 0.01), n=10))[0]


def test_treatments_that_are_told_by_different_regions_are_named():
    first = cells((0.9, 0.1, 0.0), treatments=("DMSO", "0.3 µM", "8 µM"), n=60)
    shares = [f"causal_{region}" for region in SHARES]
    last = first["treatment"] == "8 µM"
    first.loc[last, shares] = [0.05, 0.05, 0.9]
    first.loc[first["treatment"] == "0.3 µM", shares] = [0.6, 0.3, 0.1]
    said = causal_verdict(first)
    assert said[0].startswith("This network tells treatments apart by")
    assert said[1] == (
        "The region that tells most differs between treatments: the cell itself for DMSO and "
        "0.3 µM (60% to 90%); the background for 8 µM (90%)."
    )


def test_shares_that_equal_volumes_may_mean_a_cue_that_is_everywhere():
    everywhere = causal_verdict(cells((0.2, 0.3, 0.5), spread=0.05))
    assert everywhere[1] == (
        "Shares equal what regions fill of the crop: the cue may be everywhere, such as focus, "
        "camera or stain."
    )
    assert len(causal_verdict(cells((0.3, 0.3, 0.4), spread=0.05))) == 1


def test_layout_that_explains_most_is_said():
    said = causal_verdict(cells((0.96, 0.03, 0.01)).assign(causal_layout=0.94))
    assert said[1] == (
        "Outlines, sizes and crowding, which swaps leave in place, explain 94% of a prediction "
        "(median); the shares above are of the rest."
    )


def test_regions_are_read_together_where_their_evidence_adds_up_to_more_than_all_are_worth():
    table = cells((0.4, 0.3, 0.3))
    assert not any("together" in said for said in causal_verdict(table))
    treated = table["causal_target"] == "8 µM"
    for way, how, all_of_it in (
        ("needed", "swapping them one at a time takes from", "swapping all at once does"),
        ("alone", "putting them back one at a time gives to", "putting all back at once does"),
    ):
        told = table.copy()
        told.loc[treated, [f"causal_{way}_{region}" for region in SHARES]] = 4.0
        (said,) = (said for said in causal_verdict(told) if "together" in said)
        assert said == (
            f"Regions are read together, above all for 8 µM: {how} the prediction, added up, 2.4 "
            f"times what {all_of_it} (1.0 where one region holds the cue). The cue may be "
            "everywhere, such as focus, camera or stain, or in several regions at once."
        )
    for mixed, expected in ((14, False), (15, True)):  # of 20: by chance in 6 % and in 2 %
        some = table.copy()
        rows = some.index[treated][:mixed]
        some.loc[rows, [f"causal_{way}_{region}" for region in SHARES]] = 4.0
        assert any("together" in said for said in causal_verdict(some)) == expected
    few = told[~treated | (told.index < 18)]  # 9 cells of 8 µM
    assert not any("together" in said for said in causal_verdict(few))
    told[[f"causal_{way}_neighbour" for way in ("needed", "alone")]] = (
        np.nan
    )  # crops of single cells
    assert any("added up, 1.6 times" in said for said in causal_verdict(told))


def test_numbers_of_a_verdict_are_those_that_loops_over_cells_give():
    for seed in range(40):
        table = tumbled(seed)
        asked, told = [], []
        for _, row in table.iterrows():
            known = isinstance(row["treatment"], str) and row["treatment"]
            called = not known or row["treatment"] == row["predicted"]
            if not row["touches_border"] and called and not math.isnan(row["causal_effect"]):
                asked.append(row)
                told += [row] * (not math.isnan(row["causal_own"]))
        said = causal_verdict(table.sample(frac=1, random_state=seed))
        if 2 * len(told) < len(asked):
            start = f"No verdict: in {len(asked) - len(told)} of {len(asked)} cell"
            assert said[0].startswith(start)
            continue
        owes = [math.fsum(row[f"causal_{region}"] for row in told) / len(told) for region in SHARES]
        fills = [math.fsum(row[f"volume_{r}"] for row in told) / len(told) for r in SHARES]
        numbers = [int(found) for found in re.findall(r"(\d+)%", said[0])]
        np.testing.assert_allclose(numbers, 100 * np.array(owes + fills), atol=0.5001)
        named = re.search("(treatments apart|from .*?) by (.*?): its", said[0])[2]
        for region, share in zip(("cell itself", "neighbouring", "background"), owes, strict=True):
            assert (region in named) == (share >= 0.25 or share == max(owes))
        assert ("first impression" in said[0]) == (len(told) < 10)
        above = {}
        for name in {row["causal_target"] for row in told}:
            mine = [row for row in told if row["causal_target"] == name]
            for way in ("needed", "alone"):
                ratios = [
                    sum(v for r in SHARES if not math.isnan(v := row[f"causal_{way}_{r}"]))
                    / row["causal_effect"]
                    for row in mine
                ]
                n, high = len(ratios), sum(ratio > 1.5 for ratio in ratios)
                by_chance = sum(math.comb(n, k) for k in range(high, n + 1)) / 2**n
                if n >= 10 and by_chance < 0.05:
                    above[statistics.median(ratios)] = name
        together = [sentence for sentence in said if "read together" in sentence]
        assert len(together) == bool(above)
        if above:
            most = max(above)
            assert f"above all for {above[most]}:" in together[0]
            assert f"added up, {most:.1f} times" in together[0]
            assert most > 1.5  # what is told never says less than what it is told for


def tumbled(seed):
    """Cells of few or many regions, effects and mishaps."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(8, 90))
    owes = rng.dirichlet((1, 1, 1))
    table = cells(owes, n, fills=rng.dirichlet((2, 3, 4)), treatments=("DMSO", "8 µM", "1 µM"))
    table["causal_effect"] = rng.gamma(2, 2, n)
    high = rng.uniform(0.5, 2.5)
    for way in ("needed", "alone"):
        for region in SHARES:
            evidence = table["causal_effect"] * high / 3 * rng.normal(1, 0.5, n)
            table[f"causal_{way}_{region}"] = evidence.where(rng.random(n) > 0.1)
    table["touches_border"] = rng.random(n) < 0.1
    table.loc[rng.random(n) < 0.1, "treatment"] = "another"
    table.loc[rng.random(n) < 0.1, "treatment"] = np.nan
    table.loc[rng.random(n) < 0.05, "causal_effect"] = np.nan
    silent = (rng.random(n) < rng.uniform(0, 0.7)) | table["causal_effect"].isna()
    table.loc[silent, [f"causal_{region}" for region in SHARES]] = np.nan
    return table


@pytest.mark.parametrize("n", [1, 2, 9, 10, 40])
@pytest.mark.parametrize("owes", [(1, 0, 0), (0.249, 0.5, 0.251), (0.2, 0.3, 0.5), (0, 0.004, 1)])
@pytest.mark.parametrize("layout", [np.nan, -0.0001, 0.501, 1.2])
@pytest.mark.parametrize("evidence", [0.0, 4.0, 400.0])
def test_every_sentence_is_whole_whatever_comes_together(n, owes, layout, evidence):
    table = cells(owes, n, spread=0, treatments=("DMSO", "8 µM", "1 µM"), causal_layout=layout)
    table[[f"causal_needed_{region}" for region in SHARES]] = evidence
    right = uses(own=0, neighbour=1, background=0.4999, nothing=-0.0, all=0.5)
    for told in (table, table.assign(**{f"causal_{region}": np.nan for region in SHARES})):
        for of in (None, right):
            said = causal_verdict(told, of)
            assert len(set(said)) == len(said) >= 1
            for sentence in said:
                assert sentence[0].isupper()
                assert sentence.endswith(".")
                assert not re.search(r"nan|None|-0|e\+|\b1 cells|  |\.\.|\b0 cells", sentence)


@pytest.mark.parametrize("as_it_is", [str, "category", "string"])
def test_names_are_told_apart_however_they_are_kept(as_it_is):
    table = cells((0.03, 0.01, 0.96))
    names = ["treatment", "predicted", "causal_target", "causal_reference"]
    kept = table.astype(dict.fromkeys(names, as_it_is))
    if as_it_is == "category":  # as of a larger plate
        kept["treatment"] = kept["treatment"].cat.add_categories("another")
    kept.loc[kept.index % 3 == 0, "treatment"] = None
    assert causal_verdict(kept) == causal_verdict(table)
    assert causal_verdict(kept.set_index(np.zeros(len(kept), int))) == causal_verdict(table)
    assert causal_verdict(kept[:0]) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.drop(columns=["causal_own", "predicted"]), "lacks causal_own, predicted"),
        (lambda t: t.assign(causal_layout="n/a"), "causal_layout holds something that is no num"),
        (lambda t: t.assign(treatment=1), r"treatment holds .* no text \(integer\)"),
        (lambda t: t.assign(predicted=True), r"predicted holds .* no text \(boolean\)"),
        (lambda t: t.assign(treatment=[1.0, None] * 20), r"treatment holds .* no text"),
    ],
)
def test_a_table_that_cannot_be_judged_says_what_it_lacks(change, said):
    table = cells((0.03, 0.01, 0.96))
    with pytest.raises(GradcamoError, match=said):
        causal_verdict(change(table))
    with pytest.raises(GradcamoError, match=r"lacks balanced_accuracy.*uses\.csv"):
        causal_verdict(table, uses(all=0.9)[["chance"]])
