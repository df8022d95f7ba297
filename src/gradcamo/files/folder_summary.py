"""What was found in a plate's folder, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gradcamo.datatypes import unknown_axes
from gradcamo.files.channel_names import names_of, pairs_of
from gradcamo.files.voxel_size import filled, spacing_of
from gradcamo.words import counted

if TYPE_CHECKING:
    import pandas as pd


def in_words(table: pd.DataFrame) -> str:
    """One line: the layout, wells, stacks, channels, planes and voxel size; empty for a CSV."""
    found = table.attrs.get("found")
    if not found:
        return ""
    sites, plates = (
        table.groupby(["plate", "well"])["site"].nunique().max(),
        table["plate"].nunique(),
    )
    parts = [
        f"{plates} plates" if plates > 1 else "",
        counted(table.drop_duplicates(["plate", "well"]).shape[0], "well"),
        counted(len(table), "stack"),
        f"{counted(sites, 'site')} a well at most",
    ]
    if found["channels"]:
        names = ", ".join(channels_of(table))
        size = spacing_in(table)
        parts += [
            f"{counted(len(found['channels']), 'channel')} ({names})",
            counted(found["planes"], "plane"),
            f"voxels of {size} µm (z,y,x)" if size else "voxel size unknown",
        ]
    left = [f"{n} {what}" for what, n in found["left_out"].items() if n]
    return (
        f"{found['layout']}: {', '.join(filter(None, parts))}"
        f"{'; left out: ' + ', '.join(left) if left else ''}"
    )


def untold(table: pd.DataFrame) -> list[str]:
    """What neither the files of a folder nor its owner told, and the flag that tells it."""
    found = table.attrs.get("found")
    if not found:
        return []
    said = []
    if found["unread"]:
        said.append(f"channels and voxel size are not known: {found['unread']}")
    elif axes := unknown_axes(spacing_of(known) if (known := spacing_in(table)) else None):
        said.append(
            f"the voxel size is not known along {axes}: say it with --spacing, z,y,x in µm, such "
            "as --spacing 0.6,0.35,0.35"
        )
    if "labels" not in table or not table["labels"].any():
        said.append(_no_labels(found))
    if not table["treatment"].any():
        said.append(
            "no treatments are known: name a CSV of well, treatment with --layout, or type them "
            "into the table that -o writes"
        )
    return said


def _no_labels(found: Mapping[str, Any]) -> str:
    without = "without labels 'gradcamo plate' segments the cells itself"
    if found["layout"] == "OME-Zarr plate":
        return f"there are no label images in the plate; {without}"
    there = found["left_out"].get("label images", 0)
    lie = f", though {there:,} lie{'s' * (there == 1)} there" if there else ""
    return (
        f"no label images are used{lie}: name their files with --labels, such as "
        "--labels '{well}_s{site}_labels.tif'; " + without
    )


def channels_of(table: pd.DataFrame) -> list[str]:
    """The channels of a plate's first stack, by the names that they have now."""
    declared = table.attrs["found"]["channels"]
    said = names_of(_first(table, "channel_names"))
    pairs = pairs_of(said)
    if pairs is None:
        return said or declared
    return [pairs.get(name, name) for name in declared]


def spacing_in(table: pd.DataFrame) -> str:
    """The voxel size (z, y, x) of a plate's first stack, empty where nothing of it is known."""
    said, declared = _first(table, "spacing_um"), table.attrs["found"]["spacing_um"]
    return filled(said, declared) if said and declared else said or declared


def _first(table: pd.DataFrame, name: str) -> str:
    return str(table[name].iloc[0]) if name in table else ""
