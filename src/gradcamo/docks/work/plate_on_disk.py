"""The plate whose stacks lie on disk: found in a folder, told about, opened site by site."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from gradcamo.docks.canvas.sites import Sites, read_site
from gradcamo.docks.parts.widgets import notify
from gradcamo.docks.parts.worker import Job
from gradcamo.docks.parts.writer import Writer
from gradcamo.errors import GradcamoError
from gradcamo.files.titles import stack_title
from gradcamo.settings import FolderSettings

if TYPE_CHECKING:
    import pandas as pd

    from gradcamo.docks.state.session import Session

APART = ("channel_names", "spacing")  # what is told without looking at the files again


class PlateOnDisk(QObject):
    """Reads a folder or a table of stacks beside the window, and knows what was told of it.

    ``table`` has one row per stack, as `read_plate` gives it, with what was told in its columns;
    None while nothing is read. ``found`` is the same as the files themselves have it.
    """

    changed = Signal()  # another plate, or told otherwise
    said = Signal(str)
    failed = Signal(object)

    def __init__(self, session: Session, sites: Sites) -> None:
        super().__init__()
        self.session, self._sites = session, sites
        self.path: Path | None = None
        self.told = FolderSettings()
        self.table: pd.DataFrame | None = None
        self.found: pd.DataFrame | None = None
        self.reading, self.opening, self.saving = Job(session), Job(session), Job(session)
        self._writing = Writer()
        self._writing.failed.connect(self.failed)
        self.reading.stepped.connect(self._on_read)
        self.reading.ended.connect(self._on_end)
        self.opening.stepped.connect(self._on_opened)
        self.saving.stepped.connect(self._on_saved)
        for job in (self.reading, self.opening, self.saving):
            job.failed.connect(self.failed)
        self.failed.connect(notify)

    def read(self, path: str | Path, told: FolderSettings | None = None) -> None:
        """Find the stacks of a plate, with what is told now and, unless that differs, was before.

        Raises
        ------
        GradcamoError
            If another is being read.
        """
        path = Path(path).absolute()

        def steps() -> Iterator[Any]:
            from gradcamo.files.kept_plates import kept_told

            self._writing.wait()
            now = {} if told is None else told.model_dump(exclude_defaults=True)
            yield from self._steps(path, kept_told(path).model_copy(update=now))

        self._start(path, steps)

    def tell(self, **said: Any) -> None:
        """Tell what the files do not say, by names of `FolderSettings`; it is kept.

        Raises
        ------
        GradcamoError
            If it cannot be so, or the plate is being read.
        """
        path = self.path
        if path is None:
            return
        told = FolderSettings(**{**self.told.model_dump(), **said})
        if self.found is not None and said.keys() <= set(APART):
            self._take(told, self.found)
        else:
            self._start(path, lambda: self._steps(path, told))

    def open_site(self, row: pd.Series) -> None:
        """Read one stack of the plate, and its labels where it has some, and show them.

        Raises
        ------
        GradcamoError
            If another is being read.
        """

        def steps() -> Iterator[Any]:
            yield row, read_site(row, row.get("labels"))

        self.opening.start(steps)
        self.said.emit(f"opening {stack_title(row['image'], row)} …")

    def save_table(self, path: str | Path) -> None:
        """Write the table of all stacks as CSV, with what was told.

        Raises
        ------
        GradcamoError
            If another is being written.
        """
        table = self.table

        def steps() -> Iterator[str]:
            from gradcamo.files.landing import landing, refuse_unwritable

            refuse_unwritable(Path(path), (".csv",))
            with landing(path) as scratch:
                if table is not None:
                    table.to_csv(scratch, index=False)
            yield f"written to {path}"

        self.saving.start(steps)

    def _start(self, path: Path, steps: Any) -> None:
        self.reading.start(steps)
        self.path, self.table, self.found = path, None, None
        self.said.emit(f"reading {path.name} …")
        self.changed.emit()

    def _steps(self, path: Path, told: FolderSettings) -> Iterator[Any]:
        from gradcamo.files.plates import untold_plate

        yield told
        found = yield from untold_plate(path, told)
        yield told, found

    def _on_read(self, item: Any) -> None:
        if isinstance(item, str):
            self.said.emit(f"{item} …")
        elif isinstance(item, FolderSettings):
            self.told = item
            self.changed.emit()
        else:
            self._on_found(*item)

    def _on_found(self, told: FolderSettings, found: pd.DataFrame) -> None:
        self.found = found
        try:
            self._take(told, found)
        except GradcamoError as error:  # its channels are others than those that were named
            self.failed.emit(error)
            self._take(told.model_copy(update={"channel_names": ()}), found)

    def _on_end(self, complete: bool) -> None:
        if not complete and self.reading.cancelling:
            self.said.emit("The reading was stopped: press Return in the path to read it again.")

    def _take(self, told: FolderSettings, found: pd.DataFrame) -> None:
        """The plate as told: it is shown so, kept so, and an open site of it follows."""
        from gradcamo.files.channel_names import named
        from gradcamo.files.folder_summary import channels_of
        from gradcamo.files.kept_plates import keep_told
        from gradcamo.files.told import as_told

        path, before = self.path, self.table
        assert path is not None, "what is told is told of a plate"
        if told.channel_names:
            named(channels_of(found), told.channel_names, path.name)
        self.table, self.told = as_told(found, told), told
        if before is not None or told != FolderSettings():
            self._writing.put("told", lambda: keep_told(path, told))
        if before is not None:
            self._follow(before, self.table)
        self.said.emit("")
        self.changed.emit()

    def _follow(self, before: pd.DataFrame, now: pd.DataFrame) -> None:
        from gradcamo.files.folder_summary import channels_of, spacing_in
        from gradcamo.files.told import said_of
        from gradcamo.files.voxel_size import spacing_of

        session = self.session
        rows = now[now["image"] == session.image]
        if session.stack is None or rows.empty:
            return
        names = dict(zip(channels_of(before), channels_of(now), strict=True))
        if any(old != new for old, new in names.items()):
            self._sites.rename(names)
        size = spacing_in(now)
        if size and size != spacing_in(before):
            session.set_spacing(spacing_of(size))
        session.told = said_of(rows.iloc[0])

    def _on_saved(self, text: str) -> None:
        self.said.emit(text)

    def _on_opened(self, item: tuple[Mapping[str, Any], Any]) -> None:
        row, site = item
        where = stack_title(row["image"], row)
        try:
            self._sites.show(site)
        except GradcamoError as error:
            self.failed.emit(GradcamoError(f"well {row['well']}, site {row['site']}: {error}"))
        else:
            self.said.emit(f"{where}: {row['treatment']}" if row["treatment"] else where)
