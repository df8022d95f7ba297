"""Load: a Z-stack and, where they exist, its cell labels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import (
    QFileDialog,
    QFormLayout,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from gradcamo.display import contrast_limits
from gradcamo.docks.canvas.layers import (
    show_labels,
    stack_from_layers,
)
from gradcamo.docks.canvas.open_layers import file_of, of_one_stack, open_images
from gradcamo.docks.canvas.sites import show_in_place
from gradcamo.docks.panels.steps.labels_choice import LabelsChoice
from gradcamo.docks.panels.steps.voxel_size import VoxelSize
from gradcamo.docks.parts.memory import ask_path
from gradcamo.docks.parts.tint import GOOD, WARN
from gradcamo.docks.parts.widgets import Message, line_of
from gradcamo.docks.window import window_of
from gradcamo.errors import GradcamoError
from gradcamo.types import unknown_axes

if TYPE_CHECKING:
    import napari

    from gradcamo.types import ZStack

IN_MEMORY_BYTES = 4e9  # larger stacks are read plane by plane as they are shown
FILES = "Z-stacks (*.tif *.tiff *.ome.tif *.ome.tiff);;All files (*)"


class LoadDock(QWidget):
    """Choose the stack and the labels that the session works on."""

    def __init__(self, napari_viewer: napari.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        window = window_of(napari_viewer)
        self._window, self.session = window, window.session
        self.open_stack = QPushButton("Open file…")
        self.open_stack.setToolTip("TIFF, ImageJ hyperstack or OME-TIFF; one layer per channel")
        self.open_zarr = QPushButton("OME-Zarr…")
        self.open_zarr.setToolTip("choose the folder of an OME-Zarr image")
        self.adopt = QPushButton("Use layers")
        self.adopt.setToolTip(
            "take the image layers that are open (or the selected ones) as the channels of one "
            "Z-stack, in the order of the layer list"
        )
        self.axes = QLineEdit()
        self.axes.setPlaceholderText("such as ZCYX")
        self.axes.setToolTip("the file's axes, where it does not declare them itself")
        self.spacing = VoxelSize(self.session)
        self.labels = LabelsChoice(window)
        self.open_labels = QPushButton("Open…")
        self.open_labels.setToolTip("a labels image with the shape of the stack")
        self.message = Message()
        self.setAcceptDrops(True)
        self._pending_axes: Path | None = None
        self._dropped: list[Any] = []  # layers that another reader made of a Z-stack
        self._dropped_files: list[Path] = []  # that wait to be read

        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.addLayout(line_of(self.open_stack, self.open_zarr, self.adopt))
        form = QFormLayout()
        form.addRow("Axes", self.axes)
        form.addRow("Voxel (µm)", self.spacing)
        form.addRow("Cell labels", line_of(self.labels, self.open_labels, widest=self.labels))
        self.form = form
        box.addLayout(form)
        box.addWidget(self.message)
        form.setRowVisible(self.axes, False)

        self.open_stack.clicked.connect(self._choose_stack)
        self.open_zarr.clicked.connect(self._choose_zarr)
        self.open_labels.clicked.connect(self._choose_labels)
        self.adopt.clicked.connect(self.use_open_layers)
        self.axes.returnPressed.connect(self._retry_with_axes)
        session = self.session
        session.loading.stepped.connect(self._on_loaded)
        session.loading.failed.connect(self._on_failed)
        session.loading.began.connect(self._enable)
        session.loading.ended.connect(self._enable)
        session.loading.ended.connect(self._load_next)
        session.stack_changed.connect(self._describe)
        session.labels_changed.connect(self._describe)
        session.spacing_changed.connect(self._describe)
        self._adopting = QTimer(self)
        self._adopting.setSingleShot(True)
        self._adopting.timeout.connect(self._adopt_if_new)
        session.layers_changed.connect(self._look_at_layers)
        self._look_at_layers()
        self._describe()

    def dragEnterEvent(self, event: Any) -> None:
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: Any) -> None:
        """Take what is named so for labels, anything else for a Z-stack."""
        event.acceptProposedAction()
        paths = [Path(url.toLocalFile()) for url in event.mimeData().urls()]
        self._dropped_files = sorted(paths, key=_named_labels)  # labels fit the stack they follow
        self._load_next()

    def _load_next(self, *_: Any) -> None:
        if self._dropped_files and not self.session.loading.running:
            path = self._dropped_files.pop(0)
            (self.load_labels if _named_labels(path) else self.load_stack)(path)

    # -- stack ---------------------------------------------------------------------------------

    def load_stack(self, path: str | Path, axes: str | None = None) -> None:
        """Read a Z-stack in the background and show it."""
        path = Path(path)
        self._pending_axes, self._dropped = path, []

        def read() -> Iterator[Any]:
            from gradcamo.files.stacks import read_stack

            yield shown(read_stack(path, axes=axes))

        self._start(read, f"reading {path.name} …")

    def load_labels(self, path: str | Path) -> None:
        """Read cell labels in the background and show them in the stack's place."""
        path = Path(path)

        def read() -> Iterator[Any]:
            from gradcamo.files.labels import read_labels

            yield read_labels(path), path

        self._start(read, f"reading {path.name} …")

    def use_open_layers(self) -> None:
        """Make the open image layers the channels of the stack."""
        try:
            layers = of_one_stack(open_images(self._window.viewer))
            stack = stack_from_layers(layers)
        except GradcamoError as error:
            self.message.fail(error)
            return
        self.session.set_stack(stack, dict(zip(stack.channels, layers, strict=True)))

    def _look_at_layers(self) -> None:
        self._adopting.start(50)  # a sample adds its layers one after the other

    def _adopt_if_new(self) -> None:
        viewer = self._window.viewer
        if viewer is None or self.session.stack is not None or self.session.loading.running:
            return
        images = open_images(viewer)
        if path := file_of(images):
            self.load_stack(path)  # our reader knows channels and voxel size, or asks
            self._dropped = [*images]
        elif len(images) == 1 and images[0].ndim > 3:
            self._ask_axes_of(images[0])
        elif images and len({layer.data.shape for layer in images}) == 1 and images[0].ndim == 3:
            self.use_open_layers()

    def _ask_axes_of(self, layer: Any) -> None:
        self._dropped, self._pending_axes = [layer], None
        shape = " × ".join(str(n) for n in layer.data.shape)
        self.message.say(
            f"{layer.name} has {layer.ndim} axes ({shape}). Say which is which (C channels, Z "
            "planes, Y rows, X columns):",
            WARN,
        )
        self.form.setRowVisible(self.axes, True)

    def _on_loaded(self, item: Any) -> None:
        session, (loaded, about) = self.session, item
        if isinstance(loaded, np.ndarray):
            self._take_labels(loaded, about)
            return
        self.form.setRowVisible(self.axes, False)
        dropped, self._dropped, self._pending_axes = self._dropped, [], None
        show_in_place(session, self._window.viewer, loaded, about, dropped)

    def _on_failed(self, error: Exception) -> None:
        layers = self._dropped
        if layers and self._pending_axes is not None and "axes" not in str(error):
            self._dropped = []  # a format that we do not read, opened by another reader
            if layers[0].ndim > 3:
                self._ask_axes_of(layers[0])
            else:
                self.use_open_layers()
            return
        self.message.fail(error)
        asked = self._pending_axes is not None or bool(self._dropped)
        self.form.setRowVisible(self.axes, "axes" in str(error) and asked)

    def _retry_with_axes(self) -> None:
        axes = self.axes.text().strip().upper()
        if self._pending_axes is not None and axes:
            dropped = self._dropped
            self.load_stack(self._pending_axes, axes)
            self._dropped = dropped
        elif self._dropped and axes:
            layer = self._dropped[0]
            data, name = layer.data, layer.name

            def arrange() -> Iterator[Any]:
                from gradcamo.files.stacks import stack_of_array

                yield shown(stack_of_array(data, axes, name))

            self._start(arrange, f"arranging {name} …")

    def _describe(self) -> None:
        stack = self.session.stack
        if stack is None:
            self.message.say(
                "Open a Z-stack, or try one: File ▸ Open Sample ▸ Grad-CAMO. Dropping a file on "
                "the window works too."
            )
            return
        size = " × ".join(str(n) for n in stack.shape[1:])
        channels = "1 channel" if stack.shape[0] == 1 else f"{stack.shape[0]} channels"
        text = f"{channels} of {size} voxels: {', '.join(stack.channels)}"
        if self.labels.currentIndex() < 0:
            text += ". No labels are chosen: those that are open were another stack's"
        if axes := unknown_axes(stack.spacing_um):
            along = "" if stack.spacing_um is None else f" along {axes}"
            self.message.say(f"{text}. The voxel size{along} is not known: type it in.", WARN)
        else:
            self.message.say(text, GOOD)

    # -- labels --------------------------------------------------------------------------------

    def _take_labels(self, labels: np.ndarray, path: Path) -> None:
        session = self.session
        if session.stack is not None and labels.shape != session.stack.shape[1:]:
            self._on_failed(
                GradcamoError(
                    f"{path.name} holds labels of {labels.shape} voxels, the stack has "
                    f"{session.stack.shape[1:]}: open the labels of this stack"
                )
            )
            return
        like = next(iter(session.channel_layers.values()), None)
        layer = show_labels(self._window.viewer, labels, like, name=path.name.split(".")[0])
        layer.metadata["path"] = str(path)
        session.set_labels(layer)

    # ------------------------------------------------------------------------------------------

    def _start(self, read: Any, text: str) -> None:
        try:
            self.session.loading.start(read)
        except GradcamoError as error:
            self.message.fail(error)
        else:
            self.message.say(text)

    def _enable(self, *_: Any) -> None:
        idle = not self.session.loading.running
        for button in (self.open_stack, self.open_zarr, self.open_labels, self.adopt):
            button.setEnabled(idle)

    def _choose_stack(self) -> None:
        path = ask_path(self, "Open a Z-stack", filters=FILES)
        if path:
            self.load_stack(path)

    def _choose_zarr(self) -> None:
        path = ask_path(self, "Open an OME-Zarr image", QFileDialog.getExistingDirectory)
        if path:
            self.load_stack(path)

    def _choose_labels(self) -> None:
        path = ask_path(self, "Open cell labels", filters=FILES)
        if path:
            self.load_labels(path)


def shown(stack: ZStack) -> tuple[ZStack, list[tuple[float, float]]]:
    """A stack as it is shown: in memory where it is small, with contrast limits per channel."""
    if np.dtype(stack.data.dtype).itemsize * np.prod(stack.shape) < IN_MEMORY_BYTES:
        stack = stack.in_memory()
    return stack, [contrast_limits(channel) for channel in stack.data]


def _named_labels(path: Path) -> bool:
    return any(word in path.name.lower() for word in ("label", "mask", "seg"))
