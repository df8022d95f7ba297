"""How fast the window is at a plate's size, and what it is meant to be; printed, not asserted.

Clicks and heatmaps are in heatmap.py.

xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/gui.py
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

CELLS = 52_311  # the paper's
LABELS = 5_000


def main() -> None:
    os.environ["NAPARI_CONFIG"] = ""
    os.environ["HOME"] = os.environ["XDG_DATA_HOME"] = tempfile.mkdtemp()
    os.environ["XDG_CONFIG_HOME"] = os.environ["HOME"]
    import napari
    from qtpy.QtWidgets import QApplication

    viewer = napari.Viewer()
    viewer.window.resize(1440, 900)
    print(f"{'':52} {'taken':>9}   {'target':>9}   processor")
    dock_times(viewer, QApplication.processEvents)
    table_times(viewer, QApplication.processEvents)
    colour_times(viewer, QApplication.processEvents)
    map_times(viewer, QApplication.processEvents)


def dock_times(viewer: Any, settle: Callable[[], None]) -> None:
    """Open every dock once, as the Plugins menu does, and see that nothing heavy comes along."""
    import sys

    from npe2 import PluginManager

    manifest = PluginManager.instance().get_manifest("napari-gradcamo")
    for widget in manifest.contributions.widgets:
        opened = {}

        def open_dock(name: str = widget.display_name, opened: dict = opened) -> None:
            opened["widget"] = viewer.window.add_plugin_dock_widget("napari-gradcamo", name)[1]

        clock(f"open the dock {widget.display_name}", open_dock, settle, times=1, target_ms=1000)
        viewer.window.remove_dock_widget(opened["widget"])
        settle()
    heavy = [name for name in ("torch", "cellpose", "lightning", "umap") if name in sys.modules]
    print(f"heavy packages that opening all docks imported: {', '.join(heavy) or 'none'}")


def table_times(viewer: Any, settle: Callable[[], None]) -> None:
    """Sort, filter and choose in a table of the paper's size."""
    from gradcamo.docks.panels.cells.cells_dock import CellsDock
    from gradcamo.docks.state.results import Results
    from gradcamo.docks.window import window_of

    session = window_of(viewer).session
    dock = CellsDock(viewer)
    viewer.window.add_dock_widget(dock, area="bottom")
    scored = cells()
    show = lambda: session.set_results(Results.of_table(scored, 0.25))  # noqa: E731
    clock(f"show {CELLS:,} rows", show, settle)
    settle()
    for column in ("grad_camo", "predicted", "well"):
        clock(
            f"sort by {column}",
            lambda column=column: dock.sort_by(column, False),
            settle,
            target_ms=100,
        )
    clock(
        "filter grad_camo < 0.25 and well == 'D03'",
        lambda: dock.toolbar.filter.setText("grad_camo < 0.25 and well == 'D03'"),
        settle,
        times=1,
        target_ms=200,
    )
    dock.toolbar.filter.clear()
    settle()
    labels = iter(np.random.default_rng(1).choice(np.arange(1, CELLS), 100).tolist())
    clock(
        "choose: canvas to table",
        lambda: session.choose(next(labels), "canvas"),
        settle,
        target_ms=50,
    )
    rows = iter(range(1, 100))
    in_table = lambda: dock.view.selectRow(next(rows))  # noqa: E731
    clock("choose: table to canvas", in_table, settle, target_ms=50)
    clock("move the cut-off", lambda: session.set_cutoff(session.results.cutoff + 0.01), settle)


def colour_times(viewer: Any, settle: Callable[[], None]) -> None:
    """Colour the cells of one large stack by score."""
    from gradcamo.docks.canvas.colouring import colormap_of, warm_up
    from gradcamo.docks.canvas.layers import show_labels

    side = 16
    ids = np.arange(1, LABELS + 1, dtype=np.int32).reshape(50, 100)
    labels = np.repeat(np.kron(ids, np.ones((side, side), np.int32))[None], 21, 0)
    layer = show_labels(viewer, labels, None, "benchmark")
    warm_up(labels.dtype)
    table = cells().head(LABELS)
    clock(
        f"colour {LABELS:,} labels",
        lambda: setattr(layer, "colormap", colormap_of(table, "score")),
        settle,
        target_ms=1000,
    )
    viewer.layers.remove(layer)


def map_times(viewer: Any, settle: Callable[[], None]) -> None:
    """Pan the profile map with a point for every cell."""
    from gradcamo.docks.panels.plates.profile_map_dock import ProfileMapDock
    from gradcamo.plate.reading import PlateResults

    dock = ProfileMapDock(viewer)
    viewer.window.add_dock_widget(dock)
    table = cells()
    table[["umap_1", "umap_2"]] = np.random.default_rng(2).normal(size=(CELLS, 2))
    plate = dock._plate
    plate.results = PlateResults(Path("results"), table, whitened=False)
    plate.changed.emit()
    dock.source.setCurrentIndex(dock.source.findData("plate"))
    clock(f"draw {CELLS:,} points", dock.source.changed.emit, settle, times=1)
    for column in ("grad_camo", "well"):
        dock.colour.setCurrentIndex(dock.colour.findData(column))
        clock(f"colour them by {column}", dock._paint, settle)
    seconds = clock(
        "pan the map by a step",
        lambda: dock.plot.box.translateBy(x=0.02, y=0.01),
        settle,
        times=30,
        target_ms=50,
    )
    print(f"{'that is':52} {1 / seconds:6.0f} fps     > 20 fps")
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], float)
    clock("lasso a third of them", lambda: dock.plot.box.drawn.emit(corners), settle)


def until(so: Callable[[], bool], seconds: float = 120) -> None:
    """Let the window live until something is so."""
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + seconds
    while not so():
        if time.monotonic() > end:
            raise SystemExit("the window did not come to what is measured next")
        QApplication.processEvents()
        time.sleep(0.001)


def cells() -> pd.DataFrame:
    """A table like that of a plate."""
    rng = np.random.default_rng(0)
    own = rng.beta(4, 8, CELLS)
    neighbours = (1 - own) * rng.uniform(size=CELLS)
    wells = np.array([f"{row}{column}" for row in "BCDEFG" for column in ("02", "03")])
    table = pd.DataFrame(
        {
            "image": "plate.tif",
            "label": np.arange(1, CELLS + 1),
            "predicted": rng.choice(["control", "0.06x", "0.32x", "1.60x", "8.00x"], CELLS),
            "confidence": rng.uniform(0.2, 1, CELLS),
            "grad_camo": own,
            "neighbour_share": neighbours,
            "background_share": 1 - own - neighbours,
            "chance": rng.uniform(0.05, 0.3, CELLS),
            "ceiling": rng.uniform(0.9, 1, CELLS),
            "touches_border": rng.uniform(size=CELLS) < 0.1,
            "volume_um3": rng.uniform(1000, 6000, CELLS),
            "well": rng.choice(wells, CELLS),
            "site": rng.integers(1, 5, CELLS),
            "treatment": rng.choice(["control", "0.06x", "0.32x", "1.60x"], CELLS),
        }
    )
    table["attainable"] = (own - table["chance"]) / (table["ceiling"] - table["chance"])
    return table


def clock(
    what: str,
    act: Callable[[], Any],
    settle: Callable[[], Any] | None = None,
    times: int = 5,
    target_ms: float | None = None,
) -> float:
    """Print and return the median time of an action with all that it makes the window do.

    The processor's time is printed too: on a busy machine it says more.
    """
    taken, busy = [], []
    for _ in range(times if settle else 1):
        began, began_busy = time.perf_counter(), time.process_time()
        act()
        if settle:
            settle()
        taken.append(time.perf_counter() - began)
        busy.append(time.process_time() - began_busy)
    seconds = float(np.median(taken))
    target = f"< {target_ms:.0f} ms" if target_ms else ""
    print(f"{what:52} {1000 * seconds:6.0f} ms {target:>12}   {1000 * np.median(busy):6.0f} ms")
    return seconds


if __name__ == "__main__":
    main()
