"""What was done to the wells of a plate: the table that says so, laid over the stacks."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from gradcamo.errors import GradcamoError, GradcamoWarning
from gradcamo.files.plate_checks import PATHS, STACK, checked
from gradcamo.files.spellings import refuse_spellings
from gradcamo.files.text_tables import read_text_table, refuse_separator, rows
from gradcamo.files.told import TOLD
from gradcamo.files.wells import well_name
from gradcamo.words import counted

_WELL = ("well", "well_position", "well_id", "well_name", "wellposition", "position")
_TREATMENT = (
    *("treatment", "compound", "drug", "condition", "perturbation", "compound_name"),
    *("treatment_name", "pert_iname", "broad_sample"),
)
_PLATE = ("plate", "barcode", "plate_id", "plate_name", "plate_barcode")


class LayoutColumns(NamedTuple):
    """Which columns of a layout hold wells and treatments, where their names are unusual."""

    well: str | None = None
    treatment: str | None = None


def laid_out(
    table: pd.DataFrame,
    layout: str | Path | None,
    source: Path,
    columns: LayoutColumns | None = None,
) -> tuple[pd.DataFrame, list[str]]:
    """Stacks with the treatments of a layout, in the order of a plate; what the layout has beside.

    Treated wells of the layout that have no stack are warned of, and returned in words.

    Raises
    ------
    GradcamoError
        If the layout lacks columns or a well, or names a well twice.
    """
    notes: list[str] = []
    if layout is None:
        table = table.assign(treatment=table.get("treatment", ""))
    else:
        table, beside = _merged(table, layout, columns or LayoutColumns())
        notes = [f"{layout} names {beside}, of which {source} has no stack"] * bool(beside)
    for note in notes:
        warnings.warn(note, GradcamoWarning, stacklevel=2)
    order = table.assign(number=pd.to_numeric(table["site"], errors="coerce"))
    table = order.sort_values(["plate", "well", "number", "site"]).drop(columns="number")
    first = ["image", *(["labels"] if "labels" in table else []), *STACK, "treatment"]
    table = table[[*first, *(name for name in table if name not in first)]]
    return checked(table.reset_index(drop=True), source, may_be_empty=("treatment",)), notes


def _merged(
    table: pd.DataFrame, layout: str | Path, columns: LayoutColumns
) -> tuple[pd.DataFrame, str]:
    """Stacks with what the layout says of them, and what it names that has no stack."""
    wells = _read(layout, columns)
    keys = ["place"]
    if "plate" in wells:
        if wells["plate"].nunique() > 1:
            keys.append("plate")
        else:
            wells = wells.drop(columns="plate")
    if "site" in wells:
        keys.append("site")
    wells["place"] = wells["well"].map(well_name)
    twice = wells[wells.duplicated(keys, keep=False)]
    if len(twice):
        raise GradcamoError(
            f"{layout} has the well {twice['well'].iloc[0]} twice ({rows(twice.index)}): give it "
            "one treatment"
        )
    table = table.drop(columns="treatment", errors="ignore")
    if taken := [str(name) for name in wells if name in table and name not in (*keys, "well")]:
        raise GradcamoError(
            f"{layout} has the columns {', '.join(taken)}, which the stacks have of their own: "
            "rename them"
        )
    table = table.assign(place=table["well"].map(well_name))
    beside = _beside(wells, table, keys)
    table = table.merge(wells.drop(columns="well"), "left", on=keys).drop(columns="place")
    lost = table[table["treatment"].isna()]["well"].unique()
    if len(lost):
        raise GradcamoError(
            f"{layout} has no treatment for the wells {', '.join(lost[:8])}"
            f"{' …' if len(lost) > 8 else ''}: add them; it has "
            f"{', '.join(wells['place'].unique()[:8])}{' …' if len(wells) > 8 else ''}"
        )
    return table, beside


def _beside(wells: pd.DataFrame, table: pd.DataFrame, keys: list[str]) -> str:
    """Wells, or their sites, and whole plates that were treated and have no stack, in words."""
    treated = wells[wells["treatment"] != ""]
    plates: list[str] = []
    if "plate" in keys:
        of_others = ~treated["plate"].isin(table["plate"])
        plates = list(treated.loc[of_others, "plate"].unique())
        treated = treated[~of_others]
    there = set(table[keys].itertuples(index=False, name=None))
    lacking = [row not in there for row in treated[keys].itertuples(index=False, name=None)]
    shown = [*(["plate"] if table["plate"].nunique() > 1 and "plate" in keys else []), "well"]
    shown += ["site"] if "site" in keys else []
    names = list(treated.loc[lacking, shown].agg(" ".join, axis=1)) if any(lacking) else []
    found = (("site" if "site" in keys else "well", names), ("plate", plates))
    return " and ".join(
        f"{counted(len(which), what)} ({', '.join(which[:8])}{' …' * (len(which) > 8)})"
        for what, which in found
        if which
    )


def _read(layout: str | Path, columns: LayoutColumns) -> pd.DataFrame:
    """The layout with the columns well, treatment and, where it has them, plate and site."""
    wells = read_text_table(layout, ())
    wells = wells[(wells != "").any(axis=1)]
    plain = {_plain(name): str(name) for name in reversed(list(wells))}
    well = columns.well or _first(plain, _WELL)
    if well is None and {"row", "column"} <= {*plain} | ({"column"} if "col" in plain else set()):
        column = plain.get("column") or plain["col"]
        wells = wells.assign(well=wells[plain["row"]] + wells[column])
        well = "well"
    found = {"well": well, "treatment": columns.treatment or _first(plain, _TREATMENT)}
    for what, name in found.items():
        if name not in wells:
            refuse_separator(wells, layout)
            raise GradcamoError(
                f"{layout} has no column {name or what} (it has {', '.join(map(str, wells))}): say "
                f"which one holds the {what}s ({what}_column=…, --{what}-column)"
            )
    found |= {"plate": _first(plain, _PLATE), "site": _first(plain, ("site", "field"))}
    wells = wells.rename(columns={name: what for what, name in found.items() if name})
    refuse_spellings(
        zip(wells["treatment"], [i + 2 for i in wells.index], strict=True), "treatment", layout
    )
    known = [name for name in (*TOLD, *PATHS) if name in wells]
    if known:
        raise GradcamoError(
            f"{layout} has the columns {', '.join(known)}, which belong into a plate's table: "
            "remove them, or read that table instead of a folder"
        )
    return wells


def _plain(name: object) -> str:
    """``Metadata_Well Position`` is well_position."""
    text = str(name).strip().lower().replace(" ", "_").replace("-", "_")
    return text.removeprefix("metadata_").removeprefix("image_metadata_")


def _first(plain: dict[str, str], names: Sequence[str]) -> str | None:
    return next((plain[name] for name in names if name in plain), None)
