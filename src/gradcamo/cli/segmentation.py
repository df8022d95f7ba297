"""The command that finds cells."""

from __future__ import annotations

from pathlib import Path

import click

from gradcamo import settings as s
from gradcamo.cli.options import IMAGE, OUT, settings_options
from gradcamo.cli.terminal import track


@click.command()
@IMAGE
@click.option("-o", "--out", **OUT, help="label image to write (.tif)")
@settings_options(s.ReadSettings, "reading")
@settings_options(s.SegmentSettings)
def segment(image: Path, out: Path, reading: s.ReadSettings, settings: s.SegmentSettings) -> None:
    """Segment the cells of IMAGE with Cellpose."""
    from gradcamo.files.labels import write_labels
    from gradcamo.files.landing import refuse_unwritable
    from gradcamo.files.stacks import read_stack
    from gradcamo.files.told import row_of
    from gradcamo.segmentation.models import described
    from gradcamo.segmentation.planes import segment_planes, stitch

    refuse_unwritable(out, (".tif", ".tiff"), [image])
    stack = read_stack(row_of(image, reading))
    click.echo(f"model: {described(settings.model)}", err=True)
    planes = [p.masks for p in track(segment_planes(stack, settings), "Segmenting", stack.shape[1])]
    labels = stitch(planes, settings)
    write_labels(out, labels, stack.spacing_um)
    click.echo(f"{labels.max()} cells, written to {out}")
    if not labels.any():
        click.echo("Note: no cells were found; try another --diameter or --model", err=True)
