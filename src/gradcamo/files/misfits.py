"""Labels of another size than their stack, found before any voxel is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradcamo.datatypes import ZStack
from gradcamo.errors import GradcamoError
from gradcamo.files.gaps import files_of, has_gaps
from gradcamo.files.labels import coarser_by, open_labels
from gradcamo.files.many import each
from gradcamo.files.stacks import read_stack
from gradcamo.files.told import says_yes, told

if TYPE_CHECKING:
    import pandas as pd


def refuse_misfits(plate: pd.DataFrame) -> None:
    """Refuse a plate whose labels do not have the size of their stacks.

    What cannot be opened is left to be named when its turn comes.

    Raises
    ------
    GradcamoError
        If some do not fit; the first is named.
    """
    refuse_found(each(_looked_at, [row for _, row in plate.iterrows()]))


def refuse_found(misfits: Iterable[str]) -> None:
    """Refuse a plate for what `misfit_of_row` says of its stacks.

    Raises
    ------
    GradcamoError
        If it says anything; the first is named.
    """
    if found := [text for text in misfits if text]:
        more = f" (and {len(found) - 1} more of the plate)" if len(found) > 1 else ""
        raise GradcamoError(found[0] + more)


def refuse_misfit(labels: Sequence[int], stack: ZStack, path: object = "") -> None:
    """Refuse labels (Z, Y, X) that do not have the size of a stack.

    Raises
    ------
    GradcamoError
        If so.
    """
    if text := _misfit(tuple(labels), stack.shape[1:], path, stack.source):
        raise GradcamoError(text)


def _misfit(ours: tuple[int, ...], theirs: tuple[int, ...], path: object, source: str) -> str:
    if ours == theirs:
        return ""
    said = (
        f"{path or 'labels'} of (Z, Y, X) = {ours} do not fit {source or 'a stack'} of {theirs}"
        f"{_ratio(ours, theirs)}: give the labels that were made for it, at its resolution"
    )
    if (factors := coarser_by(ours, theirs)) is not None:
        by = " × ".join(map(str, factors))
        said += (
            f"; they are coarser by {by}: to enlarge them, say so (like=stack in read_labels, "
            "--labels-coarser)"
        )
    return said


def _ratio(labels: tuple[int, ...], stack: tuple[int, ...]) -> str:
    along_y, along_x = (n / whole for n, whole in zip(labels[-2:], stack[-2:], strict=True))
    if along_y == along_x == 1:
        return ", with other planes"
    named = {0.5: "half", 0.25: "a quarter of", 2.0: "twice"}.get(along_y)
    return f", {named} the resolution" if named and along_y == along_x else ""


def _looked_at(row: Mapping[str, Any] | pd.Series) -> str:
    path = told(row, "labels")
    if not path or has_gaps(path):  # masks of many files are checked as they are put together
        return ""
    try:
        labels = tuple(open_labels(path, told(row, "labels_axes") or None).shape)
        image = str(row["image"])
        if has_gaps(image):  # one of its files tells rows and columns
            part = read_stack({**row, "image": next(files_of(image)).path, "channel_names": ""})
            stack = (labels[0], *part.shape[2:])
        else:
            stack = read_stack(row).shape[1:]
    except (GradcamoError, OSError, StopIteration):
        return ""
    return misfit_of_row(row, labels, stack)


def misfit_of_row(
    row: Mapping[str, Any] | pd.Series, labels: tuple[int, ...], stack: tuple[int, ...]
) -> str:
    """What is wrong with the sizes (Z, Y, X) of a row's labels and stack; empty if nothing."""
    if says_yes(row, "labels_coarser") and coarser_by(labels, stack):
        return ""
    where = f"well {row['well']}, site {row['site']}: " if told(row, "well") else ""
    text = _misfit(labels, stack, told(row, "labels"), Path(str(row["image"])).name)
    return text and where + text
