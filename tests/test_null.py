import numpy as np
import pytest
from scipy.stats import kstest

from gradcamo import GradcamoError
from gradcamo.cells.null import permutation_p_values, q_values


def cells(random, n, grid=(2, 5, 5)):
    """Maps, projected masks and the projected crop of n cells of all shapes."""
    full = np.full(grid, 40.0, np.float32)
    return (
        random.gamma(0.5, 1, (n, *grid)).astype(np.float32),
        (full * random.random((n, *grid)) ** 3).astype(np.float32),
        full,
    )


def brute_force(maps, masks, full, i):
    def score(cam, mask):
        return (cam.astype(float) * mask).sum() / (cam.astype(float) * full).sum()

    others = [j for j in range(len(maps)) if j != i]
    with_masks = [score(maps[i], masks[j]) for j in others]
    with_maps = [score(maps[j], masks[i]) for j in others if maps[j].any()]
    null = np.array(with_masks + with_maps)
    return (1 + (null >= score(maps[i], masks[i])).sum()) / (1 + len(null))


def test_all_permutations_are_those_of_a_double_loop(random):
    maps, masks, full = cells(random, 12)
    maps[4] = 0
    p = permutation_p_values(maps, masks, full, 1000)
    for i in range(12):
        if i == 4:
            assert np.isnan(p[i])
        else:
            assert p[i] == pytest.approx(brute_force(maps, masks, full, i))


def test_cells_that_are_looked_at_are_told_from_cells_that_are_not(random):
    maps, masks, full = cells(random, 80)
    looked_at = np.arange(80) < 20
    maps[looked_at] = masks[looked_at]
    p = permutation_p_values(maps, masks, full, 100)
    assert np.median(p[looked_at]) < 0.05
    assert 0.3 < np.median(p[~looked_at]) < 0.7
    q = q_values(p)
    assert (q[looked_at] < 0.1).mean() > 0.5
    assert (q[~looked_at] < 0.1).mean() < 0.1


def test_p_values_are_uniform_where_maps_have_nothing_to_do_with_cells(random):
    maps, masks, full = cells(random, 600)
    p = permutation_p_values(maps, masks, full, 199)
    assert kstest(p, "uniform").pvalue > 0.01


def test_a_network_that_always_looks_at_the_middle_convinces_nobody(random):
    _, masks, full = cells(random, 60)
    middle = np.zeros((60, 2, 5, 5), np.float32)
    middle[:, :, 2, 2] = random.random((60, 1)) + 0.1
    masks[:, :, 2, 2] = 40  # all cells fill the middle of their crops: every score is 1
    assert permutation_p_values(middle, masks, full, 100).min() == 1


def test_p_values_can_be_no_smaller_than_the_permutations_allow(random):
    maps, masks, full = cells(random, 30)
    maps = masks.copy()
    assert permutation_p_values(maps, masks, full, 9).min() == pytest.approx(0.1)
    assert permutation_p_values(maps, masks, full, 10**6).min() >= 1 / (1 + 2 * 29)


def test_the_seed_decides_which_cells_are_drawn(random):
    maps, masks, full = cells(random, 400)
    once, again, other = (permutation_p_values(maps, masks, full, 20, s) for s in (1, 1, 2))
    np.testing.assert_array_equal(once, again)
    assert (once != other).mean() > 0.3
    assert np.corrcoef(once, other)[0, 1] > 0.8


def test_a_factor_on_a_map_leaves_its_p_value_alone(random):
    maps, masks, full = cells(random, 40)
    factors = 10.0 ** random.integers(-9, 9, (40, 1, 1, 1))
    scaled = (maps * factors).astype(np.float32)
    np.testing.assert_array_equal(
        permutation_p_values(maps, masks, full, 50), permutation_p_values(scaled, masks, full, 50)
    )


def test_one_cell_alone_has_nothing_to_be_compared_with(random):
    assert np.isnan(permutation_p_values(*cells(random, 1), 10)).all()


def test_thousands_of_permutations_of_a_thousand_cells_take_seconds(random):
    import time

    maps, masks, full = cells(random, 1000, (2, 7, 7))
    start = time.process_time()
    permutation_p_values(maps, masks, full, 1000)
    assert time.process_time() - start < 5


def test_q_values_are_benjamini_and_hochberg_s(random):
    p = random.random(50) ** 2
    p[[3, 30]] = np.nan
    tested = p[np.isfinite(p)]
    order = np.argsort(tested)
    steps = tested[order] * len(tested) / np.arange(1, len(tested) + 1)
    expected = np.empty(len(tested))
    expected[order] = np.minimum.accumulate(steps[::-1])[::-1].clip(max=1)
    q = q_values(p)
    np.testing.assert_allclose(q[np.isfinite(p)], expected)
    assert np.isnan(q[[3, 30]]).all()
    assert np.isnan(q_values(np.array([np.nan]))).all()


def test_what_does_not_fit_is_refused(random):
    maps, masks, full = cells(random, 4)
    for args in ((maps, masks[:3], full, 5), (maps, masks, full[0], 5), (maps, masks, full, 0)):
        with pytest.raises(GradcamoError, match=r"\(4, 2, 5, 5\)"):
            permutation_p_values(*args)
