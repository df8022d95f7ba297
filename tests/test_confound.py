import numpy as np
import pandas as pd
import pytest
from scipy import stats

from gradcamo.errors import GradcamoError
from gradcamo.profiles.cutoffs import (
    cost_of_cutoffs,
    effective_cells,
    power,
    smallest_effect,
    well_correlation,
)
from gradcamo.profiles.neighbours import neighbour_accuracy
from gradcamo.profiles.nested_variance import variance_explained

WELLS = {"D": "control", "B": "0.06x", "E": "40.0x"}


def design(cells: int = 22, columns=("02", "03", "04", "05"), sites: int = 4) -> pd.DataFrame:
    rows = [
        ("P1", row + column, site, treatment)
        for row, treatment in WELLS.items()
        for column in columns
        for site in range(1, sites + 1)
        for _ in range(cells)
    ]
    return pd.DataFrame(rows, columns=["plate", "well", "site", "treatment"])


def planted(table: pd.DataFrame, level: str, size: float = 3.0, features: int = 5) -> np.ndarray:
    """Noise, and a shift that all cells of one unit of ``level`` share."""
    rng = np.random.default_rng(1)
    units = {
        "treatment": table["treatment"],
        "well": table["well"],
        "site": table["well"] + table["site"].astype(str),
        "none": pd.Series("", table.index),
    }[level]
    codes = pd.factorize(units)[0]
    shift = size * rng.standard_normal((codes.max() + 1, features))
    return rng.standard_normal((len(table), features)) + shift[codes]


def share(found: pd.DataFrame, level: str, column: str = "share") -> float:
    return float(found.set_index("level").loc[level, column])


@pytest.mark.parametrize("level", ["treatment", "well", "site"])
def test_variance_is_found_at_the_level_where_it_was_planted(level):
    table = design()
    found = variance_explained(table, planted(table, level))
    assert found["share"].sum() == pytest.approx(1)
    assert (found["share"] >= -1e-12).all()
    assert share(found, level) > 0.5
    assert share(found, level) > 2 * share(found, level, "chance")
    assert share(found, level, "p") <= 0.05
    for other in {"treatment", "well", "site"} - {level}:
        if ["treatment", "well", "site"].index(other) > ["treatment", "well", "site"].index(level):
            assert share(found, other, "p") > 0.05


def test_wells_that_differ_by_lot_are_no_treatment_effect():
    table = design()
    found = variance_explained(table, planted(table, "well"))
    assert share(found, "treatment") == pytest.approx(share(found, "treatment", "chance"), abs=0.2)
    assert share(found, "treatment", "p") > 0.05


def test_shares_of_a_balanced_design_are_those_of_a_nested_analysis_of_variance():
    table = design(cells=7, columns=("02", "03"), sites=3)
    y = planted(table, "site", features=1)[:, 0]
    means = {
        level: pd.Series(y).groupby([table[c] for c in columns]).transform("mean")
        for level, columns in {
            "treatment": ["treatment"],
            "well": ["well"],
            "site": ["well", "site"],
        }.items()
    }
    total = ((y - y.mean()) ** 2).sum()
    expected = {
        "treatment": ((means["treatment"] - y.mean()) ** 2).sum() / total,
        "well": ((means["well"] - means["treatment"]) ** 2).sum() / total,
        "site": ((means["site"] - means["well"]) ** 2).sum() / total,
        "cell": ((y - means["site"]) ** 2).sum() / total,
    }
    found = variance_explained(table, y, permutations=5)
    for level, value in expected.items():
        assert share(found, level) == pytest.approx(value)


def test_a_crowded_well_weighs_no_more_than_another():
    table = design(cells=10)
    values = planted(table, "well")
    crowd = np.concatenate([np.arange(len(table)), *[np.flatnonzero(table["well"] == "E02")] * 30])
    plain = variance_explained(table, values, permutations=5)
    crowded = variance_explained(table.iloc[crowd], values[crowd], permutations=5)
    np.testing.assert_allclose(plain["share"], crowded["share"], atol=1e-9)


def test_equal_scores_have_no_variance_to_explain():
    table = design(cells=2)
    assert variance_explained(table, np.ones(len(table)), permutations=3)["share"].isna().all()
    with pytest.raises(GradcamoError, match="lacks site"):
        variance_explained(table.drop(columns="site"), np.ones(len(table)))


def accuracy(found: pd.DataFrame, question: str, cells: str = "all") -> pd.Series:
    return found.set_index(["question", "cells"]).loc[(question, cells)]


def test_neighbours_tell_the_site_only_where_sites_differ():
    table, rng = design(cells=30), np.random.default_rng(0)
    passing = rng.random(len(table)) < 0.7
    by_site = neighbour_accuracy(table, planted(table, "site"), passing)
    assert accuracy(by_site, "site").accuracy > 0.9
    assert accuracy(by_site, "site").chance == 0.25
    assert accuracy(by_site, "site").groups == 12
    by_treatment = neighbour_accuracy(table, planted(table, "treatment"), passing)
    row = accuracy(by_treatment, "site")
    assert abs(row.accuracy - row.chance) < 5 * row.error
    assert accuracy(by_treatment, "treatment").accuracy > 0.9
    assert accuracy(by_treatment, "well").accuracy == pytest.approx(0.25, abs=0.08)


def test_a_treatment_told_only_by_its_own_well_is_not_told_at_all():
    table = design()
    values = planted(table, "well", size=30)
    found = neighbour_accuracy(table, values, np.ones(len(table), bool))
    assert accuracy(found, "well").accuracy > 0.99
    assert accuracy(found, "treatment").accuracy < 0.7


def test_profiles_of_nothing_are_told_as_often_as_chance_says():
    table = design(cells=12, columns=("02", "03"), sites=2)
    told = []
    for seed in range(12):
        values = np.random.default_rng(seed).standard_normal((len(table), 5))
        told.append(neighbour_accuracy(table, values, np.ones(len(table), bool)))
    found = pd.concat(told)
    for question in ("site", "well", "treatment"):
        seen = found[(found["question"] == question) & (found["cells"] == "all")]
        assert seen["chance"].nunique() == 1
        error = seen["accuracy"].std() / np.sqrt(len(seen))
        assert abs(seen["accuracy"].mean() - seen["chance"].iloc[0]) < max(3 * error, 0.01)


def test_a_treatment_of_a_single_well_is_not_asked_elsewhere():
    table = design()
    lonely = table["well"].isin(["E02"]) | (table["treatment"] != "40.0x")
    table = table[lonely].reset_index(drop=True)
    found = neighbour_accuracy(table, planted(table, "treatment"), np.ones(len(table), bool))
    assert accuracy(found, "treatment").accuracy > 0.9


def test_all_and_passing_cells_are_compared_where_both_are_known_else_all_stand_alone():
    table = design(columns=("02", "03"))
    passing = (table["well"].str[1:] == "02").to_numpy()  # one well of each treatment is left
    found = neighbour_accuracy(table, planted(table, "treatment"), passing)
    known = found.groupby("question")["cells"].agg(list).to_dict()
    assert known == {"site": ["all", "passing"], "well": ["all"], "treatment": ["all"]}
    every = neighbour_accuracy(table, planted(table, "treatment"), np.ones(len(table), bool))
    for question in ("well", "treatment"):
        pd.testing.assert_series_equal(accuracy(found, question), accuracy(every, question))


def test_all_cells_are_asked_where_none_passes():
    table = design()
    found = neighbour_accuracy(table, planted(table, "site"), np.zeros(len(table), bool))
    assert set(found["cells"]) == {"all"}
    assert accuracy(found, "site").accuracy > 0.9


def test_filtering_is_compared_at_equal_numbers_of_cells():
    table = design(cells=40)
    site_3 = table["site"] == 3
    # cells that fail carry the site's mark, cells that pass do not
    passing = np.arange(len(table)) % 4 != 0
    marked = np.where(passing, 0, np.where(site_3, 9.0, table["site"]))[:, None] * 5
    values = np.random.default_rng(0).standard_normal((len(table), 3)) + marked
    found = neighbour_accuracy(table, values, passing)
    before, after = accuracy(found, "site"), accuracy(found, "site", "passing")
    assert before.per_class == after.per_class == 30
    assert before.accuracy > after.accuracy + 0.1
    assert after.accuracy == pytest.approx(0.25, abs=0.05)


def test_groups_with_too_few_cells_are_left_out_rather_than_guessed():
    table = design(cells=12)
    passing = (table["well"] != "E02").to_numpy()
    found = neighbour_accuracy(table, planted(table, "site"), passing)
    assert accuracy(found, "site").groups == 11


@pytest.mark.parametrize("true", [0.0, 0.2, 0.6])
def test_the_correlation_of_cells_of_a_well_is_recovered(true):
    table = design(cells=40, columns=[f"{c:02d}" for c in range(1, 25)], sites=1)
    rng = np.random.default_rng(3)
    wells = pd.factorize(table["well"])[0]
    shift = np.sqrt(true) * rng.standard_normal((wells.max() + 1, 20))
    values = shift[wells] + np.sqrt(1 - true) * rng.standard_normal((len(table), 20))
    assert well_correlation(table, values) == pytest.approx(true, abs=0.03)


def test_cells_of_one_well_count_once_where_they_are_all_alike():
    assert effective_cells([100, 100], 1.0) == 2
    assert effective_cells([100, 100], 0.0) == 200
    assert effective_cells([], 0.3) == 0


def test_power_agrees_with_simulated_t_tests():
    rng = np.random.default_rng(0)
    first = rng.standard_normal((4000, 8)) + 1.2
    second = rng.standard_normal((4000, 12))
    simulated = (stats.ttest_ind(first, second, axis=1).pvalue < 0.05).mean()
    assert power(1.2, 8, 12, 18) == pytest.approx(simulated, abs=0.03)
    assert power(smallest_effect(8, 12, 18), 8, 12, 18) == pytest.approx(0.8)
    assert np.isnan(power(1.0, 0, 5, 3))


def test_cut_offs_cost_cells_and_power_and_say_so_per_treatment():
    table = design()
    rng = np.random.default_rng(0)
    table["grad_camo"] = rng.random(len(table)) * np.where(table["treatment"] == "40.0x", 0.3, 1)
    table.loc[0, "grad_camo"] = np.nan
    costs = cost_of_cutoffs(table, 0.05, "control", (0.0, 0.25, 0.9))
    costs = costs.set_index(["treatment", "cutoff"])
    for (treatment, cutoff), row in costs.iterrows():
        mine = table[table["treatment"] == treatment]
        expected = (mine["grad_camo"] >= cutoff).sum()
        assert row["cells"] == expected
        assert row["share"] == pytest.approx(expected / len(mine))
    assert 0.799 < costs.loc[("0.06x", 0.0), "power"] < 0.8  # a control cell has no score
    assert costs.loc[("40.0x", 0.25), "power"] < costs.loc[("0.06x", 0.25), "power"] < 0.8
    assert costs.loc[("40.0x", 0.9), "cells"] == 0
    assert np.isnan(costs.loc[("40.0x", 0.9), "power"])
    assert costs.loc["control", "power"].isna().all()
