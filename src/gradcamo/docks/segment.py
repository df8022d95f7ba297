"""Segment: cells by Cellpose, plane by plane."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from gradcamo.docks.layers import show_labels
from gradcamo.docks.rows import SettingRows
from gradcamo.docks.session import Session, session_of
from gradcamo.docks.widgets import GOOD, WARN, Fold, JobRow, Message
from gradcamo.errors import GradcamoError
from gradcamo.settings import SegmentSettings

if TYPE_CHECKING:
    import napari

MODELS = ("bundled", "cyto", "cyto2", "cyto3", "nuclei")


class SegmentDock(QWidget):
    """Choose a model and channels, run, cancel."""

    def __init__(self, napari_viewer: napari.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session: Session = session_of(napari_viewer)
        self.rows = SettingRows(
            SegmentSettings,
            ("model", "cytoplasm", "nucleus", "diameter"),
            choices={"model": MODELS, "cytoplasm": (), "nucleus": ()},
        )
        self.rows.inputs["model"].setEditable(True)
        self.more = SettingRows(
            SegmentSettings,
            ("flow_threshold", "cellprob_threshold", "stitch_threshold", "min_size"),
        )
        details = Fold("Thresholds", self.more)
        self.own_model = QPushButton("Own weights…")
        self.own_model.setToolTip("choose a Cellpose model that you trained")
        self.run = QPushButton("Segment the stack")
        self.run.setToolTip("Cellpose on every plane, then stitched along z")
        self.progress = JobRow(self.session.segmenting, "planes")
        self.message = Message()

        buttons = QHBoxLayout()
        buttons.addWidget(self.own_model)
        buttons.addWidget(self.run, 1)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        for part in (self.rows, details):
            box.addWidget(part)
        box.addLayout(buttons)
        for part in (self.progress, self.message):
            box.addWidget(part)

        self.own_model.clicked.connect(self._choose_model)
        self.run.clicked.connect(self.start)
        session = self.session
        session.stack_changed.connect(self._on_stack)
        session.segmenting.began.connect(self._enable)
        session.segmenting.stepped.connect(self._on_step)
        session.segmenting.failed.connect(self.message.fail)
        session.segmenting.ended.connect(self._on_end)
        self._on_stack()

    def start(self) -> None:
        """Segment the session's stack in the background."""
        session = self.session
        try:
            if session.stack is None:
                raise GradcamoError("load a Z-stack first")
            settings = self.rows.settings(**self.more.values())
            stack, job = session.stack, session.segmenting

            def planes_then_labels() -> Iterator[Any]:
                from gradcamo.segmentation.planes import segment_planes, stitch

                planes = []
                for done in segment_planes(stack, settings):
                    planes.append(done.masks)
                    yield len(planes), done.total
                    if job.cancelling:
                        break
                labels = stitch(planes, settings)
                missing = stack.shape[1] - len(planes)
                yield np.pad(labels, ((0, missing), (0, 0), (0, 0))), len(planes)

            session.segmenting.start(planes_then_labels, gentle=True)
        except GradcamoError as error:
            self.message.fail(error)
        else:
            self.message.say("")

    def _on_step(self, item: Any) -> None:
        done, total = item
        if not isinstance(done, np.ndarray):
            self.progress.show_progress(done, total)
            return
        session, labels, planes = self.session, done, total
        if session.viewer is None or session.stack is None:
            return
        like = next(iter(session.channel_layers.values()), None)
        session.set_labels(show_labels(session.viewer, labels, like))
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
        self._enable()
        if stack is None:
            self.message.say("Load a Z-stack first.")
        else:
            self.message.say("Labels that you have already can be opened under Load.")

    def _enable(self) -> None:
        self.run.setEnabled(self.session.stack is not None and not self.session.segmenting.running)

    def _choose_model(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Cellpose weights")
        if path:
            self.rows.inputs["model"].setCurrentText(path)
