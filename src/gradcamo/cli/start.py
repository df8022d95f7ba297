"""Commands to begin with: the demo, and napari opened."""

from __future__ import annotations

from pathlib import Path

import click

from gradcamo import settings as s
from gradcamo.cli.options import FOLDER, settings_options
from gradcamo.cli.terminal import track


@click.command()
@click.option(
    "--out",
    **FOLDER,
    default=Path("demo"),
    show_default=True,
    help="folder for the plate, the table and the pictures",
)
@click.option("--gui/--no-gui", default=True, help="open napari at the end, if there is a display")
@click.option("--segment-all", is_flag=True, help="segment every stack with Cellpose, not two")
def demo(out: Path, gui: bool, segment_all: bool) -> None:
    """Run the whole chain on the built-in plate."""
    from gradcamo.cli.demo import run_demo

    run_demo(out, segment_all=segment_all, gui=gui, say=click.echo, track=track)


@click.command("open")
@click.argument("image", type=click.Path(path_type=Path), required=False)
@click.option("--labels", type=click.Path(path_type=Path), help="label image of its cells")
@click.option("--checkpoint", type=click.Path(path_type=Path), help="network to explain")
@settings_options(s.LabelReadSettings, "reading")
def open_(
    image: Path | None,
    labels: Path | None,
    checkpoint: Path | None,
    reading: s.LabelReadSettings,
) -> None:
    """Open napari with the Grad-CAMO workbench and what is named loaded."""
    from gradcamo.docks.entry.launch import open_window
    from gradcamo.files.told import row_of

    row = None if image is None else row_of(image, reading, labels)
    open_window(row, labels, checkpoint, run=True)
