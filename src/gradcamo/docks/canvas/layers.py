"""Z-stacks, labels and heatmaps as napari layers that lie where they belong."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcamo.datatypes import Spacing, ZStack
from gradcamo.display import channel_layers
from gradcamo.docks.canvas.layer_origins import plain_name, source_of
from gradcamo.errors import GradcamoError
from gradcamo.files.rawimage import to_um

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari.components import ViewerModel
    from napari.layers import Image, Labels, Layer
    from numpy.typing import ArrayLike

OUTLINE_NAME = "chosen cell"


def show_stack(
    viewer: ViewerModel, stack: ZStack, limits: Sequence[tuple[float, float]], title: str = ""
) -> dict[str, Image]:
    """One image layer per channel, coloured by stain, scaled in µm; each knows the stack's title.

    Layers are called as channels are: a network's channels are found by these names.
    """
    shown = {}
    for data, keywords in channel_layers(stack, limits):
        keywords["metadata"]["title"] = title  # here from the start: listeners read it
        shown[keywords["name"]] = viewer.add_image(data, **keywords)
    return shown


def show_labels(
    viewer: ViewerModel,
    labels: np.ndarray,
    like: Layer | None,
    name: str = "Cells",
    path: Any = None,
) -> Labels:
    """A labels layer in the place of a reference layer, which knows the file that it is from."""
    placed = {} if like is None else place_like(like)
    about = {} if path is None else {"path": str(path)}  # here from the start: listeners read it
    return viewer.add_labels(labels, name=name, opacity=0.45, metadata=about, **placed)


def show_preview(
    viewer: ViewerModel, masks: np.ndarray, like: Layer, start: Sequence[float]
) -> Labels:
    """Masks of one plane, (1, Y, X), where they belong, in a layer that is used again."""
    layer = marked_layer(viewer, "preview")
    placed = place_like(like, start)
    if layer is None:
        layer = viewer.add_labels(
            masks, name="Preview", opacity=0.6, metadata={"gradcamo": "preview"}, **placed
        )
    else:
        draw_again(layer, masks, placed)
        set_visible(layer, True)
    return layer


def stack_from_layers(layers: Sequence[Image]) -> ZStack:
    """The Z-stack that open image layers make up, one channel each, without copying it.

    Raises
    ------
    GradcamoError
        If there is none, or they are not (Z, Y, X) of one shape.
    """
    import dask.array as da

    if not layers:
        raise GradcamoError("no image layer is open: open a Z-stack first")
    shapes = {tuple(layer.data.shape) for layer in layers}
    if len(shapes) > 1 or len(next(iter(shapes))) != 3:
        raise GradcamoError(
            "the channels of a Z-stack are (Z, Y, X) layers of one shape, these are "
            f"{ {layer.name: tuple(layer.data.shape) for layer in layers} }: select those that "
            "belong together in the layer list"
        )
    data = da.stack([da.asarray(layer.data) for layer in layers])
    names = [plain_name(layer.name) for layer in layers]
    if len(set(names)) < len(names):
        names = [layer.name for layer in layers]
    source = source_of(layers[0]) or layers[0].name
    return ZStack(data, tuple(names), spacing_of(layers[0]), source)


def spacing_of(layer: Layer) -> Spacing | None:
    """Voxel size in µm of a layer, along the axes whose units are lengths."""
    steps = [to_um(step, str(u)) for step, u in zip(layer.scale, layer.units, strict=True)][-3:]
    return (steps[0], steps[1], steps[2]) if len(steps) == 3 and any(steps) else None


def place_like(layer: Layer, start: ArrayLike | None = None) -> dict[str, Any]:
    """Keyword arguments that put a new layer's first voxel on a voxel of another layer."""
    origin = layer.data_to_world(np.zeros(layer.ndim) if start is None else np.asarray(start))
    return {
        "scale": layer.scale,
        "translate": layer.affine.inverse(origin),  # affine acts after translate
        "rotate": layer.rotate,
        "shear": layer.shear,
        "affine": layer.affine.affine_matrix,
        "units": layer.units,
        "axis_labels": layer.axis_labels,
    }


def draw_again(layer: Image | Labels, data: np.ndarray, placed: dict[str, Any]) -> None:
    """Give a layer other data where `place_like` would put a new one.

    Every attribute that is set makes napari draw everything anew, so only what differs is set.
    """
    in_place = layer.data.shape == data.shape
    if layer.units != placed["units"]:
        layer.units = placed["units"]
    if in_place:
        layer.data[...] = data
    else:
        layer.data = data
    given = {"affine": layer.affine.affine_matrix}
    for name in ("affine", "scale", "rotate", "shear", "translate"):
        if not np.array_equal(given.get(name, getattr(layer, name)), placed[name]):
            setattr(layer, name, placed[name])
            in_place = False
    if in_place:
        layer.refresh()


def set_visible(layer: Layer, visible: bool) -> None:
    """Show or hide a layer; napari draws everything anew even where nothing changes."""
    if layer.visible != visible:
        layer.visible = visible


@contextmanager
def kept_active(viewer: ViewerModel) -> Iterator[None]:
    """Inside, a new layer does not stay the active one, which it makes itself: nobody asked."""
    active = viewer.layers.selection.active
    yield
    if active is not None:
        viewer.layers.selection.active = active


def marked_layer(viewer: ViewerModel, kind: str) -> Any:
    """The layer of ours that is of this kind (heatmap, outline, preview), where there is one."""
    found = [layer for layer in viewer.layers if layer.metadata.get("gradcamo") == kind]
    return found[0] if found else None


def go_to(viewer: ViewerModel, layer: Layer, voxel: ArrayLike, centre: bool) -> None:
    """Show the plane of a voxel, and with ``centre`` move it to the middle of the canvas."""
    voxel = np.asarray(voxel)
    world = np.array(layer.data_to_world(voxel))
    offset = viewer.dims.ndim - len(world)
    for axis, where in enumerate(world):
        if axis + offset not in viewer.dims.displayed:
            viewer.dims.set_point(axis + offset, where)
    if centre and not _on_canvas(viewer, layer, voxel):
        viewer.camera.center = tuple(world[-3:])


def show_outline(viewer: ViewerModel, mask: np.ndarray, like: Labels, start: ArrayLike) -> Labels:
    """Draw a white line around a cell, given as a mask (Z, Y, X), in a layer used again."""
    layer = marked_layer(viewer, "outline")
    placed = place_like(like, start)
    if layer is None:
        from napari.utils.colormaps import DirectLabelColormap

        layer = viewer.add_labels(
            mask.astype(like.data.dtype),
            name=OUTLINE_NAME,
            colormap=DirectLabelColormap(color_dict={None: "transparent", 1: "white"}),
            metadata={"gradcamo": "outline"},
            **placed,
        )
        layer.contour = 1
    else:
        draw_again(layer, mask, placed)
    return layer


def _on_canvas(viewer: ViewerModel, layer: Layer, voxel: np.ndarray) -> bool:
    if viewer.dims.ndisplay == 3:
        return False
    shown = [axis for axis in range(layer.ndim) if axis in viewer.dims.displayed]
    low, high = layer.corner_pixels
    margin = (high - low) / 30
    return all(low[a] + margin[a] < voxel[a] < high[a] - margin[a] for a in shown)
