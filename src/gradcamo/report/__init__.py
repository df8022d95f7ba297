"""One self-contained page about a plate: opens in any browser, without a network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd

from gradcamo.auditing.cautions import cautions
from gradcamo.errors import GradcamoError
from gradcamo.files.beside_csv import changed
from gradcamo.files.landing import landing
from gradcamo.files.links import as_named
from gradcamo.files.seal import check_seal
from gradcamo.files.store import TABLE_SUFFIXES, read_table
from gradcamo.report.causal_section import causal_section, readable, told_in
from gradcamo.report.data import page_data
from gradcamo.report.findings import NOT_DONE, about, findings, flat_recipe, sentence
from gradcamo.report.pictures import galleries, read_pictures
from gradcamo.report.tables import cost_rows, layer_rows, neighbour_rows, variance_rows
from gradcamo.settings import AuditSettings
from gradcamo.words import number

__all__ = ["write_plate_report", "write_report"]


def write_report(source: str | Path, out: str | Path) -> Path:
    """Write the report of a plate's folder, or of one table of cells.

    Parameters
    ----------
    source : path
        The folder that `audit_plate` wrote, or a table of cells (.csv, .parquet, .h5ad).
    out : path of the page to write (.html)

    Returns
    -------
    Path of the page.

    Raises
    ------
    GradcamoError
        If there is no table, it lacks ``grad_camo``, or the page cannot be written.
    """
    source, out = Path(source), Path(out)
    if not source.exists():
        raise GradcamoError(f"there is no {source}: check the path")
    if not source.is_dir():
        return _write(out, read_table(source), source.parent / "-none-", {}, source.name)
    table_path = next(
        (p for suffix in TABLE_SUFFIXES if (p := source / f"cells{suffix}").is_file()), None
    )
    if table_path is None:
        raise GradcamoError(
            f"{source} holds no cells.parquet: expected a folder that 'gradcamo plate' wrote, or "
            "give the path of a table of cells"
        )
    return _write(out, read_table(table_path), source, _failed(source), as_named(source).name)


def write_plate_report(folder: Path, failed: Mapping[str, str], new: Path) -> Path:
    """``report.html`` of a plate's folder, naming the stacks that miss, and why.

    Written to ``new``, where its tables are that take their places in the folder with it.
    """
    table = read_table(new / "cells.parquet")
    return _write(new / "report.html", table, folder, failed, folder.name, new)


def _write(
    out: Path,
    table: pd.DataFrame,
    folder: Path,
    failed: Mapping[str, str],
    title: str,
    new: Path | None = None,
) -> Path:
    from jinja2 import Environment, PackageLoader, select_autoescape
    from plotly.offline import get_plotlyjs

    recipe = dict(table.attrs.get("recipe", {}))
    try:
        given, table = readable(table), _complete(table)
    except GradcamoError as error:
        raise GradcamoError(f"{title}: {error}") from error
    uses = _beside(new or folder, "uses")
    uses = None if uses is None else uses.set_index("real")
    cutoff = recipe.get("settings", {}).get("cutoff", AuditSettings().cutoff)
    confounding, costs = _beside(new or folder, "confounding"), _beside(new or folder, "cutoffs")
    summary, layers = _beside(folder, "layer_summary"), _beside(folder, "layers")
    pictures = read_pictures(folder, table, recipe)
    shown = files("gradcamo.report")
    templates = Environment(
        loader=PackageLoader("gradcamo", "report"),
        autoescape=select_autoescape(),
    )
    templates.policies["json.dumps_kwargs"] = {"allow_nan": False}  # no browser reads NaN
    templates.globals |= {"number": number, "sentence": sentence}
    page = templates.get_template("page.html")
    html = page.render(
        title=title,
        plotly=get_plotlyjs(),
        script=(shown / "page.js").read_text(encoding="utf-8"),
        style=(shown / "page.css").read_text(encoding="utf-8"),
        data=page_data(table, cutoff, pictures, layers, told_in(given)),
        causal=causal_section(given, table["treatment"], uses),
        findings=findings(table, cutoff, recipe, confounding),
        cautions=recipe["cautions"] if "cautions" in recipe else cautions(table, recipe),
        galleries=galleries(pictures),
        about=about(table, recipe),
        variance=[] if confounding is None else variance_rows(confounding),
        neighbours=[] if confounding is None else neighbour_rows(confounding),
        costs=[] if costs is None else cost_rows(costs),
        layers=[] if summary is None else layer_rows(summary, layers, given),
        layer=recipe.get("settings", {}).get("layer"),
        failed=failed,
        recipe=flat_recipe(recipe),
        cutoff=cutoff,
    )
    with landing(out) as scratch:
        scratch.write_text(html, encoding="utf-8")
    return out


def _complete(table: pd.DataFrame) -> pd.DataFrame:
    """Scored cells tell their treatment, well and site, if need be as nothing."""
    if "grad_camo" not in table:
        raise GradcamoError(
            "the table has no column grad_camo: give a table that 'gradcamo audit' or "
            "'gradcamo plate' wrote"
        )
    defaults = {"plate": "", "well": "", "site": "", "treatment": "all cells", "predicted": ""}
    lacking = {name: value for name, value in defaults.items() if name not in table}
    table = table.assign(**lacking)
    text = {name: table[name].fillna("").astype(str) for name in defaults}
    text["treatment"] = text["treatment"].replace("", "no treatment")
    return table.assign(**text)


_NEEDED = {
    "uses": ("real", "balanced_accuracy", "chance", "cells"),
    "confounding": ("measure", "of", "cells", "question", "value"),
    "cutoffs": ("treatment", "cutoff", "cells", "share"),
    "layers": ("layer", "grad_camo", "chance", "ceiling"),
    "layer_summary": ("layer",),
}


def _beside(folder: Path, name: str) -> pd.DataFrame | None:
    """A table of the plate's folder, None where it is not there."""
    for suffix in TABLE_SUFFIXES:
        if (path := folder / f"{name}{suffix}").is_file():
            if suffix == ".csv" and changed(path):
                raise GradcamoError(
                    f"{path} was changed since it was written, by hand or by damage, and a report "
                    "tells what was measured: make it again by the command that wrote it, which "
                    "keeps what stands there beside it"
                )
            table = read_table(path)
            if lacking := [column for column in _NEEDED[name] if column not in table]:
                raise GradcamoError(
                    f"{path} lacks {', '.join(lacking)}: it is not the table that napari-gradcamo "
                    "wrote; remove it, or run the plate again"
                )
            return table
    return None


def _failed(folder: Path) -> dict[str, Any]:
    path = folder / "summary.json"
    if not path.is_file():
        return {}
    check_seal(path)
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
        missing, failed = summary.get("missing", ()), summary.get("failed", {})
        return {**dict.fromkeys(missing, NOT_DONE), **failed}
    except (AttributeError, TypeError, ValueError, RecursionError) as error:
        raise GradcamoError(
            f"{path} is not what 'gradcamo plate' wrote ({error}): remove it, or run the plate "
            "again"
        ) from error
