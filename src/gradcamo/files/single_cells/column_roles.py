"""Which columns of a table tell image, labels and object: those of CellProfiler and its kin."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from gradcamo.errors import GradcamoError
from gradcamo.files.cytomining import FLAG

OURS = "Metadata_gradcamo_"
"""Columns with this prefix are written by us, as is the flag."""

NUMBERS = (
    *("label", "Metadata_ObjectNumber", "ObjectNumber", "Metadata_ObjectNumber_cells"),
    *("Metadata_Cells_Number_Object_Number", "Cells_Number_Object_Number", "Cells_ObjectNumber"),
    *("Number_Object_Number", "Metadata_label", "Nuclei_Number_Object_Number"),
)
PARENTS = ("Metadata_Cytoplasm_Parent_Cells", "Cytoplasm_Parent_Cells")
"""After CytoTable's join ``Metadata_ObjectNumber`` is the cytoplasm's, and this one the cell's."""

PLACES = {
    "plate": ("plate", "Metadata_Plate", "Image_Metadata_Plate"),
    "well": ("well", "Metadata_Well", "Image_Metadata_Well"),
    "site": (
        *("site", "Metadata_Site", "Image_Metadata_Site", "Metadata_FOV", "Image_Metadata_FOV"),
        *("Metadata_Field", "Image_Metadata_Field", "Metadata_Position", "Image_Metadata_Position"),
    ),
}
IMAGE_NUMBERS = ("Metadata_ImageNumber", "ImageNumber")
TABLE_NUMBERS = ("Metadata_TableNumber", "TableNumber", "Image_TableNumber")

_FILE = re.compile(r"(?P<before>(?:Image_|Metadata_)*)FileName_(?P<name>.+)")
_OBJECTS = re.compile(r"(?P<before>(?:Image_|Metadata_)*)ObjectsFileName_(?P<name>.+)")
_LABELS = re.compile(r"mask|label|seg|objects", re.IGNORECASE)
_NO_IMAGE = re.compile(r"outline|overlay|illum", re.IGNORECASE)
_COMPARTMENTS = ("Cells", "Nuclei", "Cytoplasm")


@dataclass(frozen=True)
class Recognised:
    """Names of columns; empty where there is none."""

    tool: str
    number: str
    files: dict[str, str] = field(default_factory=dict)  # by channel, "" for one file with all
    folders: dict[str, str] = field(default_factory=dict)
    labels: str = ""
    labels_folder: str = ""
    places: dict[str, str] = field(default_factory=dict)
    image_number: tuple[str, ...] = ()
    centre: dict[str, str] = field(default_factory=dict)  # by axis: x, y and perhaps z

    @property
    def of_image(self) -> list[str]:
        """Columns that are the same for all cells of an image."""
        columns = (*self.files.values(), *self.folders.values(), self.labels, self.labels_folder)
        return list(dict.fromkeys(filter(None, (*columns, *self.places.values()))))

    @property
    def telling(self) -> list[str]:
        """Columns that tell images apart."""
        if self.files:
            return [*self.files.values(), *self.folders.values()]
        return list(self.image_number) or list(self.places.values())


def is_ours(name: str) -> bool:
    """Whether a column was written back by us."""
    return name == FLAG or name.startswith(OURS)


def holds_single_cells(columns: Sequence[str]) -> bool:
    """Whether a table has a column for the number of an object."""
    return any(name in columns for name in (*NUMBERS[1:], *PARENTS)) or (
        "label" in columns and "image" in columns
    )


def recognise(columns: Sequence[str], source: object, number: str | None = None) -> Recognised:
    """What the columns of a table are for.

    Parameters
    ----------
    columns : names
    source : the table, as errors call it
    number : column of the object numbers; by default by its usual names

    Raises
    ------
    GradcamoError
        If none tells the object.
    """
    there = set(columns)

    def first(names: Sequence[str]) -> str:
        return next((name for name in names if name in there), "")

    if number is not None and number not in there:
        raise GradcamoError(f"{source} has no column {number!r}: it has {_some(columns)}")
    number = number or first(PARENTS) or first(NUMBERS)
    if not number:
        raise GradcamoError(
            f"{source} has no column that tells the number of each object in its label image: "
            f"expected {', '.join(NUMBERS[1:3])} or label (with image), it has {_some(columns)}; "
            "name the column with object_number=… (--object-number)"
        )
    files, folders = _files(columns)
    labels = next((name for name in columns if _OBJECTS.fullmatch(name)), "") or first(
        ("labels", "Metadata_labels")
    )
    if not labels:
        masks = [name for name in columns if _FILE.fullmatch(name) and _LABELS.search(name)]
        labels = next((name for name in masks if not _NO_IMAGE.search(name)), "")
    places = {name: found for name, names in PLACES.items() if (found := first(names))}
    numbers = tuple(filter(None, (first(TABLE_NUMBERS), first(IMAGE_NUMBERS))))
    return Recognised(
        _tool(columns),
        number,
        files,
        folders,
        labels,
        first([labels.replace("FileName", "PathName")] if "FileName" in labels else []),
        places,
        numbers if first(IMAGE_NUMBERS) else (),
        _centre(there),
    )


def _files(columns: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
    found: dict[str, str] = {}
    for name in columns:
        if (match := _FILE.fullmatch(name)) and not (
            _NO_IMAGE.search(name) or _LABELS.search(name)
        ):
            found.setdefault(match["name"], name)
    if not found:
        one = next((name for name in ("image", "Metadata_image") if name in columns), "")
        return ({"": one} if one else {}), {}
    folders = {
        channel: path
        for channel, name in found.items()
        if (path := name.replace("FileName_", "PathName_")) in columns
    }
    return found, folders


def _centre(there: set[str]) -> dict[str, str]:
    for compartment in (*(f"{name}_" for name in _COMPARTMENTS), ""):
        for before in ("", "Metadata_"):
            for kind in ("AreaShape_Center", "Location_Center"):
                names = {axis: f"{before}{compartment}{kind}_{axis.upper()}" for axis in "xyz"}
                if {names["x"], names["y"]} <= there:
                    return {axis: name for axis, name in names.items() if name in there}
    ours = {axis: f"centroid_{axis}" for axis in "xyz"}
    return ours if set(ours.values()) <= there else {}


def _tool(columns: Sequence[str]) -> str:
    if any(re.match(r"Metadata_cqc_|cqc\.", name) and name != FLAG for name in columns):
        return "coSMicQC"
    if any(name.startswith("Metadata_ImageNumber") for name in columns) or any(
        name.startswith(f"{compartment}_") for name in columns for compartment in _COMPARTMENTS
    ):
        return "CytoTable"
    if "ObjectNumber" in columns:
        return "CellProfiler"
    return "Grad-CAMO" if "label" in columns else "a table of cells"


def _some(columns: Sequence[str]) -> str:
    return ", ".join(columns[:8]) + (" …" if len(columns) > 8 else "")
