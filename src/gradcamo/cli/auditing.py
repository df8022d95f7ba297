"""The command that scores the cells of a stack."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import click

from gradcamo import settings as s
from gradcamo.cli.bundled import bundled_bank
from gradcamo.cli.options import CYTOMINING, FOLDER, IMAGE, NETWORK, OUT, settings_options
from gradcamo.cli.terminal import caution, track_cells


@click.command()
@IMAGE
@click.option("--labels", "labels_path", **OUT, help="label image of its cells")
@NETWORK
@click.option("-o", "--out", **OUT, help="table to write: .csv, .parquet or .h5ad (profiles)")
@click.option("--maps", **FOLDER, help="folder for one heatmap per cell")
@CYTOMINING
@settings_options(s.LabelReadSettings, "reading")
@settings_options(s.AuditSettings)
@settings_options(s.SwapSettings, "swap")
def audit(
    image: Path,
    labels_path: Path,
    checkpoint_path: Path,
    out: Path,
    maps: Path | None,
    cytomining: bool,
    reading: s.LabelReadSettings,
    settings: s.AuditSettings,
    swap: s.SwapSettings,
) -> None:
    """Score every cell of IMAGE: does the network look at it?

    With --causal, also: does the prediction depend on it?
    """
    from gradcamo.auditing.causal import (
        ask_causally,
        causal_settings,
        find_bank,
        refuse_unasked,
        with_causal,
    )
    from gradcamo.auditing.cautions import facts, with_cautions
    from gradcamo.auditing.recipe import audit_recipe
    from gradcamo.auditing.stack import audit_crops, cells_of, gather
    from gradcamo.auditing.summary import summarise, summarise_causal
    from gradcamo.files.export import write_cytomining
    from gradcamo.files.labels import read_labels
    from gradcamo.files.landing import refuse_unwritable
    from gradcamo.files.misfits import refuse_misfit
    from gradcamo.files.stacks import read_stack
    from gradcamo.files.store import TABLE_SUFFIXES, write_table
    from gradcamo.files.told import row_of, said_of
    from gradcamo.networks.checkpoint import Checkpoint

    refuse_unwritable(out, TABLE_SUFFIXES, [image, labels_path, checkpoint_path])
    if maps is not None:
        refuse_unwritable(maps / "1.ome.tif")
    row = row_of(image, reading, labels_path)
    stack = read_stack(row)
    labels = read_labels(row, like=stack)
    refuse_misfit(labels.shape, stack, labels_path)
    checkpoint = Checkpoint.load(checkpoint_path)
    bank = find_bank(swap.donors, checkpoint_path, bundled_bank) if swap.causal else None
    how = causal_settings(swap, settings)
    if bank is not None:
        refuse_unasked(stack, checkpoint, bank, how)
    crops = cells_of(stack, labels, checkpoint, settings)
    batches = audit_crops(crops, checkpoint, settings)
    caution(facts(audit_recipe(stack, checkpoint, settings)))  # before long work
    if maps is not None:
        batches = _writing_maps(batches, maps, checkpoint, stack)
    table, profiles = gather(track_cells(batches))
    recipe = said_of(row) | audit_recipe(stack, checkpoint, settings)
    if bank is not None:
        track = partial(track_cells, what="Swapping regions")
        asked = ask_causally(crops, checkpoint, bank, how, track=track)
        table, recipe = with_causal(table, asked.table), recipe | {"causal": asked.recipe}
    recipe = with_cautions(table, recipe)
    write = write_cytomining if cytomining else write_table
    write(table, out, recipe, profiles if cytomining or out.suffix.lower() == ".h5ad" else None)
    click.echo(summarise(table, settings.cutoff))
    if bank is not None:
        click.echo(summarise_causal(table))
    caution(recipe["cautions"])
    click.echo(f"written to {out}")


def _writing_maps(
    batches: Iterable[Any], folder: Path, checkpoint: Any, stack: Any
) -> Iterator[Any]:
    from gradcamo.cells.upsampling import upsample_cam
    from gradcamo.files.heatmaps import write_maps

    size = checkpoint.crop.window(stack.shape[1])
    for batch in batches:
        if batch.maps.ndim > 1:
            about = batch.table.iloc[0][["image", "layer", "alignment", "gradients"]].to_dict()
            shape = size[-(batch.maps.ndim - 1) :]
            maps = upsample_cam(batch.maps, shape, batch.placement)
            write_maps(folder, batch.table["label"], maps, batch.starts, stack.spacing_um, about)
        yield batch
