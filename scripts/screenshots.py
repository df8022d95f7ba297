"""Pictures of the real window for README and tutorial, all in one go.

    xvfb-run -a -s "-screen 0 1600x1000x24" python scripts/screenshots.py

The built-in stack is opened, segmented with the bundled weights, audited with the bundled
network and reviewed; then a small plate is audited and browsed: what a user does, in that order.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import Any

import click
import numpy as np
from camera import Camera, click_cell, pick, press, wait

SIZE = (1440, 900)
OUT = Path(__file__).parent.parent / "docs" / "images"


@click.command()
@click.option("--out", default=str(OUT), help="folder for the pictures")
@click.option("--plate", default="", help="folder with plate/ and results/, else made anew")
def main(out: str, plate: str) -> None:
    """Take the pictures."""
    os.environ["NAPARI_CONFIG"] = ""
    os.environ["HOME"] = os.environ["XDG_DATA_HOME"] = tempfile.mkdtemp()
    os.environ["XDG_CONFIG_HOME"] = os.environ["HOME"]
    import torch

    torch.set_num_threads(1)  # two sum in another order, and the training page's report has one
    folder = Path(plate) if plate else audited_plate(Path(tempfile.mkdtemp()))
    from gradcamo.docks.window import window_of

    viewer = window()
    _, bench = viewer.window.add_plugin_dock_widget("napari-gradcamo", "Grad-CAMO")
    session = window_of(viewer).session
    camera = Camera(viewer, Path(out))
    camera.window("start")
    load_and_segment(viewer, bench, session, camera)
    explain(viewer, bench, session, camera)
    review(viewer, bench, session, camera)
    compare(viewer, session, camera)
    causal(viewer, bench, session, camera)
    plate_docks(viewer, session, camera, folder)
    networks(viewer, camera, folder / "plate" / "plate.csv")
    viewer.close()
    camera.viewer = window()
    folder_of_a_plate(camera.viewer, camera)
    camera.viewer.close()
    camera.viewer = window()
    trained(camera.viewer, camera)
    click.echo(f"{sum(camera.taken.values()) / 1e6:.2f} MB in {len(camera.taken)} pictures")
    camera.viewer.close()


def window() -> Any:
    """An empty napari window."""
    import napari

    viewer = napari.Viewer(title="Grad-CAMO")
    viewer.window.resize(*SIZE)
    return viewer


def load_and_segment(viewer: Any, bench: Any, session: Any, camera: Camera) -> None:
    """Open the sample; find its cells."""
    viewer.open_sample("napari-gradcamo", "built_in_stack")
    wait(lambda: session.stack is not None)
    viewer.reset_view()
    open_step(bench, "Load")
    camera.widget("load", step(bench, "Load"))
    open_step(bench, "Segment")
    pick(bench.segment, "model", "bundled")
    if press(bench.segment, "Preview"):
        wait(lambda: not session.segmenting.running)
        camera.window("preview")
    press(bench.segment, "Segment")
    wait(lambda: session.labels_layer is not None and not session.segmenting.running, 900)
    for layer in [layer for layer in viewer.layers if "preview" in layer.name.lower()]:
        layer.visible = False
    open_step(bench, "Segment")
    camera.window("segment")


def explain(viewer: Any, bench: Any, session: Any, camera: Camera) -> None:
    """Take the bundled network and audit every cell."""
    open_step(bench, "Model")
    press(bench, "Demo network")
    wait(lambda: session.checkpoint is not None)
    open_step(bench, "Model")
    camera.widget("model", step(bench, "Model"))
    open_step(bench, "Explain")
    camera.widget("explain", step(bench, "Explain"))
    press(bench.explain, "Audit all")
    wait(lambda: session.auditing.running, 20)
    wait(lambda: not session.auditing.running, 900)
    wait(seconds=1)
    viewer.reset_view()


def review(viewer: Any, bench: Any, session: Any, camera: Camera) -> None:
    """Look at cells that the network looks at, and at others; move the cut-off."""
    from gradcamo.docks.panels.cells.cells_dock import CellsDock

    click_cell(viewer, session, ranked(session, 0.3))
    wait(seconds=3)  # the table's pictures are drawn
    camera.window("window")
    open_step(bench, "Review")
    camera.widget("review", step(bench, "Review"))
    (table,) = [w for w in viewer.window.dock_widgets.values() if isinstance(w, CellsDock)]
    median = float(session.results.table["grad_camo"].median())
    table.toolbar.filter.setText(f"grad_camo < {median:.2f} and volume_um3 > 2000")
    wait(seconds=3)
    camera.widget("cells", table)
    table.toolbar.filter.clear()
    session.set_cutoff(round(median, 2))
    pick_mode(bench.review, "flagged")
    camera.canvas("flagged")
    pick_mode(bench.review, "score")
    viewer.dims.ndisplay = 3
    session.choose(ranked(session, 0.95), "table")
    viewer.reset_view()
    viewer.camera.angles = (-15, 35, 145)
    camera.canvas("volume")
    viewer.dims.ndisplay = 2
    viewer.reset_view()
    for name, made in (("Gallery", "gallery"), ("Figures", "figures")):
        widget = add(viewer, name)
        wait(seconds=4)
        camera.widget(made, widget)
        remove(viewer, widget)


def compare(viewer: Any, session: Any, camera: Camera) -> None:
    """The same cell under the map of every treatment."""
    widget = add(viewer, "Compare maps")
    wait(lambda: widget.view.count() > 0 and not widget.job.running)
    camera.widget("compare", widget)
    remove(viewer, widget)


def causal(viewer: Any, bench: Any, session: Any, camera: Camera) -> None:
    """What one cell's prediction depends on, what was done to find out, and what all depend on."""
    from gradcamo.auditing.cell_verdict import cell_verdict
    from gradcamo.docks.panels.cells.swapped_crops_dock import SwappedCropsDock

    open_step(bench, "Explain")
    press(bench.explain.causal, "All")
    wait(lambda: session.swapping.running, 20)
    wait(lambda: not session.swapping.running)
    wait(seconds=1)
    open_step(bench, "Review")
    table = session.results.table
    told = {label: cell_verdict(table.loc[label]) for label in table["label"]}
    apart = {n: table.at[n, "causal_own"] for n, said in told.items() if "disagrees" in said}
    session.choose(max(apart, key=apart.get), "table")
    pick_mode(bench.review, "region")
    viewer.reset_view()
    wait(seconds=3)
    camera.window("causal_window")
    camera.widget("causal_review", step(bench, "Review"))
    press(bench.review.causal, "Swapped crops")
    docks = viewer.window.dock_widgets.values()
    (swapped,) = [widget for widget in docks if isinstance(widget, SwappedCropsDock)]
    wait(lambda: swapped.crops is not None and not swapped.job.running)
    camera.widget("causal_swapped", swapped, 340)
    remove(viewer, swapped)
    pick_mode(bench.review, "score")


def plate_docks(viewer: Any, session: Any, camera: Camera, folder: Path) -> None:
    """The plate's wells, its map of profiles and its figures."""
    plate = add(viewer, "Plate")
    plate.load(folder / "plate" / "plate.csv")
    wait(lambda: plate.wells.rowCount() > 0)
    camera.widget("plate", plate, 600)
    remove(viewer, plate)
    mapped = add(viewer, "Profile map")
    mapped.source.open(str(folder / "results"))
    wait(lambda: mapped.source.plate is not None)
    mapped.colour.setCurrentIndex(mapped.colour.findData("treatment"))
    mapped._paint()
    cells = mapped.source.plate.cells
    whole = cells.loc[mapped.rows]
    low = whole[(whole["well"] == "E03") & (whole["grad_camo"] < 0.2)]
    chosen = low["neighbour_share"].idxmax()  # the network looks beside it, where one can see it
    click_point(mapped, int(np.flatnonzero(mapped.rows == chosen)[0]))
    camera.window("profile_map")
    press(mapped, "Open ")
    wait(lambda: session.cell == cells.at[chosen, "label"])
    wait(lambda: not session.explaining.running)
    wait(seconds=3)
    camera.window("from_map")
    mapped.colour.setCurrentIndex(mapped.colour.findData("grad_camo"))
    mapped._paint()
    camera.widget("profile_map_scores", mapped)
    remove(viewer, mapped)
    figures = add(viewer, "Figures")
    figures.source.setCurrentIndex(figures.source.findData("plate"))
    figures.source.activated.emit(figures.source.currentIndex())
    for kind, made in (("scores", "figures_plate"), ("budget", "figures_budget")):
        figures.kind.setCurrentIndex(figures.kind.findData(kind))
        figures.draw()
        wait(lambda: not figures.job.running)
        wait(seconds=1)
        wait(lambda: not figures.job.running)
        camera.widget(made, figures, 620)
    remove(viewer, figures)


def networks(viewer: Any, camera: Camera, plate: Path) -> None:
    """A plate to train on, and every layer of the network scored on it."""
    train = add(viewer, "Train")
    train.plate.load(plate)
    wait(lambda: train.plate.ready)
    train.out.setText("model.safetensors")
    camera.widget("train", train)
    remove(viewer, train)
    layers = add(viewer, "Layers")
    layers.load(plate)
    press(layers, "Score")
    wait(lambda: layers.result is not None and not layers.job.running)
    camera.widget("layers", layers)
    remove(viewer, layers)


def folder_of_a_plate(viewer: Any, camera: Camera) -> None:
    """A folder as a microscope leaves it: channels are named, the voxel size typed, one opened."""
    from gradcamo.docks.window import window_of
    from gradcamo.samples.design import PlateDesign

    folder = Path(tempfile.mkdtemp(prefix="plates-")) / "4711_Plate_12"
    plate = window_of(viewer).on_disk
    design = PlateDesign(rows=("D", "E"), columns=("02", "03"), sites=2, field_px=256)
    channels, spacing = write_as_a_microscope(folder, design)
    _, bench = viewer.window.add_plugin_dock_widget("napari-gradcamo", "Grad-CAMO")
    bench.load.open_path(folder)
    wait(lambda: plate.table is not None)
    for line, name in zip(bench.load.plate.names, channels, strict=True):
        type_in(line, name)
    for line, step in zip(bench.load.plate.spacing.lines, spacing, strict=True):
        type_in(line, f"{step:g}")
    bench.load.sites.setCurrentCell(5, 0)
    bench.load.sites.cellActivated.emit(5, 0)
    wait(lambda: window_of(viewer).session.stack is not None)
    open_step(bench, "Load")
    viewer.reset_view()
    camera.window("folder")


def write_as_a_microscope(folder: Path, design: Any) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """One file for each plane and channel; names of channels and voxel size, which none says."""
    import tifffile

    from gradcamo.samples.plate import make_stack

    for well in (f"{row}{column}" for row in design.rows for column in design.columns):
        for site in range(1, design.sites + 1):
            stack, _ = make_stack(design, well, site)
            for c, channel in enumerate(stack.data, 1):
                for z, plane in enumerate(np.asarray(channel), 1):
                    path = folder / f"TimePoint_1/ZStep_{z}/4711_{well}_s{site}_w{c}.TIF"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    tifffile.imwrite(path, plane)
    return stack.channels, stack.spacing_um


def type_in(line: Any, text: str) -> None:
    """Type into a line and press Return."""
    from qtpy.QtCore import Qt
    from qtpy.QtTest import QTest

    line.setText(text)
    QTest.keyClick(line, Qt.Key.Key_Return)


def trained(viewer: Any, camera: Camera) -> None:
    """The training of the docs' page on it, seen in a window of its own."""
    from gradcamo.samples.design import PlateDesign
    from gradcamo.samples.plate import make_plate

    click.echo("training a small network, which takes some minutes")
    viewer.open_sample("napari-gradcamo", "built_in_stack")
    viewer.reset_view()
    folder = Path(tempfile.mkdtemp())
    train = add(viewer, "Train")
    train.plate.load(make_plate(folder / "plate", PlateDesign(rows=("D", "G", "E"))))
    wait(lambda: train.plate.ready)
    train.out.setText("model.safetensors")
    for rows, name, value in (
        (train.crop, "size_yx", (64, 64)),
        (train.main, "input_size", (64, 96, 96)),
        (train.main, "width", 0.25),
        (train.main, "epochs", 20),
        (train.more, "patience", 6),
        (train.main, "learning_rate", 0.001),
        (train.more, "brightness_probability", 0.0),
    ):
        rows.inputs[name].value = value
    with contextlib.chdir(folder):
        press(train, "Train")
        wait(lambda: not train.job.running, 1200)
        wait(lambda: train.picture.isVisible())
    camera.window("train_dock")
    remove(viewer, train)


def audited_plate(folder: Path) -> Path:
    """A plate of twelve stacks and its results, as ``gradcamo plate`` leaves them."""
    from gradcamo.networks.bundled import BUNDLED
    from gradcamo.plate.run import audit_plate
    from gradcamo.samples.design import PlateDesign
    from gradcamo.samples.plate import make_plate

    click.echo("auditing a small plate, which takes some minutes")
    audit_plate(make_plate(folder / "plate", PlateDesign(sites=1)), BUNDLED, folder / "results")
    return folder


def step(bench: Any, title: str) -> Any:
    """The workbench's step of this title."""
    return next(one for one in bench.steps if one.title.text() == title)


def open_step(bench: Any, title: str) -> None:
    """Open one step and close the others."""
    wanted = step(bench, title)
    for one in bench.steps:
        one.open(one is wanted)
    wait(seconds=0.2)


def pick_mode(review: Any, mode: str) -> None:
    """Colour the cells otherwise."""
    review.mode.setCurrentIndex(review.mode.findData(mode))
    review.mode.activated.emit(review.mode.currentIndex())


def ranked(session: Any, rank: float) -> int:
    """The cell at this place between the lowest (0) and the highest (1) score."""
    scored = session.results.table.dropna(subset="grad_camo").sort_values("grad_camo")
    return int(scored["label"].iloc[int(rank * (len(scored) - 1))])


def click_point(mapped: Any, point: int) -> None:
    """Click on a point of the profile map."""
    from qtpy.QtCore import QPointF, Qt
    from qtpy.QtTest import QTest

    wait(seconds=0.5)
    place = QPointF(*map(float, mapped.places[point]))
    where = mapped.plot.mapFromScene(mapped.plot.box.mapViewToScene(place))
    QTest.mouseClick(
        mapped.plot.viewport(),
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
        where,
    )
    wait(seconds=0.5)


def add(viewer: Any, name: str) -> Any:
    """Open a dock as a tab beside the workbench."""
    dock, widget = viewer.window.add_plugin_dock_widget("napari-gradcamo", name, tabify=True)
    dock.show()
    dock.raise_()
    wait(seconds=0.5)
    return widget


def remove(viewer: Any, widget: Any) -> None:
    """Close a dock."""
    viewer.window.remove_dock_widget(widget)
    wait(seconds=0.3)


if __name__ == "__main__":
    main()
