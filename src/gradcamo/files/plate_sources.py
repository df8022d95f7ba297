"""Plates that are no CSV: a folder of files named by a pattern, an OME-Zarr plate."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from gradcamo.errors import GradcamoError
from gradcamo.files.plate_checks import STACK, checked
from gradcamo.files.spellings import refuse_spellings
from gradcamo.files.text_tables import read_text_table

_FIELDS = {"well": r"[A-Za-z]{1,2}\d{1,2}", "site": r"\d+"}


def plate_from_folder(
    folder: str | Path,
    pattern: str = "{well}_s{site}.ome.tif",
    labels: str | None = None,
    layout: str | Path | None = None,
) -> pd.DataFrame:
    """The plate of all files in a folder whose names follow a pattern.

    Parameters
    ----------
    folder : path
    pattern : str
        Path of a stack inside the folder. ``{well}`` (such as D02) and ``{site}`` (a number) are
        read off it, as is any other ``{name}``; ``*`` stands for anything. Without ``{plate}`` the
        folder's name is the plate, without ``{site}`` every well has the site 1.
    labels : str, optional
        The same for label images, from the fields of the stack: ``"{well}_s{site}_labels.tif"``.
    layout : path, optional
        CSV of well, treatment (and plate, where wells of several differ, and any further columns).
        Without it treatments are empty.

    Returns
    -------
    DataFrame
        As `read_plate`, ordered by plate, well and site.

    Raises
    ------
    GradcamoError
        If no file fits, a well is not in the layout, or a stack is there twice.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise GradcamoError(f"there is no folder {folder}: check the path")
    names = re.findall(r"{(\w+)}", pattern)
    if "well" not in names or len(set(names)) < len(names):
        raise GradcamoError(
            f"the pattern {pattern!r} should hold {{well}}, and every name once, such as "
            "'{well}_s{site}.ome.tif'"
        )
    parts = re.split(r"({\w+}|\*)", pattern)
    regex = "".join(
        f"(?P<{part[1:-1]}>{_FIELDS.get(part[1:-1], '[^/]+?')})"
        if part.startswith("{") and part.endswith("}")
        else "[^/]*"
        if part == "*"
        else re.escape(part)
        for part in parts
    )
    found = []
    for path in folder.resolve().glob(re.sub(r"({\w+}|\*)+", "*", pattern)):
        match = re.fullmatch(regex, path.relative_to(folder.resolve()).as_posix())
        if match:
            found.append({"image": str(path), **match.groupdict()})
    if not found:
        raise GradcamoError(
            f"no file in {folder} is named like {pattern!r}; it holds "
            f"{', '.join(sorted(p.name for p in folder.iterdir())[:5]) or 'nothing'}: change the "
            "pattern"
        )
    table = pd.DataFrame(found).astype(str)
    for name, value in (("plate", folder.resolve().name), ("site", "1")):
        table[name] = table.get(name, value)
    if labels is not None:
        if unknown := set(re.findall(r"{(\w+)}", labels)) - set(table.columns):
            raise GradcamoError(
                f"the label pattern {labels!r} holds {', '.join(sorted(unknown))}, which the "
                f"pattern {pattern!r} does not name"
            )
        fields = [row.astype(str).to_dict() for _, row in table.iterrows()]
        table["labels"] = [str(folder.resolve() / labels.format_map(row)) for row in fields]
    return _laid_out(table, layout, folder)


def plate_from_zarr(
    path: str | Path, labels: str | None = None, layout: str | Path | None = None
) -> pd.DataFrame:
    """The fields of an OME-Zarr plate (HCS metadata, versions 0.4 and 0.5).

    Parameters
    ----------
    path : path
    labels : str, optional
        Which of the fields' label images to use. Default: the only one, where there is one.
    layout : path, optional
        As `plate_from_folder`.

    Returns
    -------
    DataFrame
        As `read_plate`; wells are named like D02 and sites by the fields' names.

    Raises
    ------
    GradcamoError
        If it is no plate, fields are missing or have several label images to choose from.
    """
    from gradcamo.files.omezarr import ome_attributes

    path = Path(path).resolve()
    plate = ome_attributes(path).get("plate") if path.is_dir() else None
    if plate is None:
        raise GradcamoError(
            f"{path} is no OME-Zarr plate: read a single image with read_stack, or write a CSV "
            "with one row per stack"
        )
    found = []
    for well in plate.get("wells", []):
        row, column = well["path"].split("/")
        name = f"{row}{column.zfill(2)}"
        for field in ome_attributes(path / well["path"]).get("well", {}).get("images", []):
            image = path / well["path"] / field["path"]
            found.append(
                {
                    "image": str(image),
                    "labels": _field_labels(image, labels),
                    "plate": plate.get("name") or path.name.split(".")[0],
                    "well": name,
                    "site": str(field["path"]),
                    "acquisition": str(field.get("acquisition", "")),
                }
            )
    table = pd.DataFrame(found, columns=["image", "labels", *STACK, "acquisition"])
    if table["acquisition"].nunique() < 2:
        table = table.drop(columns="acquisition")
    return _laid_out(table, layout, path)


def _field_labels(image: Path, wanted: str | None) -> str:
    from gradcamo.files.omezarr import is_zarr, ome_attributes

    if not is_zarr(image / "labels"):
        return ""
    names = ome_attributes(image / "labels").get("labels", [])
    if wanted is not None:
        names = [name for name in names if name == wanted]
    if len(names) > 1:
        raise GradcamoError(
            f"{image} has the label images {', '.join(names)}: choose one with labels={names[0]!r}"
        )
    return str(image / "labels" / names[0]) if names else ""


def _laid_out(table: pd.DataFrame, layout: str | Path | None, source: Path) -> pd.DataFrame:
    """With the treatments of a layout, in the order of a plate."""
    if layout is None:
        table = table.assign(treatment=table.get("treatment", ""))
    else:
        wells = read_text_table(layout, ("well", "treatment"))
        places = [i + 2 for i in wells.index]
        refuse_spellings(zip(wells["treatment"], places, strict=True), "treatment", layout)
        keys = [name for name in ("plate", "well") if name in wells]
        if wells.duplicated(keys).any():
            well = wells[wells.duplicated(keys)]["well"].iloc[0]
            raise GradcamoError(f"{layout} has the well {well} twice: give it one treatment")
        table = table.drop(columns="treatment", errors="ignore").merge(wells, "left", on=keys)
        lost = table[table["treatment"].isna()]["well"].unique()
        if len(lost):
            raise GradcamoError(
                f"{layout} has no treatment for the wells {', '.join(lost[:8])}"
                f"{' …' if len(lost) > 8 else ''}: add them, named exactly so"
            )
    order = table.assign(number=pd.to_numeric(table["site"], errors="coerce"))
    table = order.sort_values(["plate", "well", "number", "site"]).drop(columns="number")
    first = ["image", *(["labels"] if "labels" in table else []), *STACK, "treatment"]
    table = table[[*first, *(name for name in table if name not in first)]]
    return checked(table.reset_index(drop=True), source, may_be_empty=("treatment",))
