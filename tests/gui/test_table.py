"""The table's order, filter and values, on labels with gaps and on tables of a plate's size."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from qtpy.QtCore import Qt

from gradcamo.docks.panels.cells.table_model import CellTableModel, sorted_order, written
from gradcamo.docks.state.results import Results

pytestmark = pytest.mark.gui


@pytest.fixture
def table():
    rng = np.random.default_rng(3)
    n = 200
    scores = rng.uniform(0, 0.6, n)
    scores[::17] = np.nan
    labels = np.sort(rng.choice(100_000, n, replace=False)) + 1
    return pd.DataFrame(
        {
            "label": labels,
            "grad_camo": scores,
            "neighbour_share": (1 - scores) / 2,
            "background_share": (1 - scores) / 2,
            "predicted": rng.choice(["high", "control", "low"], n),
            "layer": "block_4",
            "alignment": "paper",
            "touches_border": np.arange(n) % 17 == 0,
            "flagged": scores < 0.25,
            "note": "",
            "well": "D03",
        },
        index=labels,
    )


@pytest.fixture
def model(table, qtmodeltester):
    model = CellTableModel()
    model.set_table(table)
    qtmodeltester.check(model)
    return model


@pytest.mark.parametrize("column", ["label", "grad_camo", "predicted", "flagged"])
@pytest.mark.parametrize("ascending", [True, False])
def test_rows_are_sorted_as_pandas_sorts_them(model, table, column, ascending):
    order = Qt.SortOrder.AscendingOrder if ascending else Qt.SortOrder.DescendingOrder
    model.sort(model.columns.index(column), order)
    expected = table.sort_values(column, ascending=ascending, kind="stable", na_position="last")
    assert model.labels().tolist() == expected["label"].tolist()


def test_a_row_is_found_by_its_label_not_by_its_place(model):
    for row in range(model.rowCount()):
        assert model.row_of(model.label_at(row)) == row
    assert model.row_of(-1) is None


def test_a_filter_hides_rows_and_keeps_the_order(model, table):
    keep = (table["predicted"] == "low").to_numpy()
    model.set_filter(keep)
    assert set(model.labels()) == set(table["label"][keep])
    scores = model.shown()["grad_camo"].dropna()
    assert scores.is_monotonic_increasing
    hidden = int(table["label"][~keep].iloc[0])
    assert model.row_of(hidden) is None


def test_columns_of_the_plate_are_shown_too(model):
    assert "well" in model.columns


def test_missing_scores_are_a_dash_and_come_last(model):
    last = model.index(model.rowCount() - 1, model.columns.index("grad_camo"))
    assert model.data(last) == "–"
    assert written("volume_um3", 1234.5) == "1,234"
    assert written("grad_camo", np.float32(0.25)) == "0.250"


def test_order_is_stable_for_equal_values():
    values = pd.Series([2, 1, 2, 1, 2])
    assert sorted_order(values, True).tolist() == [1, 3, 0, 2, 4]
    assert sorted_order(values, False).tolist() == [0, 2, 4, 1, 3]


class Batch:
    def __init__(self, table, maps=True):
        self.table = table
        n = len(table) if maps else 0
        self.maps, self.profiles = np.ones((n, 2, 2, 2)), np.ones((n, 4))
        self.starts, self.placement = np.zeros((n, 3), int), None


def results_of(table) -> Results:
    results = Results(cutoff=0.25)
    border = table["touches_border"]
    plain = table.drop(columns=["flagged", "note"])
    results.add(Batch(plain[border], maps=False))
    results.add(Batch(plain[~border]))
    return results


def test_results_are_in_order_of_label_and_flagged_by_the_cutoff(table):
    results = results_of(table)
    assert results.table["label"].tolist() == sorted(table["label"])
    results.cutoff = 0.4
    border = table["touches_border"].to_numpy()
    expected = (table["grad_camo"].to_numpy() < 0.4) & ~border
    assert (results.table["flagged"].to_numpy() == expected).all()
    assert results.counts()["flagged"] == expected.sum()


def test_a_batch_that_does_not_fit_together_is_not_taken_in_at_all(table):
    results = results_of(table)
    known = results.table.copy()
    maps = results.arrays()()
    results.stale.add(int(known["label"].iloc[0]))
    torn = Batch(known.assign(grad_camo=0.9).drop(columns=["flagged", "note"]))
    torn.profiles = torn.profiles[:-1]
    with pytest.raises(ValueError, match="shorter"):
        results.add(torn)
    pd.testing.assert_frame_equal(results.table, known)
    assert results.stale == {int(known["label"].iloc[0])}
    after = results.arrays()()
    assert all(np.array_equal(after[name], maps[name]) for name in maps)


def test_a_flag_set_by_hand_outlives_the_cutoff(table):
    results = results_of(table)
    best = int(results.table["grad_camo"].idxmax())
    results.mark([best], True)
    results.cutoff = 0.0
    assert results.table.at[best, "flagged"]
    assert results.counts()["flagged"] == 1
    results.mark([best], None)
    assert not results.table.at[best, "flagged"]


def test_cells_audited_again_replace_their_rows(table):
    results = results_of(table)
    again = table[~table["touches_border"]].head(3).drop(columns=["flagged", "note"])
    again = again.assign(grad_camo=0.9)
    results.add(Batch(again))
    assert len(results) == len(table)
    assert (results.table.loc[again["label"], "grad_camo"] == 0.9).all()
