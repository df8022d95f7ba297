"""Pictures of the real window for README and docs, all in one go.

    xvfb-run -a -s "-screen 0 1600x1000x24" python scripts/screenshots.py [--checkpoint FILE]

The built-in stack is opened as a user does (File > Open Sample), audited with the bundled
network, and looked at: the same pictures from the same code.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

SIZE = (1440, 900)
OUT = Path(__file__).parent.parent / "docs" / "images"


@click.command()
@click.option("--checkpoint", default="", help="network to explain (default: the bundled one)")
@click.option("--out", default=str(OUT), help="folder for the pictures")
@click.option("--only", default="", help="names of the pictures to take, separated by commas")
def main(checkpoint: str, out: str, only: str) -> None:
    """Take the pictures."""
    os.environ["NAPARI_CONFIG"] = ""
    os.environ["HOME"] = os.environ["XDG_DATA_HOME"] = tempfile.mkdtemp()
    os.environ["XDG_CONFIG_HOME"] = os.environ["HOME"]
    import napari

    from gradcamo.docks.session import session_of
    from gradcamo.networks.checkpoint import BUNDLED

    viewer = napari.Viewer(title="Grad-CAMO")
    viewer.window.resize(*SIZE)
    _, bench = viewer.window.add_plugin_dock_widget("napari-gradcamo", "Grad-CAMO")
    session = session_of(viewer)
    camera = Camera(viewer, Path(out), [name for name in only.split(",") if name])

    camera.take("empty")
    viewer.open_sample("napari-gradcamo", "built_in_stack_and_labels")
    wait(lambda: session.stack is not None and session.labels_layer is not None)
    viewer.reset_view()
    for step in bench.steps[:2]:
        step.open(True)
    camera.take("loaded")
    bench.model.load(checkpoint or BUNDLED)
    wait(lambda: session.checkpoint is not None)
    for step in bench.steps:
        step.open(step in bench.steps[2:4])
    camera.take("explain")
    bench.explain.start()
    wait(lambda: not session.auditing.running)
    wait(seconds=0.5)
    viewer.reset_view()
    choose(session, rank=0.2)
    camera.take("window")
    choose(session, rank=0.95)
    camera.take("attentive")
    bench.review.mode.setCurrentIndex(bench.review.mode.findData("flagged"))
    bench.review._on_mode()
    bench.review.outlines.setChecked(False)
    bench.review.heatmap.shown.setChecked(False)
    camera.take("flagged")
    bench.review.mode.setCurrentIndex(bench.review.mode.findData("score"))
    bench.review._on_mode()
    bench.review.outlines.setChecked(True)
    bench.review.heatmap.shown.setChecked(True)
    show_in_3d(viewer, session)
    camera.take("volume")
    viewer.dims.ndisplay = 2
    for name, start in (("Gallery", "draw"), ("Profile map", "start"), ("Figures", "draw")):
        dock, widget = viewer.window.add_plugin_dock_widget("napari-gradcamo", name, tabify=True)
        dock.raise_()
        getattr(widget, start)()
        wait(lambda widget=widget: not widget.job.running, 300)
        camera.take(name.lower().replace(" ", "_"), widget)
    viewer.close()


class Camera:
    """Takes pictures of the window, or of one of its docks."""

    def __init__(self, viewer: Any, out: Path, only: list[str]) -> None:
        self.viewer, self.out, self.only = viewer, out, only
        out.mkdir(parents=True, exist_ok=True)

    def take(self, name: str, widget: Any = None) -> None:
        """Write ``name.png``."""
        if self.only and name not in self.only:
            return
        wait(seconds=0.8)
        path = self.out / f"{name}.png"
        if widget is None:
            self.viewer.window.screenshot(str(path), canvas_only=False, flash=False)
        else:
            widget.grab().save(str(path))
        click.echo(f"{path} ({path.stat().st_size / 1000:.0f} kB)")


def choose(session: Any, rank: float) -> None:
    """Choose the cell at this place between the lowest (0) and the highest (1) score."""
    scored = session.results.table.dropna(subset="grad_camo").sort_values("grad_camo")
    session.choose(int(scored["label"].iloc[int(rank * (len(scored) - 1))]), "table")


def show_in_3d(viewer: Any, session: Any) -> None:
    """The volume from above, the heatmap as a maximum projection."""
    viewer.dims.ndisplay = 3
    viewer.camera.angles = (0, 25, 60)
    viewer.reset_view()


def wait(until: Callable[[], bool] | None = None, seconds: float = 120) -> None:
    """Let the window live until something is so, or for a while."""
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + seconds
    while time.monotonic() < end and not (until and until()):
        QApplication.processEvents()
        time.sleep(0.01)
    if until and not until():
        raise SystemExit("the window did not come to where the next picture is taken")


if __name__ == "__main__":
    main()
