"""How fast the window is at a plate's size; printed, not asserted.

xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/gui.py
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

CELLS = 52_311  # the paper's
LABELS = 5_000


def main() -> None:
    os.environ["NAPARI_CONFIG"] = ""
    os.environ["HOME"] = os.environ["XDG_DATA_HOME"] = tempfile.mkdtemp()
    import napari
    from qtpy.QtWidgets import QApplication

    viewer = napari.Viewer()
    viewer.window.resize(1440, 900)
    table_times(viewer, QApplication.processEvents)
    colour_times(viewer, QApplication.processEvents)
    map_times(viewer, QApplication.processEvents)


def table_times(viewer: Any, settle: Callable[[], None]) -> None:
    """Sort, filter and choose in a table of the paper's size."""
    from gradcamo.docks.cells import CellsDock
    from gradcamo.docks.results import Results
    from gradcamo.docks.session import session_of

    session = session_of(viewer)
    dock = CellsDock(viewer)
    viewer.window.add_dock_widget(dock, area="bottom")
    clock(f"show {CELLS:,} rows", lambda: session.set_results(Results.of_table(cells(), 0.25)))
    settle()
    for column in ("grad_camo", "predicted", "well"):
        clock(f"sort by {column}", lambda column=column: dock.sort_by(column, False), settle)
    clock(
        "filter grad_camo < 0.25 and well == 'D03'",
        lambda: dock.toolbar.filter.setText("grad_camo < 0.25 and well == 'D03'"),
        settle,
    )
    dock.toolbar.filter.clear()
    settle()
    labels = iter(np.random.default_rng(1).choice(np.arange(1, CELLS), 100).tolist())
    clock("choose: canvas to table", lambda: session.choose(next(labels), "canvas"), settle)
    rows = iter(range(1, 100))
    clock("choose: table to canvas", lambda: dock.view.selectRow(next(rows)), settle)
    clock("move the cut-off", lambda: session.set_cutoff(session.results.cutoff + 0.01), settle)


def colour_times(viewer: Any, settle: Callable[[], None]) -> None:
    """Colour the cells of one large stack by score."""
    from gradcamo.docks.colouring import colormap_of, warm_up
    from gradcamo.docks.layers import show_labels

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
    )
    viewer.layers.remove(layer)


def map_times(viewer: Any, settle: Callable[[], None]) -> None:
    """Pan the profile map with a point for every cell."""
    from gradcamo.docks.profile_map import ProfileMapDock

    dock = ProfileMapDock(viewer)
    viewer.window.add_dock_widget(dock)
    layout = np.random.default_rng(2).normal(size=(CELLS, 2)).astype(np.float32)
    labels = np.arange(1, CELLS + 1)
    clock(f"draw {CELLS:,} points", lambda: dock._on_layout((labels, layout)), settle, times=1)
    seconds = clock(
        "pan the map by a step",
        lambda: dock.box.translateBy(x=0.02, y=0.01),
        lambda: (settle(), dock.plot.viewport().repaint()),
        times=30,
    )
    print(f"{'that is':44} {1 / seconds:8.0f} frames a second")


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
        }
    )
    table["attainable"] = (own - table["chance"]) / (table["ceiling"] - table["chance"])
    return table


def clock(
    what: str, act: Callable[[], Any], settle: Callable[[], Any] | None = None, times: int = 5
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
    print(f"{what:44} {1000 * seconds:8.1f} ms  (processor {1000 * np.median(busy):.1f} ms)")
    return seconds


if __name__ == "__main__":
    main()
