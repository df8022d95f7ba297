"""What one viewer works on, and everything that listens to it."""

from __future__ import annotations

import weakref
from typing import Any

from napari.components import ViewerModel

from gradcamo.docks.canvas.click import CanvasClicks
from gradcamo.docks.canvas.colouring import LabelColours
from gradcamo.docks.canvas.edits import Edits
from gradcamo.docks.canvas.features import Features
from gradcamo.docks.canvas.heatmap import HeatmapView
from gradcamo.docks.canvas.keys import Keys
from gradcamo.docks.canvas.layer_list import LayerList
from gradcamo.docks.canvas.selected import SelectedOutlines
from gradcamo.docks.canvas.sites import Sites
from gradcamo.docks.parts.garbage import collect_in_gui_thread
from gradcamo.docks.parts.tint import follow_theme
from gradcamo.docks.parts.widgets import notify
from gradcamo.docks.state.session import Session
from gradcamo.docks.work.audits import Audits
from gradcamo.docks.work.autosave import Autosave
from gradcamo.docks.work.cautioning import Cautioning
from gradcamo.docks.work.closing import Closing
from gradcamo.docks.work.donor_banks import DonorBanks
from gradcamo.docks.work.example import Example
from gradcamo.docks.work.explaining import Explaining
from gradcamo.docks.work.found_cells import FoundCells
from gradcamo.docks.work.intake import Intake
from gradcamo.docks.work.plate_audit import PlateAudit
from gradcamo.docks.work.plate_browser import PlateBrowser
from gradcamo.docks.work.plate_on_disk import PlateOnDisk
from gradcamo.docks.work.swapping import Swapping
from gradcamo.docks.work.table_browser import TableBrowser
from gradcamo.errors import GradcamoError


class Window:
    """The session of a viewer, what shows it on the canvas and what works for it."""

    def __init__(self, viewer: ViewerModel) -> None:
        collect_in_gui_thread()
        self._viewer = weakref.ref(viewer)  # a window is kept for as long as its viewer lives
        session = self.session = Session()
        self.layers = LayerList(session, viewer)
        self.sites = Sites(session, viewer)
        self.edits = Edits(session)
        self.found = FoundCells(session)
        self.clicks = CanvasClicks(session, viewer)
        self.heatmap = HeatmapView(session, viewer)
        self.outlines = SelectedOutlines(session, viewer)
        self.colours = LabelColours(session, viewer)
        self.features = Features(session)
        self.keys = Keys(session, viewer)
        self.audits = Audits(session, self.found, self.edits)
        self.explaining = Explaining(session, self.found)
        self.swapping = Swapping(session, self.found, DonorBanks(session))
        self.cautioning = Cautioning(session)
        self.autosave = Autosave(session, viewer)
        self.intake = Intake(session, viewer, self.sites)
        self.plate = PlateBrowser(session, self.sites, self.autosave.looking)
        self.on_disk = PlateOnDisk(session, self.sites)
        self.example = Example(session, self.sites)
        self.plate_audit = PlateAudit(session, self.on_disk, self.plate)
        self.single_cells = TableBrowser(session, self.sites, self.autosave)
        self.closing = Closing(session, viewer)
        self.heatmap.wanted.connect(self.explaining.explain)
        self.explaining.explained.connect(self.heatmap.show_again)
        self.intake.tabled.connect(self._open_table)
        self.audits.left.connect(self.autosave.save_scores)
        self.swapping.left.connect(self.autosave.save_scores)
        viewer.events.theme.connect(self._on_theme)

    @property
    def viewer(self) -> ViewerModel | None:
        """The viewer, None after it was closed."""
        return self._viewer()

    def _open_table(self, path: Any) -> None:
        try:
            self.single_cells.open(path)
        except GradcamoError as error:
            notify(error)

    def _on_theme(self, _: Any) -> None:
        window = getattr(self.viewer, "window", None)
        if shown := getattr(window, "_qt_window", None):  # none once it was closed
            follow_theme(shown)


_WINDOWS: weakref.WeakKeyDictionary[ViewerModel, Window] = weakref.WeakKeyDictionary()


def window_of(viewer: ViewerModel) -> Window:
    """The window of a viewer, made when it is first asked for."""
    viewer = getattr(viewer, "__wrapped__", viewer)  # napari hands plugins a proxy
    if viewer not in _WINDOWS:
        _WINDOWS[viewer] = Window(viewer)
    return _WINDOWS[viewer]
