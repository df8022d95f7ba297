"""Segment: cells by Cellpose, plane by plane."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from gradcamo.docks.canvas.layers import marked_layer, show_preview
from gradcamo.docks.parts.memory import ask_path
from gradcamo.docks.parts.rows import SettingRows
from gradcamo.docks.parts.tint import GOOD, WARN
from gradcamo.docks.parts.widgets import Fold, JobRow, Message, line_of
from gradcamo.docks.window import window_of
from gradcamo.errors import GradcamoError
from gradcamo.segmentation.models import offered_models
from gradcamo.settings import SegmentSettings

if TYPE_CHECKING:
    import napari


class SegmentDock(QWidget):
    """Choose a model and channels, run, cancel."""

    def __init__(self, napari_viewer: napari.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        window = window_of(napari_viewer)
        self._window, self.session = window, window.session
        self.rows = SettingRows(
            SegmentSettings,
            ("model", "cytoplasm", "nucleus", "diameter"),
            choices={"model": offered_models(), "cytoplasm": (), "nucleus": ()},
        )
        self.rows.inputs["model"].setEditable(True)
        self.more = SettingRows(
            SegmentSettings,
            ("flow_threshold", "cellprob_threshold", "stitch_threshold", "min_size"),
        )
        details = Fold("Thresholds", self.more, "thresholds")
        self.rows.keep_as("segment")
        self.more.keep_as("thresholds of segment")
        self.own_model = QPushButton("Own weights…")
        self.own_model.setToolTip("choose a Cellpose model that you trained")
        self.preview = QPushButton("Preview this plane")
        self.preview.setToolTip(
            "segment the plane that is shown, to try settings: the stack gives the same there"
        )
        self.run = QPushButton("Segment the stack")
        self.run.setToolTip("Cellpose on every plane, then stitched along z")
        self.progress = JobRow(self.session.segmenting, "planes")
        self.message = Message()

        buttons = line_of(self.preview, self.run)
        self.rows.layout().insertRow(1, "", self.own_model)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        for part in (self.rows, details):
            box.addWidget(part)
        box.addLayout(buttons)
        for part in (self.progress, self.message):
            box.addWidget(part)

        self.own_model.clicked.connect(self._choose_model)
        self.run.clicked.connect(self.start)
        self.preview.clicked.connect(self.start_preview)
        self._prepared: tuple[Any, ...] = ()
        session = self.session
        session.stack_changed.connect(self._on_stack)
        session.segmenting.began.connect(self._enable)
        session.segmenting.stepped.connect(self._on_step)
        session.segmenting.failed.connect(self.message.fail)
        session.segmenting.ended.connect(self._on_end)
        self._on_stack()

    def start(self) -> None:
        """Segment the session's stack in the background."""
        try:
            settings, prepared = self._settings_and_prepared()
            job, voxels = self.session.segmenting, self.session.stack.data

            def planes_then_labels() -> Iterator[Any]:
                from gradcamo.segmentation.planes import segment_plane, stitch

                ready = prepared()
                total, masks = len(ready.images), []
                for plane in range(total):
                    masks.append(segment_plane(ready, plane, settings).masks)
                    yield "plane", voxels, len(masks), total
                    if job.cancelling:
                        break
                labels = stitch(masks, settings)
                rest = total - len(masks)
                yield "labels", voxels, np.pad(labels, ((0, rest), (0, 0), (0, 0))), len(masks)

            job.start(planes_then_labels, gentle=True)
        except GradcamoError as error:
            self.message.fail(error)
        else:
            self.message.say("")

    def start_preview(self) -> None:
        """Segment the plane that is shown, in the background."""
        session = self.session
        try:
            settings, prepared = self._settings_and_prepared()
            like = next(iter(session.channel_layers.values()))
            point = like.world_to_data(self._window.viewer.dims.point)
            plane = int(np.clip(round(point[-3]), 0, session.stack.shape[1] - 1))
            voxels = session.stack.data

            def one_plane() -> Iterator[Any]:
                from gradcamo.segmentation.planes import segment_plane, stitch

                masks = segment_plane(prepared(), plane, settings).masks
                yield "preview", voxels, stitch([masks], settings), plane

            session.segmenting.start(one_plane)
        except GradcamoError as error:
            self.message.fail(error)
        else:
            self.message.say(f"segmenting plane {plane} …")

    def _settings_and_prepared(self) -> tuple[SegmentSettings, Any]:
        """What the rows say, and what prepares the stack for it or hands on what is prepared."""
        stack = self.session.stack
        if stack is None:
            raise GradcamoError("load a Z-stack first")
        settings = self.rows.settings(**self.more.values())
        needs = (id(stack), settings.model, settings.cytoplasm, settings.nucleus, settings.device)

        def prepared() -> Any:
            from gradcamo.segmentation.planes import prepare

            if not self._prepared or self._prepared[0] != needs:
                self._prepared = (needs, prepare(stack, settings))
            return self._prepared[1]

        return settings, prepared

    def _on_step(self, item: tuple[str, Any, Any, int]) -> None:
        kind, voxels, done, total = item
        session = self.session
        if self._window.viewer is None or session.stack is None or session.stack.data is not voxels:
            return  # of a stack that is no longer there
        if kind == "plane":
            self.progress.show_progress(done, total)
        elif kind == "preview":
            self._show_preview(done, total)
        else:
            self._show_labels(done, total)

    def _show_preview(self, masks: np.ndarray, plane: int) -> None:
        session = self.session
        like = next(iter(session.channel_layers.values()))
        show_preview(self._window.viewer, masks, like, (plane, 0, 0))
        cells = int(masks.max())
        self.message.say(
            f"{cells} cells in plane {plane}"
            if cells
            else f"no cells in plane {plane}: try another model, diameter or channel",
            GOOD if cells else WARN,
        )

    def _show_labels(self, labels: np.ndarray, planes: int) -> None:
        session = self.session
        preview = marked_layer(self._window.viewer, "preview")
        if preview is not None:
            self._window.viewer.layers.remove(preview)
        self._prepared = ()  # the memory that the normalised stack takes
        self._window.sites.show_labels(labels)
        cells = int(labels.max())
        if planes < session.stack.shape[1]:
            text = (
                f"stopped after {planes} of {session.stack.shape[1]} planes; their cells are kept"
            )
            self.message.say(f"{cells} cells ({text})", WARN)
        elif cells == 0:
            self.message.say("no cells were found: try another model, diameter or channel", WARN)
        else:
            self.message.say(f"{cells} cells", GOOD)

    def _on_end(self, complete: bool) -> None:
        self._enable()

    def _on_stack(self) -> None:
        stack = self.session.stack
        channels = stack.channels if stack else ()
        self.rows.set_choices("cytoplasm", channels)
        self.rows.set_choices("nucleus", channels)
        self._prepared = ()
        self._enable()
        if stack is None:
            self.message.say("Load a Z-stack first.")
        else:
            self.message.say("Labels that you have already can be opened under Load.")

    def _enable(self) -> None:
        idle = self.session.stack is not None and not self.session.segmenting.running
        self.run.setEnabled(idle)
        self.preview.setEnabled(idle)

    def _choose_model(self) -> None:
        path = ask_path(self, "Cellpose weights")
        if path:
            self.rows.inputs["model"].setCurrentText(path)
