"""Commands on networks that are there: published weights, and layers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from gradcamo import settings as s
from gradcamo.cli.options import FOLDER, OUT, settings_options
from gradcamo.cli.terminal import caution, track_cells


@click.command("import")
@click.argument("weights", metavar="WEIGHTS", type=click.Path(path_type=Path))
@click.option("-o", "--out", **OUT, help="checkpoint to write (.safetensors)")
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


@click.command()
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
    **FOLDER,
    help="folder for the table and the plot; in a plate's folder the report takes them up, and "
    "where its cells were asked causally, layers that rank them otherwise say so",
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

    checkpoint = Checkpoint.load(checkpoint_path)
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
    from gradcamo.auditing.agreement import asked_in
    from gradcamo.auditing.layer_audit import layer_audit_steps, with_agreement
    from gradcamo.auditing.layer_report import layer_audit_text, save_layer_audit
    from gradcamo.files.landing import refuse_unwritable

    if out is not None:
        refuse_unwritable(out / "layers.parquet")
    asked = None if out is None else asked_in(out)
    for step in track_cells(layer_audit_steps(plate, checkpoint, settings)):
        if step.result is not None:
            result = with_agreement(step.result, asked)
            click.echo(layer_audit_text(result))
            caution(result.cells.attrs["recipe"]["cautions"])
            if out is not None:
                files = save_layer_audit(result, out, checkpoint.layer)
                click.echo(f"written to {', '.join(map(str, files))}")


def _numbers(values: Iterable[float]) -> str:
    return " ".join(f"{v:g}" for v in values)
