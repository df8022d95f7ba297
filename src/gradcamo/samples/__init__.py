"""What comes with the package: the built-in plate and the weights trained on it."""

from __future__ import annotations

from typing import Any

LayerData = tuple[Any, dict[str, Any], str]


def one_stack() -> list[LayerData]:
    """One stack of the built-in plate as napari layers, a channel each (File > Open Sample)."""
    return _layers(with_labels=False)


def one_stack_with_labels() -> list[LayerData]:
    """The same stack and the exact labels of its cells."""
    return _layers(with_labels=True)


def _layers(with_labels: bool) -> list[LayerData]:
    from gradcamo.docks.layers import colours_of, contrast_limits
    from gradcamo.samples.design import PlateDesign
    from gradcamo.samples.plate import make_stack

    stack, labels = make_stack(PlateDesign(), "G02", 1)
    source = f"built-in plate {stack.source}"
    place = {"scale": stack.spacing_um, "units": ("um", "um", "um")}
    layers: list[LayerData] = [
        (
            stack.data[channel],
            {
                "name": name,
                "colormap": colour,
                "blending": "additive",
                "visible": shown,
                "contrast_limits": contrast_limits(stack.data[channel]),
                "metadata": {"source": source},
                **place,
            },
            "image",
        )
        for channel, (name, (colour, shown)) in enumerate(
            zip(stack.channels, colours_of(stack.channels), strict=True)
        )
    ]
    if with_labels:
        layers.append((labels, {"name": "Cells", "opacity": 0.45, **place}, "labels"))
    return layers
