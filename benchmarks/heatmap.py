"""How long a click on a cell waits for its heatmap; printed, not asserted.

xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/heatmap.py
"""

from __future__ import annotations

import os
import tempfile
import time
from typing import Any

import numpy as np

FIELD = 1080  # a camera's width in pixels


def main() -> None:
    os.environ["NAPARI_CONFIG"] = ""
    for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        os.environ[name] = tempfile.mkdtemp()
    import napari
    from qtpy.QtWidgets import QApplication

    from gradcamo.docks.work.ready import ready
    from gradcamo.networks.bundled import BUNDLED
    from gradcamo.networks.checkpoint import Checkpoint
    from gradcamo.samples.design import PlateDesign
    from gradcamo.samples.plate import make_stack

    viewer = napari.Viewer()
    viewer.window.resize(1440, 900)
    stack, labels = make_stack(PlateDesign(), "G02", 1)
    times = FIELD // stack.shape[-1]
    wide = np.tile(np.asarray(stack.data), (1, 1, times, times))
    ids = np.arange(times * times, dtype=np.int32).reshape(1, times, 1, times, 1) * 1000
    tiles = np.tile(labels[:, None, :, None], (1, times, 1, times, 1))
    many = np.where(tiles > 0, tiles + ids, 0).reshape(wide.shape[1:]).astype(np.int32)
    for what, image, cells in (("built-in stack", stack.data, labels), ("wide stack", wide, many)):
        for checkpoint in (Checkpoint.load(BUNDLED), reference(stack)):
            cells = np.where(cells > 0, cells + 1, 0)  # kept scores would come back
            size = " × ".join(map(str, checkpoint.input_size))
            width = checkpoint.architecture["width"]
            print(f"{what} {image.shape}, B0 of width {width:g} at {size}, {checkpoint.layer}")
            clicks(viewer, QApplication.processEvents, (stack, image, cells), ready(checkpoint))
    viewer.close()


def reference(stack: Any) -> Any:
    """An untrained network of the reference size: as slow as a trained one."""
    from gradcamo.networks.checkpoint import Checkpoint
    from gradcamo.networks.efficientnet import efficientnet3d
    from gradcamo.settings import CropSettings

    architecture = {"name": "efficientnet-b0", "in_channels": 6, "num_classes": 6, "width": 1.0}
    return Checkpoint(
        network=efficientnet3d(**architecture),
        classes=tuple("abcdef"),
        channels=stack.channels,
        channel_mean=(0.15,) * 6,
        channel_std=(0.15,) * 6,
        crop=CropSettings(),
        input_size=(64, 224, 224),
        layer="block_10",
        architecture=architecture,
    )


def clicks(viewer: Any, settle: Any, of: tuple[Any, ...], checkpoint: Any) -> None:
    """The first click, others that are not cached, and clicks on what is."""
    from dataclasses import replace

    from gradcamo.display import contrast_limits
    from gradcamo.docks.canvas.layers import show_labels, show_stack
    from gradcamo.docks.window import window_of

    stack, image, cells = of
    window = window_of(viewer)
    session = window.session
    viewer.layers.clear()
    stack = replace(stack, data=image)
    limits = [contrast_limits(channel) for channel in stack.data]
    session.set_stack(stack, show_stack(viewer, stack, limits))
    session.set_labels(show_labels(viewer, cells, session.channel_layers[stack.channels[0]]))
    session.set_checkpoint(checkpoint, "benchmark")
    from gradcamo.cells.crops import CellCrops

    table = CellCrops(stack, cells, checkpoint.crop).table
    labels = table["label"][~table["touches_border"]].tolist()
    viewer.dims.set_current_step(0, stack.shape[1] // 2)
    settle()
    while window.found.job.running:  # a user looks before clicking; cells are found meanwhile
        settle()
        time.sleep(0.002)
    uncached = [one_click(viewer, session, settle, label) for label in labels[:6]]
    print(f"  first click                {uncached[0][0]:7.0f} ms (processor {uncached[0][1]:.0f})")
    print(f"  others, not cached         {middle(uncached[1:])}")
    again = [one_click(viewer, session, settle, label) for label in labels[:6]]
    print(f"  cached                     {middle(again)}")


def one_click(viewer: Any, session: Any, settle: Any, label: int) -> tuple[float, float]:
    """Milliseconds until the heatmap of a cell is drawn, by the clock and of the processor."""
    drawn: list[tuple[float, float]] = []

    def look(event: Any) -> None:
        if heatmap_of(viewer) == f"cell {label}":
            drawn.append((time.perf_counter(), time.process_time()))

    canvas = viewer.window._qt_viewer.canvas._scene_canvas
    canvas.events.draw.connect(look, position="last")
    began, busy = time.perf_counter(), time.process_time()
    session.choose(label, "canvas")
    while not drawn:
        settle()
        time.sleep(0.002)  # the processor belongs to the network
    canvas.events.draw.disconnect(look)
    for _ in range(20):  # its outline follows
        settle()
    return 1000 * (drawn[0][0] - began), 1000 * (drawn[0][1] - busy)


def heatmap_of(viewer: Any) -> str:
    from gradcamo.docks.canvas.heat_layer import heatmap_layer

    layer = heatmap_layer(viewer)
    return "" if layer is None else layer.metadata["cell"]


def middle(taken: list[tuple[float, float]]) -> str:
    clock, busy = np.median(taken, axis=0)
    return f"{clock:7.0f} ms (processor {busy:.0f})"


if __name__ == "__main__":
    main()
