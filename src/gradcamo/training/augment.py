"""What may happen to a training crop: mirrored, brightened, bent; never resized or cropped."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gradcamo.settings import TrainSettings


class Augmentation(NamedTuple):
    """One draw of all augmentations; None where a step is left out."""

    flip_y: bool
    flip_x: bool
    brightness: float | None
    gamma: float | None

    @classmethod
    def draw(cls, settings: TrainSettings, rng: np.random.Generator) -> Augmentation:
        """Every step on its own with its probability.

        The same number of random numbers is drawn whatever happens.
        """
        chances = rng.random(4)
        added = rng.uniform(*settings.brightness_range)
        power = rng.uniform(*settings.gamma_range)
        return cls(
            flip_y=bool(chances[0] < settings.flip_probability),
            flip_x=bool(chances[1] < settings.flip_probability),
            brightness=added if chances[2] < settings.brightness_probability else None,
            gamma=power if chances[3] < settings.gamma_probability else None,
        )

    def image(self, image: np.ndarray) -> np.ndarray:
        """Apply all steps to a crop (C, Z, Y, X) that is rescaled to [0, 1]."""
        image = self.flip(image)
        if self.brightness is not None:
            image = image + np.float32(self.brightness)
        if self.gamma is not None:
            image = adjust_contrast(image, self.gamma)
        return image

    def flip(self, array: np.ndarray) -> np.ndarray:
        """Mirror (..., Y, X), an image or its labels."""
        if self.flip_y:
            array = array[..., ::-1, :]
        return array[..., ::-1] if self.flip_x else array


def adjust_contrast(image: np.ndarray, gamma: float) -> np.ndarray:
    """A power of the image on its own range, which is restored afterwards.

    ``((v - low) / span) ** gamma * span + low`` over all channels, as MONAI's AdjustContrast.
    """
    low, high = image.min(), image.max()
    span = high - low
    if not span > 0:
        return image
    return np.power((image - low) / span, np.float32(gamma)) * span + low
