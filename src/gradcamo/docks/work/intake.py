"""Files and layers that are opened, by whatever way, become what the window works on."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from superqt.utils import qdebounced

from gradcamo.docks.canvas.follower import Follower
from gradcamo.docks.canvas.layer_origins import (
    chosen_images,
    file_of,
    is_ours,
    name_of,
    of_one_stack,
    open_images,
    source_of,
    stacks_in,
)
from gradcamo.docks.canvas.sites import Site, Sites, named_labels, read_site, site_of
from gradcamo.docks.parts.widgets import notify
from gradcamo.errors import GradcamoError
from gradcamo.files.axes import AxesError
from gradcamo.files.masks import MaskError

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

    from gradcamo.docks.state.session import Session

WAIT_MS = 50  # a sample adds its layers one after the other


class Intake(Follower):
    """Reads files beside the window; takes up what napari, its samples and other plugins open.

    A stack that our reader or our samples brought is taken up at once. Layers of others are where
    nothing is worked on yet; else the user is asked (``offered``).
    """

    said = Signal(str)
    failed = Signal(object)
    asked = Signal(str)  # for axes, and why; with empty text no longer
    offered = Signal(str)  # another stack that is open now
    tabled = Signal(object)  # the path of a table of single cells

    def __init__(self, session: Session, viewer: ViewerModel, sites: Sites) -> None:
        super().__init__(session, viewer)
        self.sites, self.job = sites, session.loading
        self._files: list[Path] = []  # that wait to be read
        self.question = ""  # what was asked last
        self._retry: Callable[[str], None] | None = None  # opens what waits for its axes
        self._pieces: Callable[[], None] | None = None  # opens the last labels as a mask
        self._replaced: Sequence[Image] = ()  # layers that another reader made of a file
        self._seen: weakref.WeakSet[Image] = weakref.WeakSet()
        self.job.stepped.connect(self._on_read)
        self.job.failed.connect(self._on_failed)
        self.job.ended.connect(self._next)
        self.failed.connect(notify)
        session.layers_changed.connect(self._look)
        session.stack_changed.connect(self._on_stack)
        self._look()

    def open_files(self, paths: Sequence[Path]) -> None:
        """Open what is named so as labels, anything else as Z-stacks, one after the other.

        Tables of single cells are for others to open.
        """
        from gradcamo.files.single_cells.cells import is_single_cells

        tables = [path for path in paths if is_single_cells(path)]
        for path in tables[-1:]:
            self.tabled.emit(path)
        stacks = (path for path in paths if path not in tables)
        self._files = sorted(stacks, key=named_labels)  # labels fit the stack they follow
        self._next()

    def open_stack(
        self, path: str | Path, axes: str | None = None, replaced: Sequence[Image] = ()
    ) -> None:
        """Read a Z-stack beside the window and show it, in the place of layers it replaces.

        Raises
        ------
        GradcamoError
            If something else is being read.
        """
        path = Path(path)

        def read() -> Iterator[Any]:
            yield read_site(path, axes=axes)

        self._start(read, f"reading {path.name} …")
        self._replaced = replaced
        self._retry = lambda axes: self.open_stack(path, axes, replaced)

    def open_labels(
        self, path: str | Path, replaced: Sequence[Image] = (), connected: bool = False
    ) -> None:
        """Read cell labels beside the window and show them in the stack's place.

        With ``connected`` every connected piece of a mask becomes a cell.

        Raises
        ------
        GradcamoError
            If something else is being read.
        """
        path = Path(path)

        def read() -> Iterator[Any]:
            from gradcamo.files.labels import read_labels

            yield read_labels(path, connected=connected), path

        self._start(read, f"reading {path.name} …")
        self._replaced = replaced
        self._retry = None
        self._pieces = lambda: self.open_labels(path, replaced, connected=True)

    def label_pieces(self) -> None:
        """Open the labels that were asked for last once more, as a mask.

        Raises
        ------
        GradcamoError
            If something else is being read.
        """
        if self._pieces is not None:
            self._pieces()

    def use_open_layers(self) -> None:
        """Make the open image layers, or those that are selected, the channels of the stack.

        Raises
        ------
        GradcamoError
            If they make up no stack.
        """
        if self.viewer is not None:
            images = of_one_stack(chosen_images(self.viewer))
            self._seen.update(images)
            self._take_up(images)

    def take_up(self, images: Sequence[Image]) -> None:
        """Work on these open layers; our reader knows channels and voxel size of a file, or asks.

        Raises
        ------
        GradcamoError
            If they make up no stack.
        """
        self._seen.update(images)
        if path := file_of(images):
            self.open_stack(path, replaced=images)
        else:
            self._take_up(images)

    def _take_up(self, images: Sequence[Image]) -> None:
        if len(images) == 1 and images[0].ndim > 3:
            self._ask_axes_of(images[0])
        else:
            self.sites.take_up(images)

    def with_axes(self, axes: str) -> None:
        """Open what waits for its axes."""
        if self._retry is not None:
            self._retry(axes)

    def _start(self, read: Callable[[], Iterator[Any]], text: str) -> None:
        self.job.start(read)
        self.said.emit(text)

    def _next(self, *_: Any) -> None:
        if self._files and not self.job.running:
            path = self._files.pop(0)
            (self.open_labels if named_labels(path) else self.open_stack)(path)
        elif not self.job.running:
            self._look()

    def _on_stack(self) -> None:
        self._seen.update(self.session.channel_layers.values())

    @qdebounced(timeout=WAIT_MS)
    def _look(self) -> None:
        """Take up what was opened since, or offer it."""
        if self.viewer is None or self.job.running:
            return
        images = [layer for layer in open_images(self.viewer) if layer not in self._seen]
        try:
            if images:
                self._take_up_new(images)
        except GradcamoError as error:
            self.failed.emit(error)

    def _take_up_new(self, images: list[Image]) -> None:
        called_labels = [a for a in images if not is_ours(a) and named_labels(source_of(a))]
        stacks = stacks_in(images)
        if called_labels:  # the others when these are read
            self._seen.add(called_labels[0])
            self.open_labels(source_of(called_labels[0]), called_labels[:1])
        elif any(is_ours(stack[0]) for stack in stacks):
            for stack in stacks:  # the last stays, which hides those before
                if is_ours(stack[0]):
                    self.take_up(stack)
        elif self.session.stack is not None:
            self._seen.update(images)
            for stack in stacks:
                if source_of(stack[0]) or stack[0].source.sample:
                    self.offered.emit(name_of(stack))
        elif file_of(images) or (len(images) == 1 and images[0].ndim > 3):
            self.take_up(images)
        elif len({layer.data.shape for layer in images}) == 1 and images[0].ndim == 3:
            self.use_open_layers()

    def _ask_axes_of(self, layer: Image) -> None:
        data, name = layer.data, layer.name

        def again(axes: str) -> None:
            def arrange() -> Iterator[Any]:
                from gradcamo.files.stacks import stack_of_array

                yield site_of(stack_of_array(data, axes, name))

            self._start(arrange, f"arranging {name} …")
            self._replaced = [layer]

        self._retry = again
        shape = " × ".join(str(n) for n in data.shape)
        self._ask(
            f"{name} has {layer.ndim} axes ({shape}). Say which is which (C channels, Z planes, "
            "Y rows, X columns):"
        )

    def _ask(self, question: str) -> None:
        self.question = question
        self.asked.emit(question)

    def _on_read(self, item: Site | tuple[Any, Path]) -> None:
        replaced, self._replaced = self._replaced, ()
        try:
            if isinstance(item, Site):
                self.sites.show(item, replaced)
                self._retry = None
                self._ask("")
            else:
                labels, path = item
                self.sites.show_labels(labels, path.name.split(".")[0], path)
                self.sites.remove(replaced)
        except GradcamoError as error:
            self.failed.emit(error)

    def _on_failed(self, error: Exception) -> None:
        replaced, self._replaced = self._replaced, ()
        if isinstance(error, MaskError):
            self.failed.emit(error)
            return
        unknown = isinstance(error, AxesError)
        if replaced and not unknown:  # a format that another reader alone knows
            try:
                self._take_up(replaced)
            except GradcamoError as why:
                self.failed.emit(why)
            return
        self.failed.emit(error)
        if unknown and self._retry is not None:
            self._ask(str(error))
