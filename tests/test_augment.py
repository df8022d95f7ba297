"""Augmentation keeps what the specification promises, checked against MONAI."""

import numpy as np
import pytest
from monai.transforms import AdjustContrast

from gradcamo.settings import TrainSettings
from gradcamo.training.augment import Augmentation, adjust_contrast

SETTINGS = TrainSettings()


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).random((3, 5, 16, 12)).astype(np.float32)


@pytest.fixture(scope="module")
def draws():
    rng = np.random.default_rng(1)
    return [Augmentation.draw(SETTINGS, rng) for _ in range(4000)]


@pytest.mark.parametrize("gamma", [0.5, 0.8, 1.5])
def test_gamma_is_monais_adjust_contrast(image, gamma):
    shifted = image + 0.7  # after brightness the range is no longer [0, 1]
    np.testing.assert_allclose(
        adjust_contrast(shifted, gamma), AdjustContrast(gamma)(shifted).numpy(), atol=2e-5
    )


def test_gamma_keeps_the_range_of_the_crop(image):
    bent = adjust_contrast(image * 3 - 1, 0.6)
    assert bent.min() == pytest.approx((image * 3 - 1).min(), abs=1e-6)
    assert bent.max() == pytest.approx((image * 3 - 1).max(), abs=1e-6)


def test_gamma_leaves_a_constant_crop_alone():
    flat = np.full((2, 3, 4, 4), 0.25, np.float32)
    np.testing.assert_array_equal(adjust_contrast(flat, 0.5), flat)


def test_brightness_adds_one_constant_to_all_channels(image):
    bright = Augmentation(False, False, 0.75, None).image(image)
    np.testing.assert_allclose(bright - image, 0.75, atol=1e-6)


def test_flips_mirror_y_and_x_but_never_z(image):
    np.testing.assert_array_equal(
        Augmentation(True, False, None, None).image(image), np.flip(image, 2)
    )
    np.testing.assert_array_equal(
        Augmentation(False, True, None, None).image(image), np.flip(image, 3)
    )


def test_labels_are_mirrored_as_the_image_is(image):
    labels = image[0] > 0.5
    both = Augmentation(True, True, 0.6, 0.7)
    np.testing.assert_array_equal(both.flip(labels), both.flip(image)[0] > 0.5)


def test_each_step_happens_half_the_time_and_on_its_own(draws):
    happened = np.array(
        [[d.flip_y, d.flip_x, d.brightness is not None, d.gamma is not None] for d in draws]
    )
    np.testing.assert_allclose(happened.mean(0), 0.5, atol=0.04)
    np.testing.assert_allclose(np.corrcoef(happened.T) - np.eye(4), 0, atol=0.06)


@pytest.mark.parametrize(("step", "low", "high"), [("brightness", 0.5, 1.25), ("gamma", 0.5, 1.5)])
def test_constants_are_uniform_over_their_range(draws, step, low, high):
    drawn = np.array([getattr(d, step) for d in draws if getattr(d, step) is not None])
    quartiles = np.quantile(drawn, [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(quartiles, np.linspace(low, high, 5), atol=0.04)
    assert low <= drawn.min()
    assert drawn.max() <= high


def test_probability_zero_and_one_mean_never_and_always(image):
    never = TrainSettings(flip_probability=0, brightness_probability=0, gamma_probability=0)
    always = TrainSettings(flip_probability=1, brightness_probability=1, gamma_probability=1)
    rng = np.random.default_rng(3)
    for _ in range(20):
        assert Augmentation.draw(never, rng) == (False, False, None, None)
        assert None not in Augmentation.draw(always, rng)[2:]
