"""Commands on files: what a folder holds, and other formats of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from gradcamo import settings as s
from gradcamo.cli.options import CYTOMINING, OUT, settings_options
from gradcamo.cli.terminal import track


@click.command()
@click.argument("folder", metavar="FOLDER", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), help="table to write (.csv)")
@settings_options(s.FolderSettings)
def table(folder: Path, out: Path | None, settings: s.FolderSettings) -> None:
    """Say what is in the FOLDER of a plate, and write the table of its stacks.

    The table is what the other commands take for a plate; further columns may be added to it.
    """
    from gradcamo.files.folder_summary import untold
    from gradcamo.files.landing import landing, refuse_unwritable
    from gradcamo.files.plates import plate_as_told

    if out is not None:
        refuse_unwritable(out, (".csv",), [folder])
    rows = plate_as_told(folder, settings)
    click.echo(rows.attrs.get("recognised", f"{len(rows)} stacks"))
    if out is None:
        click.echo(rows.head(8).to_string(index=False, max_colwidth=60))
    else:
        with landing(out) as scratch:
            rows.to_csv(scratch, index=False)
        click.echo(f"written to {out}")
    for note in untold(rows):
        click.echo(f"Note: {note}", err=True)


@click.command()
@click.argument("source", metavar="IMAGE|PLATE", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--out",
    **OUT,
    help="of an image .ome.zarr or .ome.tif, of a plate a folder",
)
@click.option(
    "--image-labels", type=click.Path(path_type=Path), help="label image of IMAGE's cells"
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["ome-zarr", "ome-tiff"]),
    default="ome-zarr",
    show_default=True,
    help="of the stacks of a plate",
)
@settings_options(s.FolderSettings)
def convert(
    source: Path, out: Path, image_labels: Path | None, form: Any, settings: s.FolderSettings
) -> None:
    """Write an IMAGE, or a whole PLATE with its labels, as OME-Zarr 0.5 or OME-TIFF.

    The files then say their axes, channel names and voxel size themselves. PLATE is a folder of
    files, a CSV, or an OME-Zarr plate; its new folder holds a plate.csv.
    """
    from gradcamo.files.convert import convert_plate, convert_stack
    from gradcamo.files.images import is_plate
    from gradcamo.files.landing import ending_of
    from gradcamo.files.plates import plate_as_told
    from gradcamo.files.told import row_of

    if not is_plate(source):
        ending_of(out, (".zarr", ".tif", ".tiff"))
        convert_stack(out, row_of(source, settings, image_labels))
    else:
        rows = plate_as_told(source, settings)
        click.echo(rows.attrs.get("recognised", f"{len(rows)} stacks"))
        for _ in track(convert_plate(rows, out, form), "Converting", len(rows)):
            pass
    click.echo(f"written to {out}")


@click.command()
@click.argument("source", metavar="DIR|CELLS", type=click.Path(path_type=Path))
@click.option("-o", "--out", **OUT, help="table to write: .csv, .parquet or .h5ad")
@click.option("--profiles", is_flag=True, help="with profiles (.h5ad always): whole cells alone")
@CYTOMINING
def export(source: Path, out: Path, profiles: bool, cytomining: bool) -> None:
    """Write a plate's folder or a table of cells in another format, or under other names."""
    from gradcamo.files.export import export_table

    cells = export_table(source, out, profiles or out.suffix.lower() == ".h5ad", cytomining)
    click.echo(f"{len(cells):,} cells written to {out}")
