"""Scores, flags and notes are kept beside the labels, and come back with them."""

from __future__ import annotations

import hashlib
import json
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, Signal

from gradcamo.docks.widgets import notify
from gradcamo.docks.worker import Job
from gradcamo.errors import GradcamoError

if TYPE_CHECKING:
    import pandas as pd
    from napari.layers import Labels

    from gradcamo.docks.session import Session


def fingerprint(labels: np.ndarray) -> str:
    """The same for the same label in every voxel, whatever the integer type."""
    seen = hashlib.blake2b(repr(labels.shape).encode(), digest_size=12)
    for plane in labels:
        seen.update(np.ascontiguousarray(plane, np.int64))
    return seen.hexdigest()


def home_of(layer: Labels, mark: str) -> Path:
    """Where the scores of a labels layer are kept: beside its file, else with the user's data."""
    path = layer.metadata.get("path") or layer.source.path
    if path and Path(path).exists():
        path = Path(path)
        return path.with_name(path.name.split(".")[0] + ".gradcamo.csv")
    from platformdirs import user_data_path

    return user_data_path("napari-gradcamo") / f"{mark}.gradcamo.csv"


class Autosave(QObject):
    """Writes what a session finds and brings it back; failing to write is said once."""

    restored = Signal(str)

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._session = weakref.ref(session)
        self._mark = ""
        self._home: Path | None = None
        self._silent = False
        self.looking = Job(self)
        self.writing = Job(self)
        session.labels_changed.connect(self._look)
        session.auditing.ended.connect(self._save_scores)
        session.flags_changed.connect(self._save_marks)
        self.looking.stepped.connect(self._on_found)
        self.looking.failed.connect(notify)
        self.writing.failed.connect(self._complain)

    @property
    def home(self) -> Path | None:
        """The file of the present labels."""
        return self._home

    def _look(self) -> None:
        session = self._session()
        layer = session.labels_layer
        self._mark, self._home = "", None
        if layer is None or self.looking.running:
            return
        labels = layer.data

        def look() -> Iterator[Any]:
            mark = fingerprint(np.asarray(labels))
            home = home_of(layer, mark)
            yield layer, mark, home, *read_saved(home, mark)

        self.looking.start(look)

    def _on_found(self, item: tuple) -> None:
        layer, mark, home, table, settings, marks = item
        session = self._session()
        if layer is not session.labels_layer:
            self._look()
            return
        self._mark, self._home = mark, home
        if len(session.results):  # audited meanwhile
            self._save_scores(True)
        elif table is not None:
            session.restore(table, settings, marks)
            self.restored.emit(str(home))

    def _save_scores(self, _: bool) -> None:
        session = self._session()
        if self._home is None or self.writing.running or not len(session.results):
            return
        table = session.results.table.drop(columns=["flagged", "note"])
        home, recipe = self._home, {**session.recipe(), "labels_fingerprint": self._mark}

        def write() -> Iterator[Any]:
            from gradcamo.files.store import write_table

            write_table(table.reset_index(drop=True), home, recipe=recipe)
            yield home

        self.writing.start(write)
        self._save_marks()

    def _save_marks(self) -> None:
        """Flags and notes are few: they are written at once, so that none is lost."""
        session = self._session()
        if self._home is None or not len(session.results):
            return
        from gradcamo.files.store import landing

        results = session.results
        kept = {
            "labels_fingerprint": self._mark,
            "cutoff": results.cutoff,
            "flagged_by_hand": {str(k): v for k, v in results.marked.items()},
            "notes": {str(k): v for k, v in results.notes.items()},
        }
        try:
            with landing(marks_path(self._home)) as scratch:
                scratch.write_text(json.dumps(kept, indent=1, ensure_ascii=False), "utf-8")
        except GradcamoError as error:
            self._complain(error)

    def _complain(self, error: Exception) -> None:
        if not self._silent:
            self._silent = True
            notify(error)


def marks_path(home: Path) -> Path:
    """The file of flags and notes beside the scores."""
    return home.with_suffix(".json")


def read_saved(home: Path, mark: str) -> tuple[pd.DataFrame | None, dict[str, Any], dict[str, Any]]:
    """Scores, audit settings and marks that were kept for labels with this fingerprint."""
    from gradcamo.files.store import read_table

    if not home.is_file():
        return None, {}, {}
    try:
        table = read_table(home)
    except GradcamoError:
        return None, {}, {}  # of another kind or cut short: to be written anew
    recipe = table.attrs.get("recipe", {})
    if recipe.get("labels_fingerprint") != mark or not {"label", "grad_camo"} <= set(table):
        return None, {}, {}
    marks = {}
    if marks_path(home).is_file():
        marks = json.loads(marks_path(home).read_text("utf-8"))
    return table, recipe.get("settings", {}), marks if _belongs(marks, mark) else {}


def _belongs(marks: dict[str, Any], mark: str) -> bool:
    return marks.get("labels_fingerprint") == mark
