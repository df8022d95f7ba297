"""What causal attention comes to, in words, of tables made by hand."""

import numpy as np
import pandas as pd

from gradcamo.auditing.verdict import causal_verdict

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
    return table.assign(causal_layout=0.1, grad_camo=rng.uniform(0.1, 0.9, n), **more)


def uses(**balanced):
    table = pd.DataFrame({"balanced_accuracy": balanced}).rename_axis("real")
    return table.assign(chance=0.5, cells=40)


def test_the_region_is_named_with_what_it_holds_and_what_it_is_worth():
    right = uses(own=0.52, neighbour=0.5, background=0.97, nothing=0.5, all=0.99)
    assert causal_verdict(cells((0.03, 0.01, 0.96)), right) == [
        "This network tells 8 µM from DMSO by the background: its predictions owe 96% to the "
        "background (which fills 50% of the crop); with real background and borrowed cells it is "
        "right in 97% (as they are in 99%, by guessing in 50%)."
    ]
    (together,) = causal_verdict(cells((0.03, 0.01, 0.96)), right.assign(chance=0.93))
    assert together.endswith("by guessing in 93%).")
    right.loc["background", "balanced_accuracy"] = 0.6
    (together,) = causal_verdict(cells((0.03, 0.01, 0.96)), right)
    assert together.endswith("by guessing in 50%), so that this region alone is hardly enough.")
    (said,) = causal_verdict(cells((0.96, 0.03, 0.01)))
    assert "tells 8 µM from DMSO by the cell itself: its predictions owe 96% to the cell" in said
    assert "guessing" not in said


def test_two_regions_are_named_where_both_weigh():
    (said,) = causal_verdict(cells((0.38, 0.6, 0.02)))
    assert (
        "by neighbouring cells and the cell itself: its predictions owe 60% to neighbouring" in said
    )
    assert "(which fill 30%) and 38% to the cell itself (which fills 20% of the crop)." in said


def test_cells_that_are_called_wrongly_partial_or_not_answered_have_no_part_in_it():
    good, bad = cells((0.96, 0.03, 0.01)), cells((0.01, 0.03, 0.96))
    for change in (
        {"predicted": "other"},
        {"touches_border": True},
        dict.fromkeys((f"causal_{region}" for region in SHARES), np.nan),
    ):
        left_out = bad.head(len(good) - 1).assign(**change)
        (said,) = causal_verdict(pd.concat([good, left_out], ignore_index=True))
        assert "by the cell itself: its predictions owe 96%" in said


def test_outlines_are_named_where_they_are_all_that_a_network_reads():
    table = cells((0.96, 0.03, 0.01)).assign(causal_layout=0.95)
    table.loc[: len(table) // 2, [f"causal_{region}" for region in SHARES]] = np.nan
    table.loc[: len(table) // 2, "causal_layout"] = 0.97
    _, said = causal_verdict(table)
    assert said.startswith("Outlines, sizes and crowding alone explain 97% of what these cells are")
    assert len(causal_verdict(table.assign(causal_layout=0.4))) == 1


def test_no_verdict_where_most_cells_are_not_answered():
    table = cells((0.96, 0.03, 0.01))
    table.loc[: len(table) // 2, [f"causal_{region}" for region in SHARES]] = np.nan
    (said,) = causal_verdict(table, uses(nothing=0.93))
    assert said.startswith("No verdict: 21 of 40 cells asked are not answered")
    assert said.endswith("(with nothing real it is right in 93%).")
    assert causal_verdict(table.assign(causal_effect=np.nan)) == []
    assert causal_verdict(table[["treatment"]]) == []


def test_few_cells_are_a_first_impression():
    (said,) = causal_verdict(cells((0.96, 0.03, 0.01), n=9))
    assert said.endswith("A first impression: 9 cells only.")
    assert "impression" not in causal_verdict(cells((0.96, 0.03, 0.01), n=10))[0]


def test_treatments_that_are_told_by_different_regions_are_named():
    first = cells((0.9, 0.1, 0.0), treatments=("DMSO", "0.3 µM", "8 µM"), n=60)
    shares = [f"causal_{region}" for region in SHARES]
    last = first["treatment"] == "8 µM"
    first.loc[last, shares] = [0.05, 0.05, 0.9]
    said = causal_verdict(first)
    assert said[0].startswith("This network tells treatments apart by")
    assert said[1] == (
        "Treatments differ: above all it tells DMSO and 0.3 µM by the cell itself; "
        "8 µM by the background."
    )


def test_shares_that_equal_volumes_may_mean_a_cue_that_is_everywhere():
    everywhere = causal_verdict(cells((0.2, 0.3, 0.5), spread=0.05))
    assert everywhere[1].endswith("the cue may be everywhere, such as the camera or a stain.")
    assert len(causal_verdict(cells((0.3, 0.3, 0.4), spread=0.05))) == 1


def test_layout_that_explains_most_is_said():
    said = causal_verdict(cells((0.96, 0.03, 0.01)).assign(causal_layout=0.94))
    assert said[1].startswith("Outlines, sizes and crowding alone explain 94% of it (median)")


def test_regions_are_read_together_where_their_evidence_adds_up_to_more_than_all_are_worth():
    table = cells((0.4, 0.3, 0.3))
    assert not any("together" in said for said in causal_verdict(table))
    treated = table["causal_target"] == "8 µM"
    for way, how in (
        ("needed", "without each single region they lose"),
        ("alone", "each single region by itself is worth"),
    ):
        told = table.copy()
        told.loc[treated, [f"causal_{way}_{region}" for region in SHARES]] = 4.0
        (said,) = (said for said in causal_verdict(told) if "together" in said)
        assert said == (
            f"Regions are read together: of calls of 8 µM, what {how} adds up to 2.4 times what "
            "all are worth (1 where one region holds the cue). The cue may be everywhere, such as "
            "the focus, the camera or a stain, or in several regions that are weighed together."
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
    assert any("adds up to 1.6 times" in said for said in causal_verdict(told))
