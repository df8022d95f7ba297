"""Load: a Z-stack and, where they exist, its cell labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import (
    QFileDialog,
    QFormLayout,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from gradcamo.datatypes import unknown_axes
from gradcamo.docks.panels.plates.found_plate import FoundPlate
from gradcamo.docks.panels.plates.site_list import SiteList
from gradcamo.docks.panels.steps.labels_choice import LabelsChoice
from gradcamo.docks.panels.steps.voxel_size_line import VoxelSize
from gradcamo.docks.parts.dock import Dock
from gradcamo.docks.parts.drops import TakesDrops
from gradcamo.docks.parts.path_line import PathLine
from gradcamo.docks.parts.preferences import ask_path
from gradcamo.docks.parts.tint import GOOD, WARN
from gradcamo.docks.parts.widgets import line_of
from gradcamo.docks.window import window_of
from gradcamo.files.images import is_plate
from gradcamo.files.masks import MaskError

if TYPE_CHECKING:
    import napari

FILES = "Z-stacks (*.tif *.tiff *.ome.tif *.ome.tiff);;All files (*)"


class LoadDock(TakesDrops, Dock):
    """Choose the stack and the labels that the session works on."""

    def __init__(self, napari_viewer: napari.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        window = window_of(napari_viewer)
        self.session, self._intake, self._plate = window.session, window.intake, window.on_disk
        self._example = window.example
        self.open_stack = QPushButton("Open file…")
        self.open_stack.setToolTip("TIFF, ImageJ hyperstack or OME-TIFF; one layer per channel")
        self.open_folder = QPushButton("Folder…")
        self.open_folder.setToolTip(
            "the folder of a plate, whose layout is recognised, or an OME-Zarr image"
        )
        self.example = QPushButton("Try the example")
        self.example.setToolTip(
            "open a stack of the built-in plate with its cells and the network that knows it"
        )
        self.adopt = QPushButton("Use layers")
        self.adopt.setToolTip(
            "take the image layers that are open (or the selected ones) as the channels of one "
            "Z-stack, in the order of the layer list"
        )
        self.path = PathLine("or type a path, such as B02_z{z}_{channel}.tif")
        self.path.setToolTip(
            "a file, a folder, a plate's table, or a stack of many files: {z} stands for the "
            "plane, {channel} for the channel, * for anything"
        )
        self.plate = FoundPlate(window.on_disk)
        self.sites = SiteList(window.on_disk)
        self.axes = QLineEdit()
        self.axes.setPlaceholderText("such as ZCYX")
        self.axes.setToolTip("the file's axes, where it does not declare them itself")
        self.spacing = VoxelSize(self.session)
        self.labels = LabelsChoice(window)
        self.open_labels = QPushButton("Open…")
        self.open_labels.setToolTip("a labels image with the shape of the stack")
        self.pieces = QPushButton("Label its pieces")
        self.pieces.setToolTip(
            "every connected piece of the mask becomes a cell (26 neighbours in 3D)"
        )
        self.setAcceptDrops(True)

        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.addLayout(line_of(self.open_stack, self.open_folder, self.adopt))
        for part in (self.path, self.plate, self.sites.filter, self.sites):
            box.addWidget(part)
        form = QFormLayout()
        form.addRow("Axes", self.axes)
        form.addRow("Voxel (µm)", self.spacing)
        form.addRow("Cell labels", line_of(self.labels, self.open_labels, widest=self.labels))
        self.form = form
        box.addLayout(form)
        form.addRow("", self.pieces)
        box.addWidget(self.message)
        box.addWidget(self.example)
        form.setRowVisible(self.axes, False)
        form.setRowVisible(self.pieces, False)

        self.open_stack.clicked.connect(self._choose_stack)
        self.open_folder.clicked.connect(self._choose_folder)
        self.path.entered.connect(self.open_path)
        self._plate.changed.connect(self._on_plate)
        self.open_labels.clicked.connect(self._choose_labels)
        self.example.clicked.connect(self.open_example)
        self.adopt.clicked.connect(self.use_open_layers)
        self.axes.returnPressed.connect(self._on_axes)
        self.pieces.clicked.connect(self._label_pieces)
        session, intake = self.session, self._intake
        intake.said.connect(self._on_said)
        intake.failed.connect(self._on_failed)
        intake.asked.connect(self._on_asked)
        intake.offered.connect(self._on_offered)
        for signal in (session.loading.began, session.loading.ended):
            signal.connect(self._enable)
        self.follow(self._example.job, self._enable)
        for signal in (session.stack_changed, session.labels_changed, session.spacing_changed):
            signal.connect(self._describe)
        self._describe()
        self._on_asked(intake.question)

    def take(self, paths: list[Path]) -> None:
        """Open what is named so as labels, tables of single cells, all else as Z-stacks."""
        from gradcamo.files.single_cells.cells import is_single_cells

        plates = [path for path in paths if is_plate(path) and not is_single_cells(path)]
        with self.telling():
            if plates:
                self._plate.read(plates[0])
            self._intake.open_files([path for path in paths if path not in plates])

    def open_path(self, path: str | Path) -> None:
        """Read a plate, a table of single cells, or a Z-stack, in the background."""
        from gradcamo.files.single_cells.cells import is_single_cells

        with self.telling():
            if is_single_cells(path):
                self._intake.open_files([Path(path)])
            elif is_plate(path):
                self._plate.read(path)
            else:
                self._intake.open_stack(path)

    def load_stack(self, path: str | Path, axes: str | None = None) -> None:
        """Read a Z-stack in the background and show it."""
        with self.telling():
            self._intake.open_stack(path, axes)

    def load_labels(self, path: str | Path) -> None:
        """Read cell labels in the background and show them in the stack's place."""
        with self.telling():
            self._intake.open_labels(path)

    def use_open_layers(self) -> None:
        """Make the open image layers the channels of the stack."""
        with self.telling():
            self._intake.use_open_layers()

    def open_example(self) -> None:
        """Open the built-in stack, its cells and the bundled network, and look at a cell."""
        with self.telling():
            self._example.open()
            self.message.say("making the example ready …")

    def _label_pieces(self) -> None:
        with self.telling():
            self._intake.label_pieces()

    def _on_said(self, text: str) -> None:
        self.form.setRowVisible(self.pieces, False)
        self.message.say(text)

    def _on_failed(self, error: Exception) -> None:
        self.form.setRowVisible(self.pieces, isinstance(error, MaskError))
        self.message.say_error(error)

    def _on_asked(self, why: str) -> None:
        self.form.setRowVisible(self.axes, bool(why))
        if why:
            self.message.say(why, WARN)

    def _on_plate(self) -> None:
        self.path.setText(str(self._plate.path))
        self._describe()

    def _on_offered(self, name: str) -> None:
        self.message.say(f"{name} is open, too: choose it under Image to work on it.", WARN)

    def _on_axes(self) -> None:
        axes = self.axes.text().strip().upper()
        if axes:
            with self.telling():
                self._intake.with_axes(axes)

    def _describe(self) -> None:
        stack, plate = self.session.stack, self._plate.table
        images = set() if plate is None else set(plate["image"])
        of_plate = stack.source in images if stack is not None else bool(images)
        self.form.setRowVisible(self.spacing, not of_plate)  # typed once for the plate, above
        self.example.setVisible(stack is None and not images)
        if stack is None and images:
            self.message.say("Double-click a site to open it.")
            return
        if stack is None:
            self.message.say(
                "Open a Z-stack or the folder of a plate; dropping it here works too. Nothing at "
                "hand? The example has a stack, its cells and a network."
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

    def _enable(self, *_: Any) -> None:
        idle = not self.session.loading.running and not self._example.job.running
        for button in (self.open_stack, self.open_labels, self.adopt, self.example):
            button.setEnabled(idle)

    def _choose_stack(self) -> None:
        path = ask_path(self, "Open a Z-stack", filters=FILES)
        if path:
            self.load_stack(path)

    def _choose_folder(self) -> None:
        path = ask_path(self, "Open a plate or an OME-Zarr image", QFileDialog.getExistingDirectory)
        if path:
            self.open_path(path)

    def _choose_labels(self) -> None:
        path = ask_path(self, "Open cell labels", filters=FILES)
        if path:
            self.load_labels(path)
