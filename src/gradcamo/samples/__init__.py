"""What comes with the package: the built-in plate and the weights trained on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from gradcamo.datatypes import ZStack

LayerData = tuple[Any, dict[str, Any], str]


def one_stack() -> list[LayerData]:
    """One stack of the built-in plate as napari layers, a channel each (File > Open Sample)."""
    return _layers(with_labels=False)


def one_stack_with_labels() -> list[LayerData]:
    """The same stack and the exact labels of its cells."""
    return _layers(with_labels=True)


def sample_stack() -> tuple[ZStack, np.ndarray]:
    """The stack that is opened as a sample, and the exact labels of its cells.

    It is of a well that the bundled network was not trained on, so that its donors hold none of
    its cells.
    """
    from dataclasses import replace

    from gradcamo.samples.design import PlateDesign
    from gradcamo.samples.plate import make_stack

    stack, labels = make_stack(PlateDesign(), "E03", 1)
    return replace(stack, source=f"built-in plate {stack.source}"), labels


def _layers(with_labels: bool) -> list[LayerData]:
    from gradcamo.display import channel_layers, contrast_limits, placement_of

    stack, labels = sample_stack()
    limits = [contrast_limits(channel) for channel in stack.data]
    layers = [(data, keywords, "image") for data, keywords in channel_layers(stack, limits)]
    if with_labels:
        about = {"name": "Cells", "opacity": 0.45, "metadata": {"source": stack.source}}
        layers.append((labels, {**about, **placement_of(stack.spacing_um)}, "labels"))
    return layers
