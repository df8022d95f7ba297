"""What one viewer works on: stack, labels, checkpoint, scores, and the cell that is looked at.

The session knows nobody: who shows it, asks it or works for it listens to its signals. Qt signals
are used because they fall silent by themselves when the one who listened is gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QCoreApplication, QObject, Signal

from gradcamo.columns import HOW
from gradcamo.datatypes import Spacing, ZStack
from gradcamo.docks.parts.worker import Job
from gradcamo.docks.state.look import Look
from gradcamo.docks.state.measured import Measured, joined, put_marks
from gradcamo.docks.state.results import Results
from gradcamo.errors import GradcamoError
from gradcamo.settings import AuditSettings, SegmentSettings

if TYPE_CHECKING:
    import pandas as pd

    from gradcamo.files.kept import Kept
    from gradcamo.networks.checkpoint import Checkpoint

CUTOFF = AuditSettings().cutoff


class Session(QObject):
    """State that everything in one window shares."""

    leaving = Signal()  # the stack or the labels are about to be others
    stack_changed = Signal()
    labels_changed = Signal()
    edited = Signal()  # labels were painted or erased, and the user pauses
    checkpoint_changed = Signal()
    results_changed = Signal()
    flags_changed = Signal()
    cell_changed = Signal(int, str)  # label (0: none) and who chose it: canvas, table, ...
    selection_changed = Signal(object)  # labels chosen together, as an int array
    layers_changed = Signal()
    order_changed = Signal()  # the table shows other rows or columns, or another order
    spacing_changed = Signal()
    layer_proposed = Signal(str)  # a layer of the network to explain at
    look_changed = Signal()  # heatmaps are drawn otherwise
    cautions_changed = Signal()  # or the verdict

    def __init__(self) -> None:
        super().__init__()
        self.stack: ZStack | None = None
        self.channel_layers: dict[str, Any] = {}  # napari's image layers by channel
        self.told: dict[str, str] = {}  # what the stack's files do not say themselves
        self.labels_layer: Any = None  # napari's labels layer that holds the cells
        self.version = 0  # what was worked out from stack and labels is old where this has grown
        self.checkpoint: Checkpoint | None = None
        self.checkpoint_name = ""
        self.checkpoint_path: Path | None = None  # where it was read from
        self.channels: tuple[str, ...] | None = None  # the stack's, where names differ
        self.audit_settings: AuditSettings | None = None  # of the scores that are there
        self.planned = AuditSettings()  # what the rows of Explain say
        self.segmentation = SegmentSettings()  # what the rows of Segment say
        self.trained_on: Path | None = None  # the plate of a training in this window
        self.results = Results(cutoff=CUTOFF)
        self.cautions: list[str] = []  # about the scores that are there
        self.verdict: list[str] = []  # by what the network tells treatments apart, if it was asked
        self.measured: Measured | None = None  # by another tool, of the labels that are open
        self._joined: pd.DataFrame | None = None
        self.results_changed.connect(self._part)
        self.cell = 0
        self.selection = np.zeros(0, np.int64)
        self.order = np.zeros(0, np.int64)  # labels as the table shows them, from top to bottom
        self.columns: list[str] = []  # that the table shows
        self.look = Look()
        self.loading = Job(self)
        self.checkpoint_loading = Job(self)
        self.segmenting = Job(self)
        self.auditing = Job(self)
        self.explaining = Job(self)
        self.swapping = Job(self)
        self.training = Job(self)
        self.layer_auditing = Job(self)
        application = QCoreApplication.instance()
        for long in (self.training, self.layer_auditing):  # closing napari waits for threads
            if application is not None:
                application.aboutToQuit.connect(long.cancel)

    @property
    def image(self) -> str:
        """Where the stack is from; empty where there is none."""
        return self.stack.source if self.stack else ""

    def set_stack(
        self, stack: ZStack, layers: Mapping[str, Any], told: Mapping[str, str] | None = None
    ) -> None:
        """Work on this stack, shown by these layers; what was known of another is dropped."""
        self.leaving.emit()
        self.segmenting.abandon()
        before, labels = self.stack, self.labels_layer
        self.stack, self.channel_layers, self.told = stack, dict(layers), dict(told or {})
        self.channels = None
        self.version += 1
        # arrays have no source: each may be another one
        another = before is not None and not (before.source == stack.source != "")
        if labels is not None and (another or labels.data.shape != stack.shape[1:]):
            self.set_labels(None)
        self.set_results(Results(cutoff=self.results.cutoff))
        self.stack_changed.emit()

    def forget_channel(self, layer: Any) -> None:
        """A layer is no more, nor its channel; with the last one the stack goes, and its scores."""
        stack = self.stack
        kept = {name: shown for name, shown in self.channel_layers.items() if shown is not layer}
        if stack is None or len(kept) == len(self.channel_layers):
            return
        self.leaving.emit()
        self.segmenting.abandon()
        self.channel_layers, self.channels = kept, None
        self.version += 1
        if kept:  # what was scored with the channel is true of its image
            self.stack = _only(stack, tuple(kept))
        else:
            self.stack = None
            self.set_results(Results(cutoff=self.results.cutoff))
        self.stack_changed.emit()

    def set_labels(self, layer: Any) -> None:
        """Take the cells of this layer, or none; scores of other labels are dropped."""
        if layer is self.labels_layer:
            return
        self.leaving.emit()
        self.labels_layer = layer
        self.measured = None
        self.version += 1
        self.set_results(Results(cutoff=self.results.cutoff))
        self.labels_changed.emit()

    def set_measured(self, measured: Measured | None) -> None:
        """Show what another tool measured of the cells that are open, too."""
        self.measured = measured
        self.results_changed.emit()

    @property
    def cells(self) -> pd.DataFrame:
        """Scores, flags and notes of each cell, and what another tool measured of it."""
        if self.measured is None:
            return self.results.table
        if self._joined is None:
            self._joined = joined(self.results, self.measured)
        put_marks(self._joined, self.results)
        return self._joined

    def _part(self) -> None:
        self._joined = None

    def set_spacing(self, spacing_um: Spacing | None) -> None:
        """Take this voxel size (z, y, x) for the stack's; volumes follow."""
        if self.stack is None:
            return
        before = self.stack.spacing_um
        self.stack = replace(self.stack, spacing_um=spacing_um)
        self.version += 1
        self.results.respace(before, spacing_um)
        self.spacing_changed.emit()
        self.results_changed.emit()

    def set_checkpoint(
        self, checkpoint: Checkpoint | None, name: str = "", path: Path | None = None
    ) -> None:
        """Explain with this network; its donor bank is looked for beside ``path``."""
        self.checkpoint, self.checkpoint_name = checkpoint, name
        self.checkpoint_path = path
        self.channels = None
        seen = {} if self.results.audited else self.results.recipe
        if checkpoint and seen and seen["checkpoint"] != checkpoint.hash:
            self.set_results(self.results.fresh())  # those cells were only looked at
        self.checkpoint_changed.emit()

    def set_results(self, results: Results) -> None:
        """Show these scores; the cell that was looked at is let go."""
        self.results = results
        self.results_changed.emit()
        self.choose(0, "results")

    def set_look(self, look: Look) -> None:
        """Draw heatmaps so, now and from now on."""
        self.look = look
        self.look_changed.emit()

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

    def needed(self) -> tuple[ZStack, Any, Checkpoint]:
        """Stack, labels layer and network of an audit.

        Raises
        ------
        GradcamoError
            If one of them is missing.
        """
        if self.stack is None or self.labels_layer is None or self.checkpoint is None:
            raise GradcamoError(f"load {' and '.join(self.lacking())} first")
        return self.stack, self.labels_layer, self.checkpoint

    def refuse_to_mix(self, settings: AuditSettings) -> None:
        """Raise a GradcamoError where cells would be scored otherwise than those that are there."""
        if self.checkpoint is None:
            return
        if other := self.results.differ_from(self.checkpoint, settings):
            raise GradcamoError(
                f"the cells of this table were scored with {other}, and a table keeps to one: "
                "audit all cells, which replaces them, or go back to what they were scored with"
            )

    def restore(self, kept: Kept) -> None:
        """Take up scores, flags and notes that were kept with these labels."""
        if kept.table is None:
            return
        cutoff = kept.marks.get("cutoff", self.results.cutoff)
        results = Results.of_table(kept.table, cutoff, kept.arrays)
        try:
            self.audit_settings = AuditSettings.recorded(results.recipe)
        except ValueError:  # another version took a value that is out of bounds today
            self.audit_settings = AuditSettings()
        results.marks = self.results.marks
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
        recipe, causal = self.results.recipe, self.results.causal.recipe
        if not recipe:
            return {}
        asked = {"causal": causal} if causal else {}
        settings = {**recipe["settings"], "cutoff": self.results.cutoff}
        return {**recipe, **asked, "settings": settings}

    def choose(self, label: int, chooser: str) -> None:
        """Look at this cell, wherever it was chosen."""
        label = int(label)
        if label != self.cell:
            self.cell = label
            self.cell_changed.emit(label, chooser)
        self.select([label] if label else [])

    def select(self, labels: Iterable[int]) -> None:
        """Choose several cells together."""
        chosen = np.unique(np.asarray(list(labels), np.int64))
        if not np.array_equal(chosen, self.selection):
            self.selection = chosen
            self.selection_changed.emit(chosen)


def _only(stack: ZStack, channels: tuple[str, ...]) -> ZStack:
    """These channels of a stack; none is read or copied."""
    import dask.array as da

    found = (stack.data[stack.channels.index(name)] for name in channels)
    lazy = [x if isinstance(x, da.Array) else da.from_array(x, x.shape, name=False) for x in found]
    return replace(stack, data=da.stack(lazy), channels=channels)
