"""Segment: cells by Cellpose, plane by plane."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from gradcamo.docks.canvas.layers import marked_layer, show_preview
from gradcamo.docks.parts.dock import Dock
from gradcamo.docks.parts.preferences import ask_path
from gradcamo.docks.parts.rows import SettingRows
from gradcamo.docks.parts.tint import GOOD, WARN
from gradcamo.docks.parts.widgets import Fold, JobRow, line_of
from gradcamo.docks.window import window_of
from gradcamo.errors import GradcamoError
from gradcamo.segmentation.models import offered_models
from gradcamo.settings import SegmentSettings
from gradcamo.words import counted

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from gradcamo.datatypes import ZStack


class SegmentDock(Dock):
    """Choose a model and channels, run, cancel."""

    def __init__(self, napari_viewer: ViewerModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        window = window_of(napari_viewer)
        self._window, self.session = window, window.session
        self.rows = SettingRows(
            SegmentSettings,
            ("model", "cytoplasm", "nucleus", "diameter"),
            choices={"model": offered_models(), "cytoplasm": (), "nucleus": ()},
        )
        self.rows.inputs["model"].native.setEditable(True)
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
        self.begin = QPushButton("Segment the stack")
        self.begin.setToolTip("Cellpose on every plane, then stitched along z")
        self.progress = JobRow(self.session.segmenting, "planes")

        buttons = line_of(self.preview, self.begin)
        self.rows.form.insertRow(1, "", self.own_model)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.addWidget(self.rows)
        box.addWidget(details)
        box.addLayout(buttons)
        box.addWidget(self.progress)
        box.addWidget(self.message)

        self.own_model.clicked.connect(self._choose_model)
        self.begin.clicked.connect(self.start)
        self.preview.clicked.connect(self.start_preview)
        self._prepared: tuple[Any, ...] = ()
        session = self.session
        session.stack_changed.connect(self._on_stack)
        session.segmenting.stepped.connect(self._on_step)
        for rows in (self.rows, self.more):
            rows.changed.connect(self._plan)
        self.follow(session.segmenting, self._enable)
        self._on_stack()
        self._plan()

    def start(self) -> None:
        """Segment the session's stack in the background."""
        with self.telling():
            stack, settings, prepared = self._prepared_stack()
            job, voxels = self.session.segmenting, stack.data

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

            self.run(job, planes_then_labels, gentle=True)

    def start_preview(self) -> None:
        """Segment the plane that is shown, in the background."""
        viewer, session = self._window.viewer, self.session
        if viewer is None:
            return
        with self.telling():
            stack, settings, prepared = self._prepared_stack()
            like = next(iter(session.channel_layers.values()))
            point = like.world_to_data(viewer.dims.point)
            plane = int(np.clip(round(point[-3]), 0, stack.shape[1] - 1))
            voxels = stack.data

            def one_plane() -> Iterator[Any]:
                from gradcamo.segmentation.planes import segment_plane, stitch

                masks = segment_plane(prepared(), plane, settings).masks
                yield "preview", voxels, stitch([masks], settings), plane

            self.run(session.segmenting, one_plane, f"segmenting plane {plane} …")

    def _prepared_stack(self) -> tuple[ZStack, SegmentSettings, Any]:
        """The stack, what the rows say, and what prepares it or hands on what is prepared."""
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

        return stack, settings, prepared

    def _plan(self) -> None:
        with suppress(GradcamoError):  # told when it is used here
            self.session.segmentation = self.rows.settings(**self.more.values())

    def _on_step(self, item: tuple[str, Any, Any, int]) -> None:
        kind, voxels, done, total = item
        viewer, stack = self._window.viewer, self.session.stack
        if viewer is None or stack is None or stack.data is not voxels:
            return  # of a stack that is no longer there
        if kind == "plane":
            self.progress.show_progress(done, total)
        elif kind == "preview":
            self._show_preview(viewer, done, total)
        else:
            self._show_labels(viewer, done, total, stack.shape[1])

    def _show_preview(self, viewer: ViewerModel, masks: np.ndarray, plane: int) -> None:
        like = next(iter(self.session.channel_layers.values()))
        show_preview(viewer, masks, like, (plane, 0, 0))
        cells = int(masks.max())
        self.message.say(
            f"{counted(cells, 'cell')} in plane {plane}"
            if cells
            else f"no cells in plane {plane}: try another model, diameter or channel",
            GOOD if cells else WARN,
        )

    def _show_labels(
        self, viewer: ViewerModel, labels: np.ndarray, planes: int, of_planes: int
    ) -> None:
        if (preview := marked_layer(viewer, "preview")) is not None:
            viewer.layers.remove(preview)
        self._prepared = ()  # the memory that the normalised stack takes
        self._window.sites.show_labels(labels)
        cells = int(labels.max())
        if planes < of_planes:
            text = f"stopped after {planes} of {of_planes} planes; their cells are kept"
            self.message.say(f"{counted(cells, 'cell')} ({text})", WARN)
        elif cells == 0:
            self.message.say("no cells were found: try another model, diameter or channel", WARN)
        else:
            self.message.say(f"{cells} cells", GOOD)

    def _on_stack(self) -> None:
        stack = self.session.stack
        channels = stack.channels if stack else ()
        self.rows.inputs["cytoplasm"].offer(channels)
        self.rows.inputs["nucleus"].offer(channels)
        self._prepared = ()
        self._enable()
        if stack is None:
            self.message.say("Load a Z-stack first.")
        else:
            self.message.say("Labels that you have already can be opened under Load.")

    def _enable(self, *_: Any) -> None:
        idle = self.session.stack is not None and not self.session.segmenting.running
        self.begin.setEnabled(idle)
        self.preview.setEnabled(idle)

    def _choose_model(self) -> None:
        path = ask_path(self, "Cellpose weights")
        if path:
            self.rows.inputs["model"].value = path
