"""The one layer that shows a cell's map, and how it is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gradcamo.docks.canvas.layers import draw_again, marked_layer, place_like
from gradcamo.docks.state.look import Look

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Layer
    from napari.utils.colormaps import Colormap
    from numpy.typing import ArrayLike

HEATMAP_NAME = "Grad-CAM"


def show_heatmap(
    viewer: ViewerModel,
    cam: np.ndarray,
    like: Layer,
    start: ArrayLike,
    name: str,
    look: Look,
) -> Image:
    """Put a cell's upsampled map (Z, Y, X) on its crop, in one layer that is used again.

    ``cam`` is made visible over all other layers with its own range; what the user changed about
    the layer (colour map, opacity, rendering) stays.
    """
    layer = heatmap_layer(viewer)
    top = float(cam.max()) or 1.0
    placed = place_like(like, start)
    if layer is None:
        layer = viewer.add_image(
            cam,
            name=HEATMAP_NAME,
            blending="additive",
            attenuation=0.02,
            contrast_limits=(0.0, top),
            metadata={"gradcamo": "heatmap", "cell": name},
            **keywords_of(look),
            **placed,
        )
        apply_look(look, layer)
        return layer
    draw_again(layer, cam, placed)
    layer.contrast_limits_range = (0.0, top)
    layer.contrast_limits = (0.0, top)
    layer.metadata["cell"] = name
    return layer


def heatmap_layer(viewer: ViewerModel) -> Image | None:
    """The heatmap layer, where there is one."""
    return marked_layer(viewer, "heatmap")


def apply_look(look: Look, layer: Image) -> None:
    """Draw a heatmap layer so."""
    for name, value in keywords_of(look).items():
        setattr(layer, name, value)
    box = layer.bounding_box
    box.points, box.line_color, box.line_thickness = False, "white", 1
    box.visible = look.crop_outline


def keywords_of(look: Look) -> dict[str, Any]:
    """The same for a layer that is about to be made."""
    return {
        "colormap": hiding(look.colormap, look.hide_below),
        "opacity": look.opacity,
        "visible": look.shown,
        "rendering": look.rendering,
    }


def hiding(name: str, below: float) -> Colormap | str:
    """A colour map that is clear below a share of its range; colours keep their meaning."""
    if below <= 0:
        return name
    from napari.utils.colormaps import Colormap, ensure_colormap

    steps = np.linspace(0, 1, 256)
    colours = np.array(ensure_colormap(name).map(steps))
    colours[steps < below] = 0
    return Colormap(colours, name=f"{name}, {below:.0%} and more")
