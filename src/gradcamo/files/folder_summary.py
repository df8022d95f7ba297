"""What was found in a plate's folder, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
        names = _first(table, "channel_names") or ", ".join(found["channels"])
        size = _first(table, "spacing_um") or found["spacing_um"]
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


def _first(table: pd.DataFrame, name: str) -> str:
    return str(table[name].iloc[0]) if name in table else ""
