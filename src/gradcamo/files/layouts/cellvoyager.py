"""CellVoyager (Yokogawa): ``AssayPlate_C05_T0001F001L01A01Z02C01.tif``."""

from __future__ import annotations

import re
from collections.abc import Sequence
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
    r"(?P<folder>(?:.*/)?)(?P<plate>[^/]+)_(?P<well>[A-Z]{1,2}\d{2})_T(?P<t>\d+)F(?P<site>\d+)"
    r"L(?P<any1>\d+)A(?P<any2>\d+)Z(?P<z>\d+)C(?P<channel>\d+)\.tiff?"
)


def recognise(files: Sequence[str], root: Path) -> Layout | None:
    """The stacks of a plate as a CellVoyager writes it, with its measurement's records."""
    stacks, used = stacks_of(files, _NAME, root)
    if not stacks:
        return None
    found = Layout("CellVoyager", stacks, "C", used=used)
    for stack in stacks:
        stack.values["site"] = str(int(stack.values["site"]))
    there = set(files)
    for folder, mine in by_folder(stacks).items():
        z = y = x = None
        if (name := f"{folder}MeasurementData.mlf") in there:
            z = _step_and_check(root / name, mine)
            found.used.add(name)
        if (name := f"{folder}MeasurementDetail.mrf") in there:
            found.used.add(name)
            for channel in records(root / name, ("MeasurementChannel",))["MeasurementChannel"]:
                y = to_um(channel.get("VerticalPixelDimension"), "um")
                x = to_um(channel.get("HorizontalPixelDimension"), "um")
                break
        for stack in mine:
            stack.spacing_um = (z, y, x)
    return found


def _step_and_check(path: Path, stacks: Sequence[StackFiles]) -> float | None:
    """The z step of the first stack; every image that was measured has to be there."""
    images = [
        image
        for image in records(path, ("MeasurementRecord",))["MeasurementRecord"]
        if image.get("Type", "IMG") == "IMG"
    ]
    there = {Path(file.path).name for stack in stacks for file in stack.files}
    named = {Path(image[""].replace("\\", "/")).name: image for image in images if image.get("")}
    if lost := sorted(name for name in set(named) - there if name.lower().endswith("tif")):
        raise GradcamoError(
            f"{path} names {len(lost)} images that are not there, the first {lost[0]} "
            f"({_where(named[lost[0]])}): copy the plate again"
        )
    first = stacks[0].files[0].channel
    places: dict[int, float] = {}
    for file in stacks[0].files:
        image = named.get(Path(file.path).name)
        if file.channel != first:
            continue
        if image is None or "Z" not in image:
            return None
        places[int(file.z)] = float(image["Z"])
    return step_between(places, stacks[0].name)


def _where(image: dict[str, Any]) -> str:
    well = f"{row_letters(image.get('Row', '?'))}{str(image.get('Column', '?')).zfill(2)}"
    return (
        f"well {well}, site {image.get('FieldIndex', '?')}, plane {image.get('ZIndex', '?')}, "
        f"channel {image.get('Ch', '?')}"
    )
