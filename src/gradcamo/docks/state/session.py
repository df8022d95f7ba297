"""What one viewer works on: stack, labels, checkpoint, scores, and the cell that is looked at.

Docks listen to the session and never to each other. Qt signals are used because they fall
silent by themselves when the dock that listened is closed.
"""

from __future__ import annotations

import weakref
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QCoreApplication, QObject, Signal

from gradcamo.columns import HOW
from gradcamo.docks.canvas.layers import placement_of, set_visible
from gradcamo.docks.parts.memory import keep
from gradcamo.docks.parts.tint import tint_again
from gradcamo.docks.parts.worker import Job
from gradcamo.docks.state.results import Results
from gradcamo.settings import AuditSettings

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import napari
    import pandas as pd
    from napari.layers import Image, Labels

    from gradcamo.files.kept import Kept
    from gradcamo.networks.checkpoint import Checkpoint
    from gradcamo.types import Spacing, ZStack

CUTOFF = AuditSettings().cutoff
_SESSIONS: weakref.WeakKeyDictionary[Any, Session] = weakref.WeakKeyDictionary()


def session_of(viewer: napari.Viewer) -> Session:
    """The session of a viewer, made when it is first asked for."""
    viewer = getattr(viewer, "__wrapped__", viewer)  # napari hands plugins a proxy
    if viewer not in _SESSIONS:
        _SESSIONS[viewer] = Session(viewer)
    return _SESSIONS[viewer]


class Session(QObject):
    """State that the docks of one viewer share."""

    stack_changed = Signal()
    labels_changed = Signal()
    checkpoint_changed = Signal()
    results_changed = Signal()
    flags_changed = Signal()
    cell_changed = Signal(int, str)  # label (0: none) and who chose it: canvas, table, ...
    selection_changed = Signal(object)  # labels chosen together, as an int array
    layers_changed = Signal()
    order_changed = Signal()  # the table shows other rows or columns, or another order
    spacing_changed = Signal()
    layer_proposed = Signal(str)  # a layer of the network to explain at

    def __init__(self, viewer: napari.Viewer) -> None:
        from gradcamo.docks.canvas.click import CanvasClicks
        from gradcamo.docks.canvas.colouring import LabelColours
        from gradcamo.docks.canvas.edits import Edits
        from gradcamo.docks.canvas.features import Features
        from gradcamo.docks.canvas.heatmap import HeatmapView
        from gradcamo.docks.canvas.keys import Keys
        from gradcamo.docks.canvas.selected import SelectedOutlines
        from gradcamo.docks.work.audits import Audits
        from gradcamo.docks.work.autosave import Autosave
        from gradcamo.docks.work.closing import Closing
        from gradcamo.docks.work.found import FoundCells
        from gradcamo.docks.work.open_plate import OpenPlate

        super().__init__()
        self._viewer = weakref.ref(viewer)
        self.stack: ZStack | None = None
        self.channel_layers: dict[str, Image] = {}
        self.labels_layer: Labels | None = None
        self.checkpoint: Checkpoint | None = None
        self.checkpoint_name = ""
        self.audit_settings: AuditSettings | None = None  # of the scores that are there
        self.planned = AuditSettings()  # what the rows of Explain say
        self.trained_on: Path | None = None  # the plate of a training in this window
        self.results = Results(cutoff=CUTOFF)
        self.cell = 0
        self.selection = np.zeros(0, np.int64)
        self.loading = Job(self)
        self.checkpoint_loading = Job(self)
        self.segmenting = Job(self)
        self.auditing = Job(self)
        self.explaining = Job(self)
        self.training = Job(self)
        self.layer_auditing = Job(self)
        for long in (self.training, self.layer_auditing):  # closing napari waits for threads
            QCoreApplication.instance().aboutToQuit.connect(long.cancel)
        self.channels: tuple[str, ...] | None = None  # the stack's, where names differ
        self.edits = Edits(self)
        self.found = FoundCells(self)
        self.clicks = CanvasClicks(self)
        self.heatmap = HeatmapView(self)
        self.outlines = SelectedOutlines(self)
        self.colours = LabelColours(self)
        self.features = Features(self)
        self.keys = Keys(self)
        self.autosave = Autosave(self)
        self.plate = OpenPlate(self)
        self.closing = Closing(self)
        self.audits = Audits(self)
        self.order = np.zeros(0, np.int64)  # labels as the table shows them, from top to bottom
        self.columns: list[str] = []  # that the table shows
        viewer.events.theme.connect(self._on_theme)
        viewer.layers.events.removed.connect(self._on_layer_removed)
        viewer.layers.events.inserted.connect(self._on_layer_inserted)

    @property
    def viewer(self) -> napari.Viewer | None:
        """The viewer, or None after it was closed."""
        return self._viewer()

    @property
    def image(self) -> str:
        """Where the stack is from; empty where there is none."""
        return self.stack.source if self.stack else ""

    def set_stack(self, stack: ZStack, layers: dict[str, Image]) -> None:
        """Work on this stack, shown by these layers; what was known of another is dropped."""
        self.audits.leave()
        self.segmenting.abandon()
        before, labels = self.stack, self.labels_layer
        self.stack, self.channel_layers = stack, dict(layers)
        self.channels = None
        self.found.forget()
        another = before is not None and before.source != stack.source
        if labels is not None and (another or labels.data.shape != stack.shape[1:]):
            self.set_labels(None)
        self.set_results(Results(cutoff=self.results.cutoff))
        self.stack_changed.emit()

    def set_labels(self, layer: Labels | None) -> None:
        """Take the cells of this layer; scores of other labels are dropped, their layer hidden."""
        before = self.labels_layer
        if layer is before:
            return
        self.audits.leave()
        if before is not None:
            set_visible(before, False)
        if layer is not None:
            set_visible(layer, True)
        self.clicks.watch(layer)
        self.edits.watch(layer)
        self.found.forget()
        self.labels_layer = layer
        self.set_results(Results(cutoff=self.results.cutoff))
        self.labels_changed.emit()

    def set_spacing(self, spacing_um: Spacing | None) -> None:
        """Take this voxel size (z, y, x) for the stack's; volumes and layers follow."""
        before = self.stack.spacing_um
        self.stack = replace(self.stack, spacing_um=spacing_um)
        placed = placement_of(spacing_um)
        for layer in (*self.channel_layers.values(), self.labels_layer):
            if layer is not None:
                layer.scale, layer.units = placed["scale"], placed["units"]
        self.found.forget()
        self.results.respace(before, spacing_um)
        self.spacing_changed.emit()
        self.results_changed.emit()

    def set_checkpoint(self, checkpoint: Checkpoint | None, name: str = "") -> None:
        """Explain with this network."""
        self.checkpoint, self.checkpoint_name = checkpoint, name
        self.channels = None
        seen = {} if self.results.audited else self.results.recipe
        if checkpoint and seen and seen["checkpoint"] != checkpoint.hash:
            self.set_results(self.results.fresh())  # those cells were only looked at
        self.checkpoint_changed.emit()

    def propose_layer(self, layer: str) -> None:
        """Explain at this layer of the network, until another is chosen."""
        keep("layer", {self.checkpoint.hash: layer})
        self.layer_proposed.emit(layer)

    def set_results(self, results: Results) -> None:
        """Show these scores; the cell that was looked at is let go."""
        self.results = results
        self.results_changed.emit()
        self.choose(0, "results")

    @property
    def next_settings(self) -> AuditSettings:
        """How cells are explained that are asked for now."""
        return self.planned.model_copy(update={"channels": self.channels})

    def settings_for(self, label: int) -> AuditSettings:
        """How a cell is explained that is looked at: as its row says, where it has one."""
        results = self.results
        settings = (results.recipe and self.audit_settings) or self.next_settings
        if label not in results.table.index:
            return settings
        row = results.table.loc[label]
        return settings.model_copy(update={name: row[name] for name in HOW if name in row})

    def lacking(self) -> list[str]:
        """What an audit needs and is not there yet."""
        needed = {
            "a Z-stack": self.stack,
            "cell labels": self.labels_layer,
            "a network": self.checkpoint,
        }
        return [name for name, thing in needed.items() if thing is None]

    def restore(self, kept: Kept) -> None:
        """Take up scores, flags and notes that were kept with these labels."""
        cutoff = kept.marks.get("cutoff", self.results.cutoff)
        results = Results.of_table(kept.table, cutoff, kept.arrays)
        try:
            self.audit_settings = AuditSettings.recorded(results.recipe)
        except ValueError:  # another version took a value that is out of bounds today
            self.audit_settings = AuditSettings()
        results.marked, results.notes = self.results.marked, self.results.notes
        results.take_up(kept.marks)
        self.set_results(results)

    def take_up(self, marks: dict[str, Any]) -> None:
        """Add flags and notes that were kept; what was said since counts more."""
        self.results.take_up(marks)
        self.flags_changed.emit()

    def set_cutoff(self, cutoff: float) -> None:
        """Flag the cells that score less."""
        if cutoff != self.results.cutoff:
            self.results.cutoff = cutoff
            self.flags_changed.emit()

    def mark(self, labels: Iterable[int], flagged: bool | None) -> None:
        """Flag or clear cells by hand, or (None) let the cut-off decide again."""
        self.results.mark(labels, flagged)
        self.flags_changed.emit()

    def note(self, label: int, text: str) -> None:
        """Keep a remark on a cell."""
        self.results.note(int(label), text)
        self.flags_changed.emit()

    def read_back(self, found: pd.DataFrame) -> tuple[int, int, list[int]]:
        """Take up flags and notes that were exported: how many changed, and labels not known."""
        told = self.results.read_back(found)
        self.flags_changed.emit()
        return told

    def recipe(self) -> dict[str, Any]:
        """How the scores were made, with the present cut-off."""
        recipe = self.results.recipe
        if not recipe:
            return {}
        return {**recipe, "settings": {**recipe["settings"], "cutoff": self.results.cutoff}}

    def choose(self, label: int, chooser: str) -> None:
        """Look at this cell, wherever it was chosen."""
        label = int(label)
        if label != self.cell:
            self.cell = label
            self.cell_changed.emit(label, chooser)
        self.select([label] if label else [])

    def select(self, labels: Iterable[int]) -> None:
        """Choose several cells together."""
        labels = np.unique(np.asarray(list(labels), np.int64))
        if not np.array_equal(labels, self.selection):
            self.selection = labels
            self.selection_changed.emit(labels)

    def _on_theme(self, _: Any) -> None:
        window = getattr(self.viewer, "window", None)
        if window is not None:
            tint_again(window._qt_window)

    def _on_layer_removed(self, event: Any) -> None:
        layer = event.value
        if layer is self.labels_layer:
            self.set_labels(None)
        names = [name for name, shown in self.channel_layers.items() if shown is layer]
        if names:
            del self.channel_layers[names[0]]
            if not self.channel_layers:
                self.stack = None
                self.stack_changed.emit()
        self.layers_changed.emit()

    def _on_layer_inserted(self, event: Any) -> None:
        layer = event.value
        if self.labels_layer is None and self.may_hold_cells(layer):
            self.set_labels(layer)
        self.layers_changed.emit()

    def may_hold_cells(self, layer: Any) -> bool:
        """Whether a layer is one of labels (Z, Y, X), and not one that shows what was found."""
        from napari.layers import Labels

        return isinstance(layer, Labels) and layer.ndim == 3 and "gradcamo" not in layer.metadata
