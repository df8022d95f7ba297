"""Commands on whole plates: audit one, and write the page about it."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from gradcamo import settings as s
from gradcamo.cli.bundled import bundled_bank
from gradcamo.cli.options import FOLDER, KEYS, NETWORK, OUT, settings_options
from gradcamo.cli.terminal import plate_line


@click.command()
@click.argument("plate", metavar="PLATE", type=click.Path(path_type=Path))
@NETWORK
@click.option(
    "-o",
    "--out",
    **FOLDER,
    required=True,
    help="folder of results; a run that was killed goes on there",
)
@click.option("--scheduler", help="address of a Dask scheduler (default: a local cluster)")
@click.option("--tls-ca-file", **KEYS, help="certificate authority of a scheduler at tls://…")
@click.option("--tls-cert", **KEYS, help="own certificate for it (.pem)")
@click.option("--tls-key", **KEYS, help="key of that certificate (.pem)")
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

    The exit status is 1 if any stack is missing from the table, none has a cell, or a dry run
    finds one that would be missing.
    """
    from gradcamo.auditing.causal import find_bank

    bank = find_bank(settings.donors, checkpoint_path, bundled_bank) if settings.causal else None
    if dry_run:
        from gradcamo.plate.plan import plan_plate

        with plate_line() as show:
            plan = plan_plate(plate, checkpoint_path, out, settings, bank, show)
        click.echo(plan)
        sys.exit(plan.exit_status)
    from gradcamo.files.landing import refuse_unwritable
    from gradcamo.files.plates import plate_as_told
    from gradcamo.plate.cluster import certificates
    from gradcamo.plate.run import audit_plate

    refuse_unwritable(out / "cells.parquet")
    rows = plate_as_told(plate, settings)
    if "recognised" in rows.attrs:
        click.echo(rows.attrs["recognised"])
    with certificates(scheduler, tls_ca_file, tls_cert, tls_key), plate_line() as show:
        summary = audit_plate(rows, checkpoint_path, out, settings, scheduler, show, bank)
    click.echo(summary)
    sys.exit(summary.exit_status)


@click.command()
@click.argument("source", metavar="DIR|CELLS", type=click.Path(path_type=Path))
@click.option("-o", "--out", **OUT, help="page to write (.html)")
def report(source: Path, out: Path) -> None:
    """Write one self-contained page about a plate's folder or a table of cells."""
    from gradcamo.files.landing import refuse_unwritable
    from gradcamo.report import write_report

    refuse_unwritable(out, (".html",), [source])
    click.echo(f"written to {write_report(source, out)}")
