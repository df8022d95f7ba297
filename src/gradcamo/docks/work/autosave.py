"""Scores, flags and notes are kept beside the labels, and come back with them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QObject, Signal

from gradcamo.docks.canvas.layer_origins import path_of
from gradcamo.docks.parts.widgets import notify
from gradcamo.docks.parts.worker import Job
from gradcamo.docks.parts.writer import Writer
from gradcamo.errors import GradcamoError
from gradcamo.files.kept import find_kept, fingerprint, homes_of, write_marks, write_scores

if TYPE_CHECKING:
    from pathlib import Path

    from napari.components import ViewerModel
    from napari.layers import Labels

    from gradcamo.docks.state.session import Session

SECONDS = 20  # between two savings of work that runs


class Autosave(QObject):
    """Writes what a session finds and brings it back; failing to write is said once."""

    restored = Signal(str)

    def __init__(self, session: Session, viewer: ViewerModel) -> None:
        super().__init__()
        self.session = session
        self._homes: list[Path] = []  # empty until the labels were looked at
        self._layer: Labels | None = None
        self._edited = False
        self._saved_at = time.monotonic()
        self._silent = False
        self._again = False
        self.looking = Job(session)
        self.writing = Writer()
        session.labels_changed.connect(self._look)
        session.stack_changed.connect(self._look)
        session.auditing.stepped.connect(self._on_stepped)
        session.swapping.stepped.connect(self._on_stepped)
        session.auditing.ended.connect(self.save_scores)
        session.explaining.ended.connect(self.save_scores)
        session.swapping.ended.connect(self.save_scores)
        session.flags_changed.connect(self.save_marks)
        self.looking.stepped.connect(self._on_found)
        self.looking.failed.connect(notify)
        self.looking.ended.connect(self._look_again)
        self.writing.failed.connect(self._complain)
        window = getattr(viewer, "window", None)
        if window is not None:
            window._qt_window.installEventFilter(self)

    @property
    def home(self) -> Path | None:
        """Where the present labels keep theirs, without suffix."""
        return self._homes[0] if self._homes else None

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        session = self.session
        at_work = session.auditing.running or session.swapping.running
        if event.type() == QEvent.Type.Close and at_work:
            self.save_scores()  # what the run brought so far
        return False

    def save_scores(self, *_: Any) -> None:
        """Write scores, maps and profiles, and flags and notes with them."""
        session = self.session
        if not self._homes or not len(session.results):
            return
        self._saved_at = time.monotonic()
        results = session.results
        table = results.table.drop(columns=["flagged", "note"]).reset_index(drop=True)
        recipe, arrays, homes = session.recipe(), results.arrays(), self._homes
        find_homes = self._refreshing(homes)

        def write() -> None:
            find_homes()
            write_scores(homes, table, recipe, arrays())

        self.writing.put("scores", write)
        self.save_marks()

    def save_marks(self) -> None:
        """Write flags and notes."""
        results = self.session.results
        if not self._homes or not (len(results) or results.marks):
            return
        if self._edited:  # the labels have become others: their scores go with them
            self.save_scores()
            return
        marks = {
            "cutoff": results.cutoff,
            **results.marks.kept(),
            "stale": sorted(results.stale),
        }
        homes = self._homes
        self.writing.put("marks", lambda: write_marks(homes, marks))

    def _look(self) -> None:
        session = self.session
        layer = session.labels_layer
        self._homes = []
        self._watch(layer)
        self._again = self.looking.running
        if layer is None or self._again:
            return
        labels, path, image = layer.data, path_of(layer), session.image

        def look() -> Iterator[Any]:
            self.writing.wait()  # what is being written may be what is looked for
            yield layer, image, *find_kept(path, labels, image)

        self.looking.start(look)

    def _look_again(self, *_: Any) -> None:
        if self._again:
            self._look()

    def _on_found(self, item: tuple) -> None:
        layer, image, homes, kept = item
        session = self.session
        for text in kept.damaged:
            notify(GradcamoError(f"{text}; what is found from now on is kept anew"))
        if self._again or (layer, image) != (session.labels_layer, session.image):
            self._again = True
            return
        self._homes = homes
        if not len(session.results) and kept.table is not None:
            session.restore(kept)
            self.restored.emit(str(homes[0]))
        elif kept.marks or len(session.results):  # audited meanwhile, or flags alone were kept
            session.take_up(kept.marks)
            self.save_scores()

    def _watch(self, layer: Labels | None) -> None:
        if self._layer is not None:
            for event in (self._layer.events.labels_update, self._layer.events.data):
                event.disconnect(self._on_edit)
        self._layer, self._edited = layer, False
        if layer is not None:
            for event in (layer.events.labels_update, layer.events.data):
                event.connect(self._on_edit)

    def _on_edit(self) -> None:
        self._edited = True

    def _refreshing(self, homes: list[Path]) -> Callable[[], None]:
        """What brings ``homes`` up to date with edited labels, in the thread that writes."""
        if not self._edited:
            return lambda: None
        self._edited = False
        layer = self.session.labels_layer
        labels, path, image = layer.data, path_of(layer), self.session.image

        def refresh() -> None:
            homes[:] = homes_of(path, fingerprint(labels, image))

        return refresh

    def _on_stepped(self, _: Any) -> None:
        if time.monotonic() - self._saved_at > SECONDS:
            self.save_scores()

    def _complain(self, error: Exception) -> None:
        if not self._silent:
            self._silent = True
            notify(error)
