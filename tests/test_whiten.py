import numpy as np
import pytest

from gradcamo.errors import GradcamoError
from gradcamo.profiles import whiten
from gradcamo.profiles.whiten import Whitening, whiten_on


def controls(n=400, d=20, condition=1e2, seed=0):
    """Correlated profiles whose covariance has the given condition number."""
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.normal(size=(d, d)))[0]
    spread = np.logspace(0, -np.log10(condition) / 2, d)
    return rng.normal(size=(n, d)) * spread @ turn + rng.normal(size=d)


def covariance(profiles):
    centred = profiles - profiles.mean(0)
    return centred.T @ centred / len(centred)


@pytest.mark.parametrize("epsilon", [0.0, 0.01, 1.0])
def test_the_matrix_is_the_inverse_square_root_of_the_covariance(epsilon):
    x = controls()
    sigma = covariance(x)
    values, vectors = np.linalg.eigh(sigma + epsilon * np.trace(sigma) / 20 * np.eye(20))
    expected = vectors @ np.diag(values**-0.5) @ vectors.T
    white = Whitening.fit(x, epsilon)
    np.testing.assert_allclose(white.matrix, expected, rtol=1e-9, atol=1e-9)
    new = controls(7, seed=1)
    np.testing.assert_allclose(white(new), (new - x.mean(0)) @ expected, atol=1e-8)


@pytest.mark.parametrize("condition", [1.0, 1e4, 1e8, 1e12])
@pytest.mark.parametrize(("n", "d"), [(400, 20), (300, 100)])
def test_whitened_controls_have_unit_covariance_and_mean_zero(n, d, condition):
    x = controls(n, d, condition)
    white = Whitening.fit(x)(x)
    np.testing.assert_allclose(covariance(white), np.eye(d), atol=1e-6)
    np.testing.assert_allclose(white.mean(0), 0, atol=1e-6)


def test_profiles_in_float32_are_whitened_in_float64():
    x = controls(400, 20, 1e6).astype(np.float32)
    white = Whitening.fit(x)(x)
    assert white.dtype == np.float64
    np.testing.assert_allclose(covariance(white), np.eye(20), atol=1e-6)


def test_the_matrix_is_symmetric_so_features_stay_themselves():
    white = Whitening.fit(controls(condition=1e10))
    np.testing.assert_array_equal(white.matrix, white.matrix.T)


def test_the_order_of_the_controls_does_not_matter():
    x = controls(condition=1e6)
    shuffled = np.random.default_rng(3).permutation(x)
    a, b = Whitening.fit(x), Whitening.fit(shuffled)
    np.testing.assert_allclose(a.matrix, b.matrix, rtol=1e-7, atol=1e-7)


def test_fewer_controls_than_features_need_epsilon():
    x = controls(10, 30)
    for n in (10, 30):
        with pytest.raises(GradcamoError, match=f"{n} control cells for 30 .*epsilon > 0"):
            Whitening.fit(controls(n, 30))
    white = Whitening.fit(x, epsilon=0.01)(x)
    values = np.linalg.eigvalsh(covariance(white))
    assert np.isfinite(white).all()
    assert values.max() < 1 + 1e-9
    assert (values > 0.5).sum() == 9  # what ten cells span around their mean


def test_features_that_say_nothing_of_their_own_need_epsilon():
    x = controls()
    for dull in (np.ones(400), x[:, 0] - 2 * x[:, 1]):
        with pytest.raises(GradcamoError, match=r"400 .* 20 of 21 .*epsilon > 0"):
            Whitening.fit(np.column_stack([x, dull]))
        assert np.isfinite(Whitening.fit(np.column_stack([x, dull]), 0.01).matrix).all()
    with pytest.raises(GradcamoError, match="0 of 5"):
        Whitening.fit(np.ones((9, 5)), epsilon=0.1)


def test_values_that_are_not_finite_are_refused_with_their_rows():
    x = controls()
    white = Whitening.fit(x)
    x[[3, 7], [0, 5]] = np.nan, np.inf
    for use in (Whitening.fit, white):
        with pytest.raises(GradcamoError, match=r"2 of 400 .*rows 3, 7"):
            use(x)


def test_profiles_of_another_layer_are_refused():
    white = Whitening.fit(controls())
    with pytest.raises(GradcamoError, match=r"fitted to 20 features.* 21"):
        white(np.zeros((2, 21)))
    with pytest.raises(GradcamoError, match="shape"):
        white(np.zeros(20))
    with pytest.raises(GradcamoError, match="epsilon"):
        Whitening.fit(controls(), -0.1)
    with pytest.raises(GradcamoError, match="0 control cells"):
        Whitening.fit(np.zeros((0, 4)), 0.1)


def test_no_profiles_whiten_to_none():
    assert Whitening.fit(controls())(np.zeros((0, 20))).shape == (0, 20)


def test_profiles_are_whitened_in_pieces_as_they_are_at_once(random, monkeypatch):
    profiles = random.normal(size=(50, 4)).astype(np.float32)
    chosen = np.arange(50) < 30
    at_once, _ = whiten_on(profiles, chosen)
    monkeypatch.setattr(whiten, "ROWS", 7)
    np.testing.assert_allclose(whiten_on(profiles, chosen)[0], at_once, rtol=1e-6)
    expected = Whitening.fit(profiles[:30])(profiles)
    np.testing.assert_allclose(at_once, expected, rtol=1e-6)
