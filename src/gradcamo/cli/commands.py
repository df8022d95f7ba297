"""The command line: flags come from the settings, work from the library."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import click

from gradcamo import settings as s
from gradcamo.cli.options import settings_options
from gradcamo.cli.terminal import (
    caution,
    ctrl_c,
    forget_said,
    plate_line,
    progress_bar,
    show_warning,
    track,
    track_cells,
    track_swaps,
    training_bar,
)
from gradcamo.errors import GradcamoError
from gradcamo.logs import log_warnings, logged_to

_IMAGE = click.argument("image", type=click.Path(path_type=Path))
_OUT: dict[str, Any] = {"type": click.Path(path_type=Path), "required": True}
_KEYS: dict[str, Any] = {"type": click.Path(path_type=Path, exists=True, dir_okay=False)}
_FOLDER: dict[str, Any] = {"type": click.Path(path_type=Path, file_okay=False)}


class _Commands(click.Group):
    """Known problems end in one line and exit code 1, never in a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        forget_said()
        log_warnings(show_warning)
        log = logging.getLogger("gradcamo.cli")
        try:
            return super().invoke(ctx)
        except GradcamoError as error:
            log.error("%s", error, exc_info=True)
            raise click.ClickException(str(error)) from error
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception:
            log.exception("what nobody expected")
            raise

    def add_command(self, command: click.Command, name: str | None = None) -> None:
        command.params.append(
            click.Option(
                ["--log"],
                type=click.Path(path_type=Path, dir_okay=False),
                metavar="FILE",
                expose_value=False,
                callback=_open_log,
                help="add what is said, warned of or goes wrong to a file that can be sent",
            )
        )
        super().add_command(command, name)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)  # in the order of the work


def _open_log(ctx: click.Context, _: click.Parameter, path: Path | None) -> None:
    if path is not None and not ctx.resilient_parsing:
        ctx.find_root().with_resource(logged_to(path))  # open until errors are in it


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="napari-gradcamo", prog_name="gradcamo")
def main() -> None:
    """Grad-CAMO: is the network looking at the cell?

    Segments single cells in 3D Cell Painting stacks, trains networks that tell treatments apart,
    and scores each cell by the share of its Grad-CAM that lies on the cell itself.
    """


@main.command()
@click.option(
    "--out",
    **_FOLDER,
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


@main.command()
@_IMAGE
@click.option("-o", "--out", **_OUT, help="label image to write (.tif)")
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


@main.command()
@click.argument("plate", type=click.Path(path_type=Path))
@click.option("-o", "--out", **_OUT, help="checkpoint to write (.safetensors)")
@click.option("--resume", is_flag=True, help="go on where a training with the same --out ended")
@settings_options(s.TrainSettings)
def train(plate: Path, out: Path, resume: bool, settings: s.TrainSettings) -> None:
    """Train a network to tell the treatments of PLATE (a CSV) apart, leaving wells out.

    Ctrl-C keeps the best weights so far. The report and a donor bank, for causal attention, are
    written beside the checkpoint.
    """
    from gradcamo.training.train import train_and_save

    with training_bar() as show, ctrl_c() as stop:
        train_and_save(plate, out, settings, click.echo, show, stop, resume)
    click.echo(f"written to {out}")


@main.command()
@click.argument("plate", metavar="PLATE", type=click.Path(path_type=Path))
@click.option("--checkpoint", "checkpoint_path", **_OUT, help="network it is for (.safetensors)")
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), help="bank to write (default: beside)"
)
@settings_options(s.DonorSettings)
def donors(plate: Path, checkpoint_path: Path, out: Path | None, settings: s.DonorSettings) -> None:
    """Make a donor bank of PLATE (a CSV): cells that stand in for others in causal attention.

    Cells are drawn from the wells that the network was trained on.
    """
    from gradcamo.causal.bank import bank_beside
    from gradcamo.files.landing import refuse_unwritable
    from gradcamo.networks.checkpoint import Checkpoint
    from gradcamo.training.plate_donors import plate_donors

    if out is None and str(checkpoint_path) == "bundled":
        raise click.UsageError(
            "name the bank to write with -o: nothing is written beside 'bundled'"
        )
    out = out or bank_beside(checkpoint_path)
    refuse_unwritable(out, (".npz",), [plate, checkpoint_path])
    checkpoint = Checkpoint.load(_checkpoint_path(checkpoint_path))
    with progress_bar("Reading stacks") as bar:
        bank = plate_donors(plate, checkpoint, settings, _shown_by(bar))
    bank.save(out)
    click.echo(f"{bank}; {out.stat().st_size / 1e6:,.0f} MB on disk, written to {out}")


@main.command("import")
@click.argument("weights", metavar="WEIGHTS", type=click.Path(path_type=Path))
@click.option("-o", "--out", **_OUT, help="checkpoint to write (.safetensors)")
@settings_options(s.ImportSettings)
def import_(weights: Path, out: Path, settings: s.ImportSettings) -> None:
    """Make a checkpoint of WEIGHTS, a .pth of EfficientNet-PyTorch-3D.

    Variant and width are read off the weights; what they do not hold is said with the options.
    """
    from gradcamo.files.landing import refuse_unwritable
    from gradcamo.networks.published import import_published

    refuse_unwritable(out, (".safetensors",), [weights])
    checkpoint = import_published(weights, settings)
    checkpoint.save(out)
    built = checkpoint.architecture
    click.echo(
        f"{built['name']}, width {built['width']:g}; {len(checkpoint.channels)} channels: "
        f"{', '.join(checkpoint.channels)}; {len(checkpoint.classes)} classes: "
        f"{', '.join(checkpoint.classes)}; explained at {checkpoint.layer}"
    )
    if not settings.channel_mean and not settings.channel_std:
        click.echo(
            "Note: intensities are used as rescaled to [0, 1]; if the training standardised them, "
            "say so with --channel-mean and --channel-std",
            err=True,
        )
    click.echo(f"written to {out}")


@main.command()
@_IMAGE
@click.option("--labels", "labels_path", **_OUT, help="label image of its cells")
@click.option("--checkpoint", "checkpoint_path", **_OUT, help="network to audit (.safetensors)")
@click.option("-o", "--out", **_OUT, help="table to write: .csv, .parquet or .h5ad (profiles)")
@click.option("--maps", **_FOLDER, help="folder for one heatmap per cell")
@settings_options(s.LabelReadSettings, "reading")
@settings_options(s.AuditSettings)
@settings_options(s.SwapSettings, "swap")
def audit(
    image: Path,
    labels_path: Path,
    checkpoint_path: Path,
    out: Path,
    maps: Path | None,
    reading: s.LabelReadSettings,
    settings: s.AuditSettings,
    swap: s.SwapSettings,
) -> None:
    """Score every cell of IMAGE: does the network look at it? With --causal: does it hang on it?"""
    from gradcamo.auditing.causal import ask_causally, causal_settings, find_bank, with_causal
    from gradcamo.auditing.cautions import facts, with_cautions
    from gradcamo.auditing.stack import audit_crops, audit_recipe, cells_of, gather
    from gradcamo.auditing.summary import summarise, summarise_causal
    from gradcamo.files.labels import read_labels
    from gradcamo.files.landing import refuse_unwritable
    from gradcamo.files.stacks import read_stack
    from gradcamo.files.store import TABLE_SUFFIXES, write_table
    from gradcamo.files.told import TOLD, row_of
    from gradcamo.networks.checkpoint import Checkpoint

    refuse_unwritable(out, TABLE_SUFFIXES, [image, labels_path, checkpoint_path])
    if maps is not None:
        refuse_unwritable(maps / "1.ome.tif")
    row = row_of(image, reading, labels_path)
    stack = read_stack(row)
    labels = read_labels(row, like=stack)
    checkpoint = Checkpoint.load(_checkpoint_path(checkpoint_path))
    bank = (
        find_bank(swap.donors, _checkpoint_path(checkpoint_path), _bundled_bank)
        if swap.causal
        else None
    )
    crops = cells_of(stack, labels, checkpoint, settings)
    batches = audit_crops(crops, checkpoint, settings)
    caution(facts(audit_recipe(stack, checkpoint, settings)))  # before long work
    if maps is not None:
        batches = _writing_maps(batches, maps, checkpoint, stack)
    table, profiles = gather(track_cells(batches))
    recipe = audit_recipe(stack, checkpoint, settings)
    recipe |= {name: row[name] for name in TOLD if name in row and name not in recipe}
    if bank is not None:
        how = causal_settings(swap, settings)
        asked = ask_causally(crops, checkpoint, bank, how, track=track_swaps)
        table, recipe = with_causal(table, asked.table), recipe | {"causal": asked.recipe}
    recipe = with_cautions(table, recipe)
    write_table(table, out, recipe, profiles if out.suffix.lower() == ".h5ad" else None)
    click.echo(summarise(table, settings.cutoff))
    if bank is not None:
        click.echo(summarise_causal(table))
    caution(recipe["cautions"])
    click.echo(f"written to {out}")


@main.command()
@click.argument("plate", metavar="PLATE", type=click.Path(path_type=Path))
@click.option("--checkpoint", "checkpoint_path", **_OUT, help="network to audit (.safetensors)")
@click.option(
    "-o",
    "--out",
    **_FOLDER,
    required=True,
    help="folder of results; a run that was killed goes on there",
)
@click.option("--scheduler", help="address of a Dask scheduler (default: a local cluster)")
@click.option("--tls-ca-file", **_KEYS, help="certificate authority of a scheduler at tls://…")
@click.option("--tls-cert", **_KEYS, help="own certificate for it (.pem)")
@click.option("--tls-key", **_KEYS, help="key of that certificate (.pem)")
@click.option("--dry-run", is_flag=True, help="say what would be done, and stop")
@settings_options(s.PlateSettings)
def plate(
    plate: Path,
    checkpoint_path: Path,
    out: Path,
    scheduler: str | None,
    tls_ca_file: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    dry_run: bool,
    settings: s.PlateSettings,
) -> None:
    """Audit every stack of PLATE: a CSV, an OME-Zarr plate, or a folder of named files.

    The exit status is 1 if any stack is missing from the table.
    """
    from gradcamo.auditing.causal import find_bank

    checkpoint_path = _checkpoint_path(checkpoint_path)
    bank = find_bank(settings.donors, checkpoint_path, _bundled_bank) if settings.causal else None
    if dry_run:
        from gradcamo.plate.plan import plan_plate

        click.echo(plan_plate(plate, checkpoint_path, out, settings, bank))
        return
    from gradcamo.files.landing import refuse_unwritable
    from gradcamo.plate.cluster import certificates
    from gradcamo.plate.run import audit_plate, open_plate

    refuse_unwritable(out / "cells.parquet")
    rows = open_plate(plate, settings)
    if "recognised" in rows.attrs:
        click.echo(rows.attrs["recognised"])
    with certificates(scheduler, tls_ca_file, tls_cert, tls_key), plate_line() as show:
        summary = audit_plate(rows, checkpoint_path, out, settings, scheduler, show, bank)
    click.echo(summary)
    sys.exit(summary.exit_status)


@main.command()
@click.argument("folder", metavar="FOLDER", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), help="table to write (.csv)")
@settings_options(s.FolderSettings)
def table(folder: Path, out: Path | None, settings: s.FolderSettings) -> None:
    """Say what is in the FOLDER of a plate, and write the table of its stacks.

    The table is what the other commands take for a plate; further columns may be added to it.
    """
    from gradcamo.files.landing import landing, refuse_unwritable
    from gradcamo.files.plates import plate_as_told

    if out is not None:
        refuse_unwritable(out, (".csv",), [folder])
    rows = plate_as_told(folder, settings)
    click.echo(rows.attrs.get("recognised", f"{len(rows)} stacks"))
    if out is None:
        click.echo(rows.head(8).to_string(index=False, max_colwidth=60))
        return
    with landing(out) as scratch:
        rows.to_csv(scratch, index=False)
    click.echo(f"written to {out}")
    if not rows["treatment"].any():
        click.echo("Note: no treatments are known; name a --layout, or type them in", err=True)


@main.command()
@click.argument("source", metavar="IMAGE|PLATE", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--out",
    **_OUT,
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
    from gradcamo.files.landing import ending_of
    from gradcamo.files.plates import is_plate, plate_as_told
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


@main.command()
@click.argument("source", metavar="DIR|CELLS", type=click.Path(path_type=Path))
@click.option("-o", "--out", **_OUT, help="page to write (.html)")
def report(source: Path, out: Path) -> None:
    """Write one self-contained page about a plate's folder or a table of cells."""
    from gradcamo.files.landing import refuse_unwritable
    from gradcamo.report import write_report

    refuse_unwritable(out, (".html",), [source])
    click.echo(f"written to {write_report(source, out)}")


@main.command("open")
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
    open_window(row, labels, checkpoint and _checkpoint_path(checkpoint), run=True)


@main.command()
@click.argument("checkpoint_path", metavar="MODEL", type=click.Path(path_type=Path))
@click.option(
    "--audit",
    "plate",
    metavar="PLATE",
    type=click.Path(path_type=Path),
    help="score every layer on the held-out wells of this plate (a CSV)",
)
@click.option(
    "--out",
    **_FOLDER,
    help="folder for the table and the plot; in a plate's folder the report takes them up",
)
@settings_options(s.LayerAuditSettings)
def layers(
    checkpoint_path: Path, plate: Path | None, out: Path | None, settings: s.LayerAuditSettings
) -> None:
    """List the layers of MODEL: channels, grid, stride and where each one looks.

    With --audit, score them all in one pass: attention on the cell against what a linear
    classifier can read from the layer.
    """
    from gradcamo.auditing.cautions import coarse_layers
    from gradcamo.networks.checkpoint import Checkpoint

    checkpoint = Checkpoint.load(_checkpoint_path(checkpoint_path))
    if plate is not None:
        _audit_layers(plate, checkpoint, out, settings)
        return
    click.echo(f"{'layer':<10} {'channels':>8}  {'grid z y x':<12} {'stride':<14} offset (voxels)")
    for name, info in checkpoint.layers.items():
        sight = [_numbers(v) for v in info.sight] if info.sight else ["?", "?"]
        mark = "  <- explained by default" if name == checkpoint.layer else ""
        click.echo(
            f"{name:<10} {info.channels:>8}  {_numbers(info.grid):<12} {sight[0]:<14} "
            f"{sight[1]}{mark}"
        )
    caution(coarse_layers({name: info.grid for name, info in checkpoint.layers.items()}))


def _audit_layers(
    plate: Path, checkpoint: Any, out: Path | None, settings: s.LayerAuditSettings
) -> None:
    from gradcamo.auditing.layer_audit import layer_audit_steps
    from gradcamo.auditing.layer_report import layer_audit_text, save_layer_audit
    from gradcamo.files.landing import refuse_unwritable

    if out is not None:
        refuse_unwritable(out / "layers.parquet")
    for step in track_cells(layer_audit_steps(plate, checkpoint, settings)):
        if step.result is not None:
            click.echo(layer_audit_text(step.result))
            caution(step.result.cells.attrs["recipe"]["cautions"])
            if out is not None:
                files = save_layer_audit(step.result, out, checkpoint.layer)
                click.echo(f"written to {', '.join(map(str, files))}")


def _checkpoint_path(path: Path) -> Path:
    """'bundled' names the demo checkpoint, as it does for Cellpose."""
    from gradcamo.networks.checkpoint import BUNDLED

    return BUNDLED if str(path) == "bundled" else path


def _bundled_bank() -> Any:
    from gradcamo.samples.bundled_donors import bundled_bank

    with progress_bar("Making donors, once") as bar:
        return bundled_bank(_shown_by(bar))


def _shown_by(bar: Any) -> Callable[[int, int], None]:
    def show(done: int, total: int) -> None:
        bar.length = total
        bar.update(done - bar.pos)

    return show


def _numbers(values: Iterable[float]) -> str:
    return " ".join(f"{v:g}" for v in values)


def _writing_maps(
    batches: Iterable[Any], folder: Path, checkpoint: Any, stack: Any
) -> Iterator[Any]:
    from gradcamo.cells.overlap import upsample_cam
    from gradcamo.files.store import write_maps

    size = (stack.shape[1], *checkpoint.crop.size_yx)
    for batch in batches:
        if batch.maps.ndim > 1:
            about = batch.table.iloc[0][["image", "layer", "alignment", "gradients"]].to_dict()
            shape = size[-(batch.maps.ndim - 1) :]
            maps = upsample_cam(batch.maps, shape, batch.placement)
            write_maps(folder, batch.table["label"], maps, batch.starts, stack.spacing_um, about)
        yield batch


if __name__ == "__main__":
    main()
