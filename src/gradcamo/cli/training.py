"""Commands on networks of a plate: train one, and gather donors for it."""

from __future__ import annotations

from pathlib import Path

import click

from gradcamo import settings as s
from gradcamo.cli.options import NETWORK, OUT, settings_options
from gradcamo.cli.terminal import ctrl_c, progress_bar, shown_by, training_bar


@click.command()
@click.argument("plate", type=click.Path(path_type=Path))
@click.option("-o", "--out", **OUT, help="checkpoint to write (.safetensors)")
@click.option("--resume", is_flag=True, help="go on where a training with the same --out ended")
@settings_options(s.TrainSettings)
def train(plate: Path, out: Path, resume: bool, settings: s.TrainSettings) -> None:
    """Train a network to tell the treatments of PLATE (a CSV) apart, leaving wells out.

    Ctrl-C keeps the best weights so far. The report and a donor bank, for causal attention, are
    written beside the checkpoint.
    """
    from gradcamo.training.saving import train_and_save

    with training_bar() as show, ctrl_c() as stop:
        train_and_save(plate, out, settings, click.echo, show, stop, resume)
    click.echo(f"written to {out}")


@click.command()
@click.argument("plate", metavar="PLATE", type=click.Path(path_type=Path))
@NETWORK
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    help="bank to write (default: beside the checkpoint)",
)
@settings_options(s.DonorSettings)
def donors(plate: Path, checkpoint_path: Path, out: Path | None, settings: s.DonorSettings) -> None:
    """Make a donor bank of PLATE (a CSV): cells that stand in for others in causal attention.

    Cells are drawn from the wells that the network was trained on.
    """
    from gradcamo.causal.bank_file import bank_beside
    from gradcamo.files.landing import refuse_unwritable
    from gradcamo.networks.checkpoint import Checkpoint
    from gradcamo.training.plate_donors import plate_donors

    if out is None and str(checkpoint_path) == "bundled":
        raise click.UsageError(
            "name the bank to write with -o: nothing is written beside 'bundled'"
        )
    out = out or bank_beside(checkpoint_path)
    refuse_unwritable(out, (".npz",), [plate, checkpoint_path])
    checkpoint = Checkpoint.load(checkpoint_path)
    with progress_bar("Reading stacks") as bar:
        bank = plate_donors(plate, checkpoint, settings, shown_by(bar))
    bank.save(out)
    click.echo(f"{bank}; {out.stat().st_size / 1e6:,.0f} MB on disk, written to {out}")
