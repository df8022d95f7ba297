"""The one door: a stack and its labels come to the window, in the place of those before."""

from __future__ import annotations

import re
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcamo.display import contrast_limits
from gradcamo.docks.canvas.follower import Follower
from gradcamo.docks.canvas.layer_origins import may_hold_cells, path_of, source_of
from gradcamo.docks.canvas.layers import (
    go_to,
    set_visible,
    show_labels,
    show_stack,
    stack_from_layers,
)
from gradcamo.errors import GradcamoError
from gradcamo.files.misfits import refuse_misfit
from gradcamo.files.titles import stack_title

if TYPE_CHECKING:
    import pandas as pd
    from napari.components import ViewerModel
    from napari.layers import Image, Layer

    from gradcamo.datatypes import ZStack
    from gradcamo.docks.state.session import Session

IN_MEMORY_BYTES = 4e9  # larger stacks are read plane by plane as they are shown
LABELS = re.compile(r"(?<![a-z])(labels?|masks?|seg(mentation|mented)?)(?![a-z]|[-_ ]?free)")


@dataclass(frozen=True, eq=False)
class Site:
    """A stack, the intensities to show it between, and its labels where it has some."""

    stack: ZStack
    limits: Sequence[tuple[float, float]]
    labels: np.ndarray | None = None
    path: Path | None = None  # of the labels
    told: Mapping[str, str] = field(default_factory=dict)  # what no file says
    title: str = ""  # how it is called: by well and site, where a table says them


def read_site(
    image: str | Path | Mapping[str, Any] | pd.Series,
    labels: Any = None,
    axes: str | None = None,
) -> Site:
    """Read a stack or a row of a plate, and labels, which neither an empty path nor NaN names.

    Raises
    ------
    GradcamoError
        If one of them cannot be read; of a row of a plate, well and site are named.
    """
    from gradcamo.files.told import said_of

    row: dict[str, Any] = {"image": image} if isinstance(image, str | Path) else {**image}
    path = Path(labels) if isinstance(labels, (str, Path)) and str(labels) else None
    try:
        site = _read(row, path, axes)
    except GradcamoError as error:
        where = f"well {row.get('well')}, site {row.get('site')}: "
        if not row.get("well") or str(error).startswith(where):
            raise
        raise type(error)(f"{where}{error}") from error
    known = said_of(row) | ({"axes": axes} if axes else {})
    return replace(site, told=known, title=stack_title(row["image"], row))


def _read(row: dict[str, Any], labels: Path | None, axes: str | None) -> Site:
    from gradcamo.files.labels import read_labels
    from gradcamo.files.stacks import read_stack

    stack = read_stack(row, axes=axes)
    if labels is None:
        return site_of(stack)
    return site_of(stack, read_labels({**row, "labels": str(labels)}, like=stack), labels)


def site_of(stack: ZStack, labels: np.ndarray | None = None, path: Path | None = None) -> Site:
    """A stack as it is shown: in memory where it is small, with contrast limits per channel."""
    if np.dtype(stack.data.dtype).itemsize * np.prod(stack.shape) < IN_MEMORY_BYTES:
        stack = stack.in_memory()
    return Site(stack, [contrast_limits(channel) for channel in stack.data], labels, path)


def named_labels(path: str | Path) -> bool:
    """Whether a file is called as label images are: cells_labels.tif, A01_cp_masks.tif."""
    return LABELS.search(Path(path).name.lower()) is not None


class Sites(Follower):
    """Shows what is worked on next; layers of two stacks never mix."""

    def __init__(self, session: Session, viewer: ViewerModel) -> None:
        super().__init__(session, viewer)
        self._hidden: weakref.WeakKeyDictionary[Layer, bool] = weakref.WeakKeyDictionary()
        self._made: weakref.WeakSet[Layer] = weakref.WeakSet()  # and not opened by others

    def show(self, site: Site, replaced: Sequence[Layer] = ()) -> None:
        """Work on a stack and its labels; layers that it replaces are removed.

        Raises
        ------
        GradcamoError
            If the labels have another shape.
        """
        viewer, session = self.viewer, self.session
        if viewer is None:
            return
        if site.labels is not None:
            _check_shape(site.labels, site.stack, site.path)
            self._leave_labels(viewer)
        # before others go: napari may draw at any moment, and not without an image
        layers = show_stack(viewer, site.stack, site.limits, site.title)
        self._leave_stack(viewer)
        self.remove(replaced)
        for name, layer in layers.items():
            layer.name = name
        self._made.update(layers.values())
        session.set_stack(site.stack, layers, site.told)
        first = next(iter(layers.values()))
        go_to(viewer, first, [size // 2 for size in site.stack.shape[1:]], centre=False)
        viewer.reset_view()
        if site.labels is not None:
            self.show_labels(site.labels, path=site.path)

    def rename(self, names: Mapping[str, str]) -> None:
        """Give channels of the open stack other names, by those that they have."""
        session = self.session
        if session.stack is None:
            return
        channels = [names.get(name, name) for name in session.stack.channels]
        layers = {names.get(name, name): layer for name, layer in session.channel_layers.items()}
        session.set_stack(replace(session.stack, channels=tuple(channels)), layers, session.told)
        for name, layer in layers.items():
            layer.name = name

    def take_up(self, images: Sequence[Image]) -> None:
        """Work on the stack that these open layers make up, as they are shown.

        Raises
        ------
        GradcamoError
            If they make up none.
        """
        viewer, session = self.viewer, self.session
        if viewer is None:
            return
        stack = stack_from_layers(images)
        self._leave_stack(viewer, images)
        for layer in images:
            set_visible(layer, self._hidden.pop(layer, layer.visible))
        session.set_stack(stack, dict(zip(stack.channels, images, strict=True)))
        theirs = [
            layer
            for layer in viewer.layers
            if may_hold_cells(layer) and source_of(layer) == stack.source
        ]
        if theirs and tuple(theirs[-1].data.shape) == stack.shape[1:]:
            session.set_labels(theirs[-1])

    def show_labels(
        self, labels: np.ndarray, name: str = "Cells", path: str | Path | None = None
    ) -> None:
        """Work on these labels, (Z, Y, X), of the stack that is open.

        Raises
        ------
        GradcamoError
            If they have another shape.
        """
        viewer, session = self.viewer, self.session
        if viewer is None:
            return
        _check_shape(labels, session.stack, path)
        like = next(iter(session.channel_layers.values()), None)
        session.set_labels(show_labels(viewer, labels, like, name, path))

    def remove(self, layers: Sequence[Layer]) -> None:
        """Take layers out of the list, where they are still there."""
        if self.viewer is not None:
            for layer in layers:
                _remove(self.viewer, layer)

    def _leave_stack(self, viewer: ViewerModel, kept: Sequence[Layer] = ()) -> None:
        """Remove what was shown of the stack before, hide what others had opened."""
        session = self.session
        before, session.channel_layers = session.channel_layers, {}  # not gone with its layers
        for layer in before.values():
            if layer in kept:
                continue
            if layer in self._made:
                _remove(viewer, layer)
            else:
                self._hidden[layer] = layer.visible
                set_visible(layer, False)
        for layer in [layer for layer in viewer.layers if "gradcamo" in layer.metadata]:
            _remove(viewer, layer)

    def _leave_labels(self, viewer: ViewerModel) -> None:
        """Remove labels that can be read again; those that were painted or found stay, hidden."""
        labels = self.session.labels_layer
        self.session.set_labels(None)
        if labels is not None and path_of(labels) and not labels.metadata.get("edited"):
            _remove(viewer, labels)


def _remove(viewer: ViewerModel, layer: Layer) -> None:
    if layer in viewer.layers:
        viewer.layers.remove(layer)


def _check_shape(labels: np.ndarray, stack: ZStack | None, path: str | Path | None) -> None:
    if stack is not None:
        refuse_misfit(labels.shape, stack, Path(path).name if path else "")
