"""Operetta and Opera Phenix (Harmony): ``Images/r02c03f01p04-ch1sk1fk1fl1.tiff`` and an index."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gradcamo.errors import GradcamoError
from gradcamo.files.layouts.rules import (
    Layout,
    StackFiles,
    by_folder,
    records,
    row_letters,
    stacks_of,
    step_between,
)
from gradcamo.files.rawimage import to_um

_NAME = re.compile(
    r"(?P<folder>(?:.*/)?)r(?P<row>\d+)c(?P<col>\d+)f(?P<site>\d+)p(?P<z>\d+)"
    r"-ch(?P<channel>\d+)(?:sk(?P<t>\d+)fk\d+fl\d+|t(?P<t2>\d+))\.tiff?"
)
_INDEX = ("Index.idx.xml", "Index.xml", "Index.ref.xml")
_IN_PROFILE = re.compile(r"""\bChannelName["']?\s*:\s*["']?([^,}"']+)""")


def recognise(files: Sequence[str], root: Path) -> Layout | None:
    """The stacks of a plate as Harmony exports it, with what its index says, where there is one."""
    stacks, used = stacks_of(files, _NAME, root)
    if not stacks:
        return None
    found = Layout("Operetta", stacks, "ch", used=used)
    for stack in stacks:
        values = stack.values
        values["well"] = f"{row_letters(values.pop('row'))}{int(values.pop('col')):02d}"
        values["site"] = str(int(values["site"]))
        values["plate"] = _plate(values["folder"], root)
    there = set(files)
    for folder, mine in by_folder(stacks).items():
        beside = (folder, folder.removesuffix("Images/"))
        places = [place + name for place in dict.fromkeys(beside) for name in _INDEX]
        name = next((place for place in places if place in there), None)
        if name is not None:
            found.used.add(name)
            _take_index(root / name, mine)
    return found


def _plate(folder: str, root: Path) -> str:
    parts = [part for part in folder.split("/") if part and part != "Images"]
    return parts[-1] if parts else (root.parent if root.name == "Images" else root).name


def _take_index(path: Path, stacks: Sequence[StackFiles]) -> None:
    index = records(path, ("Image", "Entry", "Plate"))
    images = {Path(image["URL"]).name: image for image in index["Image"] if image.get("URL")}
    if not images:
        raise GradcamoError(
            f"{path} names no images: export it again, or move it away and say with pattern=… how "
            "the files are named"
        )
    _check_files(path, images, stacks)
    about: dict[str, dict[str, Any]] = {}
    for entry in (*index["Entry"], *index["Image"]):
        if name := entry.get("ChannelName") or _named_in_profile(entry):
            about[entry.get("ChannelID", "")] = {**entry, "ChannelName": name}
    names = [about.get(str(int(n)), {}).get("ChannelName", "") for n in _channels(stacks)]
    sizes = {**next(iter(about.values()), {}), **next(iter(images.values()))}
    y, x = (to_um(sizes.get(f"ImageResolution{a}"), "m") for a in "YX")
    spacing = (_step(images, stacks[0]), y, x)
    for stack in stacks:
        stack.spacing_um = spacing
        if all(names) and len(set(names)) == len(names):
            stack.channel_names = tuple(names)
    for plate in index["Plate"]:
        if name := plate.get("Name") or plate.get("PlateID"):
            for stack in stacks:
                stack.values["plate"] = name
            break


def _named_in_profile(entry: Mapping[str, Any]) -> str:
    """A channel's name in older indexes: that of its flat field, ``{…, ChannelName: DAPI, …}``."""
    found = _IN_PROFILE.search(str(entry.get("FlatfieldProfile") or ""))
    return found[1].strip() if found else ""


def _channels(stacks: Sequence[StackFiles]) -> list[str]:
    return sorted({file.channel for stack in stacks for file in stack.files}, key=int)


def _check_files(
    path: Path, images: Mapping[str, dict[str, Any]], stacks: Sequence[StackFiles]
) -> None:
    there = {Path(file.path).name for stack in stacks for file in stack.files}
    if lost := sorted(set(images) - there):
        image = images[lost[0]]
        well = f"{row_letters(image.get('Row', '?'))}{image.get('Col', '?').zfill(2)}"
        raise GradcamoError(
            f"{path} names {len(lost)} files that are not there, the first {lost[0]} (well {well}, "
            f"site {image.get('FieldID', '?')}, plane {image.get('PlaneID', '?')}, channel "
            f"{image.get('ChannelID', '?')}): copy or export the plate again"
        )
    if more := sorted(there - set(images)):
        raise GradcamoError(
            f"{path} does not name {len(more)} files that lie beside it, the first {more[0]}: they "
            "belong to another export; move them away"
        )


def _step(images: Mapping[str, dict[str, Any]], stack: StackFiles) -> float | None:
    first = stack.files[0].channel
    places: dict[int, float] = {}
    for file in stack.files:
        if file.channel == first:
            try:
                places[int(file.z)] = 1e6 * float(images[Path(file.path).name]["PositionZ"])
            except (KeyError, ValueError):
                return None
    return step_between(places, stack.name)
