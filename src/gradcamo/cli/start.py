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
    help="folder for the plate, the table, the pictures and the report",
)
@click.option("--gui/--no-gui", default=True, help="open napari at the end, if there is a display")
@click.option("--segment-all", is_flag=True, help="segment every stack with Cellpose, not two")
def demo(out: Path, gui: bool, segment_all: bool) -> None:
    """Run the whole chain on the built-in plate, from stacks to a report."""
    from gradcamo.cli.demo import run_demo

    run_demo(out, segment_all=segment_all, gui=gui, say=click.echo, track=track)


@click.command("open")
@click.argument(
    "image", metavar="[IMAGE|FOLDER|TABLE]", type=click.Path(path_type=Path), required=False
)
@click.option("--checkpoint", type=click.Path(path_type=Path), help="network to explain")
@click.option("--images", **FOLDER, help="of a TABLE: the folder below which its images lie")
@click.option("--object-number", help="of a TABLE: the column with the number of each label")
@settings_options(s.OpenSettings, "reading")
def open_(
    image: Path | None,
    checkpoint: Path | None,
    images: Path | None,
    object_number: str | None,
    reading: s.OpenSettings,
) -> None:
    """Open napari with the Grad-CAMO workbench and what is named loaded.

    Of the FOLDER of a plate (or its table) the stacks are listed, and opened one by one. So are the
    images of a TABLE of single cells: Parquet or CSV by CytoTable, CellProfiler or coSMicQC.
    """
    from gradcamo.docks.entry.launch import open_window
    from gradcamo.files.images import is_plate
    from gradcamo.files.single_cells.cells import is_single_cells, read_single_cells
    from gradcamo.files.told import row_of

    if image is not None and is_single_cells(image):
        about = row_of(image, reading)
        told = {name: about[name] for name in about if name not in ("image", "labels")}
        cells = read_single_cells(image, reading.labels, images, object_number, told)
        click.echo(cells.recognised)
        open_window(cells=cells, checkpoint=checkpoint, run=True)
        return
    if images is not None or object_number is not None:
        raise click.UsageError(
            "--images and --object-number are for a table of single cells, with a column such as "
            f"Metadata_ObjectNumber, got {image or 'none'}"
        )
    if image is not None and is_plate(image):
        open_window(image, checkpoint=checkpoint, told=reading, run=True)
        return
    of_folders = ("pattern", "layout", "well_column", "treatment_column")
    if given := [name for name in of_folders if getattr(reading, name) is not None]:
        flag = given[0].replace("_", "-")
        raise click.UsageError(f"--{flag} is for the folder of a plate, got {image or 'none'}")
    row = None if image is None else row_of(image, reading, reading.labels)
    open_window(row, reading.labels, checkpoint, run=True)
