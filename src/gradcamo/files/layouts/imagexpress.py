"""ImageXpress (MetaXpress): ``plate/TimePoint_1/ZStep_2/4711_B02_s1_w1.TIF``."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from gradcamo.files.layouts.rules import (
    GUID,
    IMAGE,
    TOKENS,
    Layout,
    folder_name,
    stacks_of,
    without,
)

_START = (
    r"(?P<folder>(?:.*?/)??)(?:TimePoint_(?P<t>\d+)/)?(?:ZStep_(?P<z>\d+)/)?"
    r"(?:[^/]*_)?(?P<well>[A-Z]{1,2}\d{2})(?:_s(?P<site>\d+))?"
)
_END = rf"(?P<guid>{GUID}|){IMAGE}"
_NAMES = [
    re.compile(rf"{_START}(?:_w(?P<channel>\d+?))?{_END}"),
    re.compile(rf"{_START.replace('P<z>', ':')}_w(?P<channel>\d+)_z(?P<z>\d+){_END}"),
    re.compile(rf"{_START.replace('P<z>', ':')}_z(?P<z>\d+)_w(?P<channel>\d+?){_END}"),
]
_OURS = re.compile(r"(?:^|/)(?:TimePoint|ZStep)_\d+/|_w\d")
_THUMB = re.compile(rf"_thumb(?:{GUID})?{IMAGE}$")


def recognise(files: Sequence[str], root: Path) -> Layout | None:
    """The stacks of a plate as MetaXpress writes it, thumbnails and projections left out."""
    ours = [path for path in files if _OURS.search(path)]
    planes, thumbs = without(ours, _THUMB)
    planes, projections = _projected(planes)
    left_out = Counter({"thumbnails": len(thumbs), "projections": len(projections)})
    tokens = TOKENS | ({"z": "{z:1-}"} if any("ZStep_0/" in path for path in projections) else {})
    for regex in _NAMES:
        stacks, used = stacks_of(planes, regex, root, tokens)
        if not stacks:
            continue
        for stack in stacks:
            stack.values["plate"] = folder_name(stack.values, root)
            stack.values["site"] = str(int(stack.values["site"] or 1))
        return Layout(
            "ImageXpress", stacks, "w", left_out=left_out, used={*used, *thumbs, *projections}
        )
    return None


def _projected(files: Sequence[str]) -> tuple[list[str], list[str]]:
    """Planes, and what lies beside their folders or in ``ZStep_0``, where there are planes."""
    folders = {match[1] for path in files if (match := re.match(r"(.*?)ZStep_[1-9]\d*/", path))}
    kept: list[str] = []
    out: list[str] = []
    for path in files:
        folder = path.rpartition("/")[0] + "/" if "/" in path else ""
        projected = folder in folders or re.sub(r"ZStep_0/$", "", folder) in folders
        (out if projected else kept).append(path)
    return kept, out
